"""Transfer processes of one side: messages of the peer and own commands, each as one `Commit` (DSP 2025-1, Transfer Process Protocol).

Rules
- The provider takes dataset and terms from its own stored agreement, which must be with this very participant and finalised.
- Pull: the start message carries a data address, made when the start is decided. Push: the request carries one, and the provider's data plane pushes once
  the start was delivered (outbox act `push`); when that is done, the provider completes the transfer.
- Data may flow only while `open_now` says so: STARTED, and no step of ours pending that leaves it. A decision to end a transfer closes the data at once.

`data` of a process: agreementId, dataset, format, dataAddress.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from connector.processes import exchange, tables
from connector.processes.decisions import Decision, Decisions
from connector.processes.errors import AgreementUnknown, UnsupportedFormat
from connector.processes.exchange import Applied, Incoming
from connector.processes.model import Agreement, Commit, InboxRow, JournalRow, LastAccepted, OutboxRow, Process, TokenUse

Render = Callable[[str, Process, str, dict[str, Any]], tuple[str, bytes]]
PULL: Final = "HttpData-PULL"
PUSH: Final = "HttpData-PUSH"
FORMATS: Final = (PULL, PUSH)


class Agreements(Protocol):
    """Agreements of ours that are in force; bound to the caller whose message is handled."""

    def agreement(self, key: str) -> Agreement | None:
        """A finalised agreement of ours with the caller, whose policy still permits a transfer now; else None."""


class Context(Struct, frozen=True, kw_only=True):
    """Collaborators of one handling."""

    participant: str
    now: str
    new_id: Callable[[], str]
    render: Render
    agreements: Agreements
    decisions: Decisions
    address: Callable[[Process], dict[str, Any]]  # the data address of a pull transfer of ours
    token: TokenUse | None = None


class Received(Struct, frozen=True, kw_only=True):
    """A transfer message of an authenticated peer."""

    message: str
    peer: str
    id: str
    digest: str
    peer_pid: str
    callback: str = ""
    agreement_id: str = ""
    format: str = ""
    data_address: dict[str, Any] | None = None
    reason: str = ""
    thumbprint: str = ""  # of the certificate that the peer showed


class Outcome(Struct, frozen=True):
    """What to store, and the process as the answer shows it."""

    commit: Commit
    answered: Process


def start(received: Received, context: Context, answer: Callable[[Process], bytes]) -> Outcome:
    """A transfer request; raises `AgreementUnknown`, `UnsupportedFormat`."""
    agreement = context.agreements.agreement(received.agreement_id)
    if agreement is None or agreement.role != "provider":
        raise AgreementUnknown("no such agreement", peer=received.peer)
    if received.format not in FORMATS or (received.format == PUSH) != (received.data_address is not None):
        raise UnsupportedFormat(
            f"format {received.format[:60]!r} is not offered, or its data address does not fit",
            next_step=f"{PULL} without a dataAddress, or {PUSH} with one",
        )
    data = {"agreementId": agreement.id, "dataset": agreement.dataset, "format": received.format, "thumbprint": received.thumbprint}
    process = Process(
        id=context.new_id(),
        participant=context.participant,
        kind="transfer",
        role="provider",
        peer=received.peer,
        peer_pid=received.peer_pid,
        callback=received.callback,
        state="REQUESTED",
        version=1,
        data=data | ({"dataAddress": received.data_address} if received.data_address else {}),
        created=context.now,
        updated=context.now,
    )
    reply = answer(process)
    process = msgspec.structs.replace(process, last_accepted=LastAccepted(received.digest, reply))
    journal = JournalRow("", "REQUESTED", received.message, "consumer", received.id, context.now)
    commit = _follow(Applied(process=process, journal=(journal,)), context)
    return Outcome(_accepted(commit, 0, received, reply, context), process)


def receive(process: Process, received: Received, context: Context, answer: Callable[[Process], bytes]) -> Outcome:
    """A later message; raises `IllegalTransition`, `CrossingStep`."""
    reply = answer(process)
    incoming = Incoming(message=received.message, id=received.id, digest=received.digest, answer=reply)
    applied = exchange.receive(tables.TRANSFER, process, incoming, context.now)
    learned = {"dataAddress": received.data_address} if received.data_address and process.role == "consumer" else {}
    moved = msgspec.structs.replace(
        applied.process,
        peer_pid=applied.process.peer_pid or received.peer_pid,
        data=process.data | learned,
        note=received.reason or applied.process.note,
    )
    commit = _follow(msgspec.structs.replace(applied, process=moved), context)
    return Outcome(_accepted(commit, process.version, received, reply, context), moved)


def after(applied: Applied, new_id: Callable[[], str]) -> tuple[OutboxRow, ...]:
    """Outward acts that follow from transitions just taken: a push begins when its start is known to the peer."""
    process = applied.process
    started = any(row.after == "STARTED" for row in applied.journal) and process.state == "STARTED"
    if started and process.role == "provider" and process.data["format"] == PUSH:
        return (OutboxRow(id=new_id(), process=process.id, act="push", message="push"),)
    return ()


def open_now(process: Process) -> bool:
    """Whether data may flow."""
    return process.state == "STARTED" and (process.pending is None or process.pending.to == "STARTED")


def _follow(applied: Applied, context: Context) -> Commit:
    process = applied.process
    decision = context.decisions.transfer(process) if process.pending is None else Decision()
    commit = Commit(
        process=msgspec.structs.replace(process, note=decision.note or process.note),
        expected=0,
        journal=applied.journal,
        confirmed=applied.confirmed,
        withdrawn=applied.withdrawn,
        outbox=after(applied, context.new_id),
    )
    return act(commit, decision.message, context, reason=decision.reason) if decision.message else commit


def act(commit: Commit, message: str, context: Context, *, reason: str = "") -> Commit:
    """Add our own next step to a commit. Raises `IllegalTransition`, `CrossingStep`."""
    process, row = commit.process, context.new_id()
    superseded = process.pending.row if process.pending else ""
    version = process.version
    proposed = exchange.propose(tables.TRANSFER, process, message, row)
    proposed = msgspec.structs.replace(proposed, version=version if commit.journal else proposed.version, updated=context.now)
    content: dict[str, Any] = {"reason": reason}
    if message == tables.START and process.role == "provider" and process.data["format"] == PULL:
        content["dataAddress"] = context.address(proposed)
    path, body = context.render(message, proposed, row, content)
    return msgspec.structs.replace(
        commit,
        process=proposed,
        outbox=(*commit.outbox, OutboxRow(id=row, process=process.id, act="dsp", message=message, path=path, body=body)),
        withdrawn=(*commit.withdrawn, superseded) if superseded else commit.withdrawn,
    )


def request(
    agreement: Agreement, callback: str, format_: str, *, key: str, data_address: dict[str, Any] | None, context: Context
) -> Commit:
    """Ask for the dataset of an agreement: a new process under the id `key`, whose first message is pending."""
    if format_ not in FORMATS:
        raise UnsupportedFormat(f"format {format_!r} is not known", next_step=f"one of {', '.join(FORMATS)}")
    data = {"agreementId": agreement.id, "dataset": agreement.dataset, "format": format_}
    process = Process(
        id=key,
        participant=context.participant,
        kind="transfer",
        role="consumer",
        peer=agreement.peer,
        callback=callback,
        state="",
        data=data | ({"ownAddress": data_address} if data_address else {}),
        created=context.now,
        updated=context.now,
    )
    return act(Commit(process=process, expected=0), tables.TRANSFER_REQUEST, context)


def command(process: Process, message: str, context: Context, *, reason: str = "") -> Commit:
    """Our own step in a transfer: start again, suspend, complete, terminate."""
    process = msgspec.structs.replace(process, note=reason or process.note)
    return act(Commit(process=process, expected=process.version), message, context, reason=reason)


def _accepted(commit: Commit, expected: int, received: Received, reply: bytes, context: Context) -> Commit:
    first = expected == 0  # the first message is known again by its digest even without an @id
    key = received.id or (f"first:{received.digest}" if first else "")
    inbox = InboxRow(received.peer, commit.process.id, key, reply, 201 if first else 200) if key else None
    return msgspec.structs.replace(commit, expected=expected, inbox=inbox, token=context.token)
