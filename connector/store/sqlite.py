"""The embedded store: SQLite through `kernel.db`, one process, one transaction per commit (DESIGN 3, 4).

What is being sent is known in the memory of the one process (`busy`), so nothing is leased; after a crash all rows are due again. Statements: `sql`.

Nobody else writes the file, so processes that were committed lately are kept as they were committed, and need not be read; none is kept while a commit of it is under way.
Of those that were kept ever since they began it is known which messages have moved them, so that a new one need not be looked for; nor a token that ends after all
that were used before the start (`used`); nor a first message's process, where its peer numbers them in order (`pids`).
So are the rows of the outbox that come next (`upcoming`); what is more than that is searched in the file.
Agreements that were read lately are kept as well, but not while one is being saved; and ledgers, with what commits under way make of them (`ahead`).

Points where a test may end the process: `database:before-commit`, `database:after-commit` (kernel.db), and those of inbound and outbox.
"""

import asyncio
import sqlite3
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, get_args

import orjson

from connector.processes.errors import VersionConflict
from connector.processes.model import Agreement, Allotted, Commit, Decided, Kind, Ledger, Payment, Process, Role, TokenUse
from connector.store.ahead import Ledgers
from connector.store.events import Statement
from connector.store.pids import Pids
from connector.store.port import ANY_ROOM, Claim, Notice, Rooms
from connector.store.sql import FOLLOWING, HEAD, LAST, SPENT, SqlStore, T, kept_use, lane_of, outbox_row
from connector.store.upcoming import Next, Upcoming
from connector.store.used import Used
from identity.access.service import AccessStore
from identity.access.sqlite import SqliteAccess
from identity.verify import TokenUse as VerifiedUse
from kernel.db import Database
from policies.duties import Counter, Entry

_NEXT: Final = (
    "SELECT seq, process, lane, due FROM outbox"
    " WHERE participant = ? AND process NOT IN (SELECT value FROM json_each(?)) ORDER BY due, seq LIMIT ?"
)
# The same beside lanes that have no room: from lane to lane, so that their rows are not even read.
_BESIDE: Final = """
WITH RECURSIVE lanes (lane) AS (
  SELECT min(lane) FROM outbox WHERE participant = ?1
  UNION ALL SELECT (SELECT min(o.lane) FROM outbox o WHERE o.participant = ?1 AND o.lane > lanes.lane) FROM lanes WHERE lane IS NOT NULL
)
SELECT o.seq, o.process, o.lane, o.due FROM lanes CROSS JOIN outbox o ON o.seq IN (
  SELECT seq FROM outbox INDEXED BY outbox_lane WHERE participant = ?1 AND lane = lanes.lane AND due <= ?4 AND process NOT IN (SELECT value FROM json_each(?2))
  ORDER BY due, seq LIMIT ?6)
WHERE lanes.lane NOT IN (SELECT value FROM json_each(?5)) ORDER BY o.due, o.seq LIMIT ?3"""
_ROW: Final = "SELECT id, process, act, message, path, body, due, lane, attempts, seq FROM outbox"
_TAKEN: Final = f"{_ROW} WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY due, seq"  # noqa: S608  the parts stand here
_FIRST: Final = f"{_ROW} WHERE participant = ? ORDER BY due, seq LIMIT ?"
_LAST_PID: Final = {
    kind: " UNION ALL ".join(
        f"SELECT max(peer_pid) FROM process WHERE participant = ?1 AND kind = '{kind}' AND peer = ?2 AND role = '{role}' AND peer_pid <> ''"  # noqa: S608
        for role in get_args(Role)
    )
    for kind in get_args(Kind)
}
_BEHIND: Final = "SELECT due FROM outbox WHERE participant = ? ORDER BY due, seq LIMIT 1 OFFSET ?"
_LAST_END: Final = "SELECT max(expires) FROM spent WHERE participant = ?"
_KEPT: Final = 1_024  # processes, agreements, ledgers
_UPCOMING: Final = 2_048  # rows of the outbox
_HEARD: Final = 64  # messages of one process whose ids are kept


def open_database(path: Path) -> Database:
    """Open or make the database file; raises `InUse`, `NewerData`."""

    def upgrade(file: Path) -> None:
        from kernel.migrate import upgrade as run  # noqa: PLC0415  only when there is something to upgrade

        run(file, Path(__file__).parent / "migrations")

    return Database.open(path, head=HEAD, upgrade=upgrade)


