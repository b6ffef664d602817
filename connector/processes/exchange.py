"""One side of an exchange: how messages of the peer and our own steps move a process, whatever the network does.

Rules (ADR 0001, 0002; proven by the model of two connectors in tests/model)
- *Repeat*: the store knows the `@id`, or, for a message without one, its digest equals that of the peer's last accepted message and nothing else
  has been applied since. A repeat gets the stored answer and changes nothing.
- *Own step*: at most one at a time is pending. It moves the state when it was delivered, or when the peer's next message proves it.
- *Proof*: a message that is not legal from our state but from the state our pending step leads to: both steps are taken.
- *Crossing*: a message that is legal from our state while a step of ours is pending. The step that leads further wins: TERMINATED over COMPLETED and
  FINALIZED over all others; between equals that lead elsewhere the provider's. A winning message is applied and our step withdrawn unless it is still
  legal; a losing one is answered `CrossingStep`, and its sender learns of ours. Both sides decide alike.
- Everything else is an `IllegalTransition`.

Not done here: what to do next (`decisions`), storing, sending. Late copies of a message without `@id` whose sender has given up waiting and gone on cannot
be told from new ones: peers that send no `@id` are safe only if they wait for an answer before they go on, as all known ones do.
"""

from typing import Final

import msgspec
from msgspec import Struct

from connector.processes.errors import CrossingStep, IllegalTransition
from connector.processes.machine import step
from connector.processes.model import JournalRow, LastAccepted, Pending, Process, Role
from connector.processes.tables import Table

_RANK: Final = {"TERMINATED": 3, "COMPLETED": 2, "FINALIZED": 2}


class Incoming(Struct, frozen=True, kw_only=True):
    """What the exchange needs to know of a message."""

    message: str  # row name of the table
    id: str  # `@id`, or empty
    digest: str
    answer: bytes  # what a repeat will be answered


class Applied(Struct, frozen=True, kw_only=True):
    """A moved process, and what that means for journal and outbox."""

    process: Process
    journal: tuple[JournalRow, ...] = ()
    confirmed: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()


def other(role: Role) -> Role:
    """The counterparty's role."""
    return "provider" if role == "consumer" else "consumer"


def is_repeat(process: Process, message_id: str, digest: str) -> bool:
    """Whether a message without `@id` repeats the last accepted one. With an `@id` the inbox decides, not this."""
    return not message_id and process.last_accepted is not None and process.last_accepted.digest == digest


def receive(table: Table, process: Process, incoming: Incoming, now: str) -> Applied:
    """Apply a message of the peer; raises `CrossingStep` or `IllegalTransition`. Repeats were answered before."""
    sender, pending = other(process.role), process.pending
    if table.get(process.state, incoming.message, sender) is not None:
        row = step(table, process.state, incoming.message, sender)
        if pending is not None and _wins(pending.to, row.to, process.role):
            raise CrossingStep("our own step is on its way; it takes precedence", pending=pending.message)
        kept = pending if pending is not None and _still(table, row.to, pending, process.role) else None
        moved = _moved(process, row.to, kept, incoming, now)
        taken = JournalRow(process.state, row.to, incoming.message, sender, incoming.id, now)
        return Applied(process=moved, journal=(taken,), withdrawn=() if pending is None or kept else (pending.row,))
    if pending is not None and table.get(pending.to, incoming.message, sender) is not None:
        row = step(table, pending.to, incoming.message, sender)
        journal = (
            JournalRow(process.state, pending.to, pending.message, process.role, pending.row, now),
            JournalRow(pending.to, row.to, incoming.message, sender, incoming.id, now),
        )
        return Applied(process=_moved(process, row.to, None, incoming, now), journal=journal, confirmed=(pending.row,))
    raise IllegalTransition(process.state, incoming.message, sender)


def propose(table: Table, process: Process, message: str, row: str) -> Process:
    """Our own next step, pending; raises `IllegalTransition`, also while another one is on its way."""
    found = step(table, process.state, message, process.role)
    if process.pending is not None:
        if process.pending.to == found.to:
            raise CrossingStep("this step is on its way already")
        if not _outranks(found.to, process.pending.to):
            raise CrossingStep(
                f"{process.pending.message} is still on its way", next_step="wait until it is delivered, then try again"
            )
    return msgspec.structs.replace(process, pending=Pending(message, found.to, row), version=process.version + 1)


def delivered(process: Process, row: str, now: str, *, peer_pid: str = "") -> Applied | None:
    """Our pending step has reached the peer. None when that is already known, or the step was withdrawn."""
    pending = process.pending
    if pending is None or pending.row != row:
        return None
    moved = msgspec.structs.replace(
        process,
        state=pending.to,
        pending=None,
        last_accepted=None,
        peer_pid=process.peer_pid or peer_pid,
        version=process.version + 1,
        updated=now,
    )
    journal = JournalRow(process.state, pending.to, pending.message, process.role, row, now)
    return Applied(process=moved, journal=(journal,), confirmed=(row,))


def refused(process: Process, row: str, now: str, note: str) -> Applied | None:
    """The peer refuses our pending step for good: it is withdrawn, and the process says why. One that never began ends."""
    if process.pending is None or process.pending.row != row:
        return None
    begun = bool(process.state)
    changed = msgspec.structs.replace(
        process, pending=None, state=process.state or "TERMINATED", note=note, version=process.version + 1, updated=now
    )
    ended = JournalRow("", "TERMINATED", "refused", process.role, row, now)
    return Applied(process=changed, journal=() if begun else (ended,), withdrawn=(row,))


def _moved(process: Process, to: str, pending: Pending | None, incoming: Incoming, now: str) -> Process:
    return msgspec.structs.replace(
        process,
        state=to,
        pending=pending,
        last_accepted=LastAccepted(incoming.digest, incoming.answer),
        version=process.version + 1,
        updated=now,
    )


def _still(table: Table, state: str, pending: Pending, role: Role) -> bool:
    row = table.get(state, pending.message, role)
    return row is not None and row.to == pending.to


def _outranks(one: str, two: str) -> bool:
    return _RANK.get(one, 1) > _RANK.get(two, 1)


def _wins(ours: str, theirs: str, role: Role) -> bool:
    """Whether our pending step takes precedence over the message."""
    if ours == theirs:
        return False
    if _RANK.get(ours, 1) != _RANK.get(theirs, 1):
        return _outranks(ours, theirs)
    return role == "provider"
