"""Fetching DID documents (identity.md 2.5, 6.10, 6.40): did:web over HTTPS by the guarded client; others need no fetch.

Rules
- Five minutes in the cache at most: a key that was taken out of a document is dead after that.
- One fetch at a time per DID. A failed fetch is not remembered, and never answered from an older document.
- Only 200 is read, with a JSON media type or none (RFC 9110, 8.3: the reader decides then, and it must be JSON); the document must belong to the DID; its size is capped.
- `refresh` fetches anew, at most every few seconds per DID: for a kid that the cached document does not hold.

Not done here: address rules, redirects, time limits (`kernel.http`).
"""

from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from msgspec import Struct

from identity.did import BadDid, DidDocument, embedded_document, parse, parse_document, web_url
from identity.flight import SingleFlight
from kernel.clock import Clock
from kernel.errors import BadInput
from kernel.http import GuardedClient

TTL: Final = 300.0
MAX_BYTES: Final = 131_072
_CAPACITY: Final = 4_096
_PAUSE: Final = timedelta(seconds=5)


class Resolving(Protocol):
    """What the other modules need of a resolver."""

    async def resolve(self, did: str) -> DidDocument: ...
    async def refresh(self, did: str) -> DidDocument: ...


async def with_document(resolver: Resolving, did: str, check: Callable[[DidDocument], None]) -> None:
    """Put the DID's document before `check`; when that says no to a cached one, a fresh one is asked for, once.

    So a key that was added a moment ago counts at once. Raises what `check` or the resolver raises.
    """
    document = await resolver.resolve(did)
    try:
        check(document)
    except BadInput:
        newer = await resolver.refresh(did)
        if newer is document:
            raise
        check(newer)


class _Known(Struct, frozen=True):
    document: DidDocument
    fetched: datetime


class Resolver:
    """DID documents, cached for `ttl` seconds. `scheme` is `https`; a test kit that serves plain HTTP gets `http`."""

    def __init__(self, client: GuardedClient, clock: Clock, ttl: float = TTL, *, scheme: str = "https") -> None:
        self._client = client
        self._clock = clock
        self._ttl = timedelta(seconds=ttl)
        self._scheme = scheme
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._flights: SingleFlight[str, DidDocument] = SingleFlight()

    def resolve(self, did: str) -> Coroutine[Any, Any, DidDocument]:
        """The document; raises `BadDid`, or `Blocked` and `Unreachable` of the client."""
        return self._within(did, self._ttl)

    def refresh(self, did: str) -> Coroutine[Any, Any, DidDocument]:
        """The document as it is now, give or take five seconds; raises as `resolve`."""
        return self._within(did, min(_PAUSE, self._ttl))

    def forget(self, did: str) -> None:
        """Drop what is cached of a DID."""
        self._known.pop(did, None)

    async def _within(self, did: str, age: timedelta) -> DidDocument:
        known = self._known.get(did)
        if known is not None and timedelta(0) <= self._clock.now() - known.fetched < age:
            return known.document
        if parse(did).method != "web":
            return embedded_document(did)
        return await self._flights.run(did, lambda: self._fetch(did))

    async def _fetch(self, did: str) -> DidDocument:
        asked = self._clock.now()
        reply = await self._client.request(
            "GET",
            web_url(did, scheme=self._scheme),
            headers={"Accept": "application/did+json, application/json"},
            max_bytes=MAX_BYTES,
        )
        if reply.status != 200:
            raise BadDid(f"the DID document was answered with {reply.status}", reason="document-status")
        if not _may_be_json(reply.headers):
            raise BadDid("the DID document is no JSON", reason="document-type")
        found = parse_document(reply.body, did)
        self._known[did] = _Known(found, asked)
        self._known.move_to_end(did)
        if len(self._known) > _CAPACITY:
            self._known.popitem(last=False)
        return found


def _may_be_json(headers: Mapping[str, str]) -> bool:
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    media = kind.partition(";")[0].strip().lower()
    return not media or media == "application/json" or media.endswith("+json")
