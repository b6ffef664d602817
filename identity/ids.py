"""Ids of what is made here: UUIDs of version 7 (RFC 9562 5.7), so that rows made together stand together in every index, however many there are.

They tell when they were made, to the millisecond, and are no secret; 72 bits of each are random.
"""

import os
import time
from typing import Final

_DRAWN: Final[list[str]] = []  # at once for 256 ids: asking the system takes as long as all the rest
os.register_at_fork(after_in_child=_DRAWN.clear)


def new_id() -> str:
    """A new id, without `urn:uuid:`."""
    try:
        chance = _DRAWN.pop()
    except IndexError:
        drawn = os.urandom(9 * 256).hex()
        chance, *more = (drawn[at : at + 18] for at in range(0, len(drawn), 18))
        _DRAWN.extend(more)
    made = f"{time.time_ns() // 1_000_000:012x}"
    return f"{made[:8]}-{made[8:]}-7{chance[:3]}-8{chance[3:6]}-{chance[6:]}"
