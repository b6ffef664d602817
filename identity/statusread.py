"""Whether a credential is revoked or suspended now (identity.md 2.4, 6.32-6.39). Fails closed: what cannot be read denies.

Rules
- The list is a JWT credential, signed by the issuer of the credential in question with a key in its `assertionMethod`, inside
  its own window, of the entry's kind and purpose. An unsigned list is no list.
- Every entry of a credential is read. A value other than zero is told for its purpose; `identity.verify` denies for `DENYING`.
- A list is used while it is younger than the caller's `max_age` and inside its window; then it is asked for again with its ETag.
  A 304 makes it fresh, and its signature is checked again with the issuer's present keys. A clock that went back makes it stale.
- One fetch at a time per list. A fetch that began before the caller's limit does not count for it.

Not done here: trust in the issuer, which comes before anything that the credential names is fetched (`identity.verify`).
"""

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final, Protocol

from msgspec import Struct

from identity import jose
from identity.did import ASSERTION
from identity.flight import SingleFlight
from identity.resolve import Resolving
from identity.status import MINIMUM_BITS, BadStatus, StatusList, read_list, value_of
from identity.vc import BadCredential, Credential, check_signature_of, parse_vc
from kernel.clock import Clock
from kernel.http import GuardedClient

MAX_BYTES: Final = 4 * 1024 * 1024
ACCEPT: Final = "application/vc+jwt, application/vc;q=0.5, application/jwt;q=0.4"
_CAPACITY: Final = 256
_LEEWAY: Final = timedelta(seconds=10)


class ReadsStatus(Protocol):
    """What `identity.verify` needs of a status reader."""

    async def read(self, credential: Credential, *, max_age: float) -> frozenset[str]: ...


class _Held(Struct, frozen=True):
    """A verified list, its credential, its ETag and when it was asked for."""

    credential: Credential
    found: StatusList
    etag: str | None
    asked: datetime


class StatusReader:
    """Reads status lists and keeps them by address."""

    def __init__(self, resolver: Resolving, client: GuardedClient, clock: Clock, *, minimum_bits: int = MINIMUM_BITS) -> None:
        self._resolver = resolver
        self._client = client
        self._clock = clock
        self._minimum_bits = minimum_bits
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._flights: SingleFlight[tuple[str, str], _Held] = SingleFlight()

    async def read(self, credential: Credential, *, max_age: float) -> frozenset[str]:
        """The purposes whose value is set; the empty set means valid.

        `max_age` in seconds is the age at which a list is asked for again. Raises `BadStatus`, `BadCredential`, `BadToken`,
        `BadDid` or the client's errors for a list that cannot be relied on: the caller must deny then.
        """
        oldest = self._clock.now() - timedelta(seconds=max_age)
        purposes = set()
        for entry in credential.status:
            held = await self._list(entry.url, credential.issuer, oldest)
            if value_of(entry, held.found):
                purposes.add(entry.purpose)
        return frozenset(purposes)

    async def _list(self, url: str, issuer: str, oldest: datetime) -> _Held:
        held = self._held.get(url)
        for _ in range(2):  # a call that was under way may have begun too early for us; the next one has not
            if held is not None and self._usable(held, oldest):
                break
            held = await self._flights.run((url, issuer), lambda: self._fetch(url, issuer))
        if held is None or not self._usable(held, oldest):
            raise BadStatus("no list that is new enough", reason="stale")
        if held.credential.issuer != issuer:
            raise BadStatus("the list is of another issuer than the credential", reason="list-issuer")
        return held

    def _usable(self, held: _Held, oldest: datetime) -> bool:
        now = self._clock.now()
        until = held.credential.valid_until
        return oldest <= held.asked <= now and (until is None or now <= until)

    async def _fetch(self, url: str, issuer: str) -> _Held:
        asked, old = self._clock.now(), self._held.get(url)
        conditional = {"If-None-Match": old.etag} if old is not None and old.etag else {}
        reply = await self._client.request("GET", url, headers={"Accept": ACCEPT, **conditional}, max_bytes=MAX_BYTES)
        if reply.status == 304 and old is not None and conditional:
            held = _Held(old.credential, old.found, old.etag, asked)
            await self._check(held.credential, issuer)
        elif reply.status == 200:
            etag = next((value for name, value in reply.headers.items() if name.lower() == "etag"), None)
            credential = self._parse(reply.body)
            await self._check(credential, issuer)
            held = _Held(credential, read_list(credential, url, minimum_bits=self._minimum_bits), etag, asked)
        else:
            raise BadStatus(f"the status list was answered with {reply.status}", reason="list-status")
        self._keep(url, held)
        return held

    def _parse(self, body: bytes) -> Credential:
        text = body.decode("ascii", "replace").strip()
        if text.startswith("{"):
            raise BadStatus("the status list is not signed", reason="unsigned")
        try:
            return parse_vc(text, limit=MAX_BYTES)
        except BadCredential as error:
            raise BadStatus(f"the status list: {error.detail}", reason=f"list-{error.facts['reason']}") from error

    async def _check(self, credential: Credential, issuer: str) -> None:
        """Issuer, window and signature, with the keys that the issuer publishes now."""
        if credential.issuer != issuer:
            raise BadStatus("the list is of another issuer than the credential", reason="list-issuer")
        now = self._clock.now()
        if credential.valid_from is not None and credential.valid_from > now + _LEEWAY:
            raise BadStatus("the list is not valid yet", reason="list-window")
        if credential.valid_until is not None and credential.valid_until < now:
            raise BadStatus("the list has expired", reason="list-window")
        check_signature_of(credential.token, issuer)
        document = await self._resolver.resolve(issuer)
        jose.verify(credential.token, document.key(credential.token.kid, ASSERTION))

    def _keep(self, url: str, held: _Held) -> None:
        self._held[url] = held
        self._held.move_to_end(url)
        if len(self._held) > _CAPACITY:
            self._held.popitem(last=False)
