"""Contract negotiations to FINALIZED: 500 outstanding, and one alone. Driven through the management APIs; the last FINALIZED ends a round."""

from collections.abc import AsyncIterator
from statistics import median

from tests.perf.measure import Comparison, compared
from tests.perf.side.beside import AS_RUN, DEFAULT, PEER, PLAIN, TUNED, rounds, sides

OUTSTANDING = 500
ALONE = 20


async def measures(peer: str = "") -> AsyncIterator[Comparison]:
    """Rate, CPU and latency."""
    async with sides(peer) as found:
        await rounds(found, lambda side: side.negotiate(100), 1)  # warm
        many = await rounds(found, lambda side: side.negotiate(OUTSTANDING))
        alone = await rounds(found, _alone)
        lost = sum(found[name].lost for name in PEER if name in found)
    rate = {name: [OUTSTANDING / seconds for seconds, _ in each] for name, each in many.items()}
    cpu = {name: [spent.cpu / OUTSTANDING * 1e3 for _, spent in each] for name, each in many.items()}
    best = max((name for name in PEER if name in rate), key=lambda name: median(rate[name]), default="")
    more = {"outstanding": OUTSTANDING, "ours_ran": AS_RUN, "cpu_ms_ours": round(median(cpu[AS_RUN]), 2)}
    if best:
        theirs = median(rate[best])
        more |= {
            "peer_ran": best, "cpu_ms_peer": round(median(cpu[best]), 2), "lost_by_peer": lost,
            "ours_like_for_like": round(median(rate[PLAIN]), 1), "cpu_ms_like_for_like": round(median(cpu[PLAIN]), 2),
            "ratio_like_for_like": round(median(rate[PLAIN]) / theirs, 2),
            "peer_default": round(median(rate[DEFAULT]), 1), "peer_tuned": round(median(rate[TUNED]), 1),
        }  # fmt: skip
    yield compared("negotiation_rate", rate[AS_RUN], rate.get(best, []), "negotiations/s", 6, more_is_better=True, **more)
    least = min((name for name in PEER if name in cpu), key=lambda name: median(cpu[name]), default="")
    yield compared("negotiation_cpu", cpu[AS_RUN], cpu.get(least, []), "ms CPU, both sides", 8, peer_ran=least)
    quick = min((name for name in PEER if name in alone), key=lambda name: median(alone[name]), default="")
    yield compared("negotiation_latency", alone[AS_RUN], alone.get(quick, []), "s, p50", 10, peer_ran=quick, rounds_of=ALONE)


async def _alone(side) -> float:
    """Median of negotiations one after the other; fewer where one takes seconds."""
    first = await side.negotiate_one()
    count = ALONE if first < 1 else 3
    return median([first, *[await side.negotiate_one() for _ in range(count - 1)]])
