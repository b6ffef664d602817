"""Pull transfers to STARTED with 500 outstanding, and what started transfers cost while nothing happens."""

import asyncio
from collections.abc import AsyncIterator
from statistics import median

from tests.perf.measure import Comparison, compared
from tests.perf.side.beside import AS_RUN, DEFAULT, PEER, PLAIN, TUNED, rounds, sides
from tests.perf.side.process import Spent

OUTSTANDING = 500
STARTED = 700  # transfers that are open while idle CPU is measured
SECONDS = 10.0


async def measures(peer: str = "") -> AsyncIterator[Comparison]:
    """Rate, and idle CPU of the provider."""
    async with sides(peer) as found:
        await rounds(found, lambda side: side.transfer(STARTED - OUTSTANDING), 1)  # warm
        many = await rounds(found, lambda side: side.transfer(OUTSTANDING), 3)
        await asyncio.sleep(5)
        idle = await rounds(found, _idle)
    rate = {name: [OUTSTANDING / seconds for seconds, _ in each] for name, each in many.items()}
    cpu = {name: [spent.cpu / OUTSTANDING * 1e3 for _, spent in each] for name, each in many.items()}
    best = max((name for name in PEER if name in rate), key=lambda name: median(rate[name]), default="")
    more = {"outstanding": OUTSTANDING, "ours_ran": AS_RUN, "cpu_ms_ours": round(median(cpu[AS_RUN]), 2)}
    if best:
        more |= {
            "peer_ran": best, "cpu_ms_peer": round(median(cpu[best]), 2), "ours_like_for_like": round(median(rate[PLAIN]), 1),
            "ratio_like_for_like": round(median(rate[PLAIN]) / median(rate[best]), 2),
            "peer_default": round(median(rate[DEFAULT]), 1), "peer_tuned": round(median(rate[TUNED]), 1),
        }  # fmt: skip
    yield compared("transfer_rate", rate[AS_RUN], rate.get(best, []), "transfers/s", 6, more_is_better=True, **more)
    least = min((name for name in PEER if name in idle), key=lambda name: median(idle[name]), default="")
    started = STARTED + 2 * OUTSTANDING
    yield compared(
        "idle_cpu", idle[AS_RUN], idle.get(least, []), "% of a core, provider", 90, peer_ran=least, started_transfers=started
    )


async def _idle(side) -> float:
    with Spent([side.provider.pid]) as spent:
        await asyncio.sleep(SECONDS)
    return spent.cpu / spent.seconds * 100
