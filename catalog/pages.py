"""Pages of a catalog as bytes: what a participant sees of a `Shelf`, in pieces that are ready to be sent.

Rules
- A page ends with its number of datasets, or before the one with which it would have more than `LARGEST` bytes; so no request costs more memory, whatever was published.
  A page by position that would be larger is refused, since its reader could not tell where to go on.
- The JSON of a dataset is kept with what it was made of, a page for those who see the same offers at the same address of ours. Whatever is published ends all pages;
  who sees something else by new facts, or by the time, has another page. Both are kept up to a number of datasets, and of bytes.

Not done here: who sees what (`offers`), the form of a dataset (`describe`), links and tokens (the connector).
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from msgspec import Struct

from catalog import describe
from catalog.dcat import Asset, OfferTerms
from catalog.offers import Seen, Shelf
from kernel import wire
from kernel.errors import TooLarge

LARGEST: Final = 4 * 1024 * 1024  # bytes of datasets in one page
_TEXTS: Final = 16_384  # datasets whose JSON is kept: about 35 MB
_KEPT: Final = 8 * 1024 * 1024  # bytes of pages that are kept


class Page(Struct, frozen=True):
    """Datasets as they stand in the list of a catalog, and the ids behind which the neighbouring pages lie, or in front of which; empty where there is none."""

    text: bytes
    previous: str = ""
    following: str = ""

    @property
    def datasets(self) -> list[Any]:
        """The list, for `wire.dumps`; empty where there are none."""
        return [wire.fragment(self.text)] if self.text else []


class Reader(Struct, frozen=True):
    """Who reads: its facts at a moment, the address at which it reaches us, and what it is to us in trade."""

    facts: Mapping[str, Any]
    now: datetime
    party: str
    endpoint: str
    relations: Sequence[str] = ()


class Pages:
    """The pages of one participant's shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._texts: OrderedDict[tuple[str, str], tuple[tuple[Any, ...], bytes]] = OrderedDict()
        self._pages: OrderedDict[tuple[Any, ...], Page] = OrderedDict()
        self._version = self._bytes = 0

    def after(self, reader: Reader, place: str, limit: int) -> Page:
        """Datasets behind an id, and the id to go on with."""

        def made() -> Page:
            seen = self._shelf.visible(reader.facts, reader.now, after=place, party=reader.party, relations=reader.relations)
            found, more = self._taken(seen, limit, reader.endpoint)
            return Page(_joined(found), following=found[-1][0] if more else "")

        return self._kept(reader, ("after", place, limit), made)

    def before(self, reader: Reader, place: str, limit: int) -> Page:
        """Datasets in front of an id, in their order, the id to go back from, and the one to go on with."""

        def made() -> Page:
            seen = self._shelf.preceding(reader.facts, reader.now, before=place, party=reader.party, relations=reader.relations)
            found, more = self._taken(seen, limit, reader.endpoint)
            if not found:
                return Page(b"")
            return Page(_joined(found[::-1]), found[-1][0] if more else "", found[0][0])

        return self._kept(reader, ("before", place, limit), made)

    def at(self, reader: Reader, offset: int, limit: int) -> Page:
        """Datasets by position; raises `TooLarge`."""

        def made() -> Page:
            seen = self._shelf.window(reader.facts, reader.now, offset, limit, party=reader.party, relations=reader.relations)
            found, more = self._taken(seen, limit, reader.endpoint)
            if more:
                raise TooLarge(f"{limit} datasets are more than {LARGEST} bytes", next_step=f"ask for {len(found)} at most")
            return Page(_joined(found))

        return self._kept(reader, ("at", offset, limit), made)

    def _taken(self, seen: Iterable[Seen], limit: int, endpoint: str) -> tuple[list[tuple[str, bytes]], bool]:
        """(id, JSON) of as many as a page holds, and whether there are more."""
        taken: list[tuple[str, bytes]] = []
        size = 0
        for asset, offers in islice(seen, limit + 1):
            text = self._text(asset, offers, endpoint) if len(taken) < limit else b""
            size += len(text)
            if len(taken) == limit or (taken and size > LARGEST):
                return taken, True
            taken.append((asset.id, text))
        return taken, False

    def _text(self, asset: Asset, offers: list[OfferTerms], endpoint: str) -> bytes:
        """A dataset as JSON, kept with what it was made of."""
        made_of, key = (asset, *offers), (asset.id, endpoint)
        known = self._texts.get(key)
        if known is not None and len(known[0]) == len(made_of) and all(a is b for a, b in zip(known[0], made_of, strict=True)):
            return known[1]
        text = bytes(
            memoryview(wire.dumps(describe.dataset(asset, offers, endpoint=endpoint)))
        )  # a copy: orjson's own holds several times its size
        if len(text) <= LARGEST // 1024:
            self._texts[key] = (made_of, text)
            if len(self._texts) > _TEXTS:
                self._texts.popitem(last=False)
        return text

    def _kept(self, reader: Reader, place: tuple[Any, ...], made: Callable[[], Page]) -> Page:
        if self._version != self._shelf.version:
            self._pages.clear()
            self._bytes, self._version = 0, self._shelf.version
        key = (self._shelf.view(reader.facts, reader.now, reader.party, reader.relations), reader.endpoint, *place)
        page = self._pages.get(key)
        if page is None:
            page = made()
            if len(page.text) <= _KEPT // 8:
                self._pages[key] = page
                self._bytes += len(page.text)
            while self._bytes > _KEPT:
                self._bytes -= len(self._pages.popitem(last=False)[1].text)
        return page


def _joined(found: Iterable[tuple[str, bytes]]) -> bytes:
    return b",".join(text for _, text in found)
