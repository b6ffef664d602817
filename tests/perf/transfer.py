"""Pull transfers to STARTED, many outstanding, and what started transfers cost while nothing happens.

Every round of every side begins with new processes: the peer's in-memory stores slow down with what they hold, so all rounds have the same number of transfers before
them, and while idle CPU is measured exactly as many are open as is said. Nothing else runs meanwhile.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

from tests.perf.measure import Comparison, compared
from tests.perf.side.beside import AS_RUN, PLAIN, names, side
from tests.perf.side.process import RESOLUTION, Spent
from tests.perf.side.rate import best, quickest, settings
from tests.perf.size import WHOLE, Size

SETTLED = 2.0  # seconds after the last transfer


async def measures(peer: str = "", size: Size = WHOLE) -> AsyncIterator[Comparison]:
    """Rate, and idle CPU of the provider."""
    rate, cpu, idle, lost = ({name: [] for name in names(peer)} for _ in range(4))
    for _ in range(size.rounds):
        for name in names(peer):
            with tempfile.TemporaryDirectory(prefix="kizuna-bench-") as place:
                async with side(name, Path(place)) as running:
                    await running.transfer(size.started - size.outstanding)  # warm
                    seconds, spent = await running.transfer(size.outstanding)
                    await asyncio.sleep(SETTLED)
                    idle[name].append(await _idle(running.provider.pid, size.idle))
                    lost[name].append(running.lost)
            rate[name].append(size.outstanding / seconds)
            cpu[name].append(spent.cpu / size.outstanding * 1e3)
    peer_ran, least = best(rate), quickest(idle)
    more = {"outstanding": size.outstanding, "started_before": size.started - size.outstanding}
    more |= settings(rate, cpu, peer_ran, {name: sum(each) for name, each in lost.items()})
    yield compared("transfer_rate", rate[AS_RUN], rate.get(peer_ran, []), "transfers/s", 6, more_is_better=True, **more)
    more = {"started_transfers": size.started, "peer_ran": least}
    if peer:
        more["ours_like_for_like"] = round(median(idle[PLAIN]), 2)
    smallest = RESOLUTION / size.idle * 100
    yield compared("idle_cpu", idle[AS_RUN], idle.get(least, []), "% of a core, provider", 90, floor=smallest, most=1, **more)


async def _idle(pid: int, seconds: float) -> float:
    with Spent([pid]) as spent:
        await asyncio.sleep(seconds)
    return spent.cpu / spent.seconds * 100
