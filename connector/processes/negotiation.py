"""Contract negotiation of one side: messages of the peer and own commands, each as one `Commit` (DSP 2025-1, Contract Negotiation Protocol).

Rules
- The provider takes everything from its own stored offer; what the consumer sends is compared with it, never used instead.
- A request for an offer that is unknown or hidden is `OfferUnknown`. One that the contract policy does not permit becomes a negotiation that ends at once.
- The agreement repeats the offer's rules, names both parties and the dataset, and is made once: it lies in the process before it is sent. Its hash is that of
  its canonical form. It is kept by the provider together with the finalisation, by the consumer when that arrives.
- Whatever follows by itself (`decisions`) is proposed in the same commit.

`data` of a process: offer (on the table), offerId, dataset, asked (consumer), agreement, agreementHash.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from connector.processes import exchange, tables
from connector.processes.decisions import Decision, Decisions, agreement_faults
from connector.processes.errors import OfferUnknown
from connector.processes.exchange import Applied, Incoming
from connector.processes.model import Agreement, Commit, InboxRow, JournalRow, LastAccepted, OutboxRow, Process, TokenUse
from kernel import wire

Render = Callable[[str, Process, str, dict[str, Any]], tuple[str, bytes]]
RULES: Final = ("permission", "prohibition", "obligation", "profile")


class Judgement(Struct, frozen=True):
    """The provider's policies about one participant and one offer."""

    offer: dict[str, Any] | None  # our stored offer in wire form; None when unknown or hidden
    permitted: bool
    reasons: tuple[str, ...]  # for our own side


class Rulebook(Protocol):
    """Offers and policies, as the process core needs them; bound to the caller whose message is handled."""

    def judge(self, offer_id: str, dataset: str, requested: dict[str, Any]) -> Judgement:
        """What our policies say of the caller and the offer."""

    def differences(self, asked: dict[str, Any], given: dict[str, Any]) -> Sequence[str]:
        """Term by term, what is not the same."""


class Context(Struct, frozen=True, kw_only=True):
    """Collaborators of one handling: identity, time, new ids, rendering, rulebook, decisions, the used token."""

    participant: str
    now: str
    new_id: Callable[[], str]
    render: Render
    rulebook: Rulebook
    decisions: Decisions
    token: TokenUse | None = None


class Received(Struct, frozen=True, kw_only=True):
    """A negotiation message of an authenticated peer."""

    message: str
    peer: str
    id: str
    digest: str
    peer_pid: str
    callback: str = ""
    offer: dict[str, Any] | None = None
    agreement: dict[str, Any] | None = None
    reason: str = ""


class Outcome(Struct, frozen=True):
    """What to store, the process as it is afterwards, and as the answer shows it."""

    commit: Commit
    answered: Process


def start(received: Received, context: Context, answer: Callable[[Process], bytes]) -> Outcome:
    """The first message of a negotiation; raises `OfferUnknown`."""
    consumer = received.message == tables.OFFER
    row = tables.NEGOTIATION.get("", received.message, "provider" if consumer else "consumer")
    offer = received.offer or {}
    if row is None:
        raise OfferUnknown("a negotiation does not begin with this message")
    process = Process(
        id=context.new_id(),
        participant=context.participant,
        kind="negotiation",
        role="consumer" if consumer else "provider",
        peer=received.peer,
        peer_pid=received.peer_pid,
        callback=received.callback,
        state=row.to,
        version=1,
        data={"offer": offer, "offerId": offer.get("@id", ""), "dataset": offer.get("target", "")},
        created=context.now,
        updated=context.now,
    )
    judgement = None if consumer else _judged(process, context)
    reply = answer(process)
    process = msgspec.structs.replace(process, last_accepted=LastAccepted(received.digest, reply))
    journal = JournalRow("", row.to, received.message, "provider" if consumer else "consumer", received.id, context.now)
    commit = _follow(Applied(process=process, journal=(journal,)), context, judgement)
    return Outcome(_accepted(commit, 0, received, reply, context), process)


def receive(process: Process, received: Received, context: Context, answer: Callable[[Process], bytes]) -> Outcome:
    """A later message; raises `IllegalTransition`, `CrossingStep`, `OfferUnknown`."""
    reply = answer(process)
    incoming = Incoming(message=received.message, id=received.id, digest=received.digest, answer=reply)
    applied = exchange.receive(tables.NEGOTIATION, process, incoming, context.now)
    moved = msgspec.structs.replace(
        applied.process,
        peer_pid=applied.process.peer_pid or received.peer_pid,
        data=process.data | _learned(process, received),
        note=received.reason or applied.process.note,
    )
    judgement = _judged(moved, context) if moved.state == "REQUESTED" else None
    commit = _follow(msgspec.structs.replace(applied, process=moved), context, judgement)
    return Outcome(_accepted(commit, process.version, received, reply, context), moved)


def _learned(process: Process, received: Received) -> dict[str, Any]:
    if received.agreement is not None:
        return {"agreement": received.agreement, "agreementHash": wire.digest(received.agreement)}
    if received.offer is not None:
        theirs = process.data["offerId"] if process.role == "provider" else received.offer["@id"]
        return {"offer": received.offer, "offerId": theirs}
    return {}


def _judged(process: Process, context: Context) -> Judgement:
    found = context.rulebook.judge(process.data["offerId"], process.data["dataset"], process.data["offer"])
    if found.offer is None:
        raise OfferUnknown("no such offer", reason="; ".join(found.reasons), peer=process.peer)
    return found


