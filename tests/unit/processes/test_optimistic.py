"""`optimistic`: an attempt that meets another writer reads and decides anew, a bounded number of times."""

import pytest

from connector.optimistic import ATTEMPTS, optimistic
from connector.processes.errors import UnknownProcess, VersionConflict


class Counted:
    def __init__(self, *, moved, error=VersionConflict):
        self.tries, self.moved, self.error = 0, moved, error

    @optimistic("it keeps moving", next_step="come again")
    async def write(self, value):
        """One attempt."""
        self.tries += 1
        if self.tries <= self.moved:
            raise self.error("moved meanwhile")
        return value


@pytest.mark.parametrize("moved", range(ATTEMPTS))
async def test_the_last_attempt_counts_as_the_first(moved):
    found = Counted(moved=moved)
    assert await found.write("kept") == "kept"
    assert found.tries == moved + 1


async def test_what_keeps_moving_is_told_with_a_next_step():
    found = Counted(moved=ATTEMPTS)
    with pytest.raises(VersionConflict) as refused:
        await found.write("kept")
    assert found.tries == ATTEMPTS
    assert (refused.value.detail, refused.value.next_step) == ("it keeps moving", "come again")


async def test_another_error_is_not_tried_again():
    found = Counted(moved=1, error=UnknownProcess)
    with pytest.raises(UnknownProcess):
        await found.write("kept")
    assert found.tries == 1


def test_the_function_keeps_its_name_and_words():
    assert (Counted.write.__name__, Counted.write.__doc__) == ("write", "One attempt.")
