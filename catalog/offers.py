"""What a participant may see: offers whose access policy permits, in the catalog phase (DSP 2025-1, 5.2; DESIGN 3).

Rules
- An offer is seen only on a yes of its access policy. What cannot be read, or not be decided in a catalog, shows nothing.
- Equal access policies are decided once, whatever the number of offers under them. `Shelf` keeps offers grouped by access policy and, for a caller, which groups it sees, until
  something is put or dropped or the first of those decisions may change with time. A page costs the offers that are seen on it, whatever is not seen, and wherever it lies.
- A policy that reads the product of the dataset (`Profile.by_product`) is decided once for each thing that the caller is to the provider for a product, not for each product: once
  for all products that none of its relations names, and else for those that one names. What such a policy says of a dataset without a product, it says without that fact.
- The order is that of asset ids, so that pages are stable; a page starts `after` an id.

Not done here: the contract policy (decided in the negotiation), storing, pages on the wire.
"""

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Struct, field

from catalog.dcat import Asset, OfferTerms
from policies.odrl import DATE_TIME, Policy, PolicyError, Request, evaluate, next_change, undecidable
from policies.profiles import Profile
from policies.profiles.trade import Standing

ACTION: Final = "use"
_CALLERS: Final = 256  # whose decisions are kept
_ORDERS: Final = 8
_RUNS: Final = 64  # of parts that are looked through side by side
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_EVER: Final = datetime.max.replace(tzinfo=UTC)
LAST: Final = "\U0010ffff"  # behind every id
Seen = tuple[Asset, list[OfferTerms]]
_Key = tuple[str, str]
_Name = TypeVar("_Name")
_T = TypeVar("_T")


def visible(
    offers_with_assets: Iterable[tuple[OfferTerms, Asset]],
    facts: Mapping[str, Any],
    now: datetime,
    profile: Profile,
    *,
    party: str = "",
    relations: Sequence[str] = (),
) -> Iterator[Seen]:
    """The assets with the offers that these facts may see, in the order of the assets as they come. `relations`: what the caller is to us in trade.

    For a few offers at hand; a catalog of many is a `Shelf`.
    """
    sight = Sight(profile, facts, now, party, relations)
    found: dict[str, Seen] = {}
    for offer, asset in offers_with_assets:
        if sight.sees(offer, asset):
            found.setdefault(asset.id, (asset, []))[1].append(offer)
    return iter(found.values())


class Sight:
    """What one participant sees at one moment; every distinct access policy is decided once for what the participant is to us."""

    __slots__ = ("_access", "_asking", "_decided", "_standing")

    def __init__(
        self, profile: Profile, facts: Mapping[str, Any], now: datetime, party: str = "", relations: Sequence[str] = ()
    ) -> None:
        self._access, self._standing = _Access(profile), Standing.of(relations)
        self._asking = _Asking(profile, Request(ACTION, "catalog", facts, now, party=party))
        self._decided: dict[tuple[str, tuple[str, ...]], bool] = {}

    def sees(self, offer: OfferTerms, asset: Asset) -> bool:
        """Whether the offer of this asset may be seen."""
        access = self._access.of(offer)
        if access is None:
            return False
        policy, reads = access
        found = self._standing.towards(asset.products) if reads else ()
        key = _shared(policy, asset.id), found
        if key not in self._decided:
            self._decided[key] = evaluate(policy, self._asking.about(policy, asset.id, found)).permitted
        return self._decided[key]


class _Asking:
    """The requests of one caller at one moment: one for each thing that it is to us for a product, so that its facts are typed once for each."""

    __slots__ = ("_profile", "_requests")

    def __init__(self, profile: Profile, request: Request) -> None:
        self._profile = profile
        self._requests: dict[tuple[str, ...], Request] = {(): request}

    def about(self, policy: Policy, asset: str, towards: tuple[str, ...]) -> Request:
        """The request about an asset, where the policy tells assets apart, by a caller that is this to us for its product."""
        found = self._requests.get(towards)
        if found is None:
            usual = self._requests[()]
            found = self._requests[towards] = msgspec.structs.replace(
                usual, facts=self._profile.about(usual.facts, towards), known={}
            )
        return msgspec.structs.replace(found, target=asset) if policy.scoped else found


