"""What a participant may see: offers whose access policy permits, in the catalog phase (DSP 2025-1, 5.2; DESIGN 3).

Rules
- An offer is seen only on a yes of its access policy. What cannot be read, or not be decided in a catalog, shows nothing.
- Equal access policies are decided once per request, whatever the number of offers under them. `Shelf` keeps offers grouped by
  access policy, so a request costs one decision per distinct policy, and then only the offers that are seen.
- The order is that of asset ids, so that pages are stable; a page starts `after` an id.

Not done here: the contract policy (decided in the negotiation), storing, pages on the wire.
"""

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from catalog.dcat import Asset, OfferTerms
from policies.odrl import DATE_TIME, Policy, PolicyError, Request, evaluate, undecidable
from policies.profiles import Profile

ACTION: Final = "use"
_CALLERS: Final = 256  # whose decisions are kept
_ORDERS: Final = 8
LAST: Final = "\U0010ffff"  # behind every id
Seen = tuple[Asset, list[OfferTerms]]


def visible(
    offers_with_assets: Iterable[tuple[OfferTerms, Asset]],
    facts: Mapping[str, Any],
    now: datetime,
    profile: Profile,
    *,
    party: str = "",
) -> Iterator[Seen]:
    """The assets with the offers that these facts may see, in the order of the assets as they come.

    For a few offers at hand; a catalog of many is a `Shelf`.
    """
    sight = Sight(profile, facts, now, party)
    found: dict[str, Seen] = {}
    for offer, asset in offers_with_assets:
        if sight.sees(offer):
            found.setdefault(asset.id, (asset, []))[1].append(offer)
    return iter(found.values())


class Sight:
    """What one participant sees at one moment; every distinct access policy is decided once."""

    __slots__ = ("_decided", "_lasting", "_profile", "_request")

    def __init__(
        self,
        profile: Profile,
        facts: Mapping[str, Any],
        now: datetime,
        party: str = "",
        lasting: dict[str, bool] | None = None,
    ) -> None:
        """`lasting` keeps decisions for the same facts at other moments: those that no clock changes."""
        self._profile = profile
        self._request = Request(ACTION, "catalog", facts, now, party=party)
        self._decided: dict[str, bool] = {}
        self._lasting = self._decided if lasting is None else lasting

    def sees(self, offer: OfferTerms) -> bool:
        """Whether the offer may be seen."""
        policy = access_policy(offer, self._profile)
        return policy is not None and self.permits(policy, offer.asset)

    def permits(self, policy: Policy, asset: str) -> bool:
        """Whether the access policy of an offer of this asset permits."""
        if policy.scoped:
            return evaluate(policy, msgspec.structs.replace(self._request, target=asset)).permitted
        decided = self._lasting.get(policy.digest)
        if decided is None:
            decided = self._decided.get(policy.digest)
        if decided is None:
            decided = evaluate(policy, self._request).permitted
            (self._lasting if _timeless(policy) else self._decided)[policy.digest] = decided
        return decided


def access_policy(offer: OfferTerms, profile: Profile) -> Policy | None:
    """The access policy of an offer, or None where it cannot be read or not be decided in a catalog: nobody sees it then."""
    try:
        policy = profile.policy(offer.access)
    except PolicyError:
        return None
    return None if undecidable(policy, "catalog") else policy


def _timeless(policy: Policy) -> bool:
    """Whether the same facts get the same answer at any time."""
    return not any(atom.operand.iri == DATE_TIME or atom.operand.type == "duration" for atom in policy.atoms())


def _shared(policy: Policy, asset: str) -> str:
    """What offers are decided together by: their policy; with their asset where the policy tells assets or parties apart."""
    return f"{policy.digest} {id(policy)} {asset}" if policy.scoped else policy.digest


class _Group(Struct):
    """Offers under one access policy, as (asset, offer) in order. `asset` is one of them; all, where it matters."""

    policy: Policy
    asset: str
    keys: list[tuple[str, str]] = field(default_factory=list)

    def after(self, asset: str) -> Iterator[tuple[str, str]]:
        return islice(self.keys, bisect_right(self.keys, (asset, LAST)) if asset else 0, None)

    def before(self, asset: str) -> Iterator[tuple[str, str]]:
        """Those in front of an asset, backwards."""
        return (self.keys[at] for at in range(bisect_left(self.keys, (asset, "")) - 1, -1, -1))

    def remove(self, key: tuple[str, str]) -> None:
        at = bisect_left(self.keys, key)
        if at < len(self.keys) and self.keys[at] == key:
            del self.keys[at]


