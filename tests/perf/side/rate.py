"""What a rate is told with: the peer's better setting, both sides' CPU, and ours like for like."""

from statistics import median
from typing import Any

from tests.perf.side.beside import AS_RUN, DEFAULT, PEER, PLAIN, TUNED

Rounds = dict[str, list[float]]


def best(rate: Rounds) -> str:
    """The peer's setting with the highest rate; empty where no peer was measured."""
    return max((name for name in PEER if name in rate), key=lambda name: median(rate[name]), default="")


def quickest(cost: Rounds) -> str:
    """The peer's setting with the least cost."""
    return min((name for name in PEER if name in cost), key=lambda name: median(cost[name]), default="")


def settings(rate: Rounds, cpu: Rounds, peer_ran: str, lost: dict[str, int]) -> dict[str, Any]:
    """How both ran."""
    found: dict[str, Any] = {"ours_ran": AS_RUN, "cpu_ms_ours": round(median(cpu[AS_RUN]), 2)}
    if not peer_ran:
        return found
    return found | {
        "peer_ran": peer_ran,
        "cpu_ms_peer": round(median(cpu[peer_ran]), 2),
        "lost_by_peer": sum(lost[name] for name in PEER),
        "ours_like_for_like": round(median(rate[PLAIN]), 1),
        "cpu_ms_like_for_like": round(median(cpu[PLAIN]), 2),
        "ratio_like_for_like": round(median(rate[PLAIN]) / median(rate[peer_ran]), 2),
        "peer_default": round(median(rate[DEFAULT]), 1),
        "peer_tuned": round(median(rate[TUNED]), 1),
    }
