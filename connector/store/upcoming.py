"""Rows of the outbox that come next, as the one process that writes the file knows them: a claim need not search the file.

Rules
- Known is a beginning of the outbox in its order (due, then as added): every row that is due before `end`. A claim is answered from it while `end` is in the future.
- It is read from the file, and follows every write from then on, in the order in which writes are done (`kernel.db`).
- No more than `most` rows are kept: the last ones are left to the file, and `end` is where they begin. So it is with a peer that is away and has many rows.
- Nothing is known after a write of which nobody has heard whether it came about, until the file is read again behind it.

Not done here: which rows are on their way (`worker.outbox`), which lanes have room (`worker.lanes`).
"""

from bisect import bisect_left, insort
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from connector.processes.model import OutboxRow
from connector.store.port import Rooms
from connector.store.sql import LAST


class Next(Struct, frozen=True):
    """A row with what is known of it; `place` orders those that are due at the same time."""

    row: OutboxRow
    lane: str
    attempts: int
    place: int


class Upcoming:
    """The first rows of one participant's outbox."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.doubts = 0  # how often everything was forgotten
        self._end = ""
        self._known: dict[str, Next] = {}
        self._order: list[tuple[str, int, str, Next]] = []  # due, place, process
        self._place = 0  # of the row that was added last

    def read(self, rows: Iterable[Next], end: str) -> None:
        """What the file has: all rows that are due before `end`."""
        self.forget()
        self._end = end
        for each in rows:
            self._put(each)
            self._place = max(self._place, each.place)

    def forget(self) -> None:
        """Nothing is known."""
        self._known.clear()
        self._order.clear()
        self._end = ""
        self.doubts += 1

    def knows(self, now: str) -> bool:
        """Whether all rows that are due are known."""
        return now < self._end

    def add(self, row: OutboxRow, lane: str) -> None:
        """A new one."""
        self._place += 1
        self._put(Next(row, lane, 0, self._place))

    def remove(self, keys: Iterable[str]) -> None:
        """They are gone, if they were there."""
        for key in keys:
            self._take(key)

    def move(self, key: str, due: str, tried: int) -> None:
        """It is due at another time, after so many further attempts."""
        found = self._take(key)
        if found is not None:
            self._put(Next(replace(found.row, due=due), found.lane, found.attempts + tried, found.place))
        elif due < self._end:  # it comes from behind the end
            self.forget()

    def claim(self, now: str, limit: int, busy: frozenset[str], rooms: Rooms) -> tuple[list[Next], str | None]:
        """As `Store.claim`; only while everything that is due is known."""
        found: dict[str, Next] = {}
        taken: dict[str, int] = {}
        for due, _, owner, each in self._order:
            if owner in busy:
                continue
            if due > now:
                return list(found.values()), min(due, self._end)
            if len(found) == limit:
                return list(found.values()), None
            so_far = taken.get(each.lane, 0)
            if owner not in found and so_far < rooms.named.get(each.lane, rooms.other):
                found[owner], taken[each.lane] = each, so_far + 1
        return list(found.values()), self._end if self._end != LAST else None

    def _put(self, each: Next) -> None:
        due = each.row.due
        if due >= self._end:
            return
        self._known[each.row.id] = each
        insort(self._order, (due, each.place, each.row.process, each))
        if len(self._order) > self.most:
            self._end, *_, last = self._order.pop()
            del self._known[last.row.id]

    def _take(self, key: str) -> Next | None:
        found = self._known.pop(key, None)
        if found is not None:
            del self._order[bisect_left(self._order, (found.row.due, found.place))]
        return found