class _Access:
    """Access policies of offers as a catalog takes them, looked at once for all that say the same."""

    __slots__ = ("_known", "_profile")

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        # by digest: whether a catalog can decide it, and whether it reads the product
        self._known: dict[str, tuple[bool, bool]] = {}

    def of(self, offer: OfferTerms) -> tuple[Policy, bool] | None:
        """The access policy of an offer, and whether it reads the product; None where it cannot be read or not be decided in a catalog: nobody sees it then."""
        try:
            policy = self._profile.policy(offer.access)
        except PolicyError:
            return None
        known = self._known.get(policy.digest)
        if known is None:
            known = self._known[policy.digest] = not undecidable(policy, "catalog"), self._profile.reads_product(policy)
        return (policy, known[1]) if known[0] else None


def _timeless(policy: Policy) -> bool:
    """Whether the same facts get the same answer at any time."""
    return not any(atom.operand.iri == DATE_TIME or atom.operand.type == "duration" for atom in policy.atoms())


def _shared(policy: Policy, asset: str) -> str:
    """What offers are decided together by: their policy; with their asset where the policy tells assets or parties apart."""
    return f"{policy.digest} {id(policy)} {asset}" if policy.scoped else policy.digest


class _Group(Struct):
    """Offers under one access policy. Where it reads the product, `products` are those of all its assets, or it has parts: one for each distinct tuple of products."""

    policy: Policy
    asset: str  # one of them; all, where it matters
    access: dict[str, Any]  # as the first of them has it; equal ones are held once
    products: tuple[str, ...] = ()
    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)


class View(NamedTuple):
    """What a caller sees of one version of the shelf, by name: groups, the parts of these that it does not see, and parts of other groups."""

    groups: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()
    parts: tuple[str, ...] = ()


class _Placed(NamedTuple):
    """An offer, its group, and the part of it; empty where the group has none."""

    offer: OfferTerms
    group: str
    part: str


class _Decided(NamedTuple):
    """Whether a group may be seen, and from when until when that holds for the same facts."""

    permitted: bool
    since: datetime
    until: datetime

    def holds(self, now: datetime) -> bool:
        return self.since <= now < self.until


class _Caller:
    """What was decided for one caller, by group and by what it is to us for the product; and what it sees of one version of the shelf."""

    __slots__ = ("decided", "facts", "holds", "relations", "standing", "version", "view")

    def __init__(self, facts: Mapping[str, Any], relations: Sequence[str]) -> None:
        self.facts, self.relations, self.standing = facts, relations, Standing.of(relations)
        self.decided: dict[tuple[str, tuple[str, ...]], _Decided] = {}
        self.version = -1
        self.view = View()
        self.holds: Callable[[datetime], bool] = lambda _: False

    def same(self, facts: Mapping[str, Any], relations: Sequence[str]) -> bool:
        return self.facts is facts and (self.relations is relations or self.relations == relations)


