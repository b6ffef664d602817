"""Our own ledger of trade relations: who buys from us or supplies us, with which product, and for how long.

    facts      as `policies.profiles.trade` writes them; the same for the product of a dataset where a policy asks for that (`productRelation`)

Rules
- The facts of the operands `tradeRelation` and `productRelation` come from here and from nowhere else: no claim, message or parameter of a caller can add to them
  (pilots.md 4.4). They are known to who provides; a consumer's side cannot know them and leaves such a constraint to the provider.
- A relation counts from its beginning until before its end. Ending it, or adding one, is looked at by the monitor at once; a beginning or an end that lies ahead is an
  instant of its own.
- Nothing is changed or removed: an ended relation stays, with who ended it, when and why.

All are held in memory, by partner: a catalog asks at every request.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from msgspec.structs import replace

from catalog.dcat import product
from connector.store.port import Relation, Store
from kernel.clock import Clock, iso, parse_iso
from kernel.errors import BadInput, Conflict, NotFound
from policies.profiles.trade import Standing, word

KINDS: Final = ("customer", "supplier")
PAGE: Final = 500
_EVER: Final = datetime.max.replace(tzinfo=UTC)


class _Words(NamedTuple):
    """The fact of a partner, also sorted by product, and from when until when it is so."""

    words: tuple[str, ...]
    standing: Standing
    since: datetime
    until: datetime


_NOTHING: Final = _Words((), Standing.of(()), _EVER, _EVER)


class Relations:
    """The relations of one participant."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._known: dict[str, dict[str, Relation]] = {}
        self._words: dict[str, _Words] = {}
        self._watchers: list[Callable[[str], None]] = []

    def on_change(self, watcher: Callable[[str], None]) -> None:
        """Call `watcher(partner)` when a relation with a participant has changed."""
        self._watchers.append(watcher)

    def of(self, partner: str, now: datetime) -> tuple[str, ...]:
        """The fact: what a participant is to us at a moment, in order."""
        return self._at(partner, now).words

    def towards(self, partner: str, now: datetime, products: Sequence[str]) -> tuple[str, ...]:
        """What that makes it for a dataset with these products."""
        return self._at(partner, now).standing.towards(products)

    def _at(self, partner: str, now: datetime) -> _Words:
        if partner not in self._known:
            return _NOTHING
        known = self._words.get(partner)
        if known is None or not known.since <= now < known.until:
            words = tuple(sorted({word(each.kind, each.product) for each in self._of(partner) if _in_force(each, now)}))
            until = self.next_change(partner, now) or _EVER
            known = self._words[partner] = _Words(words, Standing.of(words), now, until)
        return known

    def next_change(self, partner: str, now: datetime) -> datetime | None:
        """When time changes that next; None: never."""
        moments = (parse_iso(text) for each in self._of(partner) for text in (each.since, each.until) if text)
        return min((each for each in moments if each > now), default=None)

    async def add(self, relation: Relation) -> Relation:
        """Enter a relation; raises `BadInput`."""
        if relation.kind not in KINDS:
            raise BadInput(f"{relation.kind[:40]!r} is no trade relation", next_step=f"one of {', '.join(KINDS)}")
        if not relation.partner.startswith("did:"):
            raise BadInput("the partner is a participant's DID", next_step="write did:web:...")
        if relation.product:
            product(relation.product)
        since, until = (iso(parse_iso(each)) if each else "" for each in (relation.since, relation.until))
        if since and until and since >= until:
            raise BadInput("the relation ends before it begins")
        made = replace(relation, since=since, until=until, at=iso(self._clock.now()))
        await self._save(made)
        return made

    async def end(self, key: str, person: str, reason: str) -> Relation:
        """End a relation now; raises `NotFound`, `Conflict` where it has ended."""
        found, now = await self._store.relation(key), self._clock.now()
        if found is None:
            raise NotFound(f"no relation {key}", next_step="see `kizuna relation list`")
        if found.ended or (found.until and parse_iso(found.until) <= now):
            raise Conflict("the relation has ended already", next_step="see `kizuna relation list`")
        gone = replace(found, ended=iso(now), ended_by=person, reason=reason)
        await self._save(gone)
        return gone

    async def _save(self, relation: Relation) -> None:
        await self._store.save_relation(relation)
        self._put(relation)

    async def follow(self, key: str) -> None:
        """Take in what another replica has entered; everything anew where the id is empty."""
        if not key:
            await self.fill()
        elif (found := await self._store.relation(key)) is not None:
            self._put(found)

    async def fill(self) -> None:
        """Read all of them."""
        after = ""
        while page := await self._store.relations(after, PAGE):
            for each in page:
                self._put(each)
            after = page[-1].id

    def _put(self, relation: Relation) -> None:
        known = self._known.setdefault(relation.partner, {})
        if known.get(relation.id) == relation:
            return
        known[relation.id] = relation
        self._words.pop(relation.partner, None)
        for watcher in self._watchers:
            watcher(relation.partner)

    def _of(self, partner: str) -> Iterator[Relation]:
        return iter(self._known.get(partner, {}).values())


def _in_force(relation: Relation, now: datetime) -> bool:
    begun = not relation.since or parse_iso(relation.since) <= now
    return begun and not relation.ended and (not relation.until or parse_iso(relation.until) > now)
