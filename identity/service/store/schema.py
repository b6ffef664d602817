"""Declaration of every table of the identity service (SQLModel).

Rules
- Read by migrations and tests only: a serving process uses plain SQL (`store.port`) and never imports this.
- Texts are compared byte by byte, on PostgreSQL by collation "C", whatever the database's own is.
- Every table has `participant`, the DID of the service that owns the row, as the first part of its primary key.
- Times are text as `kernel.clock.iso` writes them (UTC, milliseconds): they sort as text. Lists and objects are JSON text.
- No secret is stored in clear: invitation codes as SHA-256. The one exception is the write right of a pending delivery
  (`issuance.grant_token`), deleted with the delivery.
- A status list is its entries: bits live in `status_entry.value`, the signed list is derived from them.
"""

from typing import ClassVar

from sqlalchemy import BigInteger, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import registry
from sqlmodel import AutoString, Column, Field, SQLModel


class Table(SQLModel, registry=registry()):
    """Base of the tables; a registry of its own keeps them apart from other services' tables of the same name."""


class MemberRow(Table, table=True):
    """One company in the register; the row exists from the invitation on."""

    __tablename__: ClassVar[str] = "member"
    __table_args__ = (
        UniqueConstraint("participant", "did"),
        UniqueConstraint("participant", "number"),
        UniqueConstraint("participant", "seq"),
    )
    participant: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    seq: int = Field(sa_type=BigInteger)
    did: str
    name: str
    corporate_number: str
    roles: str
    hosts: str
    state: str
    number: str | None = None
    since: str | None = None
    changed: str


class InvitationRow(Table, table=True):
    """A code for one DID, used once."""

    __tablename__: ClassVar[str] = "invitation"
    __table_args__ = (UniqueConstraint("participant", "code_digest"),)
    participant: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    member: str
    code_digest: str
    created: str
    expires: str
    application: str | None = None


class ApplicationRow(Table, table=True):
    """Proof of control of a DID with an invitation, and what became of it."""

    __tablename__: ClassVar[str] = "application"
    participant: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    member: str
    did: str
    hosts: str
    submitted: str


class AttestationRow(Table, table=True):
    """What the operator has attested of a member: a source of claims beside the register. `value` is JSON text."""

    __tablename__: ClassVar[str] = "attestation"
    participant: str = Field(primary_key=True)
    member: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    value: str
    at: str


class IssuanceRow(Table, table=True):
    """One DCP issuance process; its id is the issuerPid."""

    __tablename__: ClassVar[str] = "issuance"
    __table_args__ = (UniqueConstraint("participant", "holder", "holder_pid"), UniqueConstraint("participant", "seq"))
    participant: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    seq: int = Field(sa_type=BigInteger)
    member: str
    holder: str
    holder_pid: str
    definitions: str
    state: str
    reason: str | None = None
    grant_token: str | None = None
    created: str
    changed: str


class CredentialRow(Table, table=True):
    """One credential, from the allocation of its status entries on; `jwt` follows when it is signed. `state` is its own, not its holder's."""

    __tablename__: ClassVar[str] = "credential"
    __table_args__ = (
        UniqueConstraint("participant", "issuance", "definition"),
        Index("credential_of_member", "participant", "member"),
        Index("credential_by_type", "participant", "type"),
    )
    participant: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    issuance: str
    place: int
    member: str
    holder: str
    definition: str
    type: str
    format: str
    subject: str
    valid_from: str
    valid_until: str
    jwt: str | None = None
    state: str


class StatusListRow(Table, table=True):
    """One list per format and purpose at a time; `version` counts changes, `signed_version` is what `jwt` shows."""

    __tablename__: ClassVar[str] = "status_list"
    participant: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    seq: int
    format: str
    purpose: str
    length: int
    taken: int
    version: int
    signed_version: int
    jwt: str | None = None
    signed: str | None = None
    expires: str | None = None


class StatusEntryRow(Table, table=True):
    """One allocated position; the primary key forbids that a position is given twice."""

    __tablename__: ClassVar[str] = "status_entry"
    __table_args__ = (Index("status_entry_of_credential", "participant", "credential"),)
    participant: str = Field(primary_key=True)
    list: str = Field(primary_key=True)
    position: int = Field(primary_key=True)
    credential: str
    value: int


class OutboxRow(Table, table=True):
    """A message that must still go out; the row is deleted when it has arrived. `owner`: the process that is at it, until the end of its lease."""

    __tablename__: ClassVar[str] = "outbox"
    __table_args__ = (Index("outbox_due", "participant", "due"),)
    participant: str = Field(primary_key=True)
    issuance: str = Field(primary_key=True)
    due: str
    attempts: int
    created: str
    error: str | None = None
    owner: str
    leased_until: str


class CertificateRow(Table, table=True):
    """One member certificate; `revoked` with reason certificateHold is lifted by a reinstatement."""

    __tablename__: ClassVar[str] = "certificate"
    __table_args__ = (
        Index("certificate_of_member", "participant", "member"),
        Index("certificate_of_key", "participant", "key_digest"),
    )
    participant: str = Field(primary_key=True)
    serial: str = Field(primary_key=True)
    member: str
    did: str
    thumbprint: str
    key_digest: str
    issued: str
    expires: str
    revoked: str | None = None
    reason: str | None = None


class CrlRow(Table, table=True):
    """The current revocation list; number and thisUpdate only grow."""

    __tablename__: ClassVar[str] = "crl"
    participant: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    number: int
    version: int
    signed_version: int
    this_update: str | None = None
    next_update: str | None = None
    der: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))


class TrustListRow(Table, table=True):
    """A published trust list; the newest one counts."""

    __tablename__: ClassVar[str] = "trust_list"
    participant: str = Field(primary_key=True)
    sequence: int = Field(primary_key=True)
    content: str
    jwt: str
    since: str
    until: str


class UsedTokenRow(Table, table=True):
    """Token ids seen, until they expire; the primary key decides who was first."""

    __tablename__: ClassVar[str] = "used_token"
    __table_args__ = (Index("used_token_expires", "participant", "expires"),)
    participant: str = Field(primary_key=True)
    issuer: str = Field(primary_key=True)
    jti: str = Field(primary_key=True)
    expires: str


class AccessKeyRow(Table, table=True):
    """A management key, as a hash (`identity.access.keys`)."""

    __tablename__: ClassVar[str] = "access_key"
    participant: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    revoked: str
    used: str


class AuditRow(Table, table=True):
    """The audit log of the management API: append-only by triggers, each row linked to the one before it."""

    __tablename__: ClassVar[str] = "audit"
    participant: str = Field(primary_key=True)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    at: str
    who: str
    name: str
    role: str
    action: str
    object: str
    outcome: str
    previous: str
    hash: str


class AuditHeadRow(Table, table=True):
    """The newest row of the audit log."""

    __tablename__: ClassVar[str] = "audit_head"
    participant: str = Field(primary_key=True)
    seq: int = Field(sa_type=BigInteger)
    hash: str


class EventRow(Table, table=True):
    """What happened to members, in order, without gaps. `subject` is what it happened to: a credential, a serial, a trust list's number."""

    __tablename__: ClassVar[str] = "event"
    participant: str = Field(primary_key=True)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    kind: str
    member: str
    did: str
    subject: str
    at: str


for _table in Table.metadata.tables.values():
    for _column in _table.columns:
        if isinstance(_column.type, AutoString):
            _column.type = String().with_variant(String(collation="C"), "postgresql")