def _follow(applied: Applied, context: Context, judgement: Judgement | None) -> Commit:
    """The commit of an applied message, with the own step that follows by itself."""
    process = applied.process
    differences = _differences(process, context, judgement)
    permitted = judgement is None or judgement.permitted
    decision = Decision()
    if process.pending is None:
        decision = context.decisions.negotiation(process, permitted=permitted, differences=differences)
    note = "; ".join(judgement.reasons) if judgement and not permitted else decision.note
    process = msgspec.structs.replace(process, note=note or process.note)
    commit = Commit(
        process=process,
        expected=0,
        journal=applied.journal,
        confirmed=applied.confirmed,
        withdrawn=applied.withdrawn,
        agreement=_kept(process) if process.role == "consumer" and process.state == "FINALIZED" else None,
    )
    return act(commit, decision.message, context, reason=decision.reason) if decision.message else commit


def _differences(process: Process, context: Context, judgement: Judgement | None) -> Sequence[str]:
    data = process.data
    if process.role == "provider":
        return context.rulebook.differences(judgement.offer, data["offer"]) if judgement and judgement.offer else ()
    if process.state == "AGREED":
        faults = agreement_faults(data["agreement"], provider=process.peer, consumer=process.participant, dataset=data["dataset"])
        return [*faults, *context.rulebook.differences(data["offer"], data["agreement"])]
    if process.state == "OFFERED" and "asked" in data:
        return context.rulebook.differences(data["asked"], data["offer"])
    return ()


def act(commit: Commit, message: str, context: Context, *, reason: str = "", content: dict[str, Any] | None = None) -> Commit:
    """Add our own next step to a commit: pending, with its outbox row. Raises `IllegalTransition`, `CrossingStep`."""
    process, row = commit.process, context.new_id()
    superseded = process.pending.row if process.pending else ""
    if message == tables.AGREEMENT and "agreement" not in process.data:
        process = msgspec.structs.replace(process, data=process.data | _agreement(process, context))
    version = process.version
    proposed = exchange.propose(tables.NEGOTIATION, process, message, row)
    proposed = msgspec.structs.replace(proposed, version=version if commit.journal else proposed.version, updated=context.now)
    path, body = context.render(message, proposed, row, {"reason": reason, **(content or {})})
    return msgspec.structs.replace(
        commit,
        process=proposed,
        outbox=(*commit.outbox, OutboxRow(id=row, process=process.id, act="dsp", message=message, path=path, body=body)),
        withdrawn=(*commit.withdrawn, superseded) if superseded else commit.withdrawn,
        agreement=_kept(proposed) if message == tables.FINALIZED_EVENT else commit.agreement,
    )


def _agreement(process: Process, context: Context) -> dict[str, Any]:
    offer = process.data["offer"]
    agreement = {
        "@id": context.new_id(),
        "@type": "Agreement",
        "target": process.data["dataset"],
        "assigner": process.participant,
        "assignee": process.peer,
        "timestamp": context.now,
        **{name: offer[name] for name in RULES if name in offer},
    }
    return {"agreement": agreement, "agreementHash": wire.digest(agreement)}


def _kept(process: Process) -> Agreement:
    agreement = process.data["agreement"]
    return Agreement(
        id=agreement["@id"],
        participant=process.participant,
        role=process.role,
        peer=process.peer,
        negotiation=process.id,
        dataset=process.data["dataset"],
        policy=agreement,
        hash=process.data["agreementHash"],
        at=process.updated,
    )


def _accepted(commit: Commit, expected: int, received: Received, reply: bytes, context: Context) -> Commit:
    first = expected == 0  # the first message is known again by its digest even without an @id
    key = received.id or (f"first:{received.digest}" if first else "")
    inbox = InboxRow(received.peer, commit.process.id, key, reply, 201 if first else 200) if key else None
    return msgspec.structs.replace(commit, expected=expected, inbox=inbox, token=context.token)


# Own commands --------------------------------------------------------------------------------------------------------


def request(
    peer: str, callback: str, offer: dict[str, Any], context: Context, *, described: dict[str, Any] | None = None
) -> Commit:
    """Ask a provider for a contract: a new process whose first message is pending. `described`: what the catalog said of the dataset."""
    process = _new("consumer", peer, callback, {"offer": offer, "asked": offer, "described": described or {}}, context)
    return act(Commit(process=process, expected=0), tables.REQUEST, context)


def offer_to(peer: str, callback: str, offer: dict[str, Any], context: Context) -> Commit:
    """Offer a contract to a consumer: a new process whose first message is pending."""
    process = _new("provider", peer, callback, {"offer": offer}, context)
    return act(Commit(process=process, expected=0), tables.OFFER, context)


def command(process: Process, message: str, context: Context, *, reason: str = "", offer: dict[str, Any] | None = None) -> Commit:
    """A person's step in a negotiation: offer, counter-offer, acceptance, agreement, verification, finalisation, termination."""
    changed = {"offer": offer, "offerId": offer.get("@id", "")} if offer is not None else {}
    if offer is not None and process.role == "consumer":
        changed["asked"] = offer
    process = msgspec.structs.replace(process, data=process.data | changed, note=reason or process.note)
    return act(Commit(process=process, expected=process.version), message, context, reason=reason)


def _new(role: Any, peer: str, callback: str, data: dict[str, Any], context: Context) -> Process:
    offer = data["offer"]
    return Process(
        id=context.new_id(),
        participant=context.participant,
        kind="negotiation",
        role=role,
        peer=peer,
        callback=callback,
        state="",
        data=data | {"offerId": offer["@id"], "dataset": offer["target"]},
        created=context.now,
        updated=context.now,
    )
