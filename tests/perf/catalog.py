"""A page of 50 datasets among 10,000, and the whole catalog by pages; and 16 readers of the whole catalog at once, whose memory is bounded.

A page of 1,000 is asked for by a QuerySpec, the peer's own filter: its following pages come by `Link`, with the filter sent again; ours by offset and limit.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from typing import Any

from tests.perf.measure import Comparison, Measure, at_most, compared
from tests.perf.side.beside import AS_RUN, DEFAULT, PLAIN, rounds, sides
from tests.perf.side.process import Peak, Spent
from tests.perf.size import WHOLE, Size

LARGE = 1_000
READERS = 16
BUDGET = 100  # MB that 16 readers of everything may cost
FIGURES = (("page", "ms, p50 at concurrency 1", 50), ("walk", "s, pages of 50", 20), ("walk_1000", "s, pages of 1,000", 20))


async def measures(peer: str = "", size: Size = WHOLE) -> AsyncIterator[Comparison | Measure]:
    """Page, walks, and many readers."""
    chosen = (AS_RUN, PLAIN, DEFAULT) if peer else (AS_RUN,)
    async with sides(chosen, assets=size.assets) as found:
        if peer:
            await found[DEFAULT].stock(size.assets)
        await rounds(found, partial(_round, size=size), 1)  # warm
        each = await rounds(found, partial(_round, size=size), size.rounds)
        many, grown = await _at_once(found[AS_RUN])
    for name, unit, wanted in FIGURES:
        yield _figure(name, unit, wanted, each, size)
    yield at_most("catalog_at_once_memory", grown, f"MB more, {READERS} readers of everything at once", BUDGET)
    yield at_most("catalog_at_once", many, f"s until all {READERS} have everything", 30)


def _figure(name: str, unit: str, wanted: float, each: dict[str, list[dict[str, float]]], size: Size) -> Comparison:
    values = {side: [one[name] for one in rounds_] for side, rounds_ in each.items()}
    more: dict[str, Any] = {"assets": size.assets}
    if name == "page":
        more |= {f"cpu_ms {side}": round(median(one["cpu"] for one in rounds_), 2) for side, rounds_ in each.items()}
    if DEFAULT in values:
        more["ours_like_for_like"] = round(median(values[PLAIN]), 3)
        more["ratio_like_for_like"] = round(median(values[DEFAULT]) / median(values[PLAIN]), 2)
    return compared(f"catalog_{name}", values[AS_RUN], values.get(DEFAULT, []), unit, wanted, **more)


async def _round(side: Any, *, size: Size) -> dict[str, float]:
    """One round of a side; the reader is a blocking one, in a thread."""
    return await asyncio.to_thread(_read, side, size)


def _read(side: Any, size: Size) -> dict[str, float]:
    reader = side.reader()
    try:
        reader.page()
        with Spent([side.provider.pid]) as spent:
            page = median(reader.page().seconds for _ in range(size.pages)) * 1e3
        walk, seen, _ = reader.by_link()
        large, seen_large, pages = _large(side, reader)
        assert min(seen, seen_large) >= size.assets, (seen, seen_large)
        assert pages <= size.assets / LARGE + 2, f"{pages} pages of {LARGE}"
    finally:
        reader.close()
    return {"page": page, "cpu": spent.cpu / size.pages * 1e3, "walk": walk, "walk_1000": large}


def _large(side: Any, reader: Any) -> tuple[float, int, int]:
    return reader.by_link(offset=0, limit=LARGE) if side.by_link else reader.by_offset(LARGE)


async def _at_once(side: Any) -> tuple[float, float]:
    """(seconds, MB that the provider grew by at most) while many readers ask for the largest pages of everything."""
    peak = Peak(side.provider.pid)
    readers = [side.reader() for _ in range(READERS)]
    loop = asyncio.get_running_loop()
    began = loop.time()
    with ThreadPoolExecutor(READERS) as threads:
        await asyncio.gather(*(loop.run_in_executor(threads, each.by_offset, LARGE) for each in readers))
    seconds = loop.time() - began
    for each in readers:
        each.close()
    return seconds, peak.growth