class Shelf:
    """All offers of a participant, ready to be shown: an index over what the store holds, kept by whoever writes there.

    Adding costs a search; showing costs one decision per distinct access policy, once for a caller, and the offers that are seen.
    `version` counts what was put and dropped. `relations` is what the caller is to us in trade (`policies.profiles.trade`).
    """

    __slots__ = (
        "_access",
        "_assets",
        "_callers",
        "_groups",
        "_naming",
        "_offers",
        "_order",
        "_profile",
        "_runs",
        "_together",
        "version",
    )

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._access = _Access(profile)
        self._groups: dict[str, _Group] = {}
        self._naming: dict[str, set[tuple[str, str]]] = {}  # product -> groups and their parts
        self._runs: dict[str, list[_Key]] = {}  # (asset, offer) in order, by group and by part
        self._offers: dict[str, _Placed] = {}
        self._assets: dict[str, tuple[Asset, set[str]]] = {}
        self._callers: OrderedDict[tuple[int, str], _Caller] = OrderedDict()
        self._order: OrderedDict[View, list[str]] = OrderedDict()
        self._together: OrderedDict[tuple[str, ...], list[_Key]] = OrderedDict()
        self.version = 0

    def __len__(self) -> int:
        return len(self._offers)

    def asset(self, key: str) -> Asset | None:
        """An asset that has offers here."""
        found = self._assets.get(key)
        return found[0] if found is not None else None

    def put(self, offer: OfferTerms, asset: Asset) -> bool:
        """Add or replace an offer of this asset; False where its access policy can show it to nobody."""
        if offer.asset != asset.id:
            raise ValueError("the offer is of another asset")
        self.drop(offer.id)
        found = self._access.of(offer)
        if found is None:
            return False
        policy, reads = found
        name, part, products = _place(policy, asset, reads=reads)
        self._changed()
        group = self._groups.setdefault(name, _Group(policy, asset.id, offer.access, products))
        if part:
            group.parts[part] = asset.products
            for product in asset.products:
                self._naming.setdefault(product, set()).add((name, part))
        for each in (name, part) if part else (name,):
            insort(self._runs.setdefault(each, []), (asset.id, offer.id))
        if offer.access == group.access:
            offer = msgspec.structs.replace(offer, access=group.access)
        self._offers[offer.id] = _Placed(offer, name, part)
        _, others = self._assets.get(asset.id, (asset, set()))
        self._assets[asset.id] = (asset, others | {offer.id})
        return True

    def drop(self, offer_id: str) -> None:
        """Take an offer away, if it is there."""
        found = self._offers.pop(offer_id, None)
        if found is None:
            return
        key, (asset, offers) = found.offer.asset, self._assets[found.offer.asset]
        self._changed()
        if found.part and self._left(found.part, (key, offer_id)):
            for product in self._groups[found.group].parts.pop(found.part):
                self._naming[product].discard((found.group, found.part))
                if not self._naming[product]:
                    del self._naming[product]
        if self._left(found.group, (key, offer_id)):
            del self._groups[found.group]
        if offers == {offer_id}:
            del self._assets[key]
        else:
            self._assets[key] = (asset, offers - {offer_id})

    def _left(self, name: str, key: _Key) -> bool:
        """Take a key out of a run; whether the run is gone with it."""
        run = self._runs[name]
        at = bisect_left(run, key)
        if at < len(run) and run[at] == key:
            del run[at]
        if run:
            return False
        del self._runs[name]
        return True

    def offer(self, key: str) -> OfferTerms | None:
        """An offer that is on the shelf."""
        found = self._offers.get(key)
        return found.offer if found is not None else None

    def _changed(self) -> None:
        self.version += 1
        self._order.clear()
        self._together.clear()

    def visible(
        self, facts: Mapping[str, Any], now: datetime, *, after: str = "", party: str = "", relations: Sequence[str] = ()
    ) -> Iterator[Seen]:
        """The assets with the offers that these facts may see, in the order of asset ids, from behind `after`.

        A page: take as many as it holds. What is put or dropped meanwhile shows on the next page.
        """
        runs = self._of(self.view(facts, now, party, relations), lambda run: _after(run, after))
        for asset, keys in groupby(merge(*runs), key=itemgetter(0)):
            yield self._assets[asset][0], [self._offers[offer].offer for _, offer in keys]

    def preceding(
        self, facts: Mapping[str, Any], now: datetime, *, before: str, party: str = "", relations: Sequence[str] = ()
    ) -> Iterator[Seen]:
        """The same backwards, from in front of an asset id."""
        runs = self._of(self.view(facts, now, party, relations), lambda run: _before(run, before))
        for asset, keys in groupby(merge(*runs, reverse=True), key=itemgetter(0)):
            yield self._assets[asset][0], [self._offers[offer].offer for _, offer in keys][::-1]

    def window(
        self, facts: Mapping[str, Any], now: datetime, offset: int, limit: int, *, party: str = "", relations: Sequence[str] = ()
    ) -> list[Seen]:
        """The same by position. The order of what is seen is kept until something is put or dropped, so a far window costs no more."""
        view = self.view(facts, now, party, relations)
        order = _kept(self._order, view, lambda: [key for key, _ in groupby(merge(*self._of(view, iter)), key=itemgetter(0))])
        shown = frozenset(view.groups + view.parts)
        return [self._visible_of(asset, shown, view.without) for asset in order[offset : offset + limit]]

    def _of(self, view: View, cut: Callable[[list[_Key]], Iterator[_Key]]) -> list[Iterator[_Key]]:
        """The keys that a view shows, in a few runs that are in order."""
        runs = [cut(self._runs[name]) for name in view.groups]
        if view.without:
            runs = [(key for key in run if self._offers[key[1]].part not in view.without) for run in runs]
        if len(view.parts) <= _RUNS:
            return runs + [cut(self._runs[name]) for name in view.parts]
        parts = _kept(self._together, view.parts, lambda: sorted(key for name in view.parts for key in self._runs[name]))
        return [*runs, cut(parts)]

    def _visible_of(self, asset: str, shown: frozenset[str], without: frozenset[str]) -> Seen:
        found, offers = self._assets[asset]
        placed = [self._offers[offer] for offer in sorted(offers)]
        return found, [each.offer for each in placed if (each.group in shown or each.part in shown) and each.part not in without]

    def view(self, facts: Mapping[str, Any], now: datetime, party: str = "", relations: Sequence[str] = ()) -> View:
        """What may be seen, by name: two callers with equal views see the same of one version of the shelf."""
        key = (id(facts), party)
        caller = self._callers.get(key)
        if caller is None or not caller.same(facts, relations):
            caller = self._callers[key] = _Caller(facts, relations)
            if len(self._callers) > _CALLERS:
                self._callers.popitem(last=False)
        if caller.version != self.version or not caller.holds(now):
            self._decide(caller, now, party)
        return caller.view

    def _decide(self, caller: _Caller, now: datetime, party: str) -> None:
        """Decide what was not decided for a caller, or does not hold any more."""
        standing, asking = caller.standing, _Asking(self._profile, Request(ACTION, "catalog", caller.facts, now, party=party))
        decided: dict[tuple[str, tuple[str, ...]], _Decided] = {}

        def permits(name: str, group: _Group, towards: tuple[str, ...]) -> bool:
            found = decided.get((name, towards))
            if found is None:
                known = caller.decided.get((name, towards))
                found = (
                    known
                    if known is not None and known.holds(now)
                    else _decided(group, asking.about(group.policy, group.asset, towards))
                )
                decided[name, towards] = found
            return found.permitted

        named = self._named(standing)
        shown: list[str] = []
        without: list[str] = []
        parts: list[str] = []
        for name, group in self._groups.items():
            usual = permits(name, group, standing.unnamed if group.parts else standing.towards(group.products))
            if usual:
                shown.append(name)
            for part in named.get(name, ()):
                if permits(name, group, standing.towards(group.parts[part])) != usual:
                    (without if usual else parts).append(part)
        caller.decided, caller.version, caller.view = decided, self.version, View(tuple(shown), frozenset(without), tuple(parts))
        since, until = (
            max((each.since for each in decided.values()), default=now),
            min((each.until for each in decided.values()), default=_EVER),
        )
        caller.holds = _Decided(True, since, until).holds

    def _named(self, standing: Standing) -> dict[str, list[str]]:
        """The parts that some relation of a caller is about, in order, by group."""
        found: dict[str, list[str]] = {}
        for group, part in sorted({each for product in standing.named for each in self._naming.get(product, ())}):
            found.setdefault(group, []).append(part)
        return found


