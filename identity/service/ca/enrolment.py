"""Member certificates for active members: enrolment and renewal (identity.md 4.3).

Rules
- The Self-Issued ID token says for whom: the CSR gives only the public key and the proof that the caller has the private one. Names
  are rebuilt from the register (DID, approved hosts); what the CSR asks for is ignored.
- Only active members; a suspension blocks both ways. At most `per_hour` certificates per member and hour.
- A public key that was certified for another DID is refused.
- Renewal wants the valid member certificate on the connection, issued by us to the same DID and not revoked.
- The certificate is in the register before it is handed out, so that a suspension reaches it.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from msgspec import Meta, Struct

from identity.service.issuer.requests import active_member
from identity.service.store.certificates import Issued
from identity.service.store.ledger import Ledger
from identity.service.store.members import Member
from identity.service.store.port import Connection
from identity.tls import names
from identity.tls.ca import Authority, MemberCertificate
from kernel.clock import iso
from kernel.errors import Conflict, TooMany, Unauthorized


class CertificateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A PKCS#10 request in PEM."""

    csr: Annotated[str, Meta(min_length=1, max_length=16_384)]


class Enrolled(Struct, frozen=True, kw_only=True, rename="camel"):
    """The leaf, the chain below the root, the bundle of trusted CA certificates (all PEM) and when to renew (UTC)."""

    certificate: str
    chain: str
    bundle: str
    renew_after: str


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Issues certificates to members of the register."""

    ledger: Ledger
    authority: Authority
    life: timedelta
    per_hour: int

    def enrol(self, connection: Connection, caller: str, csr: bytes) -> Enrolled:
        """A certificate for the caller's DID; runs inside the transaction that spends its token.

        Raises `Forbidden` (no active member), `TooMany`, `BadInput` (CSR) and `Conflict` (key of another DID).
        """
        member = active_member(self.ledger, connection, caller)
        self._rate(connection, member)
        now = self.ledger.clock.now()
        made = self.authority.issue_member(csr, member.did, member.hosts, now=now, life=self.life)
        row = self._row(member, made)
        if self.ledger.certificates.key_of_another(connection, row.key_digest, member.did):
            raise Conflict("this public key belongs to another participant", next_step="make a new key pair")
        self.ledger.certificates.add(connection, row)
        return Enrolled(
            certificate=made.certificate,
            chain=made.chain,
            bundle=self.authority.bundle,
            renew_after=iso(made.not_before + self.life * 2 / 3),
        )

    def renew(self, connection: Connection, caller: str, leaf: bytes | None, csr: bytes) -> Enrolled:
        """The next certificate, for the holder of a valid one; raises `Unauthorized` beside the errors of `enrol`."""
        if leaf is None or names.did_of(leaf) != caller:
            raise Unauthorized(step="renewal", reason="no member certificate of this DID on the connection")
        known = self.ledger.certificates.by_serial(connection, names.serial(leaf))
        if known is None or known.did != caller or known.thumbprint != names.thumbprint(leaf):
            raise Unauthorized(step="renewal", reason="the certificate is not one of ours")
        if known.revoked is not None:
            raise Unauthorized(step="renewal", reason="the certificate is revoked")
        return self.enrol(connection, caller, csr)

    def _rate(self, connection: Connection, member: Member) -> None:
        since = iso(self.ledger.clock.now() - timedelta(hours=1))
        if self.ledger.certificates.issued_since(connection, member.id, since) >= self.per_hour:
            raise TooMany("too many certificates within an hour", next_step="wait, and keep the certificate you have")

    @staticmethod
    def _row(member: Member, made: MemberCertificate) -> Issued:
        return Issued(
            serial=names.serial(made.der),
            member=member.id,
            did=member.did,
            thumbprint=names.thumbprint(made.der),
            key_digest=hashlib.sha256(made.public_key).hexdigest(),
            issued=iso(made.not_before),
            expires=iso(made.not_after),
        )
