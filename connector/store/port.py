"""What the rest of the connector may ask of its store. Every backend passes the suite in tests/store."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from math import inf
from sys import maxsize
from typing import Literal, Protocol

from msgspec import Struct

from catalog.dcat import Asset, OfferTerms
from connector.processes.model import (
    Agreement,
    Allotted,
    Commit,
    Decided,
    Document,
    JournalRow,
    Kind,
    Ledger,
    OutboxRow,
    Payment,
    Process,
    Role,
    TokenUse,
)
from identity.access.service import AccessStore
from identity.verify import TokenUse as VerifiedUse
from identity.wallet.port import CredentialStore
from policies.duties import Counter, Entry

LEDGER = "ledger"
EventKind = Literal["negotiation", "transfer", "waiting", "agreement", "duty", "membership", "standing"]
Notice = Callable[[str, str], None]  # kind and key of what another replica has changed


class Claim(Struct, frozen=True, kw_only=True):
    """An outbox row that the worker has taken, with its process (None when that is gone).

    `lane` is the peer, with a word before it for what is no message to it. `fence` counts the claims of the row, where there are replicas; `until` is when ours
    ends, in seconds of `time.monotonic`.
    """

    row: OutboxRow
    lane: str
    attempts: int
    process: Process | None
    fence: int = 0
    until: float = inf


class Rooms(Struct, frozen=True):
    """How many rows a claim may take from each lane: those that are named, and any other."""

    named: dict[str, int] = {}
    other: int = maxsize


ANY_ROOM = Rooms()


class Due(Struct, frozen=True, kw_only=True):
    """An outbox row as the operator sees it."""

    row: OutboxRow
    peer: str
    attempts: int
    reason: str
    parked: bool


class ReceivedObject(Struct, frozen=True, kw_only=True):
    """A dataset that came to us under an agreement; `file` is below the data directory."""

    transfer: str
    agreement: str
    dataset: str
    peer: str
    sha256: str
    size: int
    file: str
    schema: str  # what it was validated against; empty when the dataset names no schema we know
    at: str
    deleted: str = ""  # when the file was removed; the record stays


class Membership(Struct, frozen=True, kw_only=True):
    """Joining: NONE, APPLIED, REQUESTED, ACTIVE or REFUSED; `requests` are our credential requests."""

    state: str = "NONE"
    application: str = ""
    requests: tuple[str, ...] = ()
    renew_after: str = ""
    note: str = ""


class Followed(Struct, frozen=True, kw_only=True):
    """What the authority has told us: the last event's number, who is kept out and why, its keys, and the trust lists.

    `keys` are the thumbprints that are believed now, `pinned` the one of the settings when they were (empty: the first one that was seen).
    `trust` holds signed trust lists by the DID of their authority: ours, and those of recognised consortia.
    """

    after: int = 0
    barred: dict[str, str] = {}
    pinned: str = ""
    keys: tuple[str, ...] = ()
    trust: dict[str, str] = {}


class Happened(Struct, frozen=True, kw_only=True):
    """Something that happened (`store.happened`). `id` is its place in the order of commits, empty before it is stored; `at` is when it was written, by the clock of whoever wrote it."""

    id: str = ""
    at: str = ""
    kind: EventKind
    subject: str
    facts: dict[str, str] = {}


class Relation(Struct, frozen=True, kw_only=True):
    """A trade relation as our own ledger has it (`usage.relations`). Moments are ISO 8601; empty: from ever, or without end."""

    id: str
    partner: str
    kind: str  # what the partner is to us: customer or supplier
    product: str = ""  # product or material; empty: everything that is traded
    since: str = ""
    until: str = ""
    person: str = ""
    at: str = ""
    ended: str = ""
    ended_by: str = ""
    reason: str = ""


class Store(CredentialStore, Protocol):
    """One participant's durable memory. Reads see what is committed; writes return when they are durable.

    All are coroutines, since a backend may have to ask a server; the embedded one answers without a pause.
    """

    access: AccessStore  # management keys and audit log; an open event travels with the writes of this store

    async def process(self, key: str) -> Process | None: ...
    async def process_of_peer(self, peer: str, kind: Kind, peer_pid: str) -> Process | None: ...
    async def processes(self, kind: Kind, after: str, limit: int, *, waiting: bool = False) -> list[Process]:
        """Newest first; `after` is the id of the last one seen. `waiting`: only those that wait for a person."""

    async def transfers_of(self, agreement: str) -> list[Process]:
        """Transfers under an agreement that have not ended."""

    async def open_with(self, peer: str) -> list[Process]:
        """Negotiations and transfers with a participant that have not ended."""

    async def replay(self, process: str, message_id: str, sender: Role) -> str | None:
        """The state to which this message of its party has led the process; None: it was not accepted."""

    async def journal(self, process: str) -> list[JournalRow]: ...
    async def seen(self, token: TokenUse | VerifiedUse) -> bool: ...
    async def commit(self, commit: Commit) -> None:
        """All or nothing. Raises `VersionConflict`, `Unauthorized` (used token), `StorageFull`."""

    async def spend(self, token: TokenUse | VerifiedUse) -> None: ...
    async def purge(self, now: int) -> None:
        """Forget tokens that expired before `now` (seconds since the epoch)."""

    @property
    def patience(self) -> float | None:
        """Seconds after which the worker looks again though nobody woke it; None where nothing can be missed."""

    async def claim(self, now: str, limit: int, busy: Collection[str], rooms: Rooms = ANY_ROOM) -> tuple[list[Claim], str | None]:
        """Rows whose time has come, oldest first, one per process, without those of processes that are `busy`, and the time of the next one.

        From no lane more than it has room for; how many rows wait in one that has none costs nothing.
        """

    async def living(self, keys: frozenset[str]) -> frozenset[str]:
        """Those of the claimed rows that are still there and ours."""

    async def outbox(self, *processes: str) -> list[Due]:
        """Rows of these processes, or of all; in the order in which they were made, at most 1,000."""

    async def outbox_after(self, after: str, limit: int) -> list[Due]:
        """Rows by id; `after` is the last one seen, which may be gone by now."""

    async def postpone(self, row: str, fence: int, due: str, reason: str, *, parked: bool) -> None:
        """Give a claimed row back until `due`; nothing happens when somebody else has claimed it since."""

    async def drop(self, row: str, fence: int) -> None:
        """Take a claimed row away; nothing happens when somebody else has claimed it since."""

    async def release(self, row: str) -> bool: ...
    async def agreement(self, key: str) -> Agreement | None: ...
    async def agreements(self, after: str, limit: int) -> list[Agreement]: ...
    async def save_agreement(self, agreement: Agreement) -> None:
        """Keep what was decided about a stored agreement: retirement, renewal."""

    async def agreements_due(self, now: str, limit: int) -> list[Agreement]:
        """Agreements about which something is to be done now."""

    async def ledger(self, agreement: str) -> Ledger:
        """Duties, counters and decisions of an agreement, as they stand."""

    @property
    def looks_ahead(self) -> bool:
        """Whether `ahead` tells more than `ledger`."""

    async def ahead(self, agreement: str) -> Ledger:
        """The same with what commits under way will make of it, where the store looks ahead.

        For what is written with a decision only: when it builds on a commit that fails, it is a `VersionConflict`.
        """

    async def duty(self, key: str) -> Entry | None: ...
    async def duties(self, after: str, limit: int, *, timed: bool = False) -> list[Entry]:
        """By id; `timed`: only those that time will change."""

    async def save_duties(self, entries: Sequence[Entry]) -> None:
        """New versions, all or none; raises `VersionConflict`."""

    async def counters(self, after: str, limit: int) -> list[Counter]:
        """By `Counter.id`."""

    async def payments(self, after: str, limit: int, *, agreement: str = "") -> list[Payment]:
        """By id."""

    async def payment(self, key: str) -> Payment | None: ...
    async def add_payment(self, payment: Payment, counter: Counter, duties: Sequence[Entry] = ()) -> None:
        """Enter a payment with the new versions of its counter and of duties; raises `VersionConflict` where one of them moved meanwhile."""

    async def allotment(self, key: str) -> Allotted | None:
        """As it stands."""

    async def allotments(self, after: str, limit: int) -> list[Allotted]:
        """By id, as they stand."""

    async def return_allotment(self, allotment: Allotted, counters: Sequence[Counter]) -> None:
        """Keep what was given back with the counters afterwards; raises `VersionConflict`."""

    async def add_decision(self, decided: Decided) -> None:
        """A decision by itself, at the end of its chain; raises `VersionConflict`."""

    async def decision(self, hash_: str) -> Decided | None: ...
    async def decisions(self, after: str, limit: int, *, agreement: str = "") -> list[Decided]:
        """By hash, or in the order of one agreement's chain."""

    async def decided(self, transfer: str) -> Decided | None:
        """The last decision about a transfer."""

    async def running(self, after: str, limit: int) -> list[Process]:
        """Transfers that have not ended, by id."""

    async def events(self, after: str, limit: int) -> list[Happened]:
        """What happened after an id (empty: from the first), in the order of commits. What is told now is never followed by something that belongs before it."""

    async def last_event(self) -> str:
        """The id of the newest event that may be told; empty: there is none."""

    async def first_event(self) -> str:
        """The id of the oldest event that is kept; empty: there is none."""

    async def forget_events(self, before: str, most: int) -> int:
        """Remove what happened before a moment, from the oldest on, of what the first `most` writes told; how many of these are gone. The last of them stays, whatever its age: what is kept begins there."""

    async def settling(self, after: str) -> bool:
        """Whether there are events after an id, told or not: what is not told yet waits for a transaction that began before it."""

    async def document(self, digest: str) -> bytes | None: ...
    async def keep(self, documents: Sequence[Document]) -> None:
        """Keep documents, unless they are kept already."""

    async def asset(self, key: str) -> Asset | None: ...
    async def assets(self, after: str, limit: int) -> list[Asset]: ...
    async def add_asset(self, asset: Asset) -> None: ...
    async def offer(self, key: str) -> OfferTerms | None: ...
    async def offers(self, after: str, limit: int) -> list[OfferTerms]: ...
    async def offers_of(self, asset: str) -> list[OfferTerms]: ...
    async def add_offer(self, offer: OfferTerms) -> None: ...
    async def received(self, transfer: str = "") -> list[ReceivedObject]: ...
    async def received_after(self, after: str, limit: int) -> list[ReceivedObject]:
        """By transfer; `after` is the last one seen."""

    async def received_under(self, agreement: str) -> list[ReceivedObject]: ...
    async def add_received(self, found: ReceivedObject) -> None: ...
    async def relation(self, key: str) -> Relation | None: ...
    async def relations(self, after: str, limit: int) -> list[Relation]:
        """Trade relations by id."""

    async def save_relation(self, relation: Relation) -> None: ...
    async def membership(self) -> Membership: ...
    async def save_membership(self, membership: Membership) -> None: ...
    def on_membership(self, listener: Callable[[], None]) -> None:
        """Call `listener` when our membership is another, also by another replica, or may be."""

    async def followed(self) -> Followed: ...
    async def save_followed(self, followed: Followed) -> None: ...
    def turn(self, name: str) -> AbstractAsyncContextManager[None]:
        """A block that one replica at a time is in."""

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every commit, also of other replicas."""

    def on_gone(self, listener: Callable[[Commit], None]) -> None:
        """Call `listener` with every commit here that took rows out of the outbox, once it is durable."""

    def on_ledger(self, listener: Callable[[str, str], None]) -> None:
        """Call `listener(agreement, transfer)` after a commit here that started a transfer that we provide or decided it anew, or (`transfer` empty) made or changed duties.

        Not for the duties of the agreement that the commit makes, unless one is dated: nothing runs under it yet, and no time changes them.
        """

    def on_notice(self, listener: Notice) -> None:
        """Call `listener(kind, key)` when another replica has changed what may be held in memory: ("offer", id), ("relation", id), (LEDGER, transfer and agreement of `on_ledger`, or nothing), ("membership", ""), ("keys", ""), or ("", "") for anything."""

    async def tell(self, kind: str) -> None:
        """Tell the other replicas of a change outside of the store: "keys" for those of the data directory."""

    async def close(self) -> None: ...