class Shelf:
    """All offers of a participant, ready to be shown: an index over what the store holds, kept by whoever writes there.

    Adding costs a search; showing costs one decision per distinct access policy and the offers that are seen.
    """

    __slots__ = ("_assets", "_groups", "_lasting", "_offers", "_order", "_profile")

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._groups: dict[str, _Group] = {}
        self._offers: dict[str, tuple[OfferTerms, str]] = {}
        self._assets: dict[str, tuple[Asset, set[str]]] = {}
        self._lasting: OrderedDict[tuple[int, str], tuple[Mapping[str, Any], dict[str, bool]]] = OrderedDict()
        self._order: OrderedDict[frozenset[str], list[str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._offers)

    def put(self, offer: OfferTerms, asset: Asset) -> bool:
        """Add or replace an offer of this asset; False where its access policy can show it to nobody."""
        if offer.asset != asset.id:
            raise ValueError("the offer is of another asset")
        self.drop(offer.id)
        policy = access_policy(offer, self._profile)
        if policy is None:
            return False
        key = _shared(policy, asset.id)
        self._order.clear()
        insort(self._groups.setdefault(key, _Group(policy, asset.id)).keys, (asset.id, offer.id))
        self._offers[offer.id] = (offer, key)
        _, others = self._assets.get(asset.id, (asset, set()))
        self._assets[asset.id] = (asset, others | {offer.id})
        return True

    def drop(self, offer_id: str) -> None:
        """Take an offer away, if it is there."""
        found = self._offers.pop(offer_id, None)
        if found is None:
            return
        offer, key = found
        group, (asset, offers) = self._groups[key], self._assets[offer.asset]
        self._order.clear()
        group.remove((offer.asset, offer_id))
        if not group.keys:
            del self._groups[key]
        if offers == {offer_id}:
            del self._assets[offer.asset]
        else:
            self._assets[offer.asset] = (asset, offers - {offer_id})

    def visible(self, facts: Mapping[str, Any], now: datetime, *, after: str = "", party: str = "") -> Iterator[Seen]:
        """The assets with the offers that these facts may see, in the order of asset ids, from behind `after`.

        A page: take as many as it holds. What is put or dropped meanwhile shows on the next page.
        """
        seen = self._seen(facts, now, party)
        groups = [self._groups[key].after(after) for key in seen]
        for asset, keys in groupby(merge(*groups), key=itemgetter(0)):
            yield self._assets[asset][0], [self._offers[offer][0] for _, offer in keys]

    def preceding(self, facts: Mapping[str, Any], now: datetime, *, before: str, party: str = "") -> Iterator[Seen]:
        """The same backwards, from in front of an asset id."""
        sight = Sight(self._profile, facts, now, party)
        groups = [group.before(before) for group in self._groups.values() if sight.permits(group.policy, group.asset)]
        for asset, keys in groupby(merge(*groups, reverse=True), key=itemgetter(0)):
            yield self._assets[asset][0], [self._offers[offer][0] for _, offer in keys][::-1]

    def window(self, facts: Mapping[str, Any], now: datetime, offset: int, limit: int, *, party: str = "") -> list[Seen]:
        """The same by position. The order of what these groups hold is kept until something is put or dropped, so a far window costs no more."""
        seen = frozenset(self._seen(facts, now, party))
        order = self._order.get(seen)
        if order is None:
            order = self._order[seen] = [
                key for key, _ in groupby(merge(*(self._groups[key].keys for key in seen)), key=itemgetter(0))
            ]
            if len(self._order) > _ORDERS:
                self._order.popitem(last=False)
        return [self._visible_of(asset, seen) for asset in order[offset : offset + limit]]

    def _visible_of(self, asset: str, seen: frozenset[str]) -> Seen:
        found, offers = self._assets[asset]
        return found, [self._offers[offer][0] for offer in sorted(offers) if self._offers[offer][1] in seen]

    def _seen(self, facts: Mapping[str, Any], now: datetime, party: str) -> list[str]:
        """Keys of the groups that may be seen."""
        key = (id(facts), party)
        known = self._lasting.get(key)
        if known is None or known[0] is not facts:
            known = self._lasting[key] = (facts, {})
            if len(self._lasting) > _CALLERS:
                self._lasting.popitem(last=False)
        sight = Sight(self._profile, facts, now, party, known[1])
        return [name for name, group in self._groups.items() if sight.permits(group.policy, group.asset)]
