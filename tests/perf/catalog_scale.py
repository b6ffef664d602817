"""100,000 datasets, each also under one of 3,000 contract definitions that the reader does not meet: neither those nor the number of a page cost anything.

Every dataset is about a product of its own, and the definitions are for its buyers, so that they are as many questions as there are datasets."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Any

from tests.perf.measure import Measure, at_most, told
from tests.perf.side import ours
from tests.perf.side.process import resident
from tests.perf.size import WHOLE, Size

LIMIT = 20  # ms


async def measures(size: Size = WHOLE) -> AsyncIterator[Measure]:
    """The first page and the last, by offset and by `Link`."""
    with tempfile.TemporaryDirectory(prefix="kizuna-bench-") as place:
        async with ours.running(Path(place) / "many", assets=size.many, unseen_definitions=size.definitions) as side:
            first, last, by_link = await asyncio.to_thread(_pages, side, size)
            memory = resident(side.provider.pid)
    scale = f"{size.many:,} assets, {size.definitions:,} definitions that do not apply"
    yield at_most("catalog_scale_page", first, f"ms, p50: {scale}", LIMIT)
    yield at_most("catalog_scale_last_page", last, "ms, p50, the last page by offset", LIMIT)
    yield at_most("catalog_scale_by_link", by_link, "ms, p50 of all pages of 50 by `Link`", LIMIT)
    yield told("catalog_scale_memory", memory, "MB resident, provider")


def _pages(side: Any, size: Size) -> tuple[float, float, float]:
    reader = side.reader()
    try:
        reader.page()
        first = median(reader.page().seconds for _ in range(size.pages)) * 1e3
        far = size.many - 100
        reader.page(offset=far, limit=50)
        last = median(reader.page(offset=far, limit=50).seconds for _ in range(size.pages)) * 1e3
        seconds, seen, pages = reader.by_link()
        assert seen >= size.many
    finally:
        reader.close()
    return first, last, seconds / pages * 1e3
