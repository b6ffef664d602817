"""The participant's offers and policies, as the processes and the catalog ask for them.

Rules
- Facts come from the caller's verified credentials by the profile's claim paths, never from its word. The purpose is different: it is what the consumer binds
  itself to by the terms that it asks for, so it is taken from them. What it is to us in trade, for everything or for the dataset's product, stands in our own ledger
  (`usage.relations`).
- Access policy: in the catalog, and again when a contract is asked for; whoever may not see an offer is answered as if there were none.
- Contract policy: when a contract is asked for, when the consumer accepts an offer of ours, and again when a transfer begins or goes on (`connector.usage.decide`). Other terms than those of the offer are judged by
  what they say; that the offer's own policy permits is not enough to agree to them without a person.
- A policy that cannot be read, or an asset without a profile, permits nothing.
- A description names the address that its reader can use: a peer without a member certificate is shown the public listener. The catalog's id is one and the same.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from catalog import describe
from catalog.dcat import Asset, OfferTerms
from catalog.offers import ACTION, Shelf
from catalog.pages import Pages, Reader
from connector.held import Held
from connector.processes.errors import AgreementRetired, AgreementUnknown
from connector.processes.model import Agreement, Document, Ledger, Process
from connector.processes.negotiation import Consent, Judgement
from connector.processes.tables import FINALIZE
from connector.processes.transfer import Grant
from connector.settings import Acceptable
from connector.store.port import Store
from connector.usage.allotments import Allotments
from connector.usage.claims import shown
from connector.usage.decide import RECIPIENT, Stated, Usage
from connector.usage.relations import Relations
from identity.verify import VerifiedParticipant
from kernel.clock import Clock
from policies.odrl import Decision, Phase, PolicyError, Request, evaluate, same_terms
from policies.profiles import Profile, bounds
from policies.profiles.bounds import Leeway

_CALLERS: Final = 4_096


class Rules:
    """Offers and policies of one participant."""

    def __init__(
        self,
        store: Store,
        profile: Profile,
        clock: Clock,
        *,
        participant: str,
        name: str,
        endpoint: Callable[[str], str],
        profiles_dropped_by: frozenset[str] = frozenset(),
        nested: Sequence[dict[str, Any]] = (),
        accepts: Sequence[Acceptable] = (),
    ) -> None:
        """`endpoint`: where a participant, by its DID, reaches our DSP. `profiles_dropped_by`: peers (DIDs) that lose a policy's `profile` on the way.

        `nested`: catalogs that lie elsewhere. `accepts`: what offers of providers we take as consumer; raises `BadParameter` for what no template has.
        """
        for each in accepts:
            bounds.check(profile.template(each.template), each.bounds)
        self._nested, self._accepts = nested, accepts
        self._store, self._profile, self._clock = store, profile, clock
        self._participant, self._name, self._endpoint = participant, name, endpoint
        self._known: OrderedDict[tuple[Any, ...], tuple[Mapping[str, Any], dict[str, Any]]] = OrderedDict()
        self._shelf, self._dropping = Shelf(profile), profiles_dropped_by
        self._pages = Pages(self._shelf)
        self.relations = Relations(store, clock)
        self.offered = Held(describe.message_offer)
        self.usage = Usage(profile, clock, self.relations, self._asset)
        self.allotments = Allotments(store, self.usage, clock)

    def decide(
        self,
        policy: dict[str, Any],
        phase: Phase,
        who: VerifiedParticipant,
        terms: dict[str, Any] | None,
        dataset: str,
        products: Sequence[str] = (),
    ) -> Decision | str:
        """The decision on the use of a dataset with its products, or why there is none; `terms` are those that the consumer binds itself to."""
        try:
            stated = self.usage.stated(terms) if terms else Stated()
            facts = self._facts(who.claims, who.did, stated.purposes, products)
            if stated.recipients:
                facts = {**facts, RECIPIENT: stated.recipients}  # those of a caller are kept, and stay as they are
            return evaluate(self.usage.read(policy), Request(ACTION, phase, facts, self._now(), party=who.did, target=dataset))
        except PolicyError as error:
            return f"the policy cannot be read: {error.detail}"

    def differences(self, who: str, asked: dict[str, Any], given: dict[str, Any]) -> Sequence[str]:
        """Term by term. A `profile` that this peer loses is none: it says how operands are to be read, and ours are full IRIs."""
        if who in self._dropping and "profile" not in given:
            asked = {name: each for name, each in asked.items() if name != "profile"}
        return same_terms(asked, given)

    def outside(self, offer: OfferTerms, asked: dict[str, Any]) -> list[str]:
        """Why other terms are not within what the offer leaves open; empty: they are."""
        if not offer.bounds or offer.template not in self._profile.templates:
            return ["the offer leaves nothing open"]
        return bounds.outside(self._profile.templates[offer.template], offer.parameters, offer.bounds, asked)

    def nearest(self, offer: OfferTerms, asked: dict[str, Any]) -> dict[str, Any] | None:
        """The terms within what the offer leaves open that come closest to those asked for, as a message carries them; None: there are none."""
        if not offer.bounds or offer.template not in self._profile.templates:
            return None
        found = bounds.nearest(self._profile.templates[offer.template], offer.parameters, offer.bounds, asked)
        return describe.message_offer(replace(offer, contract=found)) if found is not None else None

    def accepted_of(self, provider: str) -> Sequence[Leeway]:
        """What offers of a provider we take without having asked for them."""
        return [each for each in self._accepts if not each.providers or provider in each.providers]

    def consent(self, leeways: Sequence[Leeway], process: Process) -> Consent:
        """What we may take by ourselves of the offer on the table, by the first leeway that it is within, or else comes close to."""
        offered, templates = process.data["offer"], self._profile.templates
        known = [(each, templates[each.template]) for each in leeways if each.template in templates]
        for each, template in known:
            if not bounds.outside(template, each.parameters, each.bounds, offered):
                return Consent(within=True, approval=each.approval)
        for each, template in known:
            found = bounds.nearest(template, each.parameters, each.bounds, offered)
            if found is not None:
                terms = OfferTerms(id=process.data["offerId"], asset=process.data["dataset"], access={}, contract=found)
                made = describe.message_offer(terms)
                repeats = "asked" in process.data and not same_terms(process.data["asked"], made)
                return Consent(approval=each.approval, otherwise=each.otherwise, nearest=None if repeats else made)
        return Consent()

    async def for_request(self, who: VerifiedParticipant, offer: str) -> "CallerRules":
        """The same, bound to one caller and to the offer that it may ask for (empty = none). An offer never changes: what is on the shelf is not read."""
        found = self._shelf.offer(offer) or (await self._store.offer(offer) if offer else None)
        asset = await self._asset(found.asset) if found is not None else None
        return CallerRules(self, who, offer=found, products=asset.products if asset is not None else ())

    async def for_transfer(self, who: VerifiedParticipant, agreement: str) -> "CallerRules":
        """The same, bound to one caller and to the agreement that it invokes (empty = none)."""
        found = await self._store.agreement(agreement) if agreement else None
        contract = await self._store.process(found.negotiation) if found is not None else None
        ledger = await self._store.ahead(agreement) if found is not None else Ledger()
        products = await self.usage.products(found) if found is not None else ()
        return CallerRules(self, who, agreement=found, contract=contract, ledger=ledger, products=products)

    async def _asset(self, key: str) -> Asset | None:
        """A dataset of ours; it never changes, so the one on the shelf will do."""
        return self._shelf.asset(key) or await self._store.asset(key)

    def _now(self) -> datetime:
        return self._clock.now()

    # catalog ---------------------------------------------------------------------------------------------------------

    def put(self, offer: OfferTerms, asset: Asset) -> None:
        """Show a new offer."""
        self._shelf.put(offer, asset)

    async def follow(self, key: str) -> None:
        """Show what another replica has added: an offer, or everything anew where its id is empty."""
        if not key:
            await self.fill()
            return
        offer = await self._store.offer(key)
        asset = await self._store.asset(offer.asset) if offer is not None else None
        if offer is not None and asset is not None:
            self._shelf.put(offer, asset)

    async def fill(self) -> None:
        """Put everything that the store holds on the shelf. What terms may be written from is kept as long as contracts are, whatever becomes of the profile."""
        if texts := self._profile.inheritable():
            await self._store.keep([Document(digest, text) for digest, text in texts.items()])
        assets: dict[str, Asset] = {}
        after = ""
        while page := await self._store.assets(after, 1000):
            assets |= {each.id: each for each in page}
            after = page[-1].id
        after = ""
        while offers := await self._store.offers(after, 1000):
            for offer in offers:
                asset = assets.get(offer.asset)
                if asset is not None:
                    self._shelf.put(offer, asset)
            after = offers[-1].id

    async def page(self, who: VerifiedParticipant, after: str, limit: int) -> tuple[list[Any], str]:
        """Datasets after an id, and the id to go on with."""
        page = self._pages.after(self._reader(who), after, limit)
        return page.datasets, page.following

    async def page_before(self, who: VerifiedParticipant, before: str, limit: int) -> tuple[list[Any], str, str]:
        """Datasets in front of an id, in their order, the id to go back from (empty at the beginning), and the one to go on with."""
        page = self._pages.before(self._reader(who), before, limit)
        return page.datasets, page.previous, page.following

    async def slice(self, who: VerifiedParticipant, offset: int, limit: int) -> list[Any]:
        """Datasets by position; raises `TooLarge`."""
        return self._pages.at(self._reader(who), offset, limit).datasets

    def _reader(self, who: VerifiedParticipant) -> Reader:
        now = self._now()
        return Reader(self._facts(who.claims, who.did), now, who.did, self._endpoint(who.did), self.relations.of(who.did, now))

    async def dataset(self, who: VerifiedParticipant, key: str) -> dict[str, Any] | None:
        """One dataset, unless it is hidden."""
        asset = await self._store.asset(key)
        if asset is None:
            return None
        offers = [each for each in await self._store.offers_of(key) if not self.hidden(each, who, asset.products)]
        return describe.dataset(asset, offers, endpoint=self._endpoint(who.did)) if offers else None

    def envelope(self, who: VerifiedParticipant, datasets: list[Any]) -> dict[str, Any]:
        """The catalog around datasets, as this participant is to see it."""
        own = f"{self._endpoint(self._participant)}/catalog"
        return describe.catalog(
            self._participant,
            datasets,
            endpoint=self._endpoint(who.did),
            catalog_id=own,
            title={"en": self._name},
            nested=self._nested,
        )

    def _facts(
        self, claims: Mapping[str, Any], participant: str, purposes: Sequence[str] = (), products: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Facts of a caller. Its claims are the same object for as long as its presentation counts, so they are read once for a purpose and what it is to us."""
        now = self._now()
        relations, towards = self.relations.of(participant, now), self.relations.towards(participant, now, products)
        key = (id(claims), participant, tuple(purposes), relations, towards)
        known = self._known.get(key)
        if known is not None and known[0] is claims:
            return known[1]
        found = self._profile.facts(claims, purpose=purposes, participant=participant, relations=relations, towards=towards)
        self._known[key] = (claims, found)
        if len(self._known) > _CALLERS:
            self._known.popitem(last=False)
        return found

    def hidden(self, offer: OfferTerms, who: VerifiedParticipant, products: Sequence[str]) -> list[str]:
        """Why the caller may not see the offer of a dataset with these products; empty when it may."""
        return self.against(offer.access, "catalog", who, None, offer.asset, products)

    def against(
        self,
        policy: dict[str, Any],
        phase: Phase,
        who: VerifiedParticipant,
        terms: dict[str, Any] | None,
        dataset: str,
        products: Sequence[str],
    ) -> list[str]:
        """Why the policy does not permit the use of a dataset; empty when it does."""
        decision = self.decide(policy, phase, who, terms, dataset, products)
        if isinstance(decision, str):
            return [decision]
        return [] if decision.permitted else decision.explain()


