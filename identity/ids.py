"""Ids of what is made here: UUIDs of version 7 (RFC 9562 5.7), so that rows made together stand together in every index, however many there are.

They tell when they were made, to the millisecond, and are no secret; 72 bits of each are random.
"""

import os
import time


def new_id() -> str:
    """A new id, without `urn:uuid:`."""
    made, chance = f"{time.time_ns() // 1_000_000:012x}", os.urandom(9).hex()
    return f"{made[:8]}-{made[8:]}-7{chance[:3]}-8{chance[3:6]}-{chance[6:]}"
