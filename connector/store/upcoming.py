"""Rows of the outbox that come next, as the one process that writes the file knows them: a claim need not search the file.

Rules
- Known is a beginning of the outbox in its order (due, then as added): every row that is due before `end`. A claim is answered from it while `end` is in the future.
- It is read from the file, and follows every write from then on, in the order in which writes are done (`kernel.db`).
- No more than `most` rows are kept: the last ones are left to the file, and `end` is where they begin. So it is with a peer that is away and has many rows.
- Rows whose time has come wait by lane, and those of processes that are busy stand aside until these are not: a claim looks at what it takes, at the first that is left in each lane, and at no
  row twice that is on its way.
- Nothing is known after a write of which nobody has heard whether it came about, until the file is read again behind it.

Not done here: which rows are on their way (`worker.outbox`), which lanes have room (`worker.lanes`).
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterable
from heapq import heapify, heappop, heapreplace
from operator import itemgetter
from sys import maxsize

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


_Entry = tuple[str, int, Next]  # due, place


class Upcoming:
    """The first rows of one participant's outbox."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.doubts = 0  # how often everything was forgotten
        self._end = self._now = ""  # `now`: of the last claim
        self._known: dict[str, tuple[_Entry, list[_Entry]]] = {}  # each with the list that it stands in; all are in order
        self._later: list[_Entry] = []  # than `now`
        self._waiting: dict[str, list[_Entry]] = {}  # by lane
        self._aside: dict[str, list[_Entry]] = {}  # by process
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
        for each in (self._known, self._later, self._waiting, self._aside):
            each.clear()
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

    def claim(self, now: str, limit: int, busy: Collection[str], rooms: Rooms) -> tuple[list[Next], str | None]:
        """As `Store.claim`; only while everything that is due is known."""
        self._sort(now, busy)
        found: dict[str, Next] = {}
        lanes = [(*rows[0], rooms.named.get(lane, rooms.other), 0) for lane, rows in self._waiting.items()]
        lanes = [each for each in lanes if each[3] > 0]
        heapify(lanes)  # the first row of each lane, with what room is left in it; then the second, and so on
        while lanes and len(found) < limit:
            _, _, each, room, at = lanes[0]
            rows, owner = self._waiting[each.lane], each.row.process
            if owner in busy:
                self._into(self._aside.setdefault(owner, []), rows.pop(at))
            else:
                at, room = at + 1, room - (owner not in found)
                found.setdefault(owner, each)
            if room and at < len(rows):
                heapreplace(lanes, (*rows[at], room, at))
            else:
                heappop(lanes)
        if lanes and len(found) == limit:
            return list(found.values()), None
        following = next((due for due, _, each in self._later if each.row.process not in busy), LAST)
        following = min(following, self._end)
        return list(found.values()), following if following != LAST else None

    def _sort(self, now: str, busy: Collection[str]) -> None:
        """Whose time has come goes to its lane; so does what stands aside for a process that is not busy any more."""
        self._now = max(self._now, now)
        ripe = bisect_right(self._later, (self._now, maxsize))
        moved, self._later[:ripe] = self._later[:ripe], []
        for owner in [owner for owner, rows in self._aside.items() if owner not in busy or not rows]:
            moved += self._aside.pop(owner)
        for entry in moved:
            self._into(self._waiting.setdefault(entry[2].lane, []), entry)
        for lane in [lane for lane, rows in self._waiting.items() if not rows]:
            del self._waiting[lane]

    def _put(self, each: Next) -> None:
        due = each.row.due
        if due >= self._end:
            return
        self._into(self._later if due > self._now else self._waiting.setdefault(each.lane, []), (due, each.place, each))
        if len(self._known) > self.most:
            self._end, _, last = (self._later or max(filter(None, self._waiting.values()), key=itemgetter(-1))).pop()
            del self._known[last.row.id]

    def _into(self, rows: list[_Entry], entry: _Entry) -> None:
        insort(rows, entry)
        self._known[entry[2].row.id] = entry, rows

    def _take(self, key: str) -> Next | None:
        entry, rows = self._known.pop(key, (None, []))
        if entry is None:
            return None
        del rows[bisect_left(rows, entry)]
        return entry[2]
