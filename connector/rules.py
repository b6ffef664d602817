"""The participant's offers and policies, as the processes and the catalog ask for them.

Rules
- Facts come from the caller's verified credentials by the profile's claim paths, never from its word. The purpose is different: it is what the consumer binds
  itself to by the terms that it asks for, so it is taken from them.
- Access policy: in the catalog, and again when a contract is asked for; whoever may not see an offer is answered as if there were none.
- Contract policy: when a contract is asked for, and again when a transfer begins.
- A policy that cannot be read, or an asset without a profile, permits nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from catalog import describe
from catalog.dcat import Asset, OfferTerms
from connector.processes.model import Agreement
from connector.processes.negotiation import Judgement
from connector.processes.tables import FINALIZE
from connector.store.port import Store
from identity.verify import VerifiedParticipant
from kernel.clock import Clock
from policies.odrl import PURPOSE, Decision, Phase, PolicyError, Request, evaluate, same_terms
from policies.profiles import Profile

_PURPOSES: Final = frozenset({PURPOSE, "purpose", "odrl:purpose"})
ACTION: Final = "use"


class Rules:
    """Offers and policies of one participant."""

    def __init__(self, store: Store, profile: Profile, clock: Clock, *, participant: str, name: str, endpoint: str) -> None:
        self._store, self._profile, self._clock = store, profile, clock
        self._participant, self._name, self._endpoint = participant, name, endpoint

    def decide(self, policy: dict[str, Any], phase: Phase, claims: Mapping[str, Any], purposes: Sequence[str]) -> Decision | str:
        """The decision, or why there is none."""
        try:
            facts = self._profile.facts(claims, purpose=purposes)
            return evaluate(self._profile.policy(policy), Request(ACTION, phase, facts, self._now()))
        except PolicyError as error:
            return f"the policy cannot be read: {error.detail}"

    def for_caller(self, who: VerifiedParticipant) -> "CallerRules":
        """The same, bound to one caller."""
        return CallerRules(self, self._store, who)

    def _now(self) -> datetime:
        return self._clock.now()

    # catalog ---------------------------------------------------------------------------------------------------------

    def page(self, who: VerifiedParticipant, after: str, limit: int) -> tuple[list[dict[str, Any]], str]:
        """Datasets after an id, and the id to go on with."""
        found: list[dict[str, Any]] = []
        for asset, offers in self._visible(who, after):
            if len(found) == limit:
                return found, str(found[-1]["@id"])
            found.append(self._described(asset, offers))
        return found, ""

    def slice(self, who: VerifiedParticipant, offset: int, limit: int) -> list[dict[str, Any]]:
        """Datasets by position."""
        found = []
        for index, (asset, offers) in enumerate(self._visible(who, "")):
            if index >= offset + limit:
                break
            if index >= offset:
                found.append(self._described(asset, offers))
        return found

    def dataset(self, who: VerifiedParticipant, key: str) -> dict[str, Any] | None:
        """One dataset, unless it is hidden."""
        asset = self._store.asset(key)
        offers = self._shown(asset, who) if asset else []
        return self._described(asset, offers) if asset and offers else None

    def envelope(self, datasets: list[dict[str, Any]]) -> dict[str, Any]:
        """The catalog around datasets."""
        return describe.catalog(self._participant, self._name, datasets, endpoint=self._endpoint)

    def _visible(self, who: VerifiedParticipant, after: str) -> Iterator[tuple[Asset, list[OfferTerms]]]:
        while assets := self._store.assets(after, 100):
            for asset in assets:
                offers = self._shown(asset, who)
                if offers:
                    yield asset, offers
            after = assets[-1].id

    def _shown(self, asset: Asset, who: VerifiedParticipant) -> list[OfferTerms]:
        return [offer for offer in self._store.offers_of(asset.id) if not self.hidden(offer, who)]

    def hidden(self, offer: OfferTerms, who: VerifiedParticipant) -> list[str]:
        """Why the caller may not see the offer; empty when it may."""
        decision = self.decide(offer.access, "catalog", who.claims, ())
        if isinstance(decision, str):
            return [decision]
        return [] if decision.permitted else decision.explain()

    def _described(self, asset: Asset, offers: list[OfferTerms]) -> dict[str, Any]:
        return describe.dataset(asset, offers, endpoint=self._endpoint)


class CallerRules:
    """`negotiation.Rulebook` and `transfer.Agreements` for one caller."""

    def __init__(self, rules: Rules, store: Store, who: VerifiedParticipant) -> None:
        self._rules, self._store, self._who = rules, store, who

    def judge(self, offer_id: str, dataset: str, requested: dict[str, Any]) -> Judgement:
        """What our policies say of the caller and the offer."""
        offer = self._store.offer(offer_id)
        if offer is None or offer.asset != dataset:
            return Judgement(None, False, ("no offer of ours for this dataset under this id",))
        hidden = self._rules.hidden(offer, self._who)
        if hidden:
            return Judgement(None, False, ("the access policy hides the offer", *hidden))
        decision = self._rules.decide(offer.contract, "negotiation", self._who.claims, purposes(requested))
        known = describe.message_offer(offer)
        if isinstance(decision, str):
            return Judgement(known, False, (decision,))
        return Judgement(known, decision.permitted, () if decision.permitted else tuple(decision.explain()))

    def differences(self, asked: dict[str, Any], given: dict[str, Any]) -> Sequence[str]:
        """Term by term."""
        return same_terms(asked, given)

    def agreement(self, key: str) -> Agreement | None:
        """A finalised agreement with the caller whose policy still permits; else None."""
        found = self._store.agreement(key)
        if found is None or found.peer != self._who.did:
            return None
        process = self._store.process(found.negotiation)
        finalised = process is not None and (
            process.state == "FINALIZED" or (process.pending is not None and process.pending.message == FINALIZE)
        )
        decision = self._rules.decide(found.policy, "transfer", self._who.claims, purposes(found.policy))
        return found if finalised and not isinstance(decision, str) and decision.permitted else None


class OwnRules:
    """The rulebook of our own commands: nobody calls, nothing is judged."""

    def judge(self, offer_id: str, dataset: str, requested: dict[str, Any]) -> Judgement:  # noqa: ARG002  the port's shape
        return Judgement(None, False, ())

    def differences(self, asked: dict[str, Any], given: dict[str, Any]) -> Sequence[str]:
        return same_terms(asked, given)

    def agreement(self, key: str) -> Agreement | None:  # noqa: ARG002
        return None


def purposes(policy: dict[str, Any]) -> list[str]:
    """The purposes that the terms bind the consumer to: right operands of purpose constraints in the permissions."""
    found: list[str] = []
    stack: list[Any] = list(policy.get("permission") or ())
    while stack:
        each = stack.pop()
        if isinstance(each, list):
            stack.extend(each)
        elif isinstance(each, dict):
            if each.get("leftOperand") in _PURPOSES:
                right = each.get("rightOperand")
                found += [_text(value) for value in (right if isinstance(right, list) else [right])]
            else:
                stack.extend(value for value in each.values() if isinstance(value, list | dict))
    return found


def _text(value: Any) -> str:
    return str(value.get("@value", value.get("@id", ""))) if isinstance(value, dict) else str(value)
