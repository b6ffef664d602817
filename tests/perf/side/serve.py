"""`python -m tests.perf.side.serve DIR`: a connector of `tests.support.plain` as a process of its own, until it is ended."""

import asyncio
import signal
import sys
from pathlib import Path

import uvloop
from msgspec import structs

from connector import settings
from connector.host import settle
from kernel import telemetry
from tests.support import plain


async def main(directory: Path) -> None:
    telemetry.configure("info")
    found = plain.PlainSettings(**structs.asdict(settings.load(directory)))
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with plain.serving(directory, found):
        settle()
        await stop.wait()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
