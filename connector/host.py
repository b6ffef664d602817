"""The serving process: one participant, or several of one host that are told apart by base path (DCP 1.0 section 2: a base URL may carry a path).

Rules
- Each participant has its own data directory: database, keys, workers, member listener, management listener. Its routes are closures over its own store, so
  there is no other way from a path to data; that is the one place where participants are kept apart.
- Those of one host and port share its public listener, with the server certificate of the first. Member certificates name one DID each, so every participant
  has a member port of its own.

Not done here: one member port for several by host name (SNI); sharing workers.
"""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from connector import errors, settings
from connector.app import Connector, serving, tls
from connector.settings import Settings
from kernel import telemetry
from kernel.errors import Misconfigured
from kernel.web import application, serve

log = telemetry.get(__name__)


def settle() -> None:
    """Take what a started process keeps for good out of the collector's sight, and let it look less often: most of what serving makes dies by itself."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def run(directory: Path, *others: Path) -> None:
    """Serve until SIGTERM or SIGINT; `others` are further participants in this process."""
    telemetry.configure(settings.load(directory).log_level)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with together(directory, *others) as connectors:
        settle()
        for found in (each.settings for each in connectors):
            log.info("ready", did=found.did, url=found.public_url, management_port=found.management_port)
        stopped = asyncio.create_task(stop.wait())
        working = [task for each in connectors for task in each.working]
        await asyncio.wait([stopped, *working], return_when=asyncio.FIRST_COMPLETED)
        for task in working:
            if task.done():  # half a connector is worse than none: whoever watches it starts it again
                log.critical("a worker has ended", exc_info=task.exception())
                await task


@asynccontextmanager
async def together(*directories: Path, found: Sequence[Settings] = (), **stand_ins: Any) -> AsyncIterator[list[Connector]]:
    """Several participants in one process; raises `Misconfigured` when two of a host have the same base path.

    Each has its own data, keys, workers, member and management listener; those of one host and port share its public listener.

    A participant's routes reach its own store alone: there is no other way from a path to data. The shared listener serves with the
    certificate of the first of them.
    """
    async with AsyncExitStack() as stack:
        brought = found or [settings.load(each) for each in directories]
        alone = len(directories) == 1
        hosts = _hosts(brought)
        connectors = [
            await stack.enter_async_context(serving(directory, None, each, public=alone, **stand_ins))
            for directory, each in zip(directories, brought, strict=True)
        ]
        for (bind, port), indexes in hosts.items() if not alone else ():
            sharing = [connectors[each] for each in indexes]
            app = application([route for each in sharing for route in each.public], errors=errors.response)
            first = sharing[0]
            listener = await serve(app, bind, port, first.channel.public if tls(first.settings) else None)
            stack.push_async_callback(listener.close)
        yield connectors


def _hosts(found: Sequence[Settings]) -> dict[tuple[str, int], list[int]]:
    """Which participants share which public listener."""
    hosts: dict[tuple[str, int], list[int]] = {}
    for index, each in enumerate(found):
        sharing = hosts.setdefault((each.bind, each.public_port), [])
        if each.base_path in [found[other].base_path for other in sharing]:
            raise Misconfigured(
                f"two participants at {each.public_url}", next_step="give each a base_path of its own: it is part of the DID"
            )
        sharing.append(index)
    return hosts
