"""Contract negotiation of one side: messages of the peer and own commands, each as one `Commit` (DSP 2025-1, Contract Negotiation Protocol).

Rules
- The provider takes everything from its own stored offer; what the consumer sends is compared with it, never used instead.
- A request for an offer that is unknown or hidden is `OfferUnknown`. One that the contract policy does not permit becomes a negotiation that ends at once. When the
  consumer accepts an offer, the policies are asked again, with the terms on the table: a consumer that no longer meets them, or never did, gets no contract.
- The agreement repeats the offer's rules, names both parties and the dataset, and is made once, with the step that sends it. Its hash is that of its canonical
  form. Each side keeps it with the finalisation: the provider when it sends it, since the consumer may use it from then on, the consumer when it arrives.
  Its duties and counters begin in the same commit. It is in force while its negotiation is FINALIZED or about to be.
- Each side signs the agreement's hash and keeps the other's signature, where the peer gives one (`evidence`).
- Whatever follows by itself (`decisions`) is proposed in the same commit. What waits for a person says so in `waiting`; a person's step carries the name.
- A counter-offer is about the same dataset, and its terms replace those on the table.

`data` of a process: offer (on the table), offerId, dataset; asked (the consumer's last terms), offered (the provider's, once it made some of its own in this
negotiation), offeredBy (the person who made them), approvedBy (who approved the terms on the table), leeway (what the consumer leaves open), countered (it has
answered other terms by itself), described (consumer), approval (who has to), agreement, agreementHash, ending (code and reason as the peer sent them),
ownSignature and peerSignature (over the agreement), shown (the digest of the record of what the peer showed with its last message that commits it, and when),
inherited (by name, the digest of each policy that the terms on the table were written from, as far as we know; at the consumer what the provider has signed).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from connector.processes import evidence, exchange, tables
from connector.processes.decisions import Decision, Decisions, Matter, agreement_faults
from connector.processes.errors import IllegalTransition, NothingWaits, OfferUnknown, TermsDiffer
from connector.processes.evidence import Proof, Sign
from connector.processes.exchange import Change, Incoming, Replay
from connector.processes.model import Agreement, Commit, Ledger, OutboxRow, Process, Role, Waiting
from kernel import wire
from policies.profiles.bounds import Otherwise

Render = Callable[[str, Process, str, dict[str, Any]], tuple[str, bytes]]
RULES: Final = ("permission", "prohibition", "obligation", "profile")
_APPROVING: Final = (tables.OFFER, tables.REQUEST, tables.ACCEPT, tables.AGREE)  # steps by which a person stands for the terms


class Judgement(Struct, frozen=True):
    """The provider's policies about one participant and one offer."""

    offer: dict[str, Any] | None  # our stored offer in wire form; None when unknown or hidden
    permitted: bool
    reasons: tuple[str, ...]  # for our own side
    differences: tuple[str, ...] = ()  # between our offer and what is asked for
    within: bool = False  # other terms are asked for, and all of them lie within what the offer leaves open
    approval: str = ""  # who has to approve contracts under the offer
    otherwise: Otherwise = "wait"  # what terms beyond that get
    nearest: dict[str, Any] | None = None  # what to answer such terms with; None: our offer as it is
    inherited: Mapping[str, str] = {}  # what our offer was written from, by digest


class Consent(Struct, frozen=True):
    """What we, as consumer, may take by ourselves of what a provider offers."""

    within: bool = False  # the terms are within what we leave open
    approval: str = ""  # who has to approve a contract all the same
    otherwise: Otherwise = "wait"  # what other terms get
    nearest: dict[str, Any] | None = None  # the closest terms that we would take


class Rulebook(Protocol):
    """Offers and policies, as the process core needs them; bound to the caller whose message is handled."""

    def judge(self, offer_id: str, dataset: str, requested: dict[str, Any]) -> Judgement:
        """What our policies say of the caller and the offer."""

    def refusals(self, offer_id: str, dataset: str, terms: dict[str, Any]) -> Sequence[str]:
        """Why our policies do not permit the caller a contract on the terms on the table; empty: they do."""

    def consent(self, process: Process) -> Consent:
        """What we may take by ourselves of what the caller, as provider, offers."""

    def differences(self, asked: dict[str, Any], given: dict[str, Any]) -> Sequence[str]:
        """Term by term, what is not the same."""

    def opened(self, agreement: Agreement) -> Ledger:
        """The duties and counters with which an agreement begins."""


