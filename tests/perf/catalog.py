"""A page of 50 datasets among 10,000, and the whole catalog; and that neither the number of a page nor definitions that do not apply cost anything."""

import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

from tests.perf.measure import Comparison, Measure, at_most, compared
from tests.perf.side import edc, ours
from tests.perf.side.process import Spent, resident

ASSETS = 10_000
PAGES = 60
ROUNDS = 3
MANY, DEFINITIONS = 100_000, 3_000


async def measures(peer: str = "") -> AsyncIterator[Comparison | Measure]:
    """Pages, walks, and the big catalog."""
    with tempfile.TemporaryDirectory(prefix="kizuna-bench-") as place:
        mine = await _measured(ours.running(Path(place) / "ours", assets=ASSETS))
        like, theirs = {}, {}
        if peer:
            like = await _measured(ours.running(Path(place) / "plain", as_plain=True, assets=ASSETS))
            theirs = await _measured(edc.running(Path(place) / "edc", tuned=False), stock=ASSETS)
    for name, unit, wanted in (
        ("page", "ms, p50 at concurrency 1", 50),
        ("walk", "s, pages of 50", 20),
        ("walk_1000", "s, pages of 1,000", 20),
    ):
        more = {"assets": ASSETS, "cpu_ms_ours": round(median(mine["cpu"]), 2)} if name == "page" else {"assets": ASSETS}
        if theirs:
            more["ratio_like_for_like"] = round(median(theirs[name]) / median(like[name]), 2)
        if theirs and name == "page":
            more["cpu_ms_peer"] = round(median(theirs["cpu"]), 2)
        yield compared(f"catalog_{name}", mine[name], theirs.get(name, []), unit, wanted, **more)
    if not peer:
        async for each in _many():
            yield each


async def _measured(running, *, stock: int = 0) -> dict[str, list[float]]:
    """Rounds of one side; it has the machine for itself, since a big catalog takes memory."""
    found: dict[str, list[float]] = {"page": [], "walk": [], "walk_1000": [], "cpu": []}
    async with running as side:
        if stock:
            await side.stock(stock)
        reader = await side.reader()
        await reader.page()
        for _ in range(ROUNDS):
            with Spent([side.provider.pid]) as spent:
                found["page"].append(await _pages(reader))
            found["cpu"].append(spent.cpu / PAGES * 1e3)
            for name, size in (("walk", 50), ("walk_1000", 1000)):
                began = time.perf_counter()
                assert await reader.walk(size) >= ASSETS
                found[name].append(time.perf_counter() - began)
        await reader.session.close()
    return found


async def _pages(reader, **query: int) -> float:
    """Median of the milliseconds that a page takes."""
    taken = []
    for _ in range(PAGES):
        began = time.perf_counter()
        await reader.page(**query)
        taken.append((time.perf_counter() - began) * 1e3)
    return median(taken)


async def _many() -> AsyncIterator[Measure]:
    """100,000 datasets, each also under one of 3,000 definitions that the caller does not meet."""
    with tempfile.TemporaryDirectory(prefix="kizuna-bench-") as place:
        async with ours.running(Path(place) / "many", assets=MANY, unseen_definitions=DEFINITIONS) as side:
            reader = await side.reader()
            await reader.page()
            first = await _pages(reader)
            await reader.page(offset=MANY - 100, limit=50)
            last = await _pages(reader, offset=MANY - 100, limit=50)
            memory = resident(side.provider.pid)
            await reader.session.close()
    yield at_most("catalog_many_page", first, f"ms, p50: {MANY:,} assets, {DEFINITIONS:,} definitions that do not apply", 20)
    yield at_most("catalog_many_last_page", last, "ms, p50, the last page by offset", 20)
    yield at_most("catalog_many_memory", memory, "MB resident", 1000)