def _decided(group: _Group, asked: Request) -> _Decided:
    """The decision on a group; that of a policy which no clock changes was and will be the same."""
    permitted = evaluate(group.policy, asked).permitted
    if _timeless(group.policy):
        return _Decided(permitted, _NEVER, _EVER)
    return _Decided(permitted, asked.now, next_change(group.policy, asked) or _EVER)


def _place(policy: Policy, asset: Asset, *, reads: bool) -> tuple[str, str, tuple[str, ...]]:
    """Group and part of an offer, and the products by which the whole group is decided; `reads`: the policy asks for the product."""
    name = _shared(policy, asset.id)
    if not asset.products or not reads:
        return name, "", ()
    if policy.scoped:
        return name, "", asset.products
    return f"{name} product", f"{name} product {' '.join(asset.products)}", ()


def _kept(among: OrderedDict[_Name, list[_T]], name: _Name, made: Callable[[], list[_T]]) -> list[_T]:
    """What is kept under a name, made if it is not there; the first ones make room."""
    found = among.get(name)
    if found is None:
        found = among[name] = made()
        if len(among) > _ORDERS:
            among.popitem(last=False)
    return found


def _after(run: list[_Key], asset: str) -> Iterator[_Key]:
    return islice(run, bisect_right(run, (asset, LAST)) if asset else 0, None)


def _before(run: list[_Key], asset: str) -> Iterator[_Key]:
    """Those in front of an asset, backwards."""
    return (run[at] for at in range(bisect_left(run, (asset, "")) - 1, -1, -1))