class Context(Struct, frozen=True, kw_only=True):
    """Collaborators of one handling: identity, time, new ids, rendering, rulebook, decisions."""

    participant: str
    now: str
    new_id: Callable[[], str]
    render: Render
    rulebook: Rulebook
    decisions: Decisions
    restates: bool = False  # the peer may make its agreement anew, until our verification has arrived
    sign: Sign | None = None  # our signature over an agreement; None = we give none


class Received(Incoming, frozen=True, kw_only=True):
    """A negotiation message of an authenticated peer."""

    offer: dict[str, Any] | None = None
    agreement: dict[str, Any] | None = None
    reason: str = ""
    ending: dict[str, Any] | None = None  # code and reason of a termination, as they came
    signature: str = ""  # the peer's, over the agreement
    proof: Proof | None = None  # what the peer showed with it


def handle(process: Process | None, received: Received, known: str | None, context: Context) -> Commit | Replay:
    """Take a message: a commit, or what it was answered before (`exchange.receive`). `process` is None for a first message.

    Raises `OfferUnknown`, `IllegalTransition`, `CrossingStep`, `UnknownProcess`, `PidReused`.
    """
    before = process or _blank(received, context)
    table = tables.RESTATED if context.restates else tables.NEGOTIATION
    change = exchange.receive(table, before, received, _learned(before, received), known=known, now=context.now)
    if type(change) is Replay:
        return change
    _same_dataset(before, received)
    moved, judgement = change.process, None
    data = {**moved.data, **_witnessed(moved, received, context.now)}
    if moved.state == "REQUESTED":
        judgement = _judged(moved, context)
        data |= _said(data, judgement)
    moved = replace(moved, note=received.reason, data=data)
    change = replace(change, process=moved, documents=received.proof.documents if received.proof else ())
    return _follow(change, before.version, context, judgement)


def _said(data: Mapping[str, Any], judgement: Judgement) -> dict[str, Any]:
    """What our offer says about contracts under it, to be kept. Once we have made terms of our own, these say what they were written from."""
    found: dict[str, Any] = {"approval": judgement.approval} if judgement.approval else {}
    if judgement.inherited and "inherited" not in data:
        found["inherited"] = dict(judgement.inherited)
    return found


def _witnessed(process: Process, received: Received, now: str) -> dict[str, Any]:
    """What the peer showed, to be kept; its signature is checked. Raises `SignatureWrong`."""
    proof = received.proof
    if proof is None:
        return {}
    sets: dict[str, Any] = {"shown": {"record": proof.record, "at": now}}
    if received.signature:
        agreement, hash_ = process.data["agreement"], process.data["agreementHash"]
        stated = evidence.check(received.signature, proof.document, agreement, hash_, party=received.peer, role=received.sender)
        sets["peerSignature"] = received.signature
        if stated.inherited and received.sender == "provider":
            sets["inherited"] = stated.inherited
    return sets


def _same_dataset(before: Process, received: Received) -> None:
    """The guard of counter-offers: another dataset is another negotiation."""
    wanted = before.data.get("dataset")
    if received.offer is not None and wanted is not None and received.offer["target"] != wanted:
        raise TermsDiffer([f"target is {received.offer['target']!r}, not {wanted!r}"])


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
        return {"ending": received.ending} if received.ending else {}
    found: dict[str, Any] = {"offer": received.offer, "asked" if process.role == "provider" else "offered": received.offer}
    if not process.state and not process.pending:
        return found | {"offerId": received.offer["@id"], "dataset": received.offer["target"]}
    found |= {"approvedBy": ""}
    if process.role == "consumer":
        found |= {"offerId": received.offer["@id"]} | ({"inherited": {}} if "inherited" in process.data else {})  # terms of theirs
    return found


def _judged(process: Process, context: Context) -> Judgement:
    found = context.rulebook.judge(process.data["offerId"], process.data["dataset"], process.data["offer"])
    if found.offer is None:
        raise OfferUnknown("no such offer", reason="; ".join(found.reasons), peer=process.peer)
    return found


