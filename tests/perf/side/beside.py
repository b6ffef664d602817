"""The sides of a comparison: ours as users run it, ours like for like, the peer with default and with tuned settings; and rounds that alternate between them."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.perf.side import edc, ours
from tests.perf.side.process import paused

AS_RUN, PLAIN, DEFAULT, TUNED = "as users run it", "like for like", "default", "tuned"
PEER = (DEFAULT, TUNED)
AWAKE = 0.5  # seconds that a side of the peer gets after it stood still


def names(peer: str) -> tuple[str, ...]:
    """The sides that are measured."""
    return (AS_RUN, PLAIN, *PEER) if peer else (AS_RUN,)


def side(name: str, place: Path, **stock: Any) -> AbstractAsyncContextManager[Any]:
    """One side, running; `stock` is put into the store of one of ours before it starts (`ours.running`)."""
    if name in PEER:
        return edc.running(place / name, tuned=name == TUNED)
    return ours.running(place / name, as_plain=name == PLAIN, **stock)


@asynccontextmanager
async def sides(chosen: tuple[str, ...], **stock: Any):
    """Name -> running side."""
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kizuna-bench-")))
        yield {name: await stack.enter_async_context(side(name, place, **stock)) for name in chosen}


async def rounds(found: dict, work: Callable[[Any], Awaitable[Any]], count: int) -> dict[str, list]:
    """What `work` gives for each side, in rounds that alternate between the sides. The peer's other sides stand still meanwhile: idle ones take CPU."""
    results: dict[str, list] = {name: [] for name in found}
    for _ in range(count):
        for name, each in found.items():
            with paused([pid for other in PEER if other in found and other != name for pid in found[other].pids]):
                if name in PEER:
                    await asyncio.sleep(AWAKE)
                results[name].append(await work(each))
    return results