class CallerRules:
    """`negotiation.Rulebook` and `transfer.Agreements` for one caller and one message.

    What the message may ask about was read before, so that the core does no I/O; everything else is unknown here.
    """

    def __init__(
        self,
        rules: Rules,
        who: VerifiedParticipant,
        *,
        offer: OfferTerms | None = None,
        agreement: Agreement | None = None,
        contract: Process | None = None,
        ledger: Ledger = Ledger(),  # noqa: B008  immutable
        products: Sequence[str] = (),
    ) -> None:
        """`contract` is the negotiation that made the agreement, `products` are those of the dataset."""
        self._rules, self._who, self._offer, self._agreement, self._contract = rules, who, offer, agreement, contract
        self._ledger, self._products = ledger, products

    def judge(self, offer_id: str, dataset: str, requested: dict[str, Any]) -> Judgement:
        """What our policies say of the caller and the offer."""
        offer = self._offer
        if offer is None or offer.id != offer_id or offer.asset != dataset:
            return Judgement(None, False, ("no offer of ours for this dataset under this id",))
        hidden = self._rules.hidden(offer, self._who, self._products)
        if hidden:
            return Judgement(None, False, ("the access policy hides the offer", *hidden))
        known = self._rules.offered(offer)
        differences, within, near = self.differences(known, requested), False, None
        terms = requested if differences else offer.contract  # the same terms bind to the same, and ours were read before
        own = self._decided(offer.contract, terms, dataset)
        if differences:
            other = self._decided(requested, requested, dataset)
            within = not other and not self._rules.outside(offer, requested)
            own = own and other and [*own, *other]
            near = self._rules.nearest(offer, requested) if not within and offer.otherwise == "counter" else None
        return Judgement(
            known, not own, tuple(own), tuple(differences), within, offer.approval, offer.otherwise, near, inherited=offer.inherited
        )

    def refusals(self, offer_id: str, dataset: str, terms: dict[str, Any]) -> list[str]:
        """Why our policies do not permit the caller a contract on the terms on the table; empty: they do."""
        offer = self._offer
        if offer is None or offer.id != offer_id or offer.asset != dataset:
            return ["the offer is none of ours any more"]
        hidden = self._rules.hidden(offer, self._who, self._products)
        return ["the access policy hides the offer", *hidden] if hidden else self._decided(terms, terms, dataset)

    def consent(self, process: Process) -> Consent:
        """What we may take by ourselves of what the caller, as provider, offers: by what our request left open, or else by the settings."""
        ordered = process.data.get("leeway")
        if ordered is None:
            return self._rules.consent(self._rules.accepted_of(self._who.did), process)
        leeway = msgspec.convert(ordered, Leeway)
        found = self._rules.consent([leeway], process)
        return found if found.within or found.nearest else replace(found, approval=leeway.approval, otherwise=leeway.otherwise)

    def _decided(self, policy: dict[str, Any], requested: dict[str, Any], dataset: str) -> list[str]:
        """Why a policy does not permit the caller a contract; empty when it does."""
        return self._rules.against(policy, "negotiation", self._who, requested, dataset, self._products)

    def differences(self, asked: dict[str, Any], given: dict[str, Any]) -> Sequence[str]:
        """Term by term."""
        return self._rules.differences(self._who.did, asked, given)

    def opened(self, agreement: Agreement) -> Ledger:
        return self._rules.usage.opened(agreement)

    def grant(self, key: str, *, again: bool) -> Grant:
        """What our policy says of a transfer under a finalised agreement with the caller."""
        found, process = self._agreement, self._contract
        if found is None or found.id != key or found.peer != self._who.did:
            raise AgreementUnknown("no such agreement", peer=self._who.did)
        if found.retired is not None:
            raise AgreementRetired(f"the agreement was retired on {found.retired.at}", next_step="negotiate a new one")
        finalised = process is not None and (
            process.state == "FINALIZED" or (process.pending is not None and process.pending.message == FINALIZE)
        )
        if not finalised:
            raise AgreementUnknown("no such agreement", reason="its negotiation is not finalised", peer=self._who.did)
        return self._rules.usage.grant(found, self._ledger, shown(self._who), self._products, uses=0 if again else 1)


class OwnRules:
    """The rulebook of our own commands: nobody calls, nothing is judged."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage

    def judge(self, offer_id: str, dataset: str, requested: dict[str, Any]) -> Judgement:  # noqa: ARG002  the port's shape
        return Judgement(None, False, ())

    def refusals(self, offer_id: str, dataset: str, terms: dict[str, Any]) -> Sequence[str]:  # noqa: ARG002
        return ()

    def consent(self, process: Process) -> Consent:  # noqa: ARG002
        return Consent()

    def differences(self, asked: dict[str, Any], given: dict[str, Any]) -> Sequence[str]:
        return same_terms(asked, given)

    def opened(self, agreement: Agreement) -> Ledger:
        return self._usage.opened(agreement)

    def grant(self, key: str, *, again: bool) -> Grant:  # noqa: ARG002
        raise AgreementUnknown(f"no agreement {key}")
