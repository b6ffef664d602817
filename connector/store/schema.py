"""Tables of a connector, declared once (SQLModel). Imported by migrations and tests only: serving uses prepared statements (`sqlite`).

Every table has a participant column, so that several participants can share a database. Times are ISO 8601 texts in UTC; bodies are msgpack. Texts are compared byte by
byte, on PostgreSQL by collation "C", whatever the database's own is: pages by key and the marks behind every key need one order.
"""

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, String, UniqueConstraint, text
from sqlmodel import AutoString, Field, SQLModel

_RUNNING = "kind = 'transfer' AND open"
SERIAL = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows of INTEGER keys only


class ProcessRecord(SQLModel, table=True):
    """Negotiations and transfers; `body` is the whole `Process`, the columns are what is searched. Ids begin with the time (`identity.ids`), and lists are in their order.

    What every step sets stands in no index, and in no index's condition: each that names it would be written anew.
    """

    __tablename__ = "process"
    __table_args__ = (
        Index(
            "process_of_peer", "participant", "peer", "kind", "role", "peer_pid",
            unique=True, sqlite_where=text("peer_pid <> ''"), postgresql_where=text("peer_pid <> ''"),
        ),
        Index("process_open_with", "participant", "peer", sqlite_where=text("open"), postgresql_where=text("open")),
        Index("process_waiting", "participant", "kind", "id", sqlite_where=text("waiting"), postgresql_where=text("waiting")),
        Index("process_running", "participant", "id", sqlite_where=text(_RUNNING), postgresql_where=text(_RUNNING)),
        Index(
            "process_of_agreement", "participant", "agreement",
            sqlite_where=text("agreement <> ''"), postgresql_where=text("agreement <> ''"),
        ),
    )  # fmt: skip
    participant: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    role: str
    peer: str
    peer_pid: str
    version: int
    open: bool
    waiting: bool
    agreement: str
    body: bytes = Field(sa_type=LargeBinary)


class JournalRecord(SQLModel, table=True):
    """Transitions, append-only."""

    __tablename__ = "journal"
    process: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    participant: str
    before: str
    after: str
    message: str
    sender: str
    message_id: str
    at: str
    person: str


