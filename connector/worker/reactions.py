"""What an answer of a peer means for a message of ours: one row per class of answer (peers.md F09).

`deliver`: it has arrived. `refuse`: the peer will never take it; the process says so. `retry`: again, later. `park`: again every hour, shown to the
operator, who can release it. Nothing is given up: a peer may be away for a week. A first message that is refused ends its process, since nothing
exists at the peer; later ones wait for a person or for the peer. A 404 of a peer that may take its time to be ready (`ready_within`) refuses a first
message only when that time is over.
"""

from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

CAP: Final = 3600.0
Action = Literal["deliver", "refuse", "retry", "park"]


class Reaction(Struct, frozen=True):
    """A class of answers; `text` is for the operator."""

    statuses: tuple[int, ...]
    action: Action
    first: float  # seconds until the next attempt
    text: str
    tries: int = 2  # attempts before it is parked
    most: float = CAP  # seconds until the next attempt, at most


UNREACHABLE: Final = Reaction((), "retry", 0.5, "the peer cannot be reached")
MISTAKEN: Final = Reaction((), "park", 5.0, "a good status, but no answer to the message", 3)
NOT_READY: Final = Reaction((), "retry", 0.4, "the peer does not know us yet")
UNEXPECTED: Final = Reaction((), "park", 5.0, "the peer gave an answer that the protocol does not know")
REACTIONS: Final = (
    Reaction((200, 201, 202, 204), "deliver", 0, ""),
    Reaction((400, 405, 406, 410, 413, 415, 422), "refuse", 0, "the peer refuses the message"),
    Reaction((401,), "park", 1.0, "the peer does not accept our token, credentials or certificate"),
    Reaction((403,), "park", 5.0, "the peer forbids it"),
    Reaction((404,), "park", 0.4, "the peer does not know the process, or hides it from us", 5),  # some are not ready at once
    Reaction((408, 425), "retry", 0.5, "the peer asks to come again"),
    Reaction((409,), "retry", 0.2, "a step of the peer crosses ours"),
    Reaction((429,), "retry", 2.0, "the peer limits our rate"),
    Reaction((500, 502, 503, 504, 507), "retry", 1.0, "the peer has a fault of its own"),
)
BY_STATUS: Final = {status: each for each in REACTIONS for status in each.statuses}


def reaction(status: int, *, first_message: bool, patience: float = 0.0) -> Reaction:
    """The row for a status; a first message that is not taken is refused for good. `patience`: seconds for which its 404 still means "not yet"."""
    found = BY_STATUS.get(status, UNEXPECTED)
    if first_message and status == 404 and patience > 0:
        return replace(NOT_READY, most=max(1.0, patience))
    if first_message and status in (403, 404):
        return Reaction((status,), "refuse", 0, found.text)
    return found


def delay(found: Reaction, attempts: int, retry_after: str, jitter: float, now: datetime | None = None) -> float:
    """Seconds until the next attempt: what the peer asks for (seconds or a date), else doubled with every attempt, at most `most`. `jitter` is 0 to 1."""
    wanted = _wanted(retry_after, now)
    if wanted is not None:
        return min(found.most, max(0.0, wanted))
    return min(found.most, found.first * 2.0 ** min(attempts, 20)) * (0.8 + 0.4 * jitter)


def _wanted(retry_after: str, now: datetime | None) -> float | None:
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except (TypeError, ValueError):
        return None
    return (moment - now).total_seconds() if now is not None and moment.tzinfo is not None else None
