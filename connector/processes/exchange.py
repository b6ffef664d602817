"""The exchange of messages between two sides that may crash, repeat, overtake and cross: one side's rules, pure.

Rules (ADR 0001, 0002)
1. A repeat gets its first answer, which is the process as that message left it, and has no effect. With an `@id`: the journal knows it. Without: the body equals the peer's
   last accepted message and no step has been taken since; where the same body could also be a new message that answers
   our pending step, nobody can tell: `CrossingStep`, until our step is settled. The first message of a process is known by
   its pid as well.
2. Our own step is *pending* from the moment that its outbox row is committed. It is taken when the peer's answer
   comes (`delivered`), or when the peer sends what is legal only after it: proof, and both steps go into one commit.
   A process that we began and the peer has not answered takes nothing but such proof.
3. Crossing: both sides act from the same state. Termination goes before completion and finalisation, these before all
   else; at equal rank the provider's step wins. The side whose step wins answers `CrossingStep`, so that the peer comes
   again; the other takes the peer's step and withdraws its own. Where both steps are the same final one, both take the other's.
4. A withdrawn row is cut: its attempt under way is broken off, so that it cannot arrive in a later state where it is legal again.
5. At most one step is pending. Only a termination may replace a step whose delivery is unknown, unless that step is final;
   the replaced one is kept in `over`, because the peer may act on it.
6. A refused termination is taken all the same: the specification lets its sender ignore the error.

What may differ between two journals: a step that was under way when the process was terminated may be missing on one
side, because a termination is legal before and after it. States, agreements and everything else are equal; `tests/model`
walks all interleavings.

Not done here: reading messages (`message`), guards, decisions and effects (`negotiation`, `transfer`), storing, sending.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, final

from msgspec import Struct
from msgspec.structs import replace

from connector.processes.errors import CrossingStep, IllegalTransition, PidReused, StepPending, UnknownProcess
from connector.processes.machine import step
from connector.processes.model import (
    Agreement,
    Commit,
    Document,
    JournalRow,
    Ledger,
    OutboxRow,
    Pending,
    Process,
    Role,
)
from connector.processes.tables import TERMINATED, Row, Table

REFUSED = "refused"  # stands in the journal for a first message that the peer did not take
WITHDRAWN = "withdrawn"  # the same for one that we took back
_RANK = {TERMINATED: 2, "COMPLETED": 1, "FINALIZED": 1}
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Incoming(Struct, frozen=True, kw_only=True):
    """A message of the peer, as far as the exchange needs it."""

    message: str  # row name
    sender: Role
    peer: str  # DID, verified
    message_id: str = ""  # `@id`, empty when there is none
    digest: str  # of the body without its `@id`
    peer_pid: str = ""
    callback: str = ""


@final  # told by its type: asking whether something is a Struct of this class goes through Python
class Replay(Struct, frozen=True):
    """The message was accepted before: the process as it was answered then."""

    process: Process


class Change(Struct, frozen=True, kw_only=True):
    """What one message or one own act changes; `commit` makes a `Commit` of it."""

    process: Process
    steps: tuple[Row, ...] = ()  # taken in this order; their effects are the caller's
    journal: tuple[JournalRow, ...] = ()
    outbox: tuple[OutboxRow, ...] = ()
    confirmed: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    documents: tuple[Document, ...] = ()  # that the peer has shown with it


def sender_to(role: Role) -> Role:
    """Who sends us messages when we have this role."""
    return "provider" if role == "consumer" else "consumer"


def receive(
    table: Table,
    process: Process,
    incoming: Incoming,
    sets: Mapping[str, Any] = _NOTHING,
    *,
    known: str | None,
    now: str,
) -> Change | Replay:
    """Take a message of the peer.

    `sets` is what the message puts into `data`, `known` the state to which the journal says that its `@id` has led. Raises `UnknownProcess`, `IllegalTransition` or `CrossingStep`; then nothing changes.
    """
    _check_sender(process, incoming)
    repeat = _repeat(table, process, incoming, known)
    if repeat is not None:
        return repeat
    pending = process.pending
    row = None
    if pending is None or process.state != table.initial:
        row = table.find(process.state, incoming.message, incoming.sender)
    if row is not None:
        if pending is not None and _goes_first(table, process, pending, row):
            raise CrossingStep(f"{pending.message} goes first; send {incoming.message} again")
        return _accept(table, Change(process=process), incoming, row, sets, now)
    if pending is not None:
        row = table.find(pending.to, incoming.message, incoming.sender)
        if row is not None:
            proven = take(table, Change(process=process), pending, now)
            return _accept(table, proven, incoming, row, sets, now)
        if pending.over is not None and table.find(pending.over.to, incoming.message, incoming.sender) is not None:
            raise CrossingStep(f"{pending.message} goes first")
    raise IllegalTransition(process.state, incoming.message, incoming.sender)


def repeated_first(table: Table, process: Process, message: str, digest: str) -> Replay:
    """The answer to a first message that comes again under the pid of `process`; raises `PidReused` for a body with another digest."""
    if process.first != digest:
        raise PidReused("this pid belongs to another request")
    return Replay(replace(process, state=step(table, table.initial, message, sender_to(process.role)).to))


def propose(
    table: Table,
    change: Change,
    row: OutboxRow,
    *,
    now: str,
    sets: Mapping[str, Any] = _NOTHING,
    note: str = "",
    person: str = "",
) -> Change:
    """Let our own step follow a change: it becomes pending together with its outbox row. `person`: who decided it.

    Raises `IllegalTransition`, or `StepPending` when another own step is on its way and may not be replaced.
    """
    process = change.process
    pending = process.pending
    own = step(table, process.state, row.message, process.role)
    if pending is not None and not _replaceable(table, process, pending, own):
        raise StepPending(
            f"{pending.message} is on its way to the peer", next_step="wait until it has been delivered, or withdraw it"
        )
    over = None if pending is None else replace(pending, over=None)
    fresh = Pending(own.message, own.to, row.id, dict(sets), over, person)
    return replace(
        change,
        process=replace(process, pending=fresh, waiting=None, note=note, updated=now),
        outbox=(*change.outbox, row),
        withdrawn=change.withdrawn if pending is None else (*change.withdrawn, pending.row),
    )


def delivered(table: Table, process: Process, row: str, *, now: str, peer_pid: str = "", callback: str = "") -> Change | None:
    """The peer took the message of this outbox row; None when that changes nothing any more."""
    pending = process.pending
    if pending is None:
        return None
    learned = replace(process, peer_pid=process.peer_pid or peer_pid, callback=process.callback or callback)
    if pending.row == row:
        return take(table, Change(process=learned), pending, now)
    if pending.over is not None and pending.over.row == row:
        taken = take(table, Change(process=learned), pending.over, now)
        return replace(taken, process=replace(taken.process, pending=replace(pending, over=None)), confirmed=())
    return None


def refused(table: Table, process: Process, row: str, *, reason: str, now: str) -> Change | None:
    """The peer refused the message of this outbox row for good; None when that changes nothing any more."""
    pending = process.pending
    if pending is None:
        return None
    if pending.over is not None and pending.over.row == row:
        return Change(process=replace(process, pending=replace(pending, over=None), updated=now))
    if pending.row != row:
        return None
    note = f"the peer refused {pending.message}: {reason}"
    if pending.message == table.termination:
        taken = take(table, Change(process=process), pending, now)
        return replace(taken, process=replace(taken.process, note=note))
    return _give_up(table, process, pending, why=REFUSED, note=note, now=now)


def withdrawn(table: Table, process: Process, row: str, *, reason: str, now: str) -> Change | None:
    """We take our step back. Safe only for a row that never left; None when the row is not pending."""
    if process.pending is None or process.pending.row != row:
        return None
    note = f"{process.pending.message} was withdrawn: {reason}"
    return _give_up(table, process, process.pending, why=WITHDRAWN, note=note, now=now)


def take(table: Table, change: Change, pending: Pending, now: str) -> Change:
    """Take our own pending step: it is known to have reached the peer."""
    process = change.process
    row = step(table, process.state, pending.message, process.role)
    moved = replace(
        process,
        state=row.to,
        pending=None,
        waiting=None,
        last_accepted="",
        data={**process.data, **pending.sets},
        note=str(pending.sets.get("note", "")),
        updated=now,
    )
    return replace(
        change,
        process=moved,
        steps=(*change.steps, row),
        journal=(*change.journal, JournalRow(row.state, row.to, row.message, row.sender, pending.row, now, pending.person)),
        confirmed=(*change.confirmed, pending.row),
    )


def commit(
    change: Change,
    expected: int,
    *,
    agreement: Agreement | None = None,
    ledger: Ledger = Ledger(),  # noqa: B008  immutable
) -> Commit:
    """The transaction for a change; each journal row makes one version, a change without any makes one too. `ledger`: with which an agreement begins."""
    return Commit(
        process=replace(change.process, version=expected + max(1, len(change.journal))),
        expected=expected,
        journal=change.journal,
        outbox=change.outbox,
        confirmed=change.confirmed,
        withdrawn=change.withdrawn,
        agreement=agreement,
        documents=change.documents,
        duties=ledger.duties,
        counters=ledger.counters,
    )


def _check_sender(process: Process, incoming: Incoming) -> None:
    """The peer of the process, in its own role, under its own pid; everybody else learns nothing."""
    stranger = incoming.peer != process.peer or incoming.sender == process.role
    if stranger or (process.peer_pid and incoming.peer_pid and incoming.peer_pid != process.peer_pid):
        raise UnknownProcess("no such process")


def _repeat(table: Table, process: Process, incoming: Incoming, known: str | None) -> Replay | None:
    if known is not None:
        return Replay(replace(process, state=known))
    pending = process.pending
    if incoming.message_id or process.last_accepted != incoming.digest:
        return None
    for own in (pending, pending and pending.over):
        if own is not None and table.find(own.to, incoming.message, incoming.sender) is not None:
            raise CrossingStep(f"{own.message} is on its way; send {incoming.message} again")
    return Replay(process)


def _goes_first(table: Table, process: Process, pending: Pending, row: Row) -> bool:
    """Whether our pending step wins over the peer's `row` from the same state."""
    if pending.to == row.to and row.to in table.final:
        return False
    ours, theirs = _RANK.get(pending.to, 0), _RANK.get(row.to, 0)
    return ours > theirs or (ours == theirs and process.role == "provider")


