"""What a person decides about contracts: answers to offers and requests, offers to a consumer, the end and the renewal of agreements.

Rules
- Every act names the person, who stands in the journal with the step.
- Terms are compared as a structure: path, what is asked, what is offered. A counter-offer is made from the terms on the table by naming what is to be
  different, or from whole terms. What terms inherit from policies of the profile is written out before they are sent, so that what is signed stands by itself.
- A retired agreement begins no new transfer on our side, whichever role we have; what runs under it is ended, at once or as soon as the step that is on its
  way allows. The protocol has no message for it: the peer sees terminations and refusals with the reason.
- An agreement with an end may be renewed by itself (consumer): `days` before the end, and every day until there is one, an offer of the provider for the
  same dataset with the same terms and a later end is asked for. Other terms are a person's business. The successor inherits the order.

Not done here: what happens without a person (`processes.decisions`), evidence (`connector.contracts.evidence`).
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from catalog import describe
from connector.commands import Commands
from connector.contracts.evidence import Exporter
from connector.optimistic import optimistic
from connector.peers import Peers
from connector.processes import negotiation, tables
from connector.processes.errors import AgreementUnknown, IllegalTransition, StepPending, VersionConflict
from connector.processes.model import Agreement, Commit, Process, Renewal, Retirement
from connector.store.port import Store
from kernel import telemetry
from kernel.clock import Clock, iso
from kernel.errors import BadInput, KizunaError, NotFound
from policies.odrl import differences, ends, same_terms, without_end

SOON: Final = timedelta(hours=1)
LATER: Final = timedelta(days=1)
_AT_ONCE: Final = 100  # agreements looked at in one round
_STEPS: Final = {  # commands for a person's steps
    tables.ACCEPT: "accept",
    tables.OFFER: "counter",
    tables.REQUEST: "counter",
    tables.END_NEGOTIATION: "terminate",
}
log = telemetry.get(__name__)


class Term(Struct, frozen=True):
    """One term that is not the same on both sides; null where a side does not have it. `path` is a JSON pointer, `about` says in words what it belongs to."""

    path: str
    about: str
    asked: Any
    offered: Any


class Comparison(Struct, frozen=True):
    """What the consumer asks for, what the provider offers, and where they differ."""

    asked: dict[str, Any]
    offered: dict[str, Any]
    differences: list[Term]


class Contracts:
    """Decisions of persons about the contracts of one participant."""

    def __init__(
        self,
        store: Store,
        commands: Commands,
        peers: Peers,
        clock: Clock,
        own: Callable[[], negotiation.Context],
        exporter: Exporter,
    ) -> None:
        self._store, self._commands, self._peers, self._clock, self._own = store, commands, peers, clock, own
        self._exporter = exporter

    # negotiations ----------------------------------------------------------------------------------------------------

    async def offer(self, peer: str, offer: str, values: Mapping[str, Any], terms: dict[str, Any] | None, person: str) -> Process:
        """Offer a contract to a consumer: an offer of ours, with other terms if any are given."""
        found = await self._store.offer(offer)
        if found is None:
            raise NotFound(f"no offer {offer}", next_step="see `kizuna offer list`")
        made, inherited = describe.message_offer(found), found.inherited
        if terms is not None:
            given = self._commands.signable(terms)
            made, inherited = {**made, **_rules(given.policy)}, given.parents
        else:
            made = self._commands.changed(made, values)
        base = await self._peers.base(peer)
        commit = negotiation.offer_to(peer, base, made, self._own(), inherited=inherited, person=_named(person))
        await self._store.commit(commit)
        return commit.process

    async def compare(self, key: str) -> Comparison:
        """Asked and offered terms of a negotiation."""
        process = await self._commands.process("negotiation", key)
        asked = process.data.get("asked") or process.data["offer"]
        offered = process.data.get("offered") or await self._known_offer(process) or process.data["offer"]
        found = [Term(each.path, each.about, each.first, each.second) for each in differences(asked, offered)]
        return Comparison(asked, offered, found)

    async def counter(self, key: str, values: Mapping[str, Any], terms: dict[str, Any] | None, person: str) -> Process:
        """Answer with other terms: `values` change single constraints of the terms on the table, `terms` replace all."""
        if (terms is None) == (not values):
            raise BadInput("either values or whole terms make a counter-offer", next_step="--set NAME=VALUE, or --terms FILE")

        given = self._commands.signable(terms) if terms is not None else None

        def decide(process: Process) -> Commit:
            made = given.policy if given is not None else self._commands.changed(process.data["offer"], values)
            inherited = given.parents if given is not None else None
            return negotiation.counter(process, made, self._own(), inherited=inherited, person=_named(person))

        return await self._decided(key, decide)

    async def accept(self, key: str, person: str) -> Process:
        """Accept the provider's offer."""
        return await self._decided(key, lambda p: negotiation.command(p, tables.ACCEPT, self._own(), person=_named(person)))

    async def approve(self, key: str, person: str) -> Process:
        """Take the step that waits for a person."""
        return await self._decided(key, lambda p: negotiation.approve(p, self._own(), person=_named(person)))

    async def refuse(self, key: str, person: str, reason: str) -> Process:
        """End a negotiation that waits for a person."""
        return await self._decided(key, lambda p: negotiation.refuse(p, self._own(), person=_named(person), reason=reason))

    @optimistic("the process keeps moving")
    async def _decided(self, key: str, decide: Callable[[Process], Commit]) -> Process:
        process = await self._commands.process("negotiation", key)
        try:
            commit = decide(process)
        except IllegalTransition as error:
            error.next_step = error.next_step or _possible(process)
            raise
        await self._store.commit(commit)
        return commit.process

    async def _known_offer(self, process: Process) -> dict[str, Any] | None:
        found = await self._store.offer(process.data["offerId"]) if process.role == "provider" else None
        return describe.message_offer(found) if found is not None else None

    # agreements ------------------------------------------------------------------------------------------------------

    async def retire(self, key: str, person: str, reason: str) -> Agreement:
        """No new transfers from now on; running ones end. A second retirement changes nothing."""
        found = await self._agreement(key)
        if found.retired is None:
            now = self._now()
            found = replace(found, retired=Retirement(iso(now), _named(person), reason), renewal=None, due=iso(now))
            await self._store.save_agreement(found)
        return await self._end_transfers(found)

    async def evidence(self, key: str) -> dict[str, Any]:
        """Everything that proves an agreement, as a bundle that a third party verifies (`connector.contracts.bundle`)."""
        return await self._exporter.bundle(await self._agreement(key))

    async def order_renewal(self, key: str, person: str, days: int) -> Agreement:
        """Renew it by itself this many days before its end; 0 takes the order back."""
        found = await self._agreement(key)
        found = _ordered(found, Renewal(days, _named(person))) if days else replace(found, renewal=None, due="")
        await self._store.save_agreement(found)
        return found

    async def look(self) -> None:
        """Do what is due about agreements; one that fails is tried again later."""
        for found in await self._store.agreements_due(iso(self._now()), _AT_ONCE):
            try:
                if found.retired is not None:
                    await self._end_transfers(found)
                elif found.renewal is not None:
                    await self._renew(found, found.renewal)
            except KizunaError as error:
                log.warning("agreement is looked at again later", agreement=found.id, detail=error.detail)
                await self._later(found, found.renewal, SOON, error.detail)

    async def _end_transfers(self, agreement: Agreement) -> Agreement:
        reason = agreement.retired.reason if agreement.retired else ""
        person = agreement.retired.person if agreement.retired else ""
        left = False
        for each in await self._store.transfers_of(agreement.id):
            if each.pending is not None and each.pending.to == tables.TERMINATED:
                continue
            try:
                await self._commands.step(
                    "transfer", each.id, "terminate", reason or "the agreement was retired", code="agreement-retired", person=person
                )
            except (StepPending, VersionConflict):
                left = True
        ended = replace(agreement, due=iso(self._now() + timedelta(minutes=1)) if left else "")
        await self._store.save_agreement(ended)
        return ended

    async def _renew(self, agreement: Agreement, renewal: Renewal) -> None:
        process = await self._store.process(renewal.negotiation) if renewal.negotiation else None
        if process is not None and process.state == "FINALIZED":
            await self._followed(agreement, renewal, process.data["agreement"]["@id"])
        elif process is not None and process.state != tables.TERMINATED:
            await self._later(agreement, renewal, SOON, renewal.note)
        elif process is not None:
            await self._later(agreement, replace(renewal, negotiation=""), LATER, f"the negotiation ended: {process.note}")
        else:
            await self._ask_again(agreement, renewal)

    async def _ask_again(self, agreement: Agreement, renewal: Renewal) -> None:
        dataset = await self._commands.dataset(agreement.peer, agreement.dataset)
        chosen = next((each for each in dataset.get("hasPolicy") or () if _renews(each, agreement.policy)), None)
        if chosen is None:
            await self._later(agreement, renewal, LATER, "the provider has no offer with the same terms and a later end")
            return
        offer = {**chosen, "@type": "Offer", "target": agreement.dataset}
        base = await self._peers.base(agreement.peer)
        commit = negotiation.request(
            agreement.peer, base, offer, self._own(), described=describe.facts(dataset), renews=agreement.id, person=renewal.person
        )
        # the order names the negotiation first: a crash in between leaves an id that leads nowhere, and the renewal is tried anew
        await self._later(agreement, replace(renewal, negotiation=commit.process.id), SOON, "a successor is asked for")
        await self._store.commit(commit)

    async def _followed(self, agreement: Agreement, renewal: Renewal, successor: str) -> None:
        found = await self._store.agreement(successor)
        if found is not None and found.renewal is None and ends(found.policy) is not None:
            await self._store.save_agreement(_ordered(found, Renewal(renewal.days, renewal.person)))
        await self._store.save_agreement(replace(agreement, due="", renewal=replace(renewal, note=f"followed by {successor}")))

    async def _later(self, agreement: Agreement, renewal: Renewal | None, pause: timedelta, note: str) -> None:
        kept = replace(renewal, note=note) if renewal is not None else None
        await self._store.save_agreement(replace(agreement, renewal=kept, due=iso(self._now() + pause)))

    async def _agreement(self, key: str) -> Agreement:
        found = await self._store.agreement(key)
        if found is None:
            raise AgreementUnknown(f"no agreement {key}", next_step="see `kizuna agreement list`")
        return found

    def _now(self) -> datetime:
        return self._clock.now()


