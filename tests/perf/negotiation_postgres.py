"""Contract negotiations of two connectors of ours that keep their processes in PostgreSQL, each in a database of its own of one server, durable as it comes.

Eclipse EDC did 22 a second on PostgreSQL when it was measured on a machine of two cores, with the driver and the server on the same cores; it is not measured here.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

from tests.perf.measure import Measure, at_least, told
from tests.perf.side import ours
from tests.perf.size import WHOLE, Size
from tests.services.postgres import Cluster, install

PEER = 22.0
TIMES = 6


async def measures(size: Size = WHOLE) -> AsyncIterator[Measure]:
    """Rate and CPU of both connectors; the server's own is not in it."""
    await asyncio.to_thread(install)
    cluster = await asyncio.to_thread(Cluster.create)
    try:
        databases = {part: await asyncio.to_thread(cluster.create_database, part) for part in ours.PARTS}
        with tempfile.TemporaryDirectory(prefix="kizuna-bench-") as place:
            async with ours.running(Path(place) / "ours", databases=databases) as side:
                await side.negotiate(size.outstanding // 5)  # warm
                rounds = [await side.negotiate(size.outstanding) for _ in range(size.rounds)]
    finally:
        await asyncio.to_thread(cluster.remove)
    rate = median(size.outstanding / seconds for seconds, _ in rounds)
    yield at_least("negotiation_postgres_rate", rate, "negotiations/s, as users run it, on PostgreSQL", TIMES * PEER)
    yield told(
        "negotiation_postgres_cpu", median(spent.cpu / size.outstanding * 1e3 for _, spent in rounds), "ms CPU, both connectors"
    )
