"""The values that negotiation and transfer processes are made of.

Rules
- A `Process` is one side's view of one contract negotiation or transfer process. It is immutable; a new version is
  written on condition that the stored version is the expected one.
- Our own step is first *pending*: it is committed together with its outbox row, and the state moves when the peer's
  answer arrives, or when the peer sends something that is legal only after our step (ADR 0002).
- Everything that one message changes is one `Commit`, written in one transaction.

Not done here: deciding (`tables`, `machine`, `negotiation`, `transfer`), storing (`connector.store`), sending
(`connector.worker`). Times are ISO 8601 in UTC with `Z`; ids are `urn:uuid:`.
"""

from typing import Any, Literal

from msgspec import Struct, field

from policies.duties import Counter, Entry
from policies.odrl.record import FIRST, Record

Kind = Literal["negotiation", "transfer"]
Role = Literal["consumer", "provider"]


class Pending(Struct, frozen=True):
    """Our own step on its way to the peer."""

    message: str  # row name of the transition table, for example "ContractAgreementMessage"
    to: str  # the state that both sides hold once it is delivered
    row: str  # id of its outbox row, which is also the `@id` of the message
    sets: dict[str, Any] = field(default_factory=dict)  # what the step puts into the process's `data` once it is taken
    over: "Pending | None" = None  # a step that a termination replaced while its delivery was unknown
    person: str = ""  # who decided it; empty = the connector by itself


class Waiting(Struct, frozen=True):
    """A process that waits for a person."""

    step: str  # our own step that an approval takes: a row name
    who: str  # whom it waits for
    since: str
    why: str


class Process(Struct, frozen=True, kw_only=True):
    """One side's view of one process; `data` holds what its kind needs (see `negotiation`, `transfer`)."""

    id: str  # our own pid
    participant: str  # DID of the participant whose process this is
    kind: Kind
    role: Role
    peer: str  # DID of the counterparty
    peer_pid: str = ""  # the counterparty's pid; empty until it is known
    callback: str = ""  # base URL under which the counterparty takes our messages, without a trailing slash
    state: str
    version: int = 0  # 0 = not stored yet
    pending: Pending | None = None
    last_accepted: str = ""  # the digest of the peer's last accepted message (`messages.fingerprint`), as long as nothing else has been applied since
    first: str = ""  # that of the peer's message that began the process
    data: dict[str, Any] = field(default_factory=dict)
    waiting: Waiting | None = None
    note: str = ""  # why it waits, or why it ended: for our own side only
    created: str = ""
    updated: str = ""


class JournalRow(Struct, frozen=True):
    """One transition; append-only, numbered by the process version that it made. A message that comes again is known by its row, and answered as it was then.

    Of n rows in one commit the last has the number `version`, the one before it `version - 1`, and so on.
    """

    before: str
    after: str
    message: str
    sender: Role
    message_id: str
    at: str
    person: str = ""  # who decided a step of ours; empty = the connector by itself


class OutboxRow(Struct, frozen=True, kw_only=True):
    """A message (or other outward act) that must happen. Body and `@id` stay the same over all attempts."""

    id: str  # also the `@id` of the message
    process: str
    act: Literal["dsp", "push"]  # "dsp": POST to the peer; "push": let the data plane push the dataset
    message: str  # row name of the transition table, or "push"
    path: str = ""  # below the peer's callback, for example "/negotiations/urn:uuid:.../agreement"
    body: bytes = b""
    due: str = ""  # when the next attempt may start; empty = at once. First the beginning of its process: what has begun is finished before new things are begun


class TokenUse(Struct, frozen=True):
    """A Self-Issued ID token that was spent: (issuer, jti) is unique until it has expired."""

    issuer: str
    jti: str
    expires: int  # seconds since the epoch


class Retirement(Struct, frozen=True):
    """The end of an agreement by one of its parties: no new transfer begins under it."""

    at: str
    person: str
    reason: str = ""


class Renewal(Struct, frozen=True):
    """The order to ask for a new agreement before this one ends (consumer)."""

    days: int  # how long before the end
    person: str
    negotiation: str = ""  # that asks for the successor
    note: str = ""


class Agreement(Struct, frozen=True, kw_only=True):
    """A concluded contract agreement, the same on both sides byte for byte in canonical form."""

    id: str
    participant: str
    role: Role
    peer: str
    negotiation: str
    dataset: str
    policy: dict[str, Any]  # the ODRL agreement as it went over the wire
    hash: str  # "sha256:<hex>" of its canonical form (RFC 8785)
    at: str
    retired: Retirement | None = None
    renewal: Renewal | None = None
    renews: str = ""  # the agreement that it follows
    due: str = ""  # when something is to be done about it: its renewal, or the end of what runs under it
    inherited: dict[str, str] = field(default_factory=dict)  # by name, the digest of each policy that its terms were written from

    @property
    def provider(self) -> str:
        """The DID of its provider, whichever side we are."""
        return self.participant if self.role == "provider" else self.peer

    @property
    def consumer(self) -> str:
        """The DID of its consumer."""
        return self.participant if self.role == "consumer" else self.peer


class Document(Struct, frozen=True):
    """A document that evidence refers to, kept once under its digest (`sha256:<hex>` of the bytes)."""

    digest: str
    body: bytes


class Decided(Struct, frozen=True, kw_only=True):
    """A decision about a transfer; those of one agreement are a chain, numbered from 1 (`policies.odrl.record`)."""

    agreement: str
    seq: int
    transfer: str = ""
    record: Record


class Allotted(Struct, frozen=True, kw_only=True):
    """Uses that a separate data plane may grant by itself under a transfer (`usage.allotments`). Version 1: drawn; 2: the rest given back."""

    id: str  # the plane's own, so that it can ask again
    transfer: str
    agreement: str
    plane: str
    amount: int
    at: str
    version: int = 1
    used: int = 0
    returned: str = ""


class Payment(Struct, frozen=True, kw_only=True):
    """An amount that was paid under an agreement, as the provider has entered it; `amount` is a decimal text, negative where it corrects."""

    id: str
    agreement: str
    amount: str
    unit: str
    evidence: str  # invoice, receipt: what shows it
    person: str  # who entered it; empty: the provider has told us
    at: str = ""


class Ledger(Struct, frozen=True, kw_only=True):
    """What is known of an agreement at one moment: its duties, its counters, and where its chain of decisions ends."""

    duties: tuple[Entry, ...] = ()
    counters: tuple[Counter, ...] = ()
    decided: int = 0
    last: str = FIRST


class Commit(Struct, frozen=True, kw_only=True):
    """Everything that one message or one own decision changes: one transaction."""

    process: Process  # with its new version
    expected: int  # the stored version; 0 = a new process
    journal: tuple[JournalRow, ...] = ()
    outbox: tuple[OutboxRow, ...] = ()  # rows to add
    confirmed: tuple[str, ...] = ()  # outbox rows whose delivery is proven
    withdrawn: tuple[str, ...] = ()  # outbox rows that a crossing message made pointless
    token: TokenUse | None = None
    agreement: Agreement | None = None
    documents: tuple[Document, ...] = ()  # to keep, unless they are kept already
    duties: tuple[Entry, ...] = ()  # new versions
    counters: tuple[Counter, ...] = ()  # new versions
    decided: Decided | None = None
    allotted: Allotted | None = None
    payment: Payment | None = None
