"""The audit log as a chain of hashes: who did what to which object, and how it ended. Pure.

Rules
- Every row carries a number that counts from 1 without gaps, the hash of the row before it, and its own: SHA-256 over the RFC 8785 form of everything
  else in it and of the participant. A changed, removed, added or reordered row breaks the chain where it stands.
- The head (number and hash of the newest row) is kept beside the rows; rows cut off at the end contradict it. Who rewrites the rows and the head can
  only be found out by a head that was noted elsewhere: it is in every answer and in the log line of every row, and `Chain.end` takes one as `pinned`.
- What is kept: caller, role, method and path of the route (never the query, a header or a body), id of the object, outcome. No secret has a place in it.

Not done here: writing (`trail`), keeping (`sql`). Rows are never removed.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from kernel import wire
from kernel.errors import BadInput

START: Final = "sha256:" + "0" * 64
DONE: Final = "done"


class Event(Struct, frozen=True, kw_only=True):
    """What happened; `outcome` is `done` or the code of the problem that the caller was told."""

    at: str
    who: str
    name: str
    role: str
    action: str
    object: str
    outcome: str


class Head(Struct, frozen=True):
    """The newest row: its number (0: none) and its hash."""

    seq: int = 0
    hash: str = START

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


class Entry(Event, frozen=True, kw_only=True):
    """A row of the log."""

    seq: int
    previous: str
    hash: str


class Fault(Struct, frozen=True):
    """Where the chain breaks, and how."""

    seq: int
    reason: str


def linked(participant: str, head: Head, event: Event) -> Entry:
    """The row that follows `head`."""
    body = msgspec.structs.asdict(event)
    return Entry(**body, seq=head.seq + 1, previous=head.hash, hash=_hash(participant, head.seq + 1, head.hash, body))


def head_of(text: str) -> Head:
    """A head as it was noted: `<number>:sha256:<hex>`; raises `BadInput`."""
    number, _, found = text.partition(":")
    if not (
        number.isascii() and number.isdigit() and len(number) < 16 and len(found) == len(START) and found.startswith("sha256:")
    ):
        raise BadInput(f"not a head of an audit log: {text[:100]}", next_step="give it as it was shown: <number>:sha256:<hex>")
    return Head(int(number), found)


class Chain:
    """Follows rows in their order; stops at the first fault."""

    def __init__(self, participant: str, pinned: Head | None = None) -> None:
        self._participant, self._pinned = participant, pinned
        self.last = Head()
        self.fault: Fault | None = None

    def take(self, entry: Entry) -> None:
        """The next row."""
        if self.fault is not None:
            return
        expected = self.last.seq + 1
        if entry.seq != expected:
            self.fault = Fault(expected, f"row {entry.seq} stands where {expected} belongs: a row was removed or moved")
        elif entry.previous != self.last.hash:
            self.fault = Fault(entry.seq, "it does not follow the row before it")
        elif entry.hash != _hash(self._participant, entry.seq, entry.previous, _event(entry)):
            self.fault = Fault(entry.seq, "it was changed")
        elif self._pinned is not None and entry.seq == self._pinned.seq and entry.hash != self._pinned.hash:
            self.fault = Fault(entry.seq, "it is not the row that was noted: the log was rewritten")
        self.last = Head(entry.seq, entry.hash)

    def end(self, head: Head) -> Fault | None:
        """After the last row: the fault found, or one against the kept `head` and the noted one."""
        if self.fault is None and self.last != head:
            self.fault = Fault(self.last.seq + 1, f"the log ends at {self.last.seq}, its head says {head.seq}: rows were cut off")
        if self.fault is None and self._pinned is not None and self._pinned.seq > self.last.seq:
            self.fault = Fault(
                self.last.seq + 1, f"the log ends at {self.last.seq}, {self._pinned.seq} was noted: rows were cut off"
            )
        return self.fault


def _event(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in Event.__struct_fields__}


def _hash(participant: str, seq: int, previous: str, body: dict[str, Any]) -> str:
    return wire.digest({**body, "participant": participant, "seq": seq, "previous": previous})