class OutboxRecord(SQLModel, table=True):
    """What must still happen outwardly; `lane` says towards whom (`Claim`)."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("outbox_due", "participant", "due", "seq", "process", "lane"),  # a claim chooses by it alone
        Index("outbox_lane", "participant", "lane", "due", "seq"),
        Index("outbox_process", "process"),
    )
    seq: int | None = Field(default=None, primary_key=True, sa_type=SERIAL)
    id: str = Field(unique=True)
    participant: str
    process: str
    lane: str
    act: str
    message: str
    path: str
    body: bytes = Field(sa_type=LargeBinary)
    due: str
    attempts: int
    reason: str
    parked: bool
    owner: str = ""
    leased_until: str = ""
    fence: int = 0


class SpentRecord(SQLModel, table=True):
    """Used tokens."""

    __tablename__ = "spent"
    __table_args__ = {"sqlite_with_rowid": False}  # small rows, in the order of their key
    participant: str = Field(primary_key=True)
    issuer: str = Field(primary_key=True)
    jti: str = Field(primary_key=True)
    expires: int = Field(sa_type=BigInteger)


class AgreementRecord(SQLModel, table=True):
    """Contract agreements of either role, in the order in which they were concluded; on PostgreSQL with an index (`v0001_first`)."""

    __tablename__ = "agreement"
    __table_args__ = (
        UniqueConstraint("id", "participant"),
        Index("agreement_due", "participant", "due", sqlite_where=text("due <> ''"), postgresql_where=text("due <> ''")),
    )
    seq: int | None = Field(default=None, primary_key=True, sa_type=SERIAL)
    id: str
    participant: str
    negotiation: str
    due: str
    body: bytes = Field(sa_type=LargeBinary)


class DutyRecord(SQLModel, table=True):
    """Duties of agreements, append-only: the newest version counts. `due` is when time alone changes it."""

    __tablename__ = "duty"
    __table_args__ = (
        Index("duty_by_id", "participant", "id", "version"),
        Index("duty_due", "participant", "agreement", "path", sqlite_where=text("due <> ''"), postgresql_where=text("due <> ''")),
    )
    participant: str = Field(primary_key=True)
    agreement: str = Field(primary_key=True)
    path: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    id: str
    state: str
    due: str
    body: bytes = Field(sa_type=LargeBinary)


class CounterRecord(SQLModel, table=True):
    """What was used of agreements, append-only: the newest version counts."""

    __tablename__ = "counter"
    participant: str = Field(primary_key=True)
    agreement: str = Field(primary_key=True)
    operand: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    body: bytes = Field(sa_type=LargeBinary)


class PaymentRecord(SQLModel, table=True):
    """What was paid under agreements, as the provider has entered it; append-only."""

    __tablename__ = "payment"
    participant: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    agreement: str
    body: bytes = Field(sa_type=LargeBinary)


class AllotmentRecord(SQLModel, table=True):
    """Uses that separate data planes have drawn, append-only: version 2 is what was given back."""

    __tablename__ = "allotment"
    participant: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    body: bytes = Field(sa_type=LargeBinary)


class DecisionRecord(SQLModel, table=True):
    """Decisions about transfers, append-only, a chain for each agreement."""

    __tablename__ = "decision"
    __table_args__ = (
        Index("decision_by_hash", "participant", "hash"),
        Index("decision_of_transfer", "participant", "transfer", "seq"),
    )
    participant: str = Field(primary_key=True)
    agreement: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    hash: str
    transfer: str
    body: bytes = Field(sa_type=LargeBinary)


class EventRecord(SQLModel, table=True):
    """What happened, for operators, one row for a write, in the order of commits: `seq` with one writer; on PostgreSQL `turn`, the number of the transaction, then `seq`, with an index (`v0001_first`)."""

    __tablename__ = "event"
    seq: int | None = Field(default=None, primary_key=True, sa_type=SERIAL)
    participant: str
    turn: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    at: str
    body: bytes = Field(sa_type=LargeBinary)


class DocumentRecord(SQLModel, table=True):
    """Documents that evidence refers to, by their digest."""

    __tablename__ = "document"
    participant: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    body: bytes = Field(sa_type=LargeBinary)


class AssetRecord(SQLModel, table=True):
    """Published datasets."""

    __tablename__ = "asset"
    id: str = Field(primary_key=True)
    participant: str
    body: bytes = Field(sa_type=LargeBinary)


class OfferRecord(SQLModel, table=True):
    """Offers for datasets."""

    __tablename__ = "offer"
    __table_args__ = (Index("offer_asset", "asset"),)
    id: str = Field(primary_key=True)
    participant: str
    asset: str
    body: bytes = Field(sa_type=LargeBinary)


class CredentialRecord(SQLModel, table=True):
    """Held credentials."""

    __tablename__ = "credential"
    __table_args__ = (UniqueConstraint("participant", "id"),)
    seq: int | None = Field(default=None, primary_key=True, sa_type=SERIAL)
    participant: str
    id: str
    type: str
    issuer: str
    body: bytes = Field(sa_type=LargeBinary)


class CredentialRequestRecord(SQLModel, table=True):
    """Our requests to issuers."""

    __tablename__ = "credential_request"
    seq: int | None = Field(default=None, primary_key=True, sa_type=SERIAL)
    id: str = Field(unique=True)
    participant: str
    body: bytes = Field(sa_type=LargeBinary)


class ReceivedRecord(SQLModel, table=True):
    """Datasets received under an agreement: pushed to us or pulled by us."""

    __tablename__ = "received"
    __table_args__ = (Index("received_under", "participant", "agreement"),)
    transfer: str = Field(primary_key=True)
    participant: str
    agreement: str
    body: bytes = Field(sa_type=LargeBinary)


class AccessKeyRecord(SQLModel, table=True):
    """Management keys, as hashes; `revoked` and `used` change after the key was made."""

    __tablename__ = "access_key"
    participant: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    body: bytes = Field(sa_type=LargeBinary)
    revoked: str
    used: str


class AuditRecord(SQLModel, table=True):
    """The audit log of the management API: append-only (triggers of the first migration), each row linked to the one before it."""

    __tablename__ = "audit"
    participant: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    at: str
    who: str
    name: str
    role: str
    action: str
    object: str
    outcome: str
    previous: str
    hash: str


class AuditHeadRecord(SQLModel, table=True):
    """The newest row of the audit log."""

    __tablename__ = "audit_head"
    participant: str = Field(primary_key=True)
    seq: int
    hash: str


class RelationRecord(SQLModel, table=True):
    """Trade relations of the participant's own ledger; ended ones stay."""

    __tablename__ = "relation"
    participant: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    body: bytes = Field(sa_type=LargeBinary)


class MembershipRecord(SQLModel, table=True):
    """How far the participant has come in joining its data space."""

    __tablename__ = "membership"
    participant: str = Field(primary_key=True)
    body: bytes = Field(sa_type=LargeBinary)


class FollowedRecord(SQLModel, table=True):
    """What the authority's event feed has told: number, members that are kept out, pinned key."""

    __tablename__ = "followed"
    participant: str = Field(primary_key=True)
    body: bytes = Field(sa_type=LargeBinary)


for _table in SQLModel.metadata.tables.values():
    for _column in _table.columns:
        if isinstance(_column.type, AutoString):
            _column.type = String().with_variant(String(collation="C"), "postgresql")
