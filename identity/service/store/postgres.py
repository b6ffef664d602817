"""The service's database on a PostgreSQL server, shared by its processes (`kernel.postgres`; ADR 0021).

Rules
- A write takes the data space's turn first (an advisory lock of the transaction) and gives it back by its commit: one writer at a time, as on SQLite, so that no
  statement needs to be written for two. A process that is stopped in the middle loses its transaction, and the turn with it, after ten seconds (`kernel.postgres`).
- The notice to the other processes is part of the transaction: no change stands that they do not hear of.
- What has begun is carried to its end, also when its caller is gone: a write as on SQLite, a read since its thread cannot be stopped.
- A read is a snapshot (repeatable read). It is tried once more on a new connection.
- A unit of work is a plain function, the driver is not: the function runs on a thread, and its statements on the loop, one after the other.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final, TypeVar

from identity.access.postgres import PostgresAccess
from identity.access.service import AccessStore
from identity.service.store.port import Connection
from kernel.errors import UnavailableError
from kernel.migrate import upgrade_server
from kernel.postgres import ALIVE, COMMIT, Postgres, channel_of, numbered

_TURN: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_SNAPSHOT: Final = {"isolation": "repeatable_read", "readonly": True}

T = TypeVar("T")


class PostgresDatabase:
    """The `store.port.Database` of one process of several."""

    def __init__(self, server: Postgres, participant: str) -> None:
        self._server, self._participant = server, participant
        self.access: AccessStore = PostgresAccess(server, participant)
        self.replica, self.alive = server.replica, ALIVE.format("owner")
        self._own_turn = asyncio.Lock()  # who waits for the server's turn waits here, not on a connection
        self._running: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, url: str, participant: str, *, head: str, migrations: Path) -> "PostgresDatabase":
        """Connect and bring the tables to this version; raises `UnavailableError`, `Misconfigured`, `NewerData`."""
        server = await Postgres.open(
            url, channel=channel_of(participant), head=head, upgrade=lambda: upgrade_server(url, migrations)
        )
        return cls(server, participant)

    async def read(self, work: Callable[[Connection], T]) -> T:
        try:
            return await self._carried(self._seen(work))
        except UnavailableError:
            return await self._carried(self._seen(work))

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self._carried(self._written(work))

    async def _carried(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may be gone; its error was seen

    async def _seen(self, work: Callable[[Connection], T]) -> T:
        return await self._server.together(lambda connection: _on_thread(connection, work), **_SNAPSHOT)

    async def _written(self, work: Callable[[Connection], T]) -> T:
        async def run(connection: Any) -> T:
            await connection.execute(_TURN, self._participant)
            found = await _on_thread(connection, work)
            notice, arguments = self._server.notice(COMMIT, "")
            await connection.execute(numbered(notice), *arguments)
            return found

        async with self._own_turn:
            return await self._server.transact(run)

    def turn(self, name: str) -> AbstractAsyncContextManager[None]:
        return self._server.turn(name)

    def on_commit(self, listener: Callable[[], None]) -> None:
        self._server.on_commit(listener)

    async def close(self) -> None:
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._server.close()


async def _on_thread(connection: Any, work: Callable[[Connection], T]) -> T:
    statements = _Statements(connection, asyncio.get_running_loop())
    return await asyncio.to_thread(work, statements)


class _Statements:
    """A connection for a function on another thread: every statement runs on the loop, and is waited for."""

    def __init__(self, connection: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._connection, self._loop = connection, loop

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> "_Found":
        return asyncio.run_coroutine_threadsafe(self._run(numbered(sql), parameters), self._loop).result()

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> None:
        rows = list(parameters)
        asyncio.run_coroutine_threadsafe(self._connection.executemany(numbered(sql), rows), self._loop).result()

    async def _run(self, sql: str, parameters: Sequence[Any]) -> "_Found":
        if sql.startswith(("SELECT", "WITH")):
            return _Found([tuple(row) for row in await self._connection.fetch(sql, *parameters)])
        status = str(await self._connection.execute(sql, *parameters))  # INSERT 0 1, UPDATE 3, DELETE 2, SAVEPOINT
        count = status.rpartition(" ")[2]
        return _Found([], int(count) if count.isdigit() else -1)


class _Found:
    """What a statement found or changed."""

    def __init__(self, rows: list[Any], changed: int = -1) -> None:
        self._rows, self.rowcount = rows, changed

    def fetchone(self) -> Any:
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[Any]:
        return self._rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)
