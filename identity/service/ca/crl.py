"""Publication of the revocation list: signed at every change and before it grows old (RFC 5280 5; identity.md 4.3, 4.4).

Rules
- The number grows with every list, thisUpdate is strictly later than the one before (a list of the same second would lose).
- One process at a time signs, by a turn of the database: a number is used once.
- Signed at every change, every hour, and when another CA has been installed; valid for a day. A list past nextUpdate would stop every handshake that checks it.
- Held certificates (suspension) are on the list and leave it with the reinstatement; expired ones are left out.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from identity.service.store.certificates import ISSUING, PREVIOUS, Crl
from identity.service.store.ledger import Ledger
from identity.service.store.port import Connection
from identity.tls.ca import Authority, Revoked
from kernel.clock import iso, parse_iso
from kernel.errors import NotFound
from kernel.faults import crashpoint

LIFE: Final = timedelta(hours=24)
RESIGN: Final = timedelta(hours=1)
NAMES: Final = (ISSUING, PREVIOUS)
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class RevocationList:
    """The lists of the issuing CA and, after a change, of the one before it: the same entries under one number."""

    ledger: Ledger
    authority: Authority

    async def publish(self) -> None:
        """Sign the list when it is missing, behind or old. Nothing is written otherwise."""
        if self._fresh(await self._last()):
            return
        async with self.ledger.database.turn("revocation list"):
            last, now = await self._last(), self._second()
            if self._fresh(last):
                return
            if last.this_update is not None:
                now = max(now, parse_iso(last.this_update) + _SECOND)
            await self._sign(last, now)

    def _second(self) -> datetime:
        return self.ledger.clock.now().replace(microsecond=0)

    def _fresh(self, last: Crl) -> bool:
        ours = last.der is not None and self.authority.signed(last.der)
        return ours and last.current and (due := self._due(last)) is not None and self._second() < due

    async def _sign(self, last: Crl, now: datetime) -> None:
        rows = await self.ledger.database.read(lambda c: self.ledger.certificates.revoked(c, iso(now)))
        entries = [Revoked(int(serial, 16), parse_iso(at), reason) for serial, at, reason in rows]
        following = now + LIFE
        signed = Crl(
            number=last.number + 1,
            version=last.version,
            signed_version=last.version,
            this_update=iso(now),
            next_update=iso(following),
            der=self.authority.crl(entries, number=last.number + 1, this_update=now, next_update=following),
        )
        older = self.authority.previous
        before = older.crl(entries, number=signed.number, this_update=now, next_update=following) if older else None
        crashpoint("crl.signed")

        def work(connection: Connection) -> None:
            self.ledger.certificates.publish(connection, signed)
            if before is not None:
                self.ledger.certificates.publish(connection, msgspec.structs.replace(signed, der=before), PREVIOUS)

        await self.ledger.database.write(work)

    async def fetch(self, name: str) -> bytes:
        """The current list (DER) of the issuing CA, or of the one before it; raises `NotFound`."""
        if not self._fresh(await self._last()):
            await self.publish()
        found = await self.ledger.database.read(lambda c: self.ledger.certificates.crl(c, name)) if name in NAMES else None
        if found is None or found.der is None or (name == PREVIOUS and self.authority.previous is None):
            raise NotFound("no such revocation list")
        return found.der

    async def next_due(self) -> datetime | None:
        """When the list must be signed again."""
        return self._due(await self._last())

    async def _last(self) -> Crl:
        return await self.ledger.database.read(self.ledger.certificates.crl)

    @staticmethod
    def _due(last: Crl) -> datetime | None:
        return None if last.this_update is None else parse_iso(last.this_update) + RESIGN
