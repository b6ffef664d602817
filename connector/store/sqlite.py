"""The embedded store: SQLite through `kernel.db`, prepared statements, one transaction per commit (DESIGN 3, 4).

Rules
- A commit writes only when the stored version is the expected one (`VersionConflict`), and only when its token is unused (401): a row count of zero or a
  broken uniqueness undoes everything.
- What was confirmed or withdrawn leaves the outbox in the same transaction that adds what follows.
- Points where a test may end the process: `database:before-commit`, `database:after-commit` (kernel.db), and those of inbound and outbox.

Statements of one commit: version check and process (1), numbering and journal (1 + rows), outbox (rows), inbox, token, agreement (1 each); a test pins
the number.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from catalog.dcat import Asset, OfferTerms
from connector.processes.errors import VersionConflict
from connector.processes.model import Agreement, Commit, InboxRow, JournalRow, Kind, OutboxRow, Process, TokenUse
from connector.store.port import Due, Followed, Membership, ReceivedObject
from identity.access.service import AccessStore
from identity.access.sqlite import SqliteAccess
from identity.verify import TokenUse as VerifiedUse
from identity.wallet.port import CredentialRequest, Held
from kernel.db import Database
from kernel.errors import Unauthorized

HEAD: Final = "0001"
T = TypeVar("T")
_encode = msgspec.msgpack.encode
_JOURNAL: Final = (
    "INSERT INTO journal (process, seq, participant, before, after, message, sender, message_id, at, person)"
    " VALUES (?,?,?,?,?,?,?,?,?,?)"
)
_OUTBOX: Final = (
    "INSERT INTO outbox (id, participant, process, act, message, path, body, due, attempts, reason, parked, owner, leased_until,"
    " fence) VALUES (?,?,?,?,?,?,?,?,0,'',0,'','',0)"
)
_DUE: Final = (
    "SELECT o.id, o.process, o.act, o.message, o.path, o.body, o.due, p.peer, o.attempts, o.reason, o.parked"
    " FROM outbox o JOIN process p ON p.id = o.process"
)


def open_database(path: Path) -> Database:
    """Open or make the database file; raises `InUse`, `NewerData`."""

    def upgrade(file: Path) -> None:
        from kernel.migrate import upgrade as run  # noqa: PLC0415  only when there is something to upgrade

        run(file, Path(__file__).parent / "migrations")

    return Database.open(path, head=HEAD, upgrade=upgrade)


class SqliteStore:
    """The `Store` of one participant."""

    def __init__(self, database: Database, participant: str) -> None:
        self._db, self._me = database, participant
        self.access: AccessStore = SqliteAccess(database, participant)

    # processes -------------------------------------------------------------------------------------------------------

    async def process(self, key: str) -> Process | None:
        return self._one(Process, "SELECT body FROM process WHERE id = ? AND participant = ?", key, self._me)

    async def process_of_peer(self, peer: str, kind: Kind, peer_pid: str) -> Process | None:
        sql = "SELECT body FROM process WHERE participant = ? AND peer = ? AND kind = ? AND peer_pid = ? AND peer_pid <> ''"
        return self._one(Process, sql, self._me, peer, kind, peer_pid)

    async def processes(self, kind: Kind, after: str, limit: int, *, waiting: bool = False) -> list[Process]:
        known = await self.process(after) if after else None
        bound, tie = (known.created, known.id) if known else ("~", "~")
        which = " AND waiting" if waiting else ""
        sql = (
            f"SELECT body FROM process WHERE participant = ? AND kind = ? AND (created, id) < (?, ?){which}"  # noqa: S608  both stand here
            " ORDER BY created DESC, id DESC LIMIT ?"
        )
        return self._many(Process, sql, self._me, kind, bound, tie, limit)

    async def open_with(self, peer: str) -> list[Process]:
        sql = (
            "SELECT body FROM process WHERE participant = ? AND peer = ? AND state NOT IN ('FINALIZED', 'COMPLETED', 'TERMINATED')"
            " ORDER BY created, id"
        )
        return self._many(Process, sql, self._me, peer)

    async def transfers_of(self, agreement: str) -> list[Process]:
        sql = (
            "SELECT body FROM process WHERE participant = ? AND agreement = ? AND agreement <> ''"
            " AND state NOT IN ('COMPLETED', 'TERMINATED') ORDER BY id"
        )
        return self._many(Process, sql, self._me, agreement)

    async def replay(self, peer: str, process: str, message_id: str) -> InboxRow | None:
        sql = "SELECT answer, status FROM inbox WHERE peer = ? AND process = ? AND message_id = ?"
        row = self._db.read(lambda c: c.execute(sql, (peer, process, message_id)).fetchone())
        return InboxRow(peer, process, message_id, row[0], row[1]) if row else None

    async def journal(self, process: str) -> list[JournalRow]:
        sql = (
            "SELECT before, after, message, sender, message_id, at, person FROM journal"
            " WHERE process = ? AND participant = ? ORDER BY seq"
        )
        return [JournalRow(*row) for row in self._db.read(lambda c: c.execute(sql, (process, self._me)).fetchall())]

    async def seen(self, issuer: str, jti: str) -> bool:
        sql = "SELECT 1 FROM spent WHERE issuer = ? AND jti = ?"
        return self._db.read(lambda c: c.execute(sql, (issuer, jti)).fetchone()) is not None

    async def commit(self, commit: Commit) -> None:
        await self._db.write(lambda c: self._commit(c, commit))

    def _commit(self, c: sqlite3.Connection, commit: Commit) -> None:
        if commit.token is not None:
            self._spend(c, commit.token)
        self._write_process(c, commit.process, commit.expected)
        self._write_journal(c, commit)
        for key in (*commit.confirmed, *commit.withdrawn):
            c.execute("DELETE FROM outbox WHERE id = ?", (key,))
        for row in commit.outbox:
            c.execute(_OUTBOX, (row.id, self._me, row.process, row.act, row.message, row.path, row.body, row.due))
        if commit.inbox is not None:
            inbox = commit.inbox
            c.execute(
                "INSERT INTO inbox (peer, process, message_id, participant, answer, status) VALUES (?,?,?,?,?,?)",
                (inbox.peer, inbox.process, inbox.message_id, self._me, inbox.answer, inbox.status),
            )
        if commit.agreement is not None:
            found = commit.agreement
            c.execute(
                "INSERT INTO agreement (id, participant, negotiation, peer, at, due, body) VALUES (?,?,?,?,?,?,?)",
                (found.id, self._me, found.negotiation, found.peer, found.at, found.due, _encode(found)),
            )
        for document in commit.documents:
            c.execute(
                "INSERT INTO document (participant, digest, body) VALUES (?,?,?) ON CONFLICT DO NOTHING",
                (self._me, document.digest, document.body),
            )

    def _write_process(self, c: sqlite3.Connection, p: Process, expected: int) -> None:
        body = _encode(p)
        if expected:
            done = c.execute(
                "UPDATE process SET peer_pid = ?, state = ?, version = ?, waiting = ?, body = ?"
                " WHERE id = ? AND participant = ? AND version = ?",
                (p.peer_pid, p.state, p.version, p.waiting is not None, body, p.id, self._me, expected),
            )
            if done.rowcount != 1:
                raise VersionConflict("the process has moved meanwhile", pid=p.id)
            return
        try:
            c.execute(
                "INSERT INTO process (id, participant, kind, role, peer, peer_pid, state, version, created, waiting, agreement, body)"
                " VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    p.id,
                    self._me,
                    p.kind,
                    p.role,
                    p.peer,
                    p.peer_pid,
                    p.state,
                    p.version,
                    p.created,
                    p.waiting is not None,
                    p.data.get("agreementId", ""),
                    body,
                ),
            )
        except sqlite3.IntegrityError as error:
            raise VersionConflict("the process was made meanwhile", pid=p.id) from error

    def _write_journal(self, c: sqlite3.Connection, commit: Commit) -> None:
        if not commit.journal:
            return
        key = commit.process.id
        (last,) = c.execute("SELECT coalesce(max(seq), 0) FROM journal WHERE process = ?", (key,)).fetchone()
        for seq, row in enumerate(commit.journal, last + 1):
            c.execute(
                _JOURNAL, (key, seq, self._me, row.before, row.after, row.message, row.sender, row.message_id, row.at, row.person)
            )

    async def spend(self, token: TokenUse | VerifiedUse) -> None:
        await self._db.write(lambda c: self._spend(c, token))

    def _spend(self, c: sqlite3.Connection, token: TokenUse | VerifiedUse) -> None:
        if isinstance(token, VerifiedUse):
            token = TokenUse(token.issuer, token.jti, int(token.expires.timestamp()) + 60)
        try:
            c.execute(
                "INSERT INTO spent (issuer, jti, participant, expires) VALUES (?,?,?,?)",
                (token.issuer, token.jti, self._me, token.expires),
            )
        except sqlite3.IntegrityError as error:
            raise Unauthorized(
                "authentication failed", step="replay", reason="the token was used before", peer=token.issuer
            ) from error

    async def purge(self, now: int) -> None:
        await self._db.write(lambda c: c.execute("DELETE FROM spent WHERE expires < ?", (now,)).rowcount)

    # outbox ----------------------------------------------------------------------------------------------------------

    async def due(self, now: str, limit: int, busy: frozenset[str]) -> list[Due]:
        sql = f"{_DUE} WHERE o.due <= ? ORDER BY o.due, o.seq LIMIT ?"
        rows = self._db.read(lambda c: c.execute(sql, (now, limit + len(busy) * 2)).fetchall())
        found: dict[str, Due] = {}
        for row in rows:
            if row[0] not in busy and row[1] not in busy:
                found.setdefault(row[1], _due(row))
        return list(found.values())[:limit]

    async def living(self, keys: frozenset[str]) -> frozenset[str]:
        if not keys:
            return keys
        sql = f"SELECT id FROM outbox WHERE id IN ({','.join('?' * len(keys))})"  # noqa: S608  question marks only
        return frozenset(row[0] for row in self._db.read(lambda c: c.execute(sql, tuple(keys)).fetchall()))

    async def next_due(self, busy: frozenset[str]) -> str | None:
        sql = "SELECT due, id, process FROM outbox ORDER BY due, seq LIMIT ?"
        rows = self._db.read(lambda c: c.execute(sql, (len(busy) * 2 + 1,)).fetchall())
        return next((due for due, key, process in rows if key not in busy and process not in busy), None)

    async def outbox(self, *processes: str) -> list[Due]:
        where = f" WHERE o.process IN ({','.join('?' * len(processes))})" if processes else ""
        sql = f"{_DUE}{where} ORDER BY o.seq LIMIT 1000"
        return [_due(row) for row in self._db.read(lambda c: c.execute(sql, processes).fetchall())]

    async def outbox_after(self, after: str, limit: int) -> list[Due]:
        sql = f"{_DUE} WHERE o.participant = ? AND o.id > ? ORDER BY o.id LIMIT ?"
        return [_due(row) for row in self._db.read(lambda c: c.execute(sql, (self._me, after, limit)).fetchall())]

    async def postpone(self, row: str, due: str, reason: str, *, parked: bool) -> None:
        sql = "UPDATE outbox SET due = ?, reason = ?, parked = ?, attempts = attempts + 1 WHERE id = ?"
        await self._db.write(lambda c: c.execute(sql, (due, reason, parked, row)).rowcount)

    async def drop(self, row: str) -> None:
        await self._db.write(lambda c: c.execute("DELETE FROM outbox WHERE id = ?", (row,)).rowcount)

    async def release(self, row: str) -> bool:
        sql = "UPDATE outbox SET due = '', parked = 0 WHERE id = ? AND participant = ?"
        return bool(await self._db.write(lambda c: c.execute(sql, (row, self._me)).rowcount))

    # agreements, assets, offers --------------------------------------------------------------------------------------

    async def agreement(self, key: str) -> Agreement | None:
        return self._one(Agreement, "SELECT body FROM agreement WHERE id = ? AND participant = ?", key, self._me)

    async def agreements(self, after: str, limit: int) -> list[Agreement]:
        known = await self.agreement(after) if after else None
        bound, tie = (known.at, known.id) if known else ("~", "~")
        sql = "SELECT body FROM agreement WHERE participant = ? AND (at, id) < (?, ?) ORDER BY at DESC, id DESC LIMIT ?"
        return self._many(Agreement, sql, self._me, bound, tie, limit)

    async def save_agreement(self, agreement: Agreement) -> None:
        sql = "UPDATE agreement SET due = ?, body = ? WHERE id = ? AND participant = ?"
        row = (agreement.due, _encode(agreement), agreement.id, self._me)
        await self._db.write(lambda c: c.execute(sql, row).rowcount)

    async def agreements_due(self, now: str, limit: int) -> list[Agreement]:
        sql = "SELECT body FROM agreement WHERE participant = ? AND due <> '' AND due <= ? ORDER BY due LIMIT ?"
        return self._many(Agreement, sql, self._me, now, limit)

    async def document(self, digest: str) -> bytes | None:
        sql = "SELECT body FROM document WHERE participant = ? AND digest = ?"
        row = self._db.read(lambda c: c.execute(sql, (self._me, digest)).fetchone())
        return row[0] if row else None

    async def asset(self, key: str) -> Asset | None:
        return self._one(Asset, "SELECT body FROM asset WHERE id = ? AND participant = ?", key, self._me)

    async def assets(self, after: str, limit: int) -> list[Asset]:
        return self._many(
            Asset, "SELECT body FROM asset WHERE participant = ? AND id > ? ORDER BY id LIMIT ?", self._me, after, limit
        )

    async def add_asset(self, asset: Asset) -> None:
        sql = "INSERT INTO asset (id, participant, body) VALUES (?,?,?)"
        await self._db.write(lambda c: c.execute(sql, (asset.id, self._me, _encode(asset))).rowcount)

    async def offer(self, key: str) -> OfferTerms | None:
        return self._one(OfferTerms, "SELECT body FROM offer WHERE id = ? AND participant = ?", key, self._me)

    async def offers(self, after: str, limit: int) -> list[OfferTerms]:
        return self._many(
            OfferTerms, "SELECT body FROM offer WHERE participant = ? AND id > ? ORDER BY id LIMIT ?", self._me, after, limit
        )

    async def offers_of(self, asset: str) -> list[OfferTerms]:
        return self._many(OfferTerms, "SELECT body FROM offer WHERE asset = ? AND participant = ? ORDER BY id", asset, self._me)

    async def add_offer(self, offer: OfferTerms) -> None:
        sql = "INSERT INTO offer (id, participant, asset, body) VALUES (?,?,?,?)"
        await self._db.write(lambda c: c.execute(sql, (offer.id, self._me, offer.asset, _encode(offer))).rowcount)

    # received data, membership, wallet -------------------------------------------------------------------------------

    async def received(self, transfer: str = "") -> list[ReceivedObject]:
        where = " AND transfer = ?" if transfer else ""
        arguments = (self._me, transfer) if transfer else (self._me,)
        sql = f"SELECT body FROM received WHERE participant = ?{where} LIMIT 1000"  # noqa: S608  both parts stand here
        return self._many(ReceivedObject, sql, *arguments)

    async def received_after(self, after: str, limit: int) -> list[ReceivedObject]:
        sql = "SELECT body FROM received WHERE participant = ? AND transfer > ? ORDER BY transfer LIMIT ?"
        return self._many(ReceivedObject, sql, self._me, after, limit)

    async def add_received(self, found: ReceivedObject) -> None:
        sql = "INSERT OR REPLACE INTO received (transfer, participant, body) VALUES (?,?,?)"
        await self._db.write(lambda c: c.execute(sql, (found.transfer, self._me, _encode(found))).rowcount)

    async def membership(self) -> Membership:
        return self._one(Membership, "SELECT body FROM membership WHERE participant = ?", self._me) or Membership()

    async def save_membership(self, membership: Membership) -> None:
        sql = "INSERT OR REPLACE INTO membership (participant, body) VALUES (?,?)"
        await self._db.write(lambda c: c.execute(sql, (self._me, _encode(membership))).rowcount)

    async def followed(self) -> Followed:
        return self._one(Followed, "SELECT body FROM followed WHERE participant = ?", self._me) or Followed()

    async def save_followed(self, followed: Followed) -> None:
        sql = "INSERT OR REPLACE INTO followed (participant, body) VALUES (?,?)"
        await self._db.write(lambda c: c.execute(sql, (self._me, _encode(followed))).rowcount)

    async def held(self) -> list[Held]:
        return self._many(Held, "SELECT body FROM credential WHERE participant = ? ORDER BY rowid DESC", self._me)

    async def request(self, key: str) -> CredentialRequest | None:
        return self._one(CredentialRequest, "SELECT body FROM credential_request WHERE id = ? AND participant = ?", key, self._me)

    async def open_requests(self) -> list[CredentialRequest]:
        every = self._many(CredentialRequest, "SELECT body FROM credential_request WHERE participant = ? ORDER BY rowid", self._me)
        return [each for each in every if each.state in ("CREATED", "REQUESTED")]

    async def save_offered(self, requests: list[CredentialRequest], token: VerifiedUse) -> None:
        def work(c: sqlite3.Connection) -> None:
            self._spend(c, token)
            for each in requests:
                self._save_request(c, each, None)

        await self._db.write(work)

    async def save_request(self, request: CredentialRequest, token: VerifiedUse | None = None) -> None:
        await self._db.write(lambda c: self._save_request(c, request, token))

    def _save_request(self, c: sqlite3.Connection, request: CredentialRequest, token: VerifiedUse | None) -> None:
        if token is not None:
            self._spend(c, token)
        c.execute(
            "INSERT OR REPLACE INTO credential_request (id, participant, body) VALUES (?,?,?)",
            (request.id, self._me, _encode(request)),
        )

    async def store(self, request: CredentialRequest, credentials: list[Held], token: VerifiedUse) -> None:
        """Keep delivered credentials, replacing those of the same type and issuer, with the request's new state."""

        def work(c: sqlite3.Connection) -> None:
            self._save_request(c, request, token)
            for each in credentials:
                c.execute(
                    "DELETE FROM credential WHERE participant = ? AND type = ? AND issuer = ?", (self._me, each.type, each.issuer)
                )
                c.execute(
                    "INSERT INTO credential (id, participant, type, issuer, body) VALUES (?,?,?,?,?)",
                    (each.id, self._me, each.type, each.issuer, _encode(each)),
                )

        await self._db.write(work)

    def on_commit(self, listener: Callable[[], None]) -> None:
        self._db.on_commit(listener)

    def close(self) -> None:
        self._db.close()

    def _one(self, cls: type[T], sql: str, *arguments: Any) -> T | None:
        row = self._db.read(lambda c: c.execute(sql, arguments).fetchone())
        return msgspec.msgpack.decode(row[0], type=cls) if row else None

    def _many(self, cls: type[T], sql: str, *arguments: Any) -> list[T]:
        rows = self._db.read(lambda c: c.execute(sql, arguments).fetchall())
        return [msgspec.msgpack.decode(row[0], type=cls) for row in rows]


def _due(row: tuple[Any, ...]) -> Due:
    key, process, act, message, path, body, due, peer, attempts, reason, parked = row
    found = OutboxRow(id=key, process=process, act=act, message=message, path=path, body=body, due=due)
    return Due(row=found, peer=peer, attempts=attempts, reason=reason, parked=bool(parked))
