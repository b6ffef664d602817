"""Publication of status lists: signed at every change and before expiry, served to everybody (identity.md 2.4).

Rules
- A list is never served unsigned and never behind the database: a read between a commit and its signature waits for the signature.
- One process at a time signs, by a turn of the database: two issuers side by side never sign the same change twice.
- Signed anew at every change and every six hours; valid for a day. Verifiers that cannot reach us fail closed.
- The ETag is the digest of the signed form; Cache-Control is a few seconds, so that a suspension is seen soon.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from identity.keys import Signer
from identity.service.issuer import signing
from identity.service.store.ledger import Ledger
from identity.service.store.port import Connection
from identity.service.store.status import ListRow
from identity.vc import as_document
from kernel.clock import iso, parse_iso
from kernel.errors import NotFound
from kernel.faults import crashpoint

LIFE: Final = timedelta(hours=24)
_LARGEST: Final = 4 * 1024 * 1024
RESIGN: Final = timedelta(hours=6)


class Served(Struct, frozen=True):
    """The signed list, a JWT or a JSON text with a proof, and its ETag (quoted)."""

    text: str
    etag: str


@dataclass(frozen=True, slots=True)
class StatusLists:
    """The lists of one issuer; `base_url` is the service's, without a trailing slash."""

    ledger: Ledger
    signer: Signer
    base_url: str
    documents: dict[str, Served] = field(default_factory=dict)

    def url(self, key: str) -> str:
        """Address of a list, as entries name it."""
        return f"{self.base_url}/status/{key}"

    async def publish(self) -> None:
        """Sign every list that is missing, behind or old. Nothing is written when there is none."""
        if not await self._unsigned():
            return
        async with self.ledger.database.turn("status lists"):
            for row in await self._unsigned():
                await self._sign(row.id)

    async def renew(self) -> None:
        """Sign every list anew: the key that has signed it may be gone."""
        async with self.ledger.database.turn("status lists"):
            for row in await self._unsigned(timedelta(0)):
                await self._sign(row.id)

    async def _unsigned(self, age: timedelta = RESIGN) -> list[ListRow]:
        before = iso(self.ledger.clock.now() - age)
        return await self.ledger.database.read(lambda c: self.ledger.statuses.unsigned(c, before))

    async def _sign(self, key: str) -> None:
        row, marked = await self.ledger.database.read(lambda c: self._snapshot(c, key))
        now = self.ledger.clock.now()
        until = now + LIFE
        jwt = signing.status_list(
            row, marked, signer=self.signer, issuer=self.ledger.participant, url=self.url(key), start=now, until=until
        )
        signed = msgspec.structs.replace(row, jwt=jwt, signed=iso(now), expires=iso(until), signed_version=row.version)
        crashpoint("statuslist.signed")
        await self.ledger.database.write(lambda c: self.ledger.statuses.publish(c, signed))

    def _snapshot(self, connection: Connection, key: str) -> tuple[ListRow, list[int]]:
        row = self.ledger.statuses.get(connection, key)
        if row is None:
            raise NotFound("no such status list")
        return row, list(self.ledger.statuses.marked(connection, key))

    async def fetch(self, key: str, *, document: bool = False) -> Served:
        """The current signed form; raises `NotFound`. `document`: with a Data Integrity proof instead of a JWT's signature."""
        row = await self._row(key)
        if not self._fresh(row):
            await self.publish()
            row = await self._row(key)
        jwt = row.jwt or ""
        etag = hashlib.sha256(jwt.encode()).hexdigest()
        return self._document(key, jwt, f'"{etag}-di"') if document else Served(jwt, f'"{etag}"')

    def _document(self, key: str, jwt: str, etag: str) -> Served:
        """Made at the first reader after a change, and kept."""
        known = self.documents.get(key)
        if known is None or known.etag != etag:
            known = self.documents[key] = Served(as_document(jwt, self.signer, limit=_LARGEST), etag)
        return known

    async def _row(self, key: str) -> ListRow:
        row = await self.ledger.database.read(lambda c: self.ledger.statuses.get(c, key))
        if row is None:
            raise NotFound("no such status list")
        return row

    def _fresh(self, row: ListRow) -> bool:
        return row.current and row.expires is not None and row.expires > self.ledger.now()

    async def next_due(self) -> datetime | None:
        """When the oldest signed form must be renewed; None while there is no list."""
        oldest = await self.ledger.database.read(self.ledger.statuses.oldest)
        return None if oldest is None else parse_iso(oldest) + RESIGN
