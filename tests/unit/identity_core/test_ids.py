"""identity.ids: UUIDs of version 7, in the order in which they are made, never twice."""

import os
import time
from uuid import RFC_4122, UUID

from identity.ids import new_id


def test_it_is_a_version_7_uuid_of_this_moment_in_canonical_form():
    before = time.time_ns() // 1_000_000
    made = new_id()
    found = UUID(made)
    assert (found.version, found.variant, str(found)) == (7, RFC_4122, made)
    assert before <= found.int >> 80 <= time.time_ns() // 1_000_000


def test_none_comes_twice_and_later_ones_stand_behind():
    early = {new_id() for _ in range(10_000)}
    assert len(early) == 10_000
    time.sleep(0.002)
    assert max(early) < new_id()


def test_a_forked_process_draws_its_own():
    """What was drawn at once for the next ids is nobody else's."""
    new_id()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, " ".join(new_id() for _ in range(300)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        theirs = pipe.read().split(" ")
    os.waitpid(child, 0)
    ours = [new_id() for _ in range(300)]
    assert len({each.partition("-7")[2] for each in (*ours, *theirs)}) == 600