class SqliteStore(SqlStore):
    """The `Store` of one participant."""

    patience = None
    looks_ahead = True

    def __init__(self, database: Database, participant: str, upcoming: int = _UPCOMING) -> None:
        """`upcoming`: how many rows of the outbox are known in memory."""
        super().__init__(participant)
        self._db = database
        self._turns: dict[str, asyncio.Lock] = {}
        self._processes: OrderedDict[str, Process] = OrderedDict()
        self._heard: dict[str, frozenset[str]] = {}  # ids of all messages that have moved a process
        self._moving: dict[str, int] = {}  # commits of processes that are under way
        self._agreements: OrderedDict[str, Agreement] = OrderedDict()
        self._saving: defaultdict[str, int] = defaultdict(int)
        self._ledgers = Ledgers(_KEPT)
        self._used = Used(database.read(lambda c: c.execute(_LAST_END, (participant,)).fetchone())[0] or 0)
        self._pids = Pids()
        self._upcoming = Upcoming(upcoming)
        self._leaving: set[str] = set()  # rows that commits take away, done or under way
        self.access: AccessStore = SqliteAccess(database, participant)

    async def _rows(self, sql: str, *arguments: Any) -> Sequence[Any]:
        return self._db.read(lambda c: c.execute(sql, arguments).fetchall())

    async def _write(self, *statements: Statement) -> Sequence[Any]:
        tokens = [TokenUse(*arguments[1:]) for sql, arguments in statements if sql is SPENT]
        return await self._written(tokens, lambda c: self._run(c, statements)[1])

    async def _written(self, tokens: Iterable[TokenUse], work: Callable[[sqlite3.Connection], T], *, quiet: bool = False) -> T:
        """Write, and know the tokens that are used up by it."""
        try:
            value = await self._db.write(work, quiet=quiet)
        except BaseException:  # a caller that gives up is not told what became of it
            for each in tokens:
                self._used.doubt(each)
            raise
        for each in tokens:
            self._used.add(each)
        return value

    async def spend(self, token: TokenUse | VerifiedUse) -> None:
        """Quiet: nothing follows from it, and the answer of a read waits for nobody else."""
        kept = kept_use(token)
        await self._written((kept,), lambda c: self._run(c, [self._spent(kept)]), quiet=True)

    async def seen(self, token: TokenUse | VerifiedUse) -> bool:
        known = self._used.knows(kept_use(token))
        return await super().seen(token) if known is None else known

    async def process(self, key: str) -> Process | None:
        known = self._processes.get(key)
        return known if known is not None and known.participant == self._me else await super().process(key)

    async def process_of_peer(self, peer: str, kind: Kind, peer_pid: str) -> Process | None:
        whose = peer, kind
        if not self._pids.asked(whose):
            self._pids.read(whose, max(row[0] or "" for row in await self._rows(_LAST_PID[kind], self._me, peer)))
        return None if self._pids.new(whose, peer_pid) else await super().process_of_peer(peer, kind, peer_pid)

    async def replay(self, process: str, message_id: str, sender: Role) -> str | None:
        heard = self._heard.get(process)
        return await super().replay(process, message_id, sender) if heard is None or message_id in heard else None

    async def agreement(self, key: str) -> Agreement | None:
        known = self._agreements.get(key)
        if known is not None and known.participant == self._me:
            return known
        found = await super().agreement(key)
        if found is not None and not self._saving[key]:
            self._agreements[key] = found
            if len(self._agreements) > _KEPT:
                self._agreements.popitem(last=False)
        return found

    async def save_agreement(self, agreement: Agreement) -> None:
        self._agreements.pop(agreement.id, None)
        self._saving[agreement.id] += 1
        try:
            await super().save_agreement(agreement)
        except asyncio.CancelledError:  # it is written all the same, and nobody is told when: not kept any more
            self._saving[agreement.id] += 1
            raise
        finally:
            self._saving[agreement.id] -= 1

    async def commit(self, commit: Commit) -> None:
        process, key = commit.process, commit.process.id
        before = self._processes.pop(key, None)
        statements = self.statements(commit, before)
        known = before.peer_pid if before is not None else ""
        named = (process.peer, process.kind) if process.peer_pid != known else None
        self._leaving.update(commit.confirmed, commit.withdrawn)
        heard = self._heard.pop(key, None) if commit.expected else frozenset()
        self._moving[key] = self._moving.get(key, 0) + 1
        tokens = (commit.token,) if commit.token is not None else ()
        try:
            with self._changing(commit):
                await self._written(tokens, lambda c: self._commit(c, key, statements))
        except BaseException as error:
            self._arrived(key, None)
            if isinstance(error, asyncio.CancelledError):  # nobody hears what became of it
                self._upcoming.forget()
            if named is not None:
                self._pids.doubt(named, process.peer_pid)
            raise
        if named is not None:
            self._pids.add(named, process.peer_pid)
        if heard is not None:
            heard = heard.union(row.message_id for row in commit.journal)
        self._arrived(key, process, heard)
        self._upcoming.remove((*commit.confirmed, *commit.withdrawn))
        for row in commit.outbox:
            self._upcoming.add(row, lane_of(row, process.peer))
        self._committed(commit)

    def _changing(self, commit: Commit) -> AbstractContextManager[None]:
        """The block writes what the commit makes of a ledger."""
        if not (commit.duties or commit.counters or commit.decided):
            return nullcontext()
        if commit.decided is not None and not commit.duties:
            return self._ledgers.deciding(commit.decided, commit.counters)
        return self._ledgers.changing({each.agreement for each in commit.duties} | {each.agreement for each in commit.counters})

    def _arrived(self, key: str, process: Process | None, heard: frozenset[str] | None = None) -> None:
        """Keep a committed process, unless another commit of it is under way, with what it has accepted, where that is known and not much."""
        left = self._moving.pop(key) - 1
        if left:
            self._moving[key] = left
        elif process is not None:
            self._processes[key] = process
            if heard is not None and len(heard) <= _HEARD:
                self._heard[key] = heard
            if len(self._processes) > _KEPT:
                oldest, _ = self._processes.popitem(last=False)
                self._heard.pop(oldest, None)

    def _commit(self, c: sqlite3.Connection, key: str, statements: list[Statement]) -> None:
        changed, _ = self._run(c, statements[:1])
        if changed != 1:
            raise VersionConflict("the process has moved meanwhile", pid=key)
        self._run(c, statements[1:])

    def _run(self, c: sqlite3.Connection, statements: Sequence[Statement]) -> tuple[int, list[Any]]:
        """Rows that the last statement changed, and what it returns."""
        done = None
        for sql, arguments in statements:
            try:
                done = c.execute(sql, arguments)
            except sqlite3.IntegrityError as error:
                table = str(error).partition(": ")[2].partition(".")[0]  # UNIQUE constraint failed: <table>.<column>, ...
                raise self.broken(table, statements) from error
        return (done.rowcount, done.fetchall()) if done is not None else (0, [])

    # ledgers ---------------------------------------------------------------------------------------------------------

    async def ledger(self, agreement: str) -> Ledger:
        return self._ledgers.settled(agreement) or await super().ledger(agreement)

    async def ahead(self, agreement: str) -> Ledger:
        known = self._ledgers.ahead(agreement)
        if known is None:
            known = await super().ledger(agreement)
            self._ledgers.read(agreement, known)
        return known

    async def save_duties(self, entries: Sequence[Entry]) -> None:
        with self._ledgers.changing({each.agreement for each in entries}):
            await super().save_duties(entries)

    async def add_payment(self, payment: Payment, counter: Counter, duties: Sequence[Entry] = ()) -> None:
        with self._ledgers.changing({counter.agreement, *(each.agreement for each in duties)}):
            await super().add_payment(payment, counter, duties)

    async def return_allotment(self, allotment: Allotted, counters: Sequence[Counter]) -> None:
        with self._ledgers.changing({each.agreement for each in counters}):
            await super().return_allotment(allotment, counters)

    async def add_decision(self, decided: Decided) -> None:
        with self._ledgers.deciding(decided):
            await super().add_decision(decided)

    # outbox ----------------------------------------------------------------------------------------------------------

    async def claim(self, now: str, limit: int, busy: Collection[str], rooms: Rooms = ANY_ROOM) -> tuple[list[Claim], str | None]:
        if not self._upcoming.knows(now):
            await self._learn(now)
        known = self._upcoming.knows(now)
        found, following = self._upcoming.claim(now, limit, busy, rooms) if known else await self._searched(now, limit, busy, rooms)
        return [
            Claim(row=each.row, lane=each.lane, attempts=each.attempts, process=await self.process(each.row.process))
            for each in found
        ], following

    async def _learn(self, now: str) -> None:
        """Read the rows that come next, unless more are due than can be kept. Writes are done in their order: what is asked for from now on is not among them."""
        behind = await self._rows(_BEHIND, self._me, self._upcoming.most)
        if behind and behind[0][0] <= now:
            return
        doubts = self._upcoming.doubts
        rows = await self._db.write(lambda c: c.execute(_FIRST, (self._me, self._upcoming.most + 1)).fetchall(), quiet=True)
        if self._upcoming.doubts == doubts:
            self._upcoming.read(map(_next, rows), rows[-1][6] if len(rows) > self._upcoming.most else LAST)

    async def _searched(self, now: str, limit: int, busy: Collection[str], rooms: Rooms) -> tuple[list[Next], str | None]:
        """A claim in the file."""
        full = [lane for lane, room in rooms.named.items() if not room]
        common = (self._me, _list(busy), limit * 2 + 1)
        if full:
            widest = min(limit, max(rooms.other, *rooms.named.values()))
            rows = await self._rows(_BESIDE, *common, now, _list(full), widest)
        else:
            rows = await self._rows(_NEXT, *common)
        found, left, following = _chosen(rows, now, limit, rooms)
        if full and len(found) < limit:
            later = await self._rows(FOLLOWING, self._me, now)
            following = later[0][0] if later else None
        if left and found and (full or len(rows) > limit * 2):
            following = ""  # behind what was left there may be others: the next claim has other rooms
        return [_next(row) for row in await self._rows(_TAKEN, _list(found))] if found else [], following

    async def postpone(self, row: str, fence: int, due: str, reason: str, *, parked: bool) -> None:
        with self._doubting():
            await super().postpone(row, fence, due, reason, parked=parked)
        self._upcoming.move(row, due, 1)

    async def drop(self, row: str, fence: int) -> None:
        with self._doubting():
            await super().drop(row, fence)
        self._upcoming.remove((row,))

    async def release(self, row: str) -> bool:
        with self._doubting():
            found = await super().release(row)
        if found:
            self._upcoming.move(row, "", 0)
        return found

    @contextmanager
    def _doubting(self) -> Iterator[None]:
        """The block writes to the outbox: when its caller gives up nobody hears what became of that."""
        try:
            yield
        except asyncio.CancelledError:
            self._upcoming.forget()
            raise

    async def living(self, keys: frozenset[str]) -> frozenset[str]:
        self._leaving &= keys  # the others are nobody's business any more
        if not self._leaving:
            return keys
        sql = f"SELECT id FROM outbox WHERE id IN ({','.join('?' * len(self._leaving))})"  # noqa: S608  question marks only
        gone = self._leaving - {row[0] for row in await self._rows(sql, *self._leaving)}
        return keys - gone

    # one process -----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        async with self._turns.setdefault(name, asyncio.Lock()):
            yield

    def on_commit(self, listener: Callable[[], None]) -> None:
        self._db.on_commit(listener)

    def on_notice(self, listener: Notice) -> None:
        """There are no other replicas."""

    async def tell(self, kind: str) -> None:
        """There are no other replicas."""

    async def close(self) -> None:
        self._db.close()


def _chosen(rows: Sequence[Any], now: str, limit: int, rooms: Rooms) -> tuple[list[int], bool, str | None]:
    """Those of the rows that are taken, whether one whose time has come was left, and the time of the next one."""
    found: dict[str, int] = {}
    taken: dict[str, int] = {}
    left = False
    for seq, owner, lane, due in rows:
        if due > now:
            return list(found.values()), left, due
        if len(found) == limit:
            break
        so_far = taken.get(lane, 0)
        if owner in found or so_far >= rooms.named.get(lane, rooms.other):
            left = True
            continue
        found[owner], taken[lane] = seq, so_far + 1
    return list(found.values()), left, None


def _next(row: Sequence[Any]) -> Next:
    *columns, lane, attempts, seq = row
    return Next(outbox_row(*columns), lane, attempts, seq)


def _list(values: Iterable[Any]) -> str:
    return orjson.dumps(list(values)).decode()
