"""Publication of the revocation list: signed at every change and before it grows old (RFC 5280 5; identity.md 4.3, 4.4).

Rules
- The number grows with every list, thisUpdate is strictly later than the one before (a list of the same second would lose).
- Signed at every change and every hour; valid for a day. A list past nextUpdate would stop every handshake that checks it.
- Held certificates (suspension) are on the list and leave it with the reinstatement; expired ones are left out.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import msgspec

from identity.service.store.certificates import Crl
from identity.service.store.ledger import Ledger
from identity.tls.ca import Authority, Revoked
from kernel.clock import iso, parse_iso
from kernel.faults import crashpoint

LIFE: Final = timedelta(hours=24)
RESIGN: Final = timedelta(hours=1)
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class RevocationList:
    """The list of one issuing CA."""

    ledger: Ledger
    authority: Authority
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def publish(self) -> None:
        """Sign the list when it is missing, behind or old. Nothing is written otherwise."""
        async with self.turn:
            now = self.ledger.clock.now().replace(microsecond=0)
            last = self._last()
            if last.current and (due := self._due(last)) is not None and now < due:
                return
            if last.this_update is not None:
                now = max(now, parse_iso(last.this_update) + _SECOND)
            await self._sign(last, now)

    async def _sign(self, last: Crl, now: datetime) -> None:
        rows = self.ledger.database.read(lambda c: self.ledger.certificates.revoked(c, iso(now)))
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
        crashpoint("crl.signed")
        await self.ledger.database.write(lambda c: self.ledger.certificates.publish(c, signed))

    async def fetch(self) -> bytes:
        """The current list (DER)."""
        last = self._last()
        if not last.current:
            await self.publish()
            last = self._last()
        return msgspec.convert(last.der, bytes)

    def next_due(self) -> datetime | None:
        """When the list must be signed again."""
        return self._due(self._last())

    def _last(self) -> Crl:
        return self.ledger.database.read(self.ledger.certificates.crl)

    @staticmethod
    def _due(last: Crl) -> datetime | None:
        return None if last.this_update is None else parse_iso(last.this_update) + RESIGN
