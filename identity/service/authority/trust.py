"""The trust list at the authority's side: the operator's draft, what it would change, publication, and renewal before it ends (identity.md 8.3; ADR 0009).

`trust.toml` in the data directory is the draft:

    [[issuer]]                          # beside the service itself, which is always there with its definitions
    did = "did:web:notary.example"
    types = ["LegalRegistrationNumberCredential"]
    profiles = ["vc20-bssl/jwt"]        # optional, like status_hosts, valid_from, valid_until
    [[bridge]]                          # another consortium
    authority = "did:web:space.example"
    key = "thumbprint of its key"
    types = ["MembershipCredential"]
    certificates = true                 # optional: its members may come with the member certificates of its own CA

Rules
- Nothing of the draft is believed by anybody before it is published; `changes` tells beforehand what that would change, and a publication names the
  number of the list that was looked at, so that two operators do not overwrite each other unseen.
- Every signature has a number of its own, one more than the one before. List, number and event are one transaction, and one process
  at a time signs, by a turn of the database.
- A list ends after seven days and is signed anew after three and a half, unchanged, and when the service has a new issuing CA or other keys. The first list is published by the first start: the service itself.
- Signed with the oldest key for trust that is still there, naming all of them: followers learn a new key before it signs alone (`identity.pinned`).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from msgspec import Struct

from identity import trustlist
from identity.did import parse as parse_did
from identity.jose import Signer, thumbprint
from identity.service.issuer.definitions import Definition
from identity.service.store.ledger import Ledger
from identity.service.store.port import Connection
from identity.service.store.trust import Published
from identity.trustlist import Bridge, Content, TrustedIssuer
from kernel.clock import iso, parse_iso
from kernel.errors import BadInput, Conflict, NotFound
from kernel.faults import crashpoint
from kernel.web import Route

PATH: Final = "/authority/v1/trust-list"
FILE: Final = "trust.toml"
EVENT: Final = "trust-list"
LIFE: Final = timedelta(days=7)
RESIGN: Final = LIFE / 2
_MAX_AGE: Final = 30
TEMPLATE: Final = """# Whom members believe, beside this service: the draft of the trust list. `kizuna trust diff` shows what publishing it would change.
# [[issuer]]
# did = "did:web:notary.example"
# types = ["LegalRegistrationNumberCredential"]
# [[bridge]]
# authority = "did:web:other-space.example"
# key = "its key's thumbprint"
# types = ["MembershipCredential"]
"""


class _Issuer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    did: str
    types: tuple[str, ...]
    profiles: tuple[str, ...] = ()
    status_hosts: tuple[str, ...] = ()
    valid_from: str = ""
    valid_until: str = ""


class _Bridge(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    authority: str
    key: str
    types: tuple[str, ...]
    certificates: bool = False
    valid_until: str = ""


class _Draft(Struct, frozen=True, forbid_unknown_fields=True):
    issuer: tuple[_Issuer, ...] = ()
    bridge: tuple[_Bridge, ...] = ()


class Differences(Struct, frozen=True):
    """What publishing the draft would change; `sequence` is the number of the list it is compared with, 0 for none."""

    sequence: int
    changes: list[str]


class Shown(Struct, frozen=True):
    """The published list."""

    sequence: int
    since: str
    until: str
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TrustLists:
    """The lists of one authority; `keys` are its signers for trust, oldest first, `bundle` gives its CA certificates (PEM), `issuer_url` where its issuer answers."""

    ledger: Ledger
    keys: Sequence[Signer]
    definitions: Mapping[str, Definition]
    base_url: str
    bundle: Callable[[], str]
    draft_file: Path
    issuer_url: str = ""

    @property
    def url(self) -> str:
        """Where the list is found."""
        return self.base_url + PATH

    def draft(self) -> Content:
        """What would be published now: the file, the service itself, its CA and keys; raises `BadInput` for what the file gets wrong."""
        found = _read(self.draft_file)
        own = TrustedIssuer(
            did=self.ledger.participant,
            types=tuple(sorted({each.type for each in self.definitions.values()})),
            profiles=tuple(sorted({each.format for each in self.definitions.values()})),
            status_hosts=(urlsplit(self.issuer_url or self.base_url).netloc.lower(),),
        )
        issuers = [TrustedIssuer(**msgspec.structs.asdict(each)) for each in found.issuer]
        if any(each.did == own.did for each in issuers):
            raise _wrong(f"{own.did} is this service: its entry comes from its definitions")
        return Content(
            issuers=(own, *issuers),
            bridges=tuple(Bridge(**msgspec.structs.asdict(each)) for each in found.bridge),
            ca_digest=trustlist.ca_digest(self.bundle()),
            keys=self._thumbprints(),
        )

    def _thumbprints(self) -> tuple[str, ...]:
        return tuple(thumbprint(each.public_jwk()) for each in self.keys)

    async def changes(self) -> Differences:
        """What publishing the draft would change."""
        last = await self._newest()
        return Differences(last.sequence if last else 0, trustlist.changes(_content(last) if last else None, self.draft()))

    async def publish(self, expected: int) -> Published:
        """Publish the draft in place of list `expected`; raises `Conflict` when another list is the newest, or nothing would change."""
        async with self.ledger.database.turn(EVENT):
            last = await self._newest()
            if (last.sequence if last else 0) != expected:
                raise Conflict(
                    f"the newest trust list is {last.sequence if last else 0}, not {expected}",
                    next_step="look at the differences again: kizuna trust diff",
                )
            content = self.draft()
            if last is not None and content == _content(last):
                raise Conflict("the draft is what is published", next_step=f"change {self.draft_file.name} first")
            return await self._sign(content, last)

    async def upkeep(self) -> None:
        """The first list, and renewal before the end; nothing is written otherwise."""
        if self._renewal(await self._newest()) is None:
            return
        async with self.ledger.database.turn(EVENT):
            last = await self._newest()
            if (content := self._renewal(last)) is not None:
                await self._sign(content, last)

    def _renewal(self, last: Published | None) -> Content | None:
        """What must be signed now; None for nothing."""
        if last is None:
            return self.draft()
        content = msgspec.structs.replace(_content(last), ca_digest=trustlist.ca_digest(self.bundle()), keys=self._thumbprints())
        due = parse_iso(last.since) + RESIGN <= self.ledger.clock.now()
        return content if due or content != _content(last) else None

    async def next_due(self) -> datetime | None:
        """When the list must be signed again."""
        last = await self._newest()
        return None if last is None else parse_iso(last.since) + RESIGN

    async def shown(self) -> Shown:
        """The published list; raises `NotFound`."""
        last = await self._newest()
        if last is None:
            raise NotFound("no trust list has been published")
        return Shown(last.sequence, last.since, last.until, msgspec.to_builtins(_content(last)))

    def routes(self) -> list[Route]:
        """The public route."""
        return [
            Route(method="GET", path=PATH, handler=self.serve, auth="none", summary="The signed trust list (application/vc+jwt)")
        ]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        last = await self._newest()
        if last is None:
            raise NotFound("no trust list has been published")
        etag = f'"{hashlib.sha256(last.jwt.encode()).hexdigest()}"'
        headers = {"ETag": etag, "Cache-Control": f"public, max-age={_MAX_AGE}"}
        if etag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        return web.Response(text=last.jwt, content_type="application/vc+jwt", headers=headers)

    async def _sign(self, content: Content, last: Published | None) -> Published:
        now = self.ledger.clock.now().replace(microsecond=0)
        sequence, until = (last.sequence if last else 0) + 1, now + LIFE
        jwt = trustlist.write(self.keys[0], self.url, sequence, content, since=now, until=until)
        text = msgspec.json.encode(content).decode()
        made = Published(sequence=sequence, content=text, jwt=jwt, since=iso(now), until=iso(until))
        crashpoint("trustlist.signed")
        await self.ledger.database.write(lambda c: self._keep(c, made))
        return made

    def _keep(self, connection: Connection, made: Published) -> None:
        self.ledger.trust.add(connection, made)
        own = self.ledger.participant
        self.ledger.journal.record(connection, EVENT, "", own, self.ledger.now(), subject=str(made.sequence))

    async def _newest(self) -> Published | None:
        return await self.ledger.database.read(self.ledger.trust.newest)


def _content(found: Published) -> Content:
    return msgspec.json.decode(found.content, type=Content)


def _read(path: Path) -> _Draft:
    if not path.exists():
        return _Draft()
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=_Draft)
    except (OSError, msgspec.DecodeError) as error:
        raise _wrong(f"{path.name}: {error}") from error
    for did in (*(each.did for each in found.issuer), *(each.authority for each in found.bridge)):
        try:
            parse_did(did)
        except BadInput as error:
            raise _wrong(f"{path.name}: {did} is no DID") from error
    for each in found.issuer:
        for moment in filter(None, (each.valid_from, each.valid_until)):
            _moment(path, moment)
    for bridge in found.bridge:
        if bridge.valid_until:
            _moment(path, bridge.valid_until)
        if len(bridge.key) != 43:
            raise _wrong(f"{path.name}: key of {bridge.authority} is no RFC 7638 thumbprint")
    if not all([*(each.types for each in found.issuer), *(each.types for each in found.bridge)]):
        raise _wrong(f"{path.name}: an entry names no credential types")
    return found


def _moment(path: Path, text: str) -> None:
    try:
        parse_iso(text)
    except BadInput as error:
        raise _wrong(f"{path.name}: {text} is no time with a zone") from error


def _wrong(detail: str) -> BadInput:
    return BadInput(detail, next_step="correct trust.toml; its form is described in identity.service.authority.trust")