def _replaceable(table: Table, process: Process, pending: Pending, own: Row) -> bool:
    ending = own.message == table.termination
    return ending and process.state != table.initial and pending.to not in table.final


def _accept(table: Table, change: Change, incoming: Incoming, row: Row, sets: Mapping[str, Any], now: str) -> Change:
    """Take the peer's step; our pending step, which was from the same state, is withdrawn."""
    process = change.process
    pending = process.pending
    began = process.state == table.initial and not change.steps
    moved = replace(
        process,
        state=row.to,
        pending=None,
        waiting=None,
        peer_pid=process.peer_pid or incoming.peer_pid,
        callback=process.callback or incoming.callback,
        data={**process.data, **sets},
        last_accepted=incoming.digest,
        first=incoming.digest if began else process.first,
        note="",
        updated=now,
    )
    return replace(
        change,
        process=moved,
        steps=(*change.steps, row),
        journal=(*change.journal, JournalRow(row.state, row.to, row.message, row.sender, incoming.message_id, now)),
        withdrawn=change.withdrawn if pending is None else (*change.withdrawn, pending.row),
    )


def _give_up(table: Table, process: Process, pending: Pending, *, why: str, note: str, now: str) -> Change:
    """The pending step will not happen. A process that never began at the peer ends here."""
    left = replace(process, pending=None, note=note, updated=now)
    if process.state != table.initial:
        return Change(process=left, withdrawn=(pending.row,))
    ended = JournalRow(process.state, TERMINATED, why, process.role, pending.row, now, pending.person)
    return Change(process=replace(left, state=TERMINATED), journal=(ended,), withdrawn=(pending.row,))