def _follow(change: Change, expected: int, context: Context, judgement: Judgement | None) -> Commit:
    """The commit of an applied message, with the own step that follows by itself, or whom it waits for."""
    process = change.process
    matter = _matter(process, context, judgement)
    decision: Decision = context.decisions.negotiation(process, matter)
    note, data, waiting = "; ".join(matter.reasons) or decision.note, process.data, None
    if judgement and judgement.offer and not judgement.differences and "offered" not in data:
        data = {**data, "offer": judgement.offer}  # our own words for the same terms
    if decision.waits_for:
        waiting = Waiting(decision.message, decision.waits_for, context.now, decision.note)
    change = replace(change, process=replace(process, note=note or process.note, data=data, waiting=waiting))
    if decision.message and not waiting:
        offer = matter.nearest if decision.message in (tables.OFFER, tables.REQUEST) else None
        return _act(change, expected, decision.message, context, reason=decision.reason, note=note, offer=offer)
    return _committed(change, expected, context, concluded=process.role == "consumer" and process.state == "FINALIZED")


def _matter(process: Process, context: Context, judgement: Judgement | None) -> Matter:
    """What the decision is about. Once terms of our own are on the table, they are the measure, not the offer in the catalog."""
    data, differences = process.data, context.rulebook.differences
    if process.role == "provider":
        if judgement is None or judgement.offer is None:
            refused = (
                context.rulebook.refusals(data["offerId"], data["dataset"], data["offer"]) if process.state == "ACCEPTED" else ()
            )
            return Matter(approval=str(data.get("approval", "")), permitted=not refused, reasons=refused)
        found = differences(data["offered"], data["offer"]) if "offered" in data else judgement.differences
        return Matter(
            permitted=judgement.permitted,
            reasons=() if judgement.permitted else judgement.reasons,
            differences=found,
            within=(judgement.within or not judgement.differences) and not data.get("offeredBy"),
            approval=judgement.approval,
            otherwise=judgement.otherwise,
            nearest=judgement.nearest or judgement.offer,
        )
    if process.state == "AGREED":
        faults = agreement_faults(data["agreement"], provider=process.peer, consumer=process.participant, dataset=data["dataset"])
        return Matter(differences=[*faults, *differences(data["offer"], data["agreement"])])
    if process.state == "OFFERED":
        known = context.rulebook.consent(process)
        found = differences(data["asked"], data["offer"]) if "asked" in data else ()
        return Matter(
            differences=found, within=known.within, approval=known.approval, otherwise=known.otherwise, nearest=known.nearest
        )
    return Matter()


def _act(
    change: Change,
    expected: int,
    message: str,
    context: Context,
    *,
    reason: str = "",
    code: str = "",
    note: str = "",
    offer: dict[str, Any] | None = None,
    inherited: Mapping[str, str] | None = None,
    person: str = "",
) -> Commit:
    """Add our own next step: pending, with its outbox row. Raises `IllegalTransition`, `StepPending`."""
    process, row = change.process, context.new_id()
    said = note or reason or process.note
    sets: dict[str, Any] = {"note": said} if said else {}
    if person and message in _APPROVING:
        sets["approvedBy"] = person
    if message == tables.AGREE:
        sets |= _agreement(process, context)
    if offer is not None:
        sets |= _tabled(offer, process.role, person) | ({} if inherited is None else {"inherited": dict(inherited)})
    content = {"reason": reason, "code": code, **process.data, **sets}
    if message in (tables.AGREE, tables.VERIFY) and context.sign is not None:
        content["ownSignature"] = sets["ownSignature"] = _signed(content, process, context.sign, context.now)
    path, body = context.render(message, process, row, content)
    made = OutboxRow(id=row, process=process.id, act="dsp", message=message, path=path, body=body, due=process.created)
    change = exchange.propose(tables.NEGOTIATION, change, made, now=context.now, sets=sets, note=process.note, person=person)
    return _committed(change, expected, context, concluded=message == tables.FINALIZE)


def _tabled(offer: dict[str, Any], role: Role, person: str) -> dict[str, Any]:
    """What terms of ours, made by a person or by ourselves, put on the table."""
    if role == "provider":
        return {"offer": offer, "offered": offer, "offeredBy": person}
    return {"offer": offer, "asked": offer, "offerId": offer["@id"]} | ({} if person else {"countered": True})


