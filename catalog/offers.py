"""What a participant may see: offers whose access policy permits, in the catalog phase (DSP 2025-1, 5.2; DESIGN 3).

Rules
- An offer is seen only on a yes of its access policy. What cannot be read, or not be decided in a catalog, shows nothing.
- Equal access policies are decided once, whatever the number of offers under them. `Shelf` keeps offers grouped by access policy and, for a caller, which groups it sees, until
  something is put or dropped or the first of those decisions may change with time. A page costs the offers that are seen on it, whatever is not seen, and wherever it lies.
- The order is that of asset ids, so that pages are stable; a page starts `after` an id.

Not done here: the contract policy (decided in the negotiation), storing, pages on the wire.
"""

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct, field

from catalog.dcat import Asset, OfferTerms
from policies.odrl import DATE_TIME, Policy, PolicyError, Request, evaluate, next_change, undecidable
from policies.profiles import Profile

ACTION: Final = "use"
_CALLERS: Final = 256  # whose decisions are kept
_ORDERS: Final = 8
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_EVER: Final = datetime.max.replace(tzinfo=UTC)
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

    __slots__ = ("_decided", "_profile", "_request")

    def __init__(self, profile: Profile, facts: Mapping[str, Any], now: datetime, party: str = "") -> None:
        self._profile = profile
        self._request = Request(ACTION, "catalog", facts, now, party=party)
        self._decided: dict[str, bool] = {}

    def sees(self, offer: OfferTerms) -> bool:
        """Whether the offer may be seen."""
        policy = access_policy(offer, self._profile)
        if policy is None:
            return False
        key = _shared(policy, offer.asset)
        if key not in self._decided:
            self._decided[key] = evaluate(policy, _asked(self._request, policy, offer.asset)).permitted
        return self._decided[key]


def _asked(request: Request, policy: Policy, asset: str) -> Request:
    """The request about an asset, where the policy tells assets apart."""
    return msgspec.structs.replace(request, target=asset) if policy.scoped else request


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
    access: dict[str, Any]  # as the first of them has it; equal ones are held once
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


class _Decided(NamedTuple):
    """Whether a group may be seen, and from when until when that holds for the same facts."""

    permitted: bool
    since: datetime
    until: datetime

    def holds(self, now: datetime) -> bool:
        return self.since <= now < self.until


class _Caller:
    """What was decided for one caller, and the groups that it sees of one version of the shelf."""

    __slots__ = ("decided", "facts", "groups", "holds", "version")

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = facts
        self.decided: dict[str, _Decided] = {}
        self.version = -1
        self.groups: tuple[str, ...] = ()
        self.holds: Callable[[datetime], bool] = lambda _: False


class Shelf:
    """All offers of a participant, ready to be shown: an index over what the store holds, kept by whoever writes there.

    Adding costs a search; showing costs one decision per distinct access policy, once for a caller, and the offers that are seen.
    `version` counts what was put and dropped.
    """

    __slots__ = ("_assets", "_callers", "_groups", "_offers", "_order", "_profile", "version")

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._groups: dict[str, _Group] = {}
        self._offers: dict[str, tuple[OfferTerms, str]] = {}
        self._assets: dict[str, tuple[Asset, set[str]]] = {}
        self._callers: OrderedDict[tuple[int, str], _Caller] = OrderedDict()
        self._order: OrderedDict[tuple[str, ...], list[str]] = OrderedDict()
        self.version = 0

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
        self._changed()
        group = self._groups.setdefault(key, _Group(policy, asset.id, offer.access))
        insort(group.keys, (asset.id, offer.id))
        if offer.access == group.access:
            offer = msgspec.structs.replace(offer, access=group.access)
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
        self._changed()
        group.remove((offer.asset, offer_id))
        if not group.keys:
            del self._groups[key]
        if offers == {offer_id}:
            del self._assets[offer.asset]
        else:
            self._assets[offer.asset] = (asset, offers - {offer_id})

    def offer(self, key: str) -> OfferTerms | None:
        """An offer that is on the shelf."""
        found = self._offers.get(key)
        return found[0] if found is not None else None

    def _changed(self) -> None:
        self.version += 1
        self._order.clear()

    def visible(self, facts: Mapping[str, Any], now: datetime, *, after: str = "", party: str = "") -> Iterator[Seen]:
        """The assets with the offers that these facts may see, in the order of asset ids, from behind `after`.

        A page: take as many as it holds. What is put or dropped meanwhile shows on the next page.
        """
        groups = [self._groups[key].after(after) for key in self.groups(facts, now, party)]
        for asset, keys in groupby(merge(*groups), key=itemgetter(0)):
            yield self._assets[asset][0], [self._offers[offer][0] for _, offer in keys]

    def preceding(self, facts: Mapping[str, Any], now: datetime, *, before: str, party: str = "") -> Iterator[Seen]:
        """The same backwards, from in front of an asset id."""
        groups = [self._groups[key].before(before) for key in self.groups(facts, now, party)]
        for asset, keys in groupby(merge(*groups, reverse=True), key=itemgetter(0)):
            yield self._assets[asset][0], [self._offers[offer][0] for _, offer in keys][::-1]

    def window(self, facts: Mapping[str, Any], now: datetime, offset: int, limit: int, *, party: str = "") -> list[Seen]:
        """The same by position. The order of what these groups hold is kept until something is put or dropped, so a far window costs no more."""
        seen = self.groups(facts, now, party)
        order = self._order.get(seen)
        if order is None:
            order = self._order[seen] = [
                key for key, _ in groupby(merge(*(self._groups[key].keys for key in seen)), key=itemgetter(0))
            ]
            if len(self._order) > _ORDERS:
                self._order.popitem(last=False)
        among = frozenset(seen)
        return [self._visible_of(asset, among) for asset in order[offset : offset + limit]]

    def _visible_of(self, asset: str, seen: frozenset[str]) -> Seen:
        found, offers = self._assets[asset]
        return found, [self._offers[offer][0] for offer in sorted(offers) if self._offers[offer][1] in seen]

    def groups(self, facts: Mapping[str, Any], now: datetime, party: str = "") -> tuple[str, ...]:
        """The groups that may be seen, by name: two callers with equal ones see the same of one version of the shelf."""
        key = (id(facts), party)
        caller = self._callers.get(key)
        if caller is None or caller.facts is not facts:
            caller = self._callers[key] = _Caller(facts)
            if len(self._callers) > _CALLERS:
                self._callers.popitem(last=False)
        if caller.version != self.version or not caller.holds(now):
            self._decide(caller, now, party)
        return caller.groups

    def _decide(self, caller: _Caller, now: datetime, party: str) -> None:
        """Decide what was not decided for a caller, or does not hold any more."""
        request, decided = Request(ACTION, "catalog", caller.facts, now, party=party), {}
        for name, group in self._groups.items():
            known = caller.decided.get(name)
            decided[name] = known if known is not None and known.holds(now) else _decided(group, request)
        caller.decided, caller.version = decided, self.version
        caller.groups = tuple(name for name, each in decided.items() if each.permitted)
        since, until = (
            max((each.since for each in decided.values()), default=now),
            min((each.until for each in decided.values()), default=_EVER),
        )
        caller.holds = _Decided(True, since, until).holds


def _decided(group: _Group, request: Request) -> _Decided:
    """The decision on a group; that of a policy which no clock changes was and will be the same."""
    asked = _asked(request, group.policy, group.asset)
    permitted = evaluate(group.policy, asked).permitted
    if _timeless(group.policy):
        return _Decided(permitted, _NEVER, _EVER)
    return _Decided(permitted, request.now, next_change(group.policy, asked) or _EVER)
