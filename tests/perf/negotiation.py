"""Contract negotiations to FINALIZED: many outstanding, and one alone. Driven through the management APIs; the last FINALIZED ends a round."""

from collections.abc import AsyncIterator
from functools import partial
from statistics import median

from tests.perf.measure import Comparison, compared
from tests.perf.side.beside import AS_RUN, names, rounds, sides
from tests.perf.side.rate import best, quickest, settings
from tests.perf.size import WHOLE, Size


async def measures(peer: str = "", size: Size = WHOLE) -> AsyncIterator[Comparison]:
    """Rate, CPU and latency."""
    async with sides(names(peer)) as found:
        await rounds(found, lambda side: side.negotiate(size.outstanding // 5), 1)  # warm
        many = await rounds(found, lambda side: side.negotiate(size.outstanding), size.rounds)
        alone = await rounds(found, partial(_alone, count=size.alone), size.rounds)
        lost = {name: side.lost for name, side in found.items()}
    rate = {name: [size.outstanding / seconds for seconds, _ in each] for name, each in many.items()}
    cpu = {name: [spent.cpu / size.outstanding * 1e3 for _, spent in each] for name, each in many.items()}
    peer_ran = best(rate)
    more = {"outstanding": size.outstanding, **settings(rate, cpu, peer_ran, lost)}
    yield compared("negotiation_rate", rate[AS_RUN], rate.get(peer_ran, []), "negotiations/s", 6, more_is_better=True, **more)
    least = quickest(cpu)
    yield compared("negotiation_cpu", cpu[AS_RUN], cpu.get(least, []), "ms CPU, both sides", 8, peer_ran=least)
    quick = quickest(alone)
    yield compared("negotiation_latency", alone[AS_RUN], alone.get(quick, []), "s, p50", 10, peer_ran=quick, rounds_of=size.alone)


async def _alone(side, *, count: int) -> float:
    """Median of negotiations one after the other; fewer where one takes seconds."""
    first = await side.negotiate_one()
    count = count if first < 1 else 3
    return median([first, *[await side.negotiate_one() for _ in range(count - 1)]])
