"""Cold start to the first answer, and memory while nothing happens: one connector with an empty store, as users run it."""

import asyncio
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from tests.interop.edc.runtime import Edc, authorization
from tests.perf.measure import Comparison, compared
from tests.perf.side import ours
from tests.perf.side.process import resident
from tests.perf.size import WHOLE, Size

CATALOG = {"@context": ["https://w3id.org/dspace/2025/1/context.jsonld"], "@type": "CatalogRequestMessage"}


async def measures(peer: str = "", size: Size = WHOLE) -> AsyncIterator[Comparison]:
    """Both figures."""
    mine, theirs = [], []
    with tempfile.TemporaryDirectory(prefix="kizuna-bench-") as place:
        async with ours.running(Path(place) / "ours") as side:
            node = side.provider.node
            for number in range(size.rounds):
                await asyncio.to_thread(node.stop)
                began = time.perf_counter()
                node.start()
                await _answers(node._management)
                mine.append((time.perf_counter() - began, await _settled(side.provider.pid, size.idle)))
                if peer:
                    theirs.append(await _edc(Path(place) / f"edc-{number}", size.idle))
    starts, memory = [list(each) for each in zip(*mine, strict=True)], [list(each) for each in zip(*theirs, strict=True)]
    yield compared("cold_start", starts[0], memory[0] if peer else [], "s to the first answer", 4)
    yield compared("idle_memory", starts[1], memory[1] if peer else [], "MB resident", 2, most=100)


async def _settled(pid: int, seconds: float) -> float:
    await asyncio.sleep(seconds)
    return resident(pid)


async def _answers(management: str) -> None:
    """Return when the public listener answers DSP; it opens before the management API does."""
    port = int(management.rpartition(":")[2])
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        await asyncio.sleep(0.01)
    async with aiohttp.ClientSession() as session, session.get(f"{management}/health") as answer:
        assert answer.status == 200


async def _edc(place: Path, idle: float) -> tuple[float, float]:
    """Seconds to its first catalog, and memory, of a runtime with JVM defaults."""
    runtime = Edc(place, "cold", "cold", heap="")
    try:
        runtime.launch()
        await runtime.ready()
        headers = {"Authorization": authorization("somebody")}
        url = f"{runtime.dsp}/catalog/request"
        async with aiohttp.ClientSession() as session, session.post(url, json=CATALOG, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
        seconds = time.monotonic() - runtime.started
        return seconds, await _settled(runtime.pid, idle)
    finally:
        await runtime.stop()
