"""The store of replicas: PostgreSQL through `kernel.postgres`, several processes for one participant (DESIGN 3, 4; ADR 0015).

Rules
- A row of the outbox is leased before it is sent, by the clock of the database: nobody else takes it before the lease ends, and no second row of its process. The lease of
  an attempt that goes on is renewed. A claim does not wait for anybody (SKIP LOCKED).
- Every claim raises the row's fence. Who comes back from a pause that was longer than its lease finds its attempt broken off, and its postponing and
  dropping of the row without effect. What it learned from the peer stays true: the version of the process decides whether it still changes anything.
- What makes an exchange right are the conditions of the commit (version, used tokens); leases only keep two replicas from doing the same work.
- A replica that ends gives its leases back; those of one that the server has no connection of any more are void, so that a killed one is not waited for.

Points where a test may end the process: `database:before-commit`, `database:after-commit`.
"""

import time
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import msgspec

from connector.processes.errors import VersionConflict
from connector.processes.model import Commit, Ledger, Process
from connector.store.events import Statement
from connector.store.port import ANY_ROOM, LEDGER, Claim, Notice, Rooms
from connector.store.sql import ANY_KIND, FOLLOWING, HEAD, SqlStore, outbox_row
from identity.access.postgres import PostgresAccess
from identity.access.service import AccessStore
from kernel.errors import UnavailableError
from kernel.migrate import upgrade_server
from kernel.postgres import ALIVE, NotUnique, Postgres, Rows, Unchanged, channel_of

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LONGEST: Final = 1_000
_NOW: Final = "to_char(({}) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
_CLOCK: Final = _NOW.format("clock_timestamp()")
_UNTIL: Final = _NOW.format("clock_timestamp() + make_interval(secs => ?)")
_CLAIM: Final = f"""
WITH RECURSIVE lanes (lane) AS (
  SELECT min(lane) FROM outbox WHERE participant = ?
  UNION ALL SELECT (SELECT min(o.lane) FROM outbox o WHERE o.participant = ? AND o.lane > lanes.lane) FROM lanes WHERE lane IS NOT NULL
), free AS (
  SELECT o.seq FROM lanes LEFT JOIN unnest(?::text[], ?::text[]) named (lane, room) ON named.lane = lanes.lane CROSS JOIN LATERAL (
    SELECT o.seq, o.due FROM outbox o
    WHERE o.participant = ? AND o.lane = lanes.lane AND o.due <= ? AND o.leased_until <= {_CLOCK} AND NOT o.process = ANY(?)
      AND NOT EXISTS (SELECT 1 FROM outbox other WHERE other.process = o.process AND other.seq <> o.seq
        AND (other.leased_until > {_CLOCK} OR (other.due <= ? AND (other.due, other.seq) < (o.due, o.seq))))
    ORDER BY o.due, o.seq LIMIT coalesce(named.room::int, ?::int) FOR UPDATE SKIP LOCKED
  ) o ORDER BY o.due, o.seq LIMIT ?
), taken AS (
  UPDATE outbox o SET owner = ?, leased_until = {_UNTIL}, fence = o.fence + 1 FROM free WHERE o.seq = free.seq
  RETURNING o.seq, o.id, o.process, o.act, o.message, o.path, o.body, o.due, o.attempts, o.lane, o.fence
)
SELECT t.id, t.process, t.act, t.message, t.path, t.body, t.due, t.attempts, t.lane, t.fence, p.body
FROM taken t LEFT JOIN process p ON p.id = t.process AND p.participant = ? AND p.{ANY_KIND} ORDER BY t.due, t.seq"""  # noqa: S608  the parts stand here
_LIVING: Final = "SELECT id FROM outbox WHERE id = ANY(?) AND owner = ?"
# What changes several rows takes those that are free and waits for none, so that no two replicas can wait for one another.
_FREE: Final = "WHERE seq IN (SELECT seq FROM outbox WHERE {} FOR UPDATE SKIP LOCKED)"
_RENEW: Final = f"UPDATE outbox SET leased_until = {_UNTIL} {_FREE.format('id = ANY(?) AND owner = ?')}"  # noqa: S608
_GONE: Final = f"participant = ? AND leased_until <> '' AND NOT {ALIVE.format('owner')}"
_VOID: Final = f"UPDATE outbox SET owner = '', leased_until = '' {_FREE.format(_GONE)}"  # noqa: S608
_GIVE_BACK: Final = f"UPDATE outbox SET owner = '', leased_until = '' {_FREE.format('owner = ? AND participant = ?')}"  # noqa: S608


