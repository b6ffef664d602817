"""How many rows of the outbox may be under way to whom, so that nobody waits for what another peer does or leaves.

Rules
- A lane is a peer's messages, or its pushes. A lane that has nothing under way may begin `first` rows; every answer makes it wider by one, up to three quarters of
  all slots: the only peer that has work has most of them a few answers later, and several that never answer have few. It is as wide as before when its next row comes
  within `patience` seconds of its last answer.
- Without an answer for `patience` seconds a lane is quiet: what it has under way holds no slot any more, and it goes on with at most `first`. A slow peer is not
  silent: it answers something now and then.
- An attempt that ends without an answer makes its lane silent: one row at a time, a probe, until it answers.
- Of rows without a slot no more begin when there are as many as slots. When there are twice as many the oldest are broken off, first where a lane has several,
  pushes last. In all there are never more than three times as many under way as slots.

What is known here is this process's own, and forgotten at its end: only the pace depends on it. Not done here: when a row is tried again (`reactions`).
"""

import time
from operator import itemgetter
from typing import Final

from msgspec import Struct, field

from connector.store.port import Rooms

PATIENCE: Final = 1.0
FIRST: Final = 4


class _Attempt(Struct):
    row: str
    began: float
    owed: bool = True  # an answer
    over: bool = False  # broken off


class _Lane(Struct):
    most: int
    heard: float = 0.0  # since when an answer is awaited
    silent: bool = False
    owed: int = 0  # answers
    under_way: dict[str, _Attempt] = field(default_factory=dict)


class Lanes:
    """The lanes that have rows under way, had some a moment ago, or are silent; all others are alike."""

    def __init__(self, parallel: int, patience: float = PATIENCE) -> None:
        """`parallel`: slots."""
        self.patience = patience
        self._parallel, self._most = parallel, max(1, parallel * 3 // 4)
        self._first = min(FIRST, self._most)
        self._lanes: dict[str, _Lane] = {}

    def began(self, name: str, row: str) -> None:
        """A row was taken."""
        lane, now = self._lanes.get(name), time.monotonic()
        if lane is None:
            lane = self._lanes[name] = _Lane(self._first)
        if not lane.owed:
            lane.heard = now
        lane.owed += 1
        lane.under_way[row] = _Attempt(row, now)

    def answered(self, name: str, row: str) -> None:
        """Whatever the answer was."""
        lane = self._over(name, row)
        lane.heard, lane.silent, lane.most = time.monotonic(), False, min(self._most, lane.most + 1)

    def unanswered(self, name: str, row: str) -> None:
        """The attempt has ended without an answer."""
        lane = self._over(name, row)
        lane.silent, lane.most = True, self._first

    def _over(self, name: str, row: str) -> _Lane:
        lane = self._lanes[name]
        lane.under_way[row].owed = False
        lane.owed -= 1
        return lane

    def ended(self, name: str, row: str) -> None:
        """The row is done with, or postponed."""
        lane = self._lanes[name]
        lane.owed -= lane.under_way.pop(row).owed
        self._forget(name)

    def free(self) -> int:
        """Slots that nobody holds; few are none, since who ends next makes room for several."""
        every = sum(len(each.under_way) for each in self._lanes.values())
        held = sum(len(each.under_way) for each in self._lanes.values() if not self._slow(each))
        free = min(self._parallel - held, 3 * self._parallel - every)
        return free if free > self._parallel // 16 else 0

    def rooms(self) -> Rooms:
        """How many rows each lane may begin now."""
        for name in list(self._lanes):
            self._forget(name)
        crowded = len(self._without_slot()) >= self._parallel
        return Rooms({name: self._room(each, crowded) for name, each in self._lanes.items()}, self._first)

    def excess(self) -> list[str]:
        """Rows whose attempts are to be broken off now, since too many are under way without a slot; each is named once."""
        waiting = self._without_slot()
        excess = len(waiting) - 2 * self._parallel
        chosen = [each for *_, each in sorted(waiting, key=itemgetter(slice(3)))[:excess] if each.owed] if excess > 0 else []
        for attempt in chosen:
            attempt.over = True
        return [attempt.row for attempt in chosen]

    def _forget(self, name: str) -> None:
        """A lane that is like any other, or was not heard of lately."""
        lane = self._lanes[name]
        idle = not lane.under_way and not lane.silent
        if idle and (lane.most == self._first or time.monotonic() - lane.heard >= self.patience):
            del self._lanes[name]

    def _room(self, lane: _Lane, crowded: bool) -> int:
        slow = self._slow(lane)
        if slow and crowded:
            return 0
        most = 1 if lane.silent else self._first if slow else lane.most
        room = most - len(lane.under_way)
        return room if room > most // 16 else 0

    def _slow(self, lane: _Lane) -> bool:
        return lane.silent or (lane.owed > 0 and time.monotonic() - lane.heard >= self.patience)

    def _without_slot(self) -> list[tuple[bool, bool, float, _Attempt]]:
        """What is under way in slow lanes; what can best be spared has the least first three members."""
        return [
            (name.startswith("push "), len(lane.under_way) == 1, attempt.began, attempt)
            for name, lane in self._lanes.items()
            if self._slow(lane)
            for attempt in lane.under_way.values()
            if not attempt.over
        ]
