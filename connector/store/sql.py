"""What the store does on either database: one set of statements, over two ways to run them (`sqlite`, `postgres`).

Rules
- A commit writes only when the stored version is the expected one (`VersionConflict`), and only when its token is unused (401): a row count of zero or a
  broken uniqueness undoes everything. So does a decision whose predecessor is not there.
- What was confirmed or withdrawn leaves the outbox in the same transaction that adds what follows.
- Texts are compared byte by byte on both (collation "C"), so lists have one order.

Statements of one commit: process, token, journal, outbox (gone), outbox (new), agreement, duties, counters, decision, one a document, events; at most one each of the others. Tests pin it.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from sys import maxsize
from typing import Any, Final, TypeVar, get_args

import msgspec

from catalog.dcat import Asset, OfferTerms
from connector.processes.errors import VersionConflict
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
from connector.processes.tables import TABLES
from connector.store import happened
from connector.store.events import SqlEvents, Statement, encode, several
from connector.store.port import Due, Followed, Membership, Notice, ReceivedObject, Relation
from identity.verify import TokenUse as VerifiedUse
from identity.wallet.port import CredentialRequest, Held
from kernel.clock import SystemClock
from kernel.errors import Conflict, KizunaError, Unauthorized
from policies.duties import Counter, Entry
from policies.odrl.record import FIRST

HEAD: Final = "0001"
T = TypeVar("T")
LAST: Final = "~"  # behind every time and id
ANY_KIND: Final = f"kind IN {get_args(Kind)}"  # named, so that the key of processes is searched whatever the kind
_DUE: Final = (
    "SELECT o.id, o.process, o.act, o.message, o.path, o.body, o.due, p.peer, o.attempts, o.reason, o.parked"  # noqa: S608  two kinds
    f" FROM outbox o JOIN process p ON p.id = o.process AND p.participant = o.participant AND p.{ANY_KIND} WHERE o.participant = ?"
)
FOLLOWING: Final = "SELECT due FROM outbox WHERE participant = ? AND due > ? ORDER BY due LIMIT 1"
# An index is written anew when a column of it, or of its condition, is set, whatever to: so these only where they change.
_INDEXED: Final = ("peer_pid", "waiting", "open")
_STEP: Final = "UPDATE process SET {}version = ?, body = ? WHERE participant = ? AND kind = '{}' AND id = ? AND version = ?"
_INSERT: Final = (
    "INSERT INTO process (id, participant, kind, role, peer, peer_pid, waiting, open, version, agreement, body)"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?)"
)
_PROCESS: Final = f"SELECT body FROM process WHERE participant = ? AND {ANY_KIND} AND id = ?"  # noqa: S608  two kinds
# The kind stands in the text: bound as a value, SQLite would compile the statement again at every use, to see whether the index of one kind alone will do.
_OF_KIND: Final = {kind: f"SELECT body FROM process WHERE participant = ? AND kind = '{kind}'" for kind in get_args(Kind)}  # noqa: S608  two kinds
_OF_PEER: Final = {
    kind: f"{found} AND peer = ? AND role IN ('consumer', 'provider') AND peer_pid = ? AND peer_pid <> ''"
    for kind, found in _OF_KIND.items()  # both roles by name, or the index would be walked through all of the peer's processes
}
OPEN_WITH: Final = "SELECT body FROM process WHERE participant = ? AND peer = ? AND open ORDER BY id"
_JOURNAL: Final = "INSERT INTO journal (process, seq, participant, before, after, message, sender, message_id, at, person) VALUES "
_OUTBOX: Final = (
    "INSERT INTO outbox (id, participant, process, lane, act, message, path, body, due, attempts, reason, parked, owner, leased_until,"
    " fence) VALUES "
)
SPENT: Final = "INSERT INTO spent (participant, issuer, jti, expires) VALUES (?,?,?,?)"
_AGREEMENT: Final = "INSERT INTO agreement (id, participant, negotiation, due, body) VALUES (?,?,?,?,?)"
_DUTY: Final = "INSERT INTO duty (participant, agreement, path, version, id, state, due, body) VALUES "
_COUNTER: Final = "INSERT INTO counter (participant, agreement, operand, version, body) VALUES "
_DECISION: Final = "INSERT INTO decision (participant, agreement, seq, hash, transfer, body) VALUES (?,?,{},?,?,?)"
_NEXT_SEQ: Final = "(SELECT seq + 1 FROM decision WHERE participant = ? AND agreement = ? AND seq = ? AND hash = ?)"
_PAYMENT: Final = "INSERT INTO payment (participant, id, agreement, body) VALUES (?,?,?,?)"
_ALLOTMENT: Final = "INSERT INTO allotment (participant, id, version, body) VALUES (?,?,?,?)"
_NEWEST_DUTY: Final = (
    "NOT EXISTS (SELECT 1 FROM duty n WHERE n.participant = d.participant AND n.agreement = d.agreement AND n.path = d.path"
    " AND n.version > d.version)"
)
_NEWEST_COUNTER: Final = (
    "NOT EXISTS (SELECT 1 FROM counter n WHERE n.participant = c.participant AND n.agreement = c.agreement"
    " AND n.operand = c.operand AND n.version > c.version)"
)
_LEDGER: Final = (
    f"SELECT 'duty', 0, '', body FROM duty d WHERE participant = ? AND agreement = ? AND {_NEWEST_DUTY}"  # noqa: S608  the parts stand here
    f" UNION ALL SELECT 'counter', 0, '', body FROM counter c WHERE participant = ? AND agreement = ? AND {_NEWEST_COUNTER}"
    " UNION ALL SELECT 'decision', seq, hash, NULL FROM (SELECT seq, hash FROM decision WHERE participant = ? AND agreement = ?"
    " ORDER BY seq DESC LIMIT 1) AS newest"
)
_DOCUMENT: Final = "INSERT INTO document (participant, digest, body) VALUES (?,?,?) ON CONFLICT DO NOTHING"


class SqlStore(SqlEvents):
    """The `Store` of one participant, but for what differs between the databases."""

    def __init__(self, participant: str) -> None:
        self._me, self._clock = participant, SystemClock()
        self._watchers: list[Callable[[str, str], None]] = []
        self._followers: list[Callable[[Commit], None]] = []
        self._joining: list[Callable[[], None]] = []

    @abstractmethod
    async def commit(self, commit: Commit) -> None:
        """One transaction; see the port."""

    @abstractmethod
    def on_notice(self, listener: Notice) -> None:
        """What other replicas tell; see the port."""

    # processes -------------------------------------------------------------------------------------------------------

    async def process(self, key: str) -> Process | None:
        return await self._one(Process, _PROCESS, self._me, key)

    async def process_of_peer(self, peer: str, kind: Kind, peer_pid: str) -> Process | None:
        return await self._one(Process, _OF_PEER[kind], self._me, peer, peer_pid)

    async def processes(self, kind: Kind, after: str, limit: int, *, waiting: bool = False) -> list[Process]:
        which = " AND waiting" if waiting else ""
        sql = f"{_OF_KIND[kind]} AND id < ?{which} ORDER BY id DESC LIMIT ?"
        return await self._many(Process, sql, self._me, after or LAST, limit)

    async def open_with(self, peer: str) -> list[Process]:
        return await self._many(Process, OPEN_WITH, self._me, peer)

    async def transfers_of(self, agreement: str) -> list[Process]:
        sql = "SELECT body FROM process WHERE participant = ? AND agreement = ? AND agreement <> '' AND open ORDER BY id"
        return await self._many(Process, sql, self._me, agreement)

    async def replay(self, process: str, message_id: str, sender: Role) -> str | None:
        sql = "SELECT after FROM journal WHERE process = ? AND message_id = ? AND sender = ?"
        rows = await self._rows(sql, process, message_id, sender)
        return str(rows[0][0]) if rows else None

    async def journal(self, process: str) -> list[JournalRow]:
        sql = (
            "SELECT before, after, message, sender, message_id, at, person FROM journal"
            " WHERE process = ? AND participant = ? ORDER BY seq"
        )
        return [JournalRow(*row) for row in await self._rows(sql, process, self._me)]

    async def seen(self, token: TokenUse | VerifiedUse) -> bool:
        sql = "SELECT 1 FROM spent WHERE participant = ? AND issuer = ? AND jti = ?"
        return bool(await self._rows(sql, self._me, token.issuer, token.jti))

    def statements(self, commit: Commit, before: Process | None = None) -> list[Statement]:
        """The transaction of a commit; `before`: the version that it expects, where that is known. The first statement must change one row, or nothing may be written."""
        made = [self._process(commit.process, commit.expected, before)]
        if commit.token is not None:
            made.append(self._spent(commit.token))
        if commit.journal:
            first = commit.process.version - len(commit.journal) + 1
            rows = [
                (
                    commit.process.id,
                    seq,
                    self._me,
                    row.before,
                    row.after,
                    row.message,
                    row.sender,
                    row.message_id,
                    row.at,
                    row.person,
                )
                for seq, row in enumerate(commit.journal, first)
            ]
            made.append(several(_JOURNAL, "(?,?,?,?,?,?,?,?,?,?)", rows))
        gone = (*commit.confirmed, *commit.withdrawn)
        if gone:
            made.append((f"DELETE FROM outbox WHERE id IN ({','.join('?' * len(gone))})", gone))  # noqa: S608  question marks only
        if commit.outbox:
            made.append(several(_OUTBOX, "(?,?,?,?,?,?,?,?,?,0,'',false,'','',0)", self._added(commit)))
        if commit.agreement is not None:
            found = commit.agreement
            made.append((_AGREEMENT, (found.id, self._me, found.negotiation, found.due, encode(found))))
        if commit.duties:
            made.append(self._duties(commit.duties))
        if commit.counters:
            made.append(self._counters(commit.counters))
        if commit.decided is not None:
            made.append(self._decided(commit.decided))
        if commit.allotted is not None:
            made.append(self._allotment(commit.allotted))
        if commit.payment is not None:
            made.append(self._payment(commit.payment))
        return (
            made
            + self._documents(commit.documents)
            + self._events(happened.of_commit(commit), commit.process.updated if commit.journal else "")
        )

    def _documents(self, documents: Sequence[Document]) -> list[Statement]:
        return [(_DOCUMENT, (self._me, each.digest, each.body)) for each in documents]

    async def keep(self, documents: Sequence[Document]) -> None:
        await self._write(*self._documents(documents))

    def _added(self, commit: Commit) -> list[tuple[Any, ...]]:
        peer = commit.process.peer
        return [(r.id, self._me, r.process, lane_of(r, peer), r.act, r.message, r.path, r.body, r.due) for r in commit.outbox]

    def _process(self, p: Process, expected: int, before: Process | None) -> Statement:
        if not expected:
            known = (p.id, self._me, p.kind, p.role, p.peer, *_indexed(p))
            return _INSERT, (*known, p.version, p.data.get("agreementId", ""), encode(p))
        was = _indexed(before) if before is not None and before.version == expected else (None,) * len(_INDEXED)
        changed = {name: value for name, value, old in zip(_INDEXED, _indexed(p), was, strict=True) if value != old}
        sql = _STEP.format("".join([f"{name} = ?, " for name in changed]), p.kind)
        return sql, (*changed.values(), p.version, encode(p), self._me, p.id, expected)

    async def spend(self, token: TokenUse | VerifiedUse) -> None:
        await self._write(self._spent(token))

    def _spent(self, token: TokenUse | VerifiedUse) -> Statement:
        kept = kept_use(token)
        return SPENT, (self._me, kept.issuer, kept.jti, kept.expires)

    async def purge(self, now: int) -> None:
        await self._write(("DELETE FROM spent WHERE expires < ? AND participant = ?", (now, self._me)))

    # outbox ----------------------------------------------------------------------------------------------------------

    async def outbox(self, *processes: str) -> list[Due]:
        where = f" AND o.process IN ({','.join('?' * len(processes))})" if processes else ""
        return [_due(row) for row in await self._rows(f"{_DUE}{where} ORDER BY o.seq LIMIT 1000", self._me, *processes)]

    async def outbox_after(self, after: str, limit: int) -> list[Due]:
        return [_due(row) for row in await self._rows(f"{_DUE} AND o.id > ? ORDER BY o.id LIMIT ?", self._me, after, limit)]

    async def postpone(self, row: str, fence: int, due: str, reason: str, *, parked: bool) -> None:
        sql = (
            "UPDATE outbox SET due = ?, reason = ?, parked = ?, attempts = attempts + 1, owner = '', leased_until = ''"
            " WHERE id = ? AND fence = ?"
        )
        await self._write((sql, (due, reason, parked, row, fence)))

    async def drop(self, row: str, fence: int) -> None:
        await self._write(("DELETE FROM outbox WHERE id = ? AND fence = ?", (row, fence)))

    async def release(self, row: str) -> bool:
        sql = "UPDATE outbox SET due = '', parked = false WHERE id = ? AND participant = ? RETURNING id"
        return bool(await self._write((sql, (row, self._me))))

    # agreements, assets, offers --------------------------------------------------------------------------------------

    async def agreement(self, key: str) -> Agreement | None:
        return await self._one(Agreement, "SELECT body FROM agreement WHERE id = ? AND participant = ?", key, self._me)

    async def agreements(self, after: str, limit: int) -> list[Agreement]:
        place = await self._rows("SELECT seq FROM agreement WHERE id = ? AND participant = ?", after, self._me) if after else ()
        sql = "SELECT body FROM agreement WHERE participant = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
        return await self._many(Agreement, sql, self._me, place[0][0] if place else maxsize, limit)

    async def save_agreement(self, agreement: Agreement) -> None:
        sql = "UPDATE agreement SET due = ?, body = ? WHERE id = ? AND participant = ?"
        known = await self.agreement(agreement.id) if agreement.retired is not None else None
        ended = [happened.of_agreement(agreement, "retired")] if known is not None and known.retired is None else []
        await self._write((sql, (agreement.due, encode(agreement), agreement.id, self._me)), *self._events(ended))

    async def agreements_due(self, now: str, limit: int) -> list[Agreement]:
        sql = "SELECT body FROM agreement WHERE participant = ? AND due <> '' AND due <= ? ORDER BY due LIMIT ?"
        return await self._many(Agreement, sql, self._me, now, limit)

    # duties, counters, decisions -------------------------------------------------------------------------------------

    async def ledger(self, agreement: str) -> Ledger:
        """One statement, so that duties, counters and the end of the chain are those of one moment."""
        rows = await self._rows(_LEDGER, *(self._me, agreement) * 3)
        duties, counters = ([body for kind, _, _, body in rows if kind == wanted] for wanted in ("duty", "counter"))
        last = next(((seq, hash_) for kind, seq, hash_, _ in rows if kind == "decision"), (0, FIRST))
        return Ledger(
            duties=tuple(sorted((msgspec.msgpack.decode(each, type=Entry) for each in duties), key=lambda each: each.path)),
            counters=tuple(
                sorted((msgspec.msgpack.decode(each, type=Counter) for each in counters), key=lambda each: each.operand)
            ),
            decided=last[0],
            last=last[1],
        )

    async def duty(self, key: str) -> Entry | None:
        sql = "SELECT body FROM duty WHERE participant = ? AND id = ? ORDER BY version DESC LIMIT 1"
        return await self._one(Entry, sql, self._me, key)

    async def duties(self, after: str, limit: int, *, timed: bool = False) -> list[Entry]:
        which = "due <> '' AND " if timed else ""
        sql = f"SELECT body FROM duty d WHERE participant = ? AND id > ? AND {which}{_NEWEST_DUTY} ORDER BY id LIMIT ?"  # noqa: S608
        return await self._many(Entry, sql, self._me, after, limit)

    async def save_duties(self, entries: Sequence[Entry]) -> None:
        await self._write(self._duties(entries), *self._events(happened.of_duties(entries)))
        self._tell({(each.agreement, "") for each in entries})

    def _duties(self, entries: Sequence[Entry]) -> Statement:
        rows = [(self._me, e.agreement, e.path, e.version, e.id, e.state, e.instant, encode(e)) for e in entries]
        return several(_DUTY, "(?,?,?,?,?,?,?,?)", rows)

    async def counters(self, after: str, limit: int) -> list[Counter]:
        agreement, _, operand = after.partition(" ")
        sql = (
            f"SELECT body FROM counter c WHERE participant = ? AND (agreement, operand) > (?, ?) AND {_NEWEST_COUNTER}"  # noqa: S608
            " ORDER BY agreement, operand LIMIT ?"
        )
        return await self._many(Counter, sql, self._me, agreement, operand, limit)

    def _counters(self, counters: Sequence[Counter]) -> Statement:
        return several(_COUNTER, "(?,?,?,?,?)", [(self._me, c.agreement, c.operand, c.version, encode(c)) for c in counters])

    async def payments(self, after: str, limit: int, *, agreement: str = "") -> list[Payment]:
        which, more = (" AND agreement = ?", (agreement,)) if agreement else ("", ())
        sql = f"SELECT body FROM payment WHERE participant = ? AND id > ?{which} ORDER BY id LIMIT ?"  # noqa: S608
        return await self._many(Payment, sql, self._me, after, *more, limit)

    async def payment(self, key: str) -> Payment | None:
        return await self._one(Payment, "SELECT body FROM payment WHERE participant = ? AND id = ?", self._me, key)

    async def add_payment(self, payment: Payment, counter: Counter, duties: Sequence[Entry] = ()) -> None:
        changed = [self._duties(duties), *self._events(happened.of_duties(duties))] if duties else []
        await self._write(self._counters([counter]), *changed, self._payment(payment))
        self._tell([(payment.agreement, "")])

    def _payment(self, found: Payment) -> Statement:
        return _PAYMENT, (self._me, found.id, found.agreement, encode(found))

    def _allotment(self, found: Allotted) -> Statement:
        return _ALLOTMENT, (self._me, found.id, found.version, encode(found))

    async def allotment(self, key: str) -> Allotted | None:
        sql = "SELECT body FROM allotment WHERE participant = ? AND id = ? ORDER BY version DESC LIMIT 1"
        return await self._one(Allotted, sql, self._me, key)

    async def allotments(self, after: str, limit: int) -> list[Allotted]:
        newer = "SELECT 1 FROM allotment n WHERE n.participant = a.participant AND n.id = a.id AND n.version > a.version"
        sql = f"SELECT body FROM allotment a WHERE participant = ? AND id > ? AND NOT EXISTS ({newer}) ORDER BY id LIMIT ?"  # noqa: S608
        return await self._many(Allotted, sql, self._me, after, limit)

    async def return_allotment(self, allotment: Allotted, counters: Sequence[Counter]) -> None:
        await self._write(self._allotment(allotment), *([self._counters(counters)] if counters else []))
        self._tell([(allotment.agreement, "")])

    def _decided(self, one: Decided) -> Statement:
        key = (self._me, one.agreement)
        seq, before = (_NEXT_SEQ, (*key, one.seq - 1, one.record.previous)) if one.seq > 1 else ("1", ())
        return _DECISION.format(seq), (*key, *before, one.record.hash, one.transfer, encode(one))

    async def add_decision(self, decided: Decided) -> None:
        await self._write(self._decided(decided))

    async def decision(self, hash_: str) -> Decided | None:
        return await self._one(Decided, "SELECT body FROM decision WHERE participant = ? AND hash = ?", self._me, hash_)

    async def decisions(self, after: str, limit: int, *, agreement: str = "") -> list[Decided]:
        if not agreement:
            sql = "SELECT body FROM decision WHERE participant = ? AND hash > ? ORDER BY hash LIMIT ?"
            return await self._many(Decided, sql, self._me, after, limit)
        known = await self.decision(after) if after else None
        sql = "SELECT body FROM decision WHERE participant = ? AND agreement = ? AND seq > ? ORDER BY seq LIMIT ?"
        return await self._many(Decided, sql, self._me, agreement, known.seq if known else 0, limit)

    async def decided(self, transfer: str) -> Decided | None:
        sql = "SELECT body FROM decision WHERE participant = ? AND transfer = ? ORDER BY seq DESC LIMIT 1"
        return await self._one(Decided, sql, self._me, transfer)

    async def running(self, after: str, limit: int) -> list[Process]:
        sql = f"{_OF_KIND['transfer']} AND open AND id > ? ORDER BY id LIMIT ?"
        return await self._many(Process, sql, self._me, after, limit)

    async def document(self, digest: str) -> bytes | None:
        rows = await self._rows("SELECT body FROM document WHERE participant = ? AND digest = ?", self._me, digest)
        return rows[0][0] if rows else None

    async def asset(self, key: str) -> Asset | None:
        return await self._one(Asset, "SELECT body FROM asset WHERE id = ? AND participant = ?", key, self._me)

    async def assets(self, after: str, limit: int) -> list[Asset]:
        sql = "SELECT body FROM asset WHERE participant = ? AND id > ? ORDER BY id LIMIT ?"
        return await self._many(Asset, sql, self._me, after, limit)

    async def add_asset(self, asset: Asset) -> None:
        await self._write(("INSERT INTO asset (id, participant, body) VALUES (?,?,?)", (asset.id, self._me, encode(asset))))

    async def offer(self, key: str) -> OfferTerms | None:
        return await self._one(OfferTerms, "SELECT body FROM offer WHERE id = ? AND participant = ?", key, self._me)

    async def offers(self, after: str, limit: int) -> list[OfferTerms]:
        sql = "SELECT body FROM offer WHERE participant = ? AND id > ? ORDER BY id LIMIT ?"
        return await self._many(OfferTerms, sql, self._me, after, limit)

    async def offers_of(self, asset: str) -> list[OfferTerms]:
        sql = "SELECT body FROM offer WHERE asset = ? AND participant = ? ORDER BY id"
        return await self._many(OfferTerms, sql, asset, self._me)

    async def add_offer(self, offer: OfferTerms) -> None:
        sql = "INSERT INTO offer (id, participant, asset, body) VALUES (?,?,?,?)"
        await self._write((sql, (offer.id, self._me, offer.asset, encode(offer))), *self._told("offer", offer.id))

    # received data, membership, wallet -------------------------------------------------------------------------------

    async def received(self, transfer: str = "") -> list[ReceivedObject]:
        where, more = (" AND transfer = ?", (transfer,)) if transfer else ("", ())
        sql = f"SELECT body FROM received WHERE participant = ?{where} LIMIT 1000"  # noqa: S608  both parts stand here
        return await self._many(ReceivedObject, sql, self._me, *more)

    async def received_after(self, after: str, limit: int) -> list[ReceivedObject]:
        sql = "SELECT body FROM received WHERE participant = ? AND transfer > ? ORDER BY transfer LIMIT ?"
        return await self._many(ReceivedObject, sql, self._me, after, limit)

    async def received_under(self, agreement: str) -> list[ReceivedObject]:
        sql = "SELECT body FROM received WHERE participant = ? AND agreement = ? ORDER BY transfer"
        return await self._many(ReceivedObject, sql, self._me, agreement)

    async def add_received(self, found: ReceivedObject) -> None:
        sql = (
            "INSERT INTO received (transfer, participant, agreement, body) VALUES (?,?,?,?)"
            " ON CONFLICT (transfer) DO UPDATE SET body = excluded.body"
        )
        await self._write((sql, (found.transfer, self._me, found.agreement, encode(found))))

    async def relation(self, key: str) -> Relation | None:
        return await self._one(Relation, "SELECT body FROM relation WHERE participant = ? AND id = ?", self._me, key)

    async def relations(self, after: str, limit: int) -> list[Relation]:
        sql = "SELECT body FROM relation WHERE participant = ? AND id > ? ORDER BY id LIMIT ?"
        return await self._many(Relation, sql, self._me, after, limit)

    async def save_relation(self, relation: Relation) -> None:
        sql = "INSERT INTO relation (participant, id, body) VALUES (?,?,?) ON CONFLICT (participant, id) DO UPDATE SET body = excluded.body"
        await self._write((sql, (self._me, relation.id, encode(relation))), *self._told("relation", relation.id))

    async def membership(self) -> Membership:
        return await self._one(Membership, "SELECT body FROM membership WHERE participant = ?", self._me) or Membership()

    async def save_membership(self, membership: Membership) -> None:
        sql = "INSERT INTO membership (participant, body) VALUES (?,?) ON CONFLICT (participant) DO UPDATE SET body = excluded.body"
        events = self._events(happened.of_membership(await self.membership(), membership, self._me))
        await self._write((sql, (self._me, encode(membership))), *events, *self._told("membership", ""))
        for listener in self._joining:
            listener()

    def on_membership(self, listener: Callable[[], None]) -> None:
        self._joining.append(listener)
        self.on_notice(lambda kind, _key: listener() if kind in ("", "membership") else None)

    async def followed(self) -> Followed:
        return await self._one(Followed, "SELECT body FROM followed WHERE participant = ?", self._me) or Followed()

    async def save_followed(self, followed: Followed) -> None:
        sql = "INSERT INTO followed (participant, body) VALUES (?,?) ON CONFLICT (participant) DO UPDATE SET body = excluded.body"
        events = self._events(happened.of_standing(await self.followed(), followed))
        await self._write((sql, (self._me, encode(followed))), *events)

    async def held(self) -> list[Held]:
        return await self._many(Held, "SELECT body FROM credential WHERE participant = ? ORDER BY seq DESC", self._me)

    async def request(self, key: str) -> CredentialRequest | None:
        sql = "SELECT body FROM credential_request WHERE id = ? AND participant = ?"
        return await self._one(CredentialRequest, sql, key, self._me)

    async def open_requests(self) -> list[CredentialRequest]:
        sql = "SELECT body FROM credential_request WHERE participant = ? ORDER BY seq"
        every = await self._many(CredentialRequest, sql, self._me)
        return [each for each in every if each.state in ("CREATED", "REQUESTED")]

    async def save_offered(self, requests: list[CredentialRequest], token: VerifiedUse) -> None:
        await self._write(self._spent(token), *(made for each in requests for made in self._request(each, None)))

    async def save_request(self, request: CredentialRequest, token: VerifiedUse | None = None) -> None:
        await self._write(*self._request(request, token))

    def _request(self, request: CredentialRequest, token: VerifiedUse | None) -> list[Statement]:
        sql = (
            "INSERT INTO credential_request (id, participant, body) VALUES (?,?,?)"
            " ON CONFLICT (id) DO UPDATE SET body = excluded.body"
        )
        kept: Statement = (sql, (request.id, self._me, encode(request)))
        return [kept] if token is None else [self._spent(token), kept]

    async def store(self, request: CredentialRequest, credentials: list[Held], token: VerifiedUse) -> None:
        """Keep delivered credentials, replacing those of the same type and issuer, with the request's new state."""
        made = self._request(request, token)
        for each in credentials:
            old = "DELETE FROM credential WHERE participant = ? AND type = ? AND issuer = ?"
            new = "INSERT INTO credential (id, participant, type, issuer, body) VALUES (?,?,?,?,?)"
            made += [(old, (self._me, each.type, each.issuer)), (new, (each.id, self._me, each.type, each.issuer, encode(each)))]
        await self._write(*made)

    def on_gone(self, listener: Callable[[Commit], None]) -> None:
        self._followers.append(listener)

    def on_ledger(self, listener: Callable[[str, str], None]) -> None:
        self._watchers.append(listener)

    def _committed(self, commit: Commit) -> None:
        if commit.confirmed or commit.withdrawn:
            for listener in self._followers:
                listener(commit)
        process, made = commit.process, commit.agreement.id if commit.agreement is not None else None
        found = {(each.agreement, "") for each in commit.duties if each.agreement != made or each.instant}
        if commit.payment is not None:
            found.add((commit.payment.agreement, ""))
        if commit.decided is not None and not commit.journal:
            found.add((commit.decided.agreement, process.id))
        if process.kind == "transfer" and process.role == "provider" and any(row.after == "STARTED" for row in commit.journal):
            found.add((process.data["agreementId"], process.id))
        self._tell(found)

    def _tell(self, changed: Iterable[tuple[str, str]]) -> None:
        for agreement, transfer in changed:
            for listener in self._watchers:
                listener(agreement, transfer)

    def _told(self, kind: str, key: str) -> tuple[Statement, ...]:  # noqa: ARG002  replicas are told by a backend that has them
        """What tells other replicas, in the transaction of what it tells of."""
        return ()

    def broken(self, table: str, statements: Sequence[Statement]) -> KizunaError:
        """The error for a uniqueness that was broken in a table."""
        if table == "spent":
            issuer = next(arguments[1] for sql, arguments in statements if sql == SPENT)
            return Unauthorized("authentication failed", step="replay", reason="the token was used before", peer=issuer)
        if table in ("process", "journal", "duty", "counter", "decision", "allotment"):
            return VersionConflict("the process was written meanwhile")
        return Conflict(f"there is such a row in {table} already")

    async def _one(self, cls: type[T], sql: str, *arguments: Any) -> T | None:
        rows = await self._rows(sql, *arguments)
        return msgspec.msgpack.decode(rows[0][0], type=cls) if rows else None

    async def _many(self, cls: type[T], sql: str, *arguments: Any) -> list[T]:
        return [msgspec.msgpack.decode(row[0], type=cls) for row in await self._rows(sql, *arguments)]


def _indexed(p: Process) -> tuple[str, bool, bool]:
    """What `_INDEXED` names."""
    return p.peer_pid, p.waiting is not None, p.state not in TABLES[p.kind].final


def kept_use(token: TokenUse | VerifiedUse) -> TokenUse:
    """A verified token as it is kept."""
    return TokenUse(token.issuer, token.jti, token.remembered) if isinstance(token, VerifiedUse) else token


def lane_of(row: OutboxRow, peer: str) -> str:
    """See `Claim`."""
    return peer if row.act == "dsp" else f"{row.act} {peer}"


def outbox_row(key: str, process: str, act: Any, message: str, path: str, body: bytes, due: str) -> OutboxRow:
    """A row from its columns."""
    return OutboxRow(id=key, process=process, act=act, message=message, path=path, body=body, due=due)


def _due(row: Sequence[Any]) -> Due:
    peer, attempts, reason, parked = row[7:11]
    return Due(row=outbox_row(*row[:7]), peer=peer, attempts=attempts, reason=reason, parked=bool(parked))
