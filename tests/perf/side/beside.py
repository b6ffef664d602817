"""All sides of a comparison at once, for rounds that alternate: ours as users run it, ours plain, the peer with default and with tuned settings."""

import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.perf.side import edc, ours

ROUNDS = 3
AS_RUN, PLAIN, DEFAULT, TUNED = "as users run it", "like for like", "default", "tuned"
OURS, PEER = (AS_RUN, PLAIN), (DEFAULT, TUNED)


@asynccontextmanager
async def sides(peer: str):
    """Name -> running side; idle ones cost little, and a side that is measured has the machine for itself but for them."""
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kizuna-bench-")))
        found: dict = {AS_RUN: await stack.enter_async_context(ours.running(place / AS_RUN))}
        if peer:
            found[PLAIN] = await stack.enter_async_context(ours.running(place / PLAIN, as_plain=True))
            for name in PEER:
                found[name] = await stack.enter_async_context(edc.running(place / name, tuned=name == TUNED))
        yield found


async def rounds(found: dict, work: Callable[[object], Awaitable[object]], count: int = ROUNDS) -> dict[str, list]:
    """What `work` gives for each side, in rounds that alternate between the sides."""
    results: dict[str, list] = {name: [] for name in found}
    for _ in range(count):
        for name, side in found.items():
            results[name].append(await work(side))
    return results
