"""Revoking single member certificates, by their holder or by the operator (RFC 5280 5.3.1; identity.md 4.3).

Rules
- Final: a suspension (certificateHold) hangs on the membership, and is not given here.
- The holder revokes its own certificates only, with a Self-Issued ID token; somebody else's serial is the same 404 as an unknown one.
- The listing and the event that connectors follow are one transaction; the list is signed right after it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

from msgspec import Struct

from identity.service.store.certificates import Issued
from identity.service.store.ledger import Ledger
from identity.service.store.port import Connection
from kernel.errors import Conflict, NotFound
from kernel.faults import crashpoint

EVENT: Final = "certificate-revoked"
Reason = Literal["unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation", "privilegeWithdrawn"]


class Revoke(Struct, frozen=True, forbid_unknown_fields=True):
    """Why; a name of RFC 5280."""

    reason: Reason = "unspecified"


@dataclass(frozen=True, slots=True)
class CertificateRevocation:
    """Lists certificates; `publish` signs the list after the commit."""

    ledger: Ledger
    publish: Callable[[], Awaitable[None]]

    async def revoke(self, serial: str, reason: Reason) -> Issued:
        """The operator's: any certificate; raises `NotFound`, `Conflict`."""
        found = await self.ledger.database.write(lambda c: self.listed(c, serial, reason, None))
        crashpoint("certificate.revoked")
        await self.publish()
        return found

    def listed(self, connection: Connection, serial: str, reason: Reason, holder: str | None) -> Issued:
        """Put a certificate (of this holder, if one is given) on the list; inside a transaction. Raises `NotFound`, `Conflict`."""
        found = self.ledger.certificates.by_serial(connection, serial)
        if found is None or (holder is not None and found.did != holder):
            raise NotFound("no such certificate")
        now = self.ledger.now()
        if not self.ledger.certificates.revoke(connection, serial, now, reason):
            raise Conflict("the certificate is revoked, or has expired", next_step="nothing is left to do")
        self.ledger.journal.record(connection, EVENT, found.member, found.did, now, subject=serial)
        return self.ledger.certificates.by_serial(connection, serial) or found