def _committed(change: Change, expected: int, context: Context, *, concluded: bool) -> Commit:
    """The commit of a change; `concluded`: with the agreement, whose ledger begins."""
    if not concluded:
        return exchange.commit(change, expected)
    agreement = _kept(change.process, context)
    return exchange.commit(change, expected, agreement=agreement, ledger=context.rulebook.opened(agreement))


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


def _signed(data: dict[str, Any], process: Process, sign: Sign, now: str) -> str:
    made, origin = data["agreement"], data.get("inherited")
    return sign(
        evidence.statement(made, data["agreementHash"], party=process.participant, role=process.role, at=now, inherited=origin)
    )


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
        renews=process.data.get("renews", ""),
        inherited=process.data.get("inherited", {}),
    )


# Own commands --------------------------------------------------------------------------------------------------------


def request(
    peer: str,
    callback: str,
    offer: dict[str, Any],
    context: Context,
    *,
    described: dict[str, Any] | None = None,
    renews: str = "",
    leeway: dict[str, Any] | None = None,
    inherited: Mapping[str, str] | None = None,
    person: str = "",
) -> Commit:
    """Ask a provider for a contract: a new process whose first message is pending.

    `described`: what the catalog said of the dataset. `renews`: the agreement that the new one is to follow. `leeway`: what is left open to the provider.
    `inherited`: what terms of our own were written from.
    """
    data = {"offer": offer, "asked": offer, "offerId": offer["@id"], "dataset": offer["target"], "described": described or {}}
    given = {"renews": renews, "leeway": leeway, "inherited": dict(inherited or {})}
    data |= {name: each for name, each in given.items() if each}
    return _act(Change(process=_new("consumer", peer, callback, context, **data)), 0, tables.REQUEST, context, person=person)


def offer_to(
    peer: str, callback: str, offer: dict[str, Any], context: Context, *, inherited: Mapping[str, str], person: str = ""
) -> Commit:
    """Offer a contract to a consumer: a new process whose first message is pending. `inherited`: what its terms were written from."""
    data = {
        "offer": offer,
        "offered": offer,
        "offerId": offer["@id"],
        "dataset": offer["target"],
        "approvedBy": person,
        "offeredBy": person,
        "inherited": dict(inherited),
    }
    return _act(Change(process=_new("provider", peer, callback, context, **data)), 0, tables.OFFER, context, person=person)


def command(
    process: Process,
    message: str,
    context: Context,
    *,
    reason: str = "",
    code: str = "",
    offer: dict[str, Any] | None = None,
    inherited: Mapping[str, str] | None = None,
    person: str = "",
) -> Commit:
    """A person's step: offer, counter-offer, acceptance, agreement, verification, finalisation, termination."""
    change = Change(process=process)
    return _act(
        change, process.version, message, context, reason=reason, code=code, offer=offer, inherited=inherited, person=person
    )


def counter(
    process: Process, terms: dict[str, Any], context: Context, *, inherited: Mapping[str, str] | None = None, person: str
) -> Commit:
    """Answer with other terms about the same dataset: an offer of the provider, a request of the consumer. Raises `IllegalTransition`.

    `inherited`: what the terms were written from; None: what those on the table were.
    """
    rules: dict[str, Any] = {name: terms[name] for name in RULES if name in terms}
    offer = {"@id": process.data["offerId"], "@type": "Offer", "target": process.data["dataset"], **rules}
    message = tables.OFFER if process.role == "provider" else tables.REQUEST
    return command(process, message, context, offer=offer, inherited=inherited, person=person)


def approve(process: Process, context: Context, *, person: str) -> Commit:
    """Take the step that waits for a person; raises `NothingWaits`."""
    return command(process, _waiting(process).step, context, person=person)


def refuse(process: Process, context: Context, *, person: str, reason: str) -> Commit:
    """End a negotiation that waits for a person; raises `NothingWaits`."""
    _waiting(process)
    return command(process, tables.END_NEGOTIATION, context, reason=reason or "not approved", code="refused", person=person)


def _waiting(process: Process) -> Waiting:
    if process.waiting is None:
        raise NothingWaits(
            f"the negotiation is {process.state or 'new'} and waits for nobody", next_step="see `kizuna negotiation show`"
        )
    return process.waiting