class PostgresStore(SqlStore):
    """The `Store` of one replica of a participant."""

    looks_ahead = False
    _from, _after, _before, _order, _newest = (
        "(turn, seq) >= (?, ?)",
        "(turn, seq) > (?, ?)",
        "(turn, seq) < (?, ?)",
        "turn, seq",
        "turn DESC, seq DESC",
    )
    _settled = " AND turn < pg_snapshot_xmin(pg_current_snapshot())::text::bigint"  # no transaction that is still open can put one before them

    def __init__(self, database: Postgres, participant: str, lease: float) -> None:
        """`lease`: seconds for which a claimed row is ours."""
        super().__init__(participant)
        self._db, self._lease = database, lease
        self.access: AccessStore = PostgresAccess(database, participant)
        self.patience = lease / 3
        self._renewed = self._swept = time.monotonic()

    @classmethod
    async def open(cls, url: str, participant: str, lease: float) -> "PostgresStore":
        """Connect and bring the tables to this version; raises `UnavailableError`, `Misconfigured`, `NewerData`."""

        def upgrade() -> None:
            upgrade_server(url, MIGRATIONS)

        made = cls(await Postgres.open(url, channel=channel_of(participant), head=HEAD, upgrade=upgrade), participant, lease)
        await made._sweep()
        return made

    async def _rows(self, sql: str, *arguments: Any) -> Rows:
        return await self._db.rows(sql, *arguments)

    async def _write(self, *statements: Statement) -> Rows:
        try:
            return await self._db.write(*statements)
        except NotUnique as error:
            raise self.broken(error.table, statements) from error

    async def commit(self, commit: Commit) -> None:
        statements = self.statements(commit)
        try:
            await self._db.write(*statements, fuse=True)
        except Unchanged as error:
            raise VersionConflict("the process has moved meanwhile", pid=commit.process.id) from error
        except NotUnique as error:
            raise self.broken(error.table, statements) from error
        self._committed(commit)

    async def ahead(self, agreement: str) -> Ledger:
        return await self.ledger(agreement)

    # outbox ----------------------------------------------------------------------------------------------------------

    async def claim(self, now: str, limit: int, busy: Collection[str], rooms: Rooms = ANY_ROOM) -> tuple[list[Claim], str | None]:
        if time.monotonic() - self._swept >= self.patience:
            await self._sweep()
        own, until = list(busy), time.monotonic() + self._lease
        named, room, other = list(rooms.named), list(map(str, rooms.named.values())), min(rooms.other, limit)
        free = (self._me, now, own, now, other, limit)
        rows = await self._db.once(_CLAIM, self._me, self._me, named, room, *free, self._db.replica, self._lease, self._me)
        claims = [
            Claim(
                row=outbox_row(*columns),
                lane=lane,
                attempts=attempts,
                process=msgspec.msgpack.decode(body, type=Process) if body is not None else None,
                fence=fence,
                until=until,
            )
            for *columns, attempts, lane, fence, body in rows
        ]
        following = await self._rows(FOLLOWING, self._me, now) if len(claims) < limit else ()
        return claims, following[0][0] if following else None

    async def _sweep(self) -> None:
        self._swept = time.monotonic()
        await self._db.once(_VOID, self._me)

    async def living(self, keys: frozenset[str]) -> frozenset[str]:
        if not keys:
            return keys
        if time.monotonic() - self._renewed >= self.patience:
            self._renewed = time.monotonic()
            await self._db.once(_RENEW, self._lease, list(keys), self._db.replica)
        return frozenset(row[0] for row in await self._rows(_LIVING, list(keys), self._db.replica))

    # replicas --------------------------------------------------------------------------------------------------------

    def turn(self, name: str) -> AbstractAsyncContextManager[None]:
        return self._db.turn(name)

    def on_commit(self, listener: Callable[[], None]) -> None:
        self._db.on_commit(listener)

    def on_notice(self, listener: Notice) -> None:
        self._db.on_notice(listener)

    def _told(self, kind: str, key: str) -> tuple[Statement, ...]:
        return (self._db.notice(kind, key),)

    def _tell(self, changed: Iterable[tuple[str, str]]) -> None:
        found = list(changed)
        super()._tell(found)
        for agreement, transfer in found:  # an id that a peer has chosen may be longer than a notice
            self._db.announce(LEDGER, f"{transfer} {agreement}" if len(agreement) <= _LONGEST else "")

    async def tell(self, kind: str) -> None:
        sql, arguments = self._db.notice(kind, "")
        await self._db.once(sql, *arguments)

    async def close(self) -> None:
        try:
            await self._write((_GIVE_BACK, (self._db.replica, self._me)))
        except UnavailableError:
            pass  # the leases end by themselves
        finally:
            await self._db.close()
