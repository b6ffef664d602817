"""Contract negotiation of one side: messages of the peer and own commands, each as one `Commit` (DSP 2025-1, Contract Negotiation Protocol).

Rules
- The provider takes everything from its own stored offer; what the consumer sends is compared with it, never used instead.
- A request for an offer that is unknown or hidden is `OfferUnknown`. One that the contract policy does not permit becomes a negotiation that ends at once.
- The agreement repeats the offer's rules, names both parties and the dataset, and is made once, with the step that sends it. Its hash is that of its canonical
  form. Each side keeps it with the finalisation: the provider when it sends it, since the consumer may use it from then on, the consumer when it arrives.
  It is in force while its negotiation is FINALIZED or about to be.
- Whatever follows by itself (`decisions`) is proposed in the same commit.

`data` of a process: offer (on the table), offerId, dataset, asked and described (consumer), agreement, agreementHash.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from connector.processes import exchange, tables
from connector.processes.decisions import Decision, Decisions, agreement_faults
from connector.processes.errors import IllegalTransition, OfferUnknown
from connector.processes.exchange import Change, Incoming, Replay
from connector.processes.model import Agreement, Commit, InboxRow, OutboxRow, Process, Role, TokenUse
from kernel import wire

Render = Callable[[str, Process, str, dict[str, Any]], tuple[str, bytes]]
Answer = Callable[[Process], bytes]
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
    sender: Role
    peer: str
    id: str
    digest: str
    peer_pid: str
    callback: str = ""
    offer: dict[str, Any] | None = None
    agreement: dict[str, Any] | None = None
    reason: str = ""

    def incoming(self, sets: dict[str, Any]) -> Incoming:
        """As the exchange takes it."""
        return Incoming(
            message=self.message,
            sender=self.sender,
            peer=self.peer,
            message_id=self.id,
            digest=self.digest,
            peer_pid=self.peer_pid,
            callback=self.callback,
            sets=sets,
        )


def handle(
    process: Process | None, received: Received, known: InboxRow | None, context: Context, answer: Answer
) -> Commit | Replay:
    """Take a message: a commit, or the answer that it got before. `process` is None for a first message.

    Raises `OfferUnknown`, `IllegalTransition`, `CrossingStep`, `UnknownProcess`, `PidReused`.
    """
    before = process or _blank(received, context)
    incoming = received.incoming(_learned(before, received))
    change = exchange.receive(tables.NEGOTIATION, before, incoming, known=known, now=context.now, answer=answer)
    if isinstance(change, Replay):
        return change
    judgement = _judged(change.process, context) if change.process.state == "REQUESTED" else None
    change = replace(change, process=replace(change.process, note=received.reason))
    return _follow(change, before.version, context, judgement)


def _blank(received: Received, context: Context) -> Process:
    role: Role = "consumer" if received.sender == "provider" else "provider"
    if tables.NEGOTIATION.find("", received.message, received.sender) is None:
        raise IllegalTransition("", received.message, received.sender)
    return _new(role, received.peer, "", context)


def _new(role: Role, peer: str, callback: str, context: Context, **data: Any) -> Process:
    return Process(
        id=context.new_id(),
        participant=context.participant,
        kind="negotiation",
        role=role,
        peer=peer,
        callback=callback,
        state=tables.NEGOTIATION.initial,
        data=data,
        created=context.now,
        updated=context.now,
    )


def _learned(process: Process, received: Received) -> dict[str, Any]:
    if received.agreement is not None:
        return {"agreement": received.agreement, "agreementHash": wire.digest(received.agreement)}
    if received.offer is None:
        return {}
    if not process.state and not process.pending:
        return {"offer": received.offer, "offerId": received.offer["@id"], "dataset": received.offer["target"]}
    return {"offer": received.offer} | ({"offerId": received.offer["@id"]} if process.role == "consumer" else {})


def _judged(process: Process, context: Context) -> Judgement:
    found = context.rulebook.judge(process.data["offerId"], process.data["dataset"], process.data["offer"])
    if found.offer is None:
        raise OfferUnknown("no such offer", reason="; ".join(found.reasons), peer=process.peer)
    return found


def _follow(change: Change, expected: int, context: Context, judgement: Judgement | None) -> Commit:
    """The commit of an applied message, with the own step that follows by itself."""
    process = change.process
    permitted = judgement is None or judgement.permitted
    differences = _differences(process, context, judgement)
    decision: Decision = context.decisions.negotiation(process, permitted=permitted, differences=differences)
    note = "; ".join(judgement.reasons) if judgement and not permitted else decision.note
    change = replace(change, process=replace(process, note=note or process.note))
    agreement = None
    if process.role == "consumer" and process.state == "FINALIZED":
        agreement = _kept(process, context)
    if not decision.message:
        return exchange.commit(change, expected, token=context.token, agreement=agreement)
    return _act(change, expected, decision.message, context, reason=decision.reason)


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


def _act(
    change: Change, expected: int, message: str, context: Context, *, reason: str = "", offer: dict[str, Any] | None = None
) -> Commit:
    """Add our own next step: pending, with its outbox row. Raises `IllegalTransition`, `StepPending`."""
    process, row = change.process, context.new_id()
    sets: dict[str, Any] = {"note": reason or process.note} if reason or process.note else {}
    if message == tables.AGREE:
        sets |= _agreement(process, context)
    if offer is not None:
        sets |= {"offer": offer} | ({"asked": offer, "offerId": offer["@id"]} if process.role == "consumer" else {})
    path, body = context.render(message, process, row, {"reason": reason, **process.data, **sets})
    made = OutboxRow(id=row, process=process.id, act="dsp", message=message, path=path, body=body)
    proposed = exchange.propose(tables.NEGOTIATION, process, made, now=context.now, sets=sets)
    proposed = replace(proposed, process=replace(proposed.process, note=process.note))
    agreement = _kept(process, context) if message == tables.FINALIZE else None
    return exchange.commit(exchange.chain(change, proposed), expected, token=context.token, agreement=agreement)


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


def _kept(process: Process, context: Context) -> Agreement:
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
        at=context.now,
    )


# Own commands --------------------------------------------------------------------------------------------------------


def request(
    peer: str, callback: str, offer: dict[str, Any], context: Context, *, described: dict[str, Any] | None = None
) -> Commit:
    """Ask a provider for a contract: a new process whose first message is pending. `described`: what the catalog said of the dataset."""
    data = {"offer": offer, "asked": offer, "offerId": offer["@id"], "dataset": offer["target"], "described": described or {}}
    return _act(Change(process=_new("consumer", peer, callback, context, **data)), 0, tables.REQUEST, context)


def offer_to(peer: str, callback: str, offer: dict[str, Any], context: Context) -> Commit:
    """Offer a contract to a consumer: a new process whose first message is pending."""
    data = {"offer": offer, "offerId": offer["@id"], "dataset": offer["target"]}
    return _act(Change(process=_new("provider", peer, callback, context, **data)), 0, tables.OFFER, context)


def command(process: Process, message: str, context: Context, *, reason: str = "", offer: dict[str, Any] | None = None) -> Commit:
    """A person's step: offer, counter-offer, acceptance, agreement, verification, finalisation, termination."""
    return _act(Change(process=process), process.version, message, context, reason=reason, offer=offer)
