"""Transfer processes of one side: messages of the peer and own commands, each as one `Commit` (DSP 2025-1, Transfer Process Protocol).

Rules
- A request is granted, and a resumption of the consumer permitted, by what the provider's policy says of the facts at that moment. The decision is kept with
  the commit, with what it takes from the agreement's counters: once for a transfer, however often the request comes.
- The provider takes dataset and terms from its own stored agreement, which must be with this very participant and in force.
- Pull: the start message carries a data address, made when the start is decided. Push: the request carries one, and the provider's data plane pushes once
  the start was delivered (outbox act `push`); when that is done, the provider completes the transfer.
- Data may flow only while `open_now` says so: STARTED, and no step of ours pending that leaves it. A decision to end a transfer closes the data at once.

`data` of a process: agreementId, dataset, format, dataAddress (where the consumer pulls, or the provider pushes), ownAddress (our inbox), thumbprint, claims (verified, by credential type, each with the end of its credential, of the last decision: `usage.claims`), ending (code and reason as the peer sent them),
resumed (by the consumer; the provider's answering start, if it is one that makes any, has not come).
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from connector.processes import exchange, tables
from connector.processes.decisions import Decision, Decisions
from connector.processes.errors import AgreementUnknown, FormatUnknown, IllegalTransition
from connector.processes.exchange import Change, Incoming, Replay
from connector.processes.model import Agreement, Commit, Decided, OutboxRow, Process, Role
from policies.duties import Counter

Render = Callable[[str, Process, str, dict[str, Any]], tuple[str, bytes]]
PULL: Final = "HttpData-PULL"
PUSH: Final = "HttpData-PUSH"
FORMATS: Final = (PULL, PUSH)


class Grant(Struct, frozen=True, kw_only=True):
    """A yes of our policy: the agreement, the decision, the verified claims that it relies on, the counters afterwards."""

    agreement: Agreement
    decided: Decided | None = None
    claims: dict[str, Any] = {}
    counters: tuple[Counter, ...] = ()


class Agreements(Protocol):
    """Agreements of ours; bound to the caller whose message is handled."""

    def grant(self, key: str, *, again: bool) -> Grant:
        """A new transfer under an agreement with the caller, or one that goes on (`again`), as the policy permits it now.

        Raises `AgreementUnknown` (also while it is not in force), `AgreementRetired`, `PolicyRefused`.
        """


class Context(Struct, frozen=True, kw_only=True):
    """Collaborators of one handling."""

    participant: str
    now: str
    new_id: Callable[[], str]
    render: Render
    agreements: Agreements
    decisions: Decisions
    address: Callable[[Process], dict[str, Any]]  # the data address of a pull transfer of ours
    restates: bool = False  # the peer resumes by a start of the consumer and one of the provider


class Received(Incoming, frozen=True, kw_only=True):
    """A transfer message of an authenticated peer."""

    agreement_id: str = ""
    format: str = ""
    data_address: dict[str, Any] | None = None
    reason: str = ""
    ending: dict[str, Any] | None = None  # code and reason of a suspension or termination, as they came
    thumbprint: str = ""  # of the certificate that the peer showed


def handle(process: Process | None, received: Received, known: str | None, context: Context) -> Commit | Replay:
    """Take a message: a commit, or what it was answered before (`exchange.receive`). `process` is None for a first message.

    Raises `AgreementUnknown`, `FormatUnknown`, `IllegalTransition`, `CrossingStep`, `UnknownProcess`, `PidReused`.
    """
    before, grant = (process, None) if process is not None else _blank(received, context)
    learned: dict[str, Any] = {"ending": received.ending} if received.ending else {}
    if received.data_address is not None and before.role == "consumer":
        learned |= {"dataAddress": received.data_address, "resumed": False}
    if context.restates and before.role == "provider" and received.message == tables.START:
        learned["resumed"] = True
    change = exchange.receive(tables.table_of(before), before, received, learned, known=known, now=context.now)
    if type(change) is Replay:
        return change
    grant = grant or _resumed(change, received, context)
    data = change.process.data | ({"claims": grant.claims} if grant is not None else {})
    change = replace(change, process=replace(change.process, note=received.reason, data=data))
    decision = context.decisions.transfer(change.process)
    if learned.get("resumed"):
        decision = Decision(tables.START)
    change = replace(change, outbox=(*change.outbox, *pushes(change, context.new_id)))
    if decision.message:
        commit = _act(change, before.version, decision.message, context, reason=decision.reason)
    else:
        commit = exchange.commit(change, before.version)
    return commit if grant is None else _granted(commit, grant)


def _granted(commit: Commit, grant: Grant) -> Commit:
    """The commit with what was decided, and what that takes."""
    decided = replace(grant.decided, transfer=commit.process.id) if grant.decided is not None else None
    return replace(commit, counters=grant.counters, decided=decided)


def _resumed(change: Change, received: Received, context: Context) -> Grant | None:
    """The guard of a resumption that the consumer asks for: the agreement is in force, and its policy still permits."""
    guarded = any(row.guard == "policy_holds" and row.sender == received.sender for row in change.steps)
    return context.agreements.grant(change.process.data["agreementId"], again=True) if guarded else None


def _blank(received: Received, context: Context) -> tuple[Process, Grant]:
    if received.message != tables.ASK:
        raise IllegalTransition("", received.message, received.sender)
    grant = context.agreements.grant(received.agreement_id, again=False)
    agreement = grant.agreement
    if agreement.role != "provider":
        raise AgreementUnknown("no such agreement", peer=received.peer)
    if received.format not in FORMATS or (received.format == PUSH) != (received.data_address is not None):
        raise FormatUnknown(
            f"format {received.format[:60]!r} is not offered, or its data address does not fit",
            next_step=f"{PULL} without a dataAddress, or {PUSH} with one",
        )
    data: dict[str, Any] = {"agreementId": agreement.id, "dataset": agreement.dataset, "format": received.format}
    data |= {"thumbprint": received.thumbprint}
    data |= {"dataAddress": received.data_address} if received.data_address else {}
    return _new("provider", received.peer, "", context, data=data), grant


def _new(role: Role, peer: str, callback: str, context: Context, *, data: dict[str, Any], key: str = "") -> Process:
    return Process(
        id=key or context.new_id(),
        participant=context.participant,
        kind="transfer",
        role=role,
        peer=peer,
        callback=callback,
        state=tables.TRANSFER.initial,
        data=data,
        created=context.now,
        updated=context.now,
    )


def pushes(change: Change, new_id: Callable[[], str]) -> tuple[OutboxRow, ...]:
    """A push begins when its start is known to the peer."""
    process = change.process
    began = any("begin_flow" in row.effects for row in change.steps) and process.state == "STARTED"
    if began and process.role == "provider" and process.data["format"] == PUSH:
        return (OutboxRow(id=new_id(), process=process.id, act="push", message="push", due=process.created),)
    return ()


def open_now(process: Process) -> bool:
    """Whether data may flow."""
    return process.state == "STARTED" and (process.pending is None or process.pending.to == "STARTED")


def _act(
    change: Change, expected: int, message: str, context: Context, *, reason: str = "", code: str = "", person: str = ""
) -> Commit:
    """Add our own next step. Raises `IllegalTransition`, `StepPending`."""
    process, row = change.process, context.new_id()
    content: dict[str, Any] = {"reason": reason, "code": code}
    if message == tables.START and process.role == "provider" and process.data["format"] == PULL:
        content["dataAddress"] = context.address(process)
    path, body = context.render(message, process, row, {**process.data, "dataAddress": None, **content})
    made = OutboxRow(id=row, process=process.id, act="dsp", message=message, path=path, body=body, due=process.created)
    sets: dict[str, Any] = {"note": reason} if reason else {}
    if message == tables.START:
        sets["resumed"] = process.role == "consumer"
    change = exchange.propose(tables.table_of(process), change, made, now=context.now, sets=sets, person=person)
    return exchange.commit(change, expected)


def request(
    agreement: Agreement, callback: str, format_: str, *, key: str, data_address: dict[str, Any] | None, context: Context
) -> Commit:
    """Ask for the dataset of an agreement: a new process under the id `key`, whose first message is pending."""
    if format_ not in FORMATS:
        raise FormatUnknown(f"format {format_!r} is not known", next_step=f"one of {', '.join(FORMATS)}")
    data: dict[str, Any] = {"agreementId": agreement.id, "dataset": agreement.dataset, "format": format_}
    data |= {"ownAddress": data_address} if data_address else {}
    process = _new("consumer", agreement.peer, callback, context, key=key, data=data)
    return _act(Change(process=process), 0, tables.ASK, context)


def command(process: Process, message: str, context: Context, *, reason: str = "", code: str = "", person: str = "") -> Commit:
    """Our own step in a transfer: start again, suspend, complete, terminate."""
    return _act(Change(process=process), process.version, message, context, reason=reason, code=code, person=person)
