"""Whether a credential is revoked or suspended now (identity.md 2.4, 6.32-6.39). Fails closed: what cannot be read denies.

Rules
- The list is a signed credential, by the issuer of the credential in question with a key in its `assertionMethod`, inside its own
  window, of the entry's kind and purpose. An unsigned list is no list.
- Every entry of a credential is read. A value other than zero is told for its purpose; `identity.verify` denies for `DENYING`.
- A list is used while it is younger than the caller's `max_age` (and than its own `ttl`) and inside its window; then it is asked for
  again with its ETag. A 304 makes it fresh, and its signature is checked again with the issuer's present keys. A clock that went
  back makes it stale.
- `grace` is for what is no decision: while a list's host does not answer, the last list counts for so many seconds more, never past
  its window. A host that answers something else than a good list gets no grace.
- `invalidate` is for who hears of a change: no list read, or asked for, before it counts any longer, with or without grace.
- What was said of several credentials need not be looked up again while its `Basis` holds: nothing was read or invalidated since, and its oldest list is young enough for the
  caller.
- One fetch at a time per list. A fetch that began before the caller's limit does not count for it.

Not done here: trust in the issuer, which comes before anything that the credential names is fetched (`identity.verify`).
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

from msgspec import Struct

from identity.did import ASSERTION
from identity.flight import SingleFlight
from identity.resolve import Resolving, with_document
from identity.status import MINIMUM_BITS, BadStatus, StatusList, StatusValue, read_list, value_of
from identity.vc import BadCredential, Credential, StatusEntry, check_proof, check_signature_of, parse_secured, parse_vc
from kernel import wire
from kernel.clock import Clock
from kernel.errors import UnavailableError
from kernel.http import GuardedClient, Reply

MAX_BYTES: Final = 4 * 1024 * 1024
ACCEPT: Final = "application/vc+jwt, application/vc;q=0.5, application/jwt;q=0.4"
V = TypeVar("V")
_CAPACITY: Final = 256
_LEEWAY: Final = timedelta(seconds=10)
_PAUSE: Final = timedelta(seconds=5)  # between two tries at a host that does not answer, while grace lasts


class Basis(Struct, frozen=True):
    """What an answer about credentials rests on: `version` of the reader, their issuers, when the oldest of their lists was asked for, and until when no list is wanted anew."""

    version: int
    issuers: frozenset[str]
    asked: datetime
    until: datetime | None


class ReadsStatus(Protocol):
    """What `identity.verify` needs of a status reader."""

    @property
    def version(self) -> int:
        """Another number whenever a list was read or invalidated."""

    def basis(self, credentials: Iterable[Credential], *, strict: bool) -> Basis | None: ...
    def holds(self, basis: Basis, max_age: float) -> bool: ...
    async def values(
        self, credential: Credential, *, max_age: float, grace: float = 0, minimum_bits: int = MINIMUM_BITS, strict: bool = True
    ) -> tuple[StatusValue, ...]: ...


class _Silent(UnavailableError):
    """The host of a list is in trouble (5xx)."""


class _Source(Struct, frozen=True):
    """A list: where it lies, who must have signed it, and whether with a key that is listed for assertions."""

    url: str
    issuer: str
    strict: bool


class _Held(Struct, frozen=True):
    """A verified list, its credential, its ETag, when it was asked for, and after how many invalidations."""

    credential: Credential
    found: StatusList
    etag: str | None
    asked: datetime
    epoch: int


class StatusReader:
    """Reads status lists and keeps them."""

    def __init__(self, resolver: Resolving, client: GuardedClient, clock: Clock) -> None:
        self._resolver = resolver
        self._client = client
        self._clock = clock
        self._held: OrderedDict[_Source, _Held] = OrderedDict()
        self._flights: SingleFlight[tuple[_Source, int], _Held] = SingleFlight()
        self._silent: OrderedDict[_Source, datetime] = OrderedDict()
        self._epochs: dict[str, int] = {}
        self.version = 0

    async def values(
        self, credential: Credential, *, max_age: float, grace: float = 0, minimum_bits: int = MINIMUM_BITS, strict: bool = True
    ) -> tuple[StatusValue, ...]:
        """What each status entry of the credential says, in their order; nothing where it has none.

        `max_age` in seconds is the age at which a list is asked for again. `strict`: the list's key is listed for assertions.
        Raises `BadStatus`, `BadCredential`, `BadToken`, `BadDid` or the client's errors for a list that cannot be relied on: the
        caller must deny then.
        """
        found = []
        for entry in credential.status:
            held = await self._list(_Source(entry.url, credential.issuer, strict), max_age, grace)
            found.append(value_of(entry, held.found, minimum_bits=minimum_bits))
        return tuple(found)

    async def read(self, credential: Credential, *, max_age: float, grace: float = 0) -> frozenset[str]:
        """The purposes whose value is set; the empty set means valid. Raises as `values`."""
        return frozenset(each.purpose for each in await self.values(credential, max_age=max_age, grace=grace) if each.value)

    def basis(self, credentials: Iterable[Credential], *, strict: bool) -> Basis | None:
        """What an answer about all of these rests on now; None where a list is not held."""
        entries = [(each, _Source(entry.url, each.issuer, strict)) for each in credentials for entry in each.status]
        held = [self._held.get(source) for _, source in entries]
        known = [each for each in held if each is not None]
        if len(known) < len(held):
            return None
        asked = min((each.asked for each in known), default=self._clock.now())
        until = min((end for each in known for end in _ends(each)), default=None)
        return Basis(self.version, frozenset(each.issuer for each, _ in entries), asked, until)

    def holds(self, basis: Basis, max_age: float) -> bool:
        """Whether an answer that rests on this would be the same for a caller with this `max_age`, with no list asked for."""
        now = self._clock.now()
        young = now - timedelta(seconds=max_age) <= basis.asked <= now
        return basis.version == self.version and young and (basis.until is None or now <= basis.until)

    def relied_on(self, credential: Credential) -> Iterator[tuple[StatusEntry, str, datetime]]:
        """Entry, list as it came, and when it was asked for: what the last answer about this credential rested on."""
        for entry in credential.status:
            held = [self._held.get(_Source(entry.url, credential.issuer, strict)) for strict in (True, False)]
            newest = max((each for each in held if each is not None), key=lambda each: each.asked, default=None)
            if newest is not None:
                yield entry, newest.credential.raw, newest.asked

    def invalidate(self, issuer: str) -> None:
        """A list of this issuer has changed: read all of them anew before they count again."""
        self._epochs[issuer] = self._epochs.get(issuer, 0) + 1
        self.version += 1

    async def _list(self, source: _Source, max_age: float, grace: float) -> _Held:
        now = self._clock.now()
        oldest, forgiven = now - timedelta(seconds=max_age), now - timedelta(seconds=max_age + grace)
        held = self._held.get(source)
        for _ in range(2):  # a call that was under way may have begun too early for us; the next one has not
            if held is not None and self._usable(source, held, oldest) and not self._wanted_anew(held):
                return held
            if held is not None and grace and self._paused(source) and self._usable(source, held, forgiven):
                return held
            try:
                held = await self._fly(source)
            except UnavailableError:
                if held is None or not grace or not self._usable(source, held, forgiven):
                    raise
                return held
        if held is None or not self._usable(source, held, oldest):
            raise BadStatus("no list that is new enough", reason="stale")
        return held

    def _usable(self, source: _Source, held: _Held, oldest: datetime) -> bool:
        now, until = self._clock.now(), held.credential.valid_until
        known = held.epoch == self._epochs.get(source.issuer, 0)
        return known and oldest <= held.asked <= now and (until is None or now <= until)

    def _wanted_anew(self, held: _Held) -> bool:
        """Whether the issuer wants its list to be asked for again by now."""
        return held.found.ttl is not None and held.asked + timedelta(seconds=held.found.ttl) < self._clock.now()

    def _paused(self, source: _Source) -> bool:
        failed = self._silent.get(source)
        return failed is not None and failed <= self._clock.now() < failed + _PAUSE

    async def _fly(self, source: _Source) -> _Held:
        epoch = self._epochs.get(source.issuer, 0)
        try:
            held = await self._flights.run((source, epoch), lambda: self._fetch(source, epoch))
        except UnavailableError:
            _put(self._silent, source, self._clock.now())
            raise
        self._silent.pop(source, None)
        return held

    async def _fetch(self, source: _Source, epoch: int) -> _Held:
        asked, old = self._clock.now(), self._held.get(source)
        conditional = {"If-None-Match": old.etag} if old is not None and old.etag else {}
        reply = await self._client.request("GET", source.url, headers={"Accept": ACCEPT, **conditional}, max_bytes=MAX_BYTES)
        if reply.status == 304 and old is not None and conditional:
            held = _Held(old.credential, old.found, old.etag, asked, epoch)
            await self._check(held.credential, source)
        else:
            credential = _parse(_body(reply))
            await self._check(credential, source)
            held = _Held(credential, read_list(credential, source.url), _etag(reply), asked, epoch)
        _put(self._held, source, held)
        self.version += 1
        return held

    async def _check(self, credential: Credential, source: _Source) -> None:
        """Issuer, window and signature, with the keys that the issuer publishes now."""
        if credential.issuer != source.issuer:
            raise BadStatus("the list is of another issuer than the credential", reason="list-issuer")
        now = self._clock.now()
        if credential.valid_from is not None and credential.valid_from > now + _LEEWAY:
            raise BadStatus("the list is not valid yet", reason="list-window")
        if credential.valid_until is not None and credential.valid_until < now:
            raise BadStatus("the list has expired", reason="list-window")
        check_signature_of(credential.proof, source.issuer)
        strict = source.strict
        await with_document(
            self._resolver, source.issuer, lambda found: check_proof(credential.proof, found, ASSERTION, strict=strict)
        )


def _ends(held: _Held) -> Iterator[datetime]:
    """When a list is wanted anew whatever a caller's limit."""
    if held.credential.valid_until is not None:
        yield held.credential.valid_until
    if held.found.ttl is not None:
        yield held.asked + timedelta(seconds=held.found.ttl)


def _put(known: "OrderedDict[_Source, V]", source: _Source, value: V) -> None:
    known[source] = value
    known.move_to_end(source)
    if len(known) > _CAPACITY:
        known.popitem(last=False)


def _parse(body: bytes) -> Credential:
    text = body.decode("ascii", "replace").strip()
    try:
        return _parse_document(body) if text.startswith("{") else parse_vc(text, limit=MAX_BYTES)
    except BadCredential as error:
        raise BadStatus(f"the status list: {error.detail}", reason=f"list-{error.facts['reason']}") from error


def _parse_document(body: bytes) -> Credential:
    """A list with a Data Integrity proof."""
    document = wire.loads(body, limit=MAX_BYTES)
    if "proof" not in document:
        raise BadStatus("the status list is not signed", reason="unsigned")
    return parse_secured(document, limit=MAX_BYTES)


def _body(reply: Reply) -> bytes:
    if reply.status >= 500:
        raise _Silent(f"the status list was answered with {reply.status}", reason="list-status")
    if reply.status != 200:
        raise BadStatus(f"the status list was answered with {reply.status}", reason="list-status")
    return reply.body


def _etag(reply: Reply) -> str | None:
    return next((value for name, value in reply.headers.items() if name.lower() == "etag"), None)