def _ordered(agreement: Agreement, renewal: Renewal) -> Agreement:
    end = ends(agreement.policy)
    if agreement.role != "consumer" or agreement.retired is not None or end is None:
        raise BadInput(
            "only an agreement of ours as consumer, in force and with an end, is renewed by itself",
            next_step="see `kizuna agreement show`",
        )
    return replace(agreement, renewal=renewal, due=iso(end - timedelta(days=renewal.days)))


def _renews(offer: dict[str, Any], policy: dict[str, Any]) -> bool:
    """Whether an offer says the same as the agreement, and ends later."""
    end, old = ends(offer), ends(policy)
    return old is not None and (end is None or end > old) and not same_terms(without_end(offer), without_end(policy))


def _rules(terms: Mapping[str, Any]) -> dict[str, Any]:
    return {name: terms[name] for name in negotiation.RULES if name in terms}


def _possible(process: Process) -> str:
    """What a person can do with a negotiation as it stands, as a next step."""
    steps = [words for message, words in _STEPS.items() if tables.NEGOTIATION.find(process.state, message, process.role)]
    approve = ["approve", "refuse"] if process.waiting is not None else []
    return (
        f"possible now: {', '.join(approve + steps)}"
        if approve or steps
        else "see `kizuna negotiation show`: it has ended or waits for the peer"
    )


def _named(person: str) -> str:
    if not person.strip():
        raise BadInput("who decides this?", next_step="give the name of the person: --by NAME")
    return person.strip()
