"""PostgreSQL, shared by replicas: a pool, one round trip per transaction, turns, and announcements to the other replicas.

Rules
- A write is one statement, hence one transaction of its own: several are fused into one (`fused`). So nothing holds a row's lock between two round trips, and a
  replica that is stopped in the middle holds none at all.
- What `accompany` names for a write travels in its transaction (then one of several round trips); one that is left open for 10 s is ended by the server.
- What the first statement of a fused write did not change is not written at all (`Unchanged`).
- After a write, listeners here are called at once; the other replicas hear of it by NOTIFY, at most every 20 ms. Such a notice may be lost (a crash between commit
  and notice, a broken connection): whoever listens looks again in its own time as well, and at everything when the connection is back (`on_notice` with no kind).
- `turn` lets one replica at a time do something that takes long. It ends with the connection, so with the replica at the latest.
- Reads are tried once more on a new connection; writes are not, since they may have happened. A server that cannot be reached is `UnavailableError`.

Placeholders are question marks, as in SQLite: statements are shared between the two. Not done here: queries (`store` packages), the URL's meaning (libpq's: hosts,
`sslmode`, `passfile`, `target_session_attrs`).
"""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar

import asyncpg

from kernel import telemetry
from kernel.errors import BadInput, Misconfigured, NewerData, StorageFull, UnavailableError
from kernel.faults import crashpoint
from kernel.waiting import until

T = TypeVar("T")
Statement = tuple[str, tuple[Any, ...]]
Rows = Any  # a sequence of tuples; the driver is not typed
Notice = Callable[[str, str], None]
COMMIT: Final = "commit"
APART: Final = 0.02  # seconds between two notices of commits
QUIET: Final = 60.0  # seconds after which a silent listening connection is tried
ALIVE: Final = "EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name = 'kizuna ' || {})"  # a replica by its name
TIMEOUT: Final = 30.0  # seconds for one statement
_UNREACHABLE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,  # the server ended the connection in the middle of an operation
    asyncpg.QueryCanceledError,
    asyncpg.TransactionRollbackError,  # a deadlock, for one; what was to be written was not
    asyncpg.InterfaceError,
    OSError,  # and TimeoutError, which is one
)
_WRONG: Final = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError, asyncpg.ClientConfigurationError)
_TEXT: Final = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)
log = telemetry.get(__name__)


class Unchanged(Exception):
    """The first statement of a fused write changed nothing, so nothing was written."""


class NotUnique(Exception):
    """A uniqueness was broken, or what a row comes from is not there; nothing was written."""

    def __init__(self, table: str) -> None:
        super().__init__(table)
        self.table = table


class Rider(Protocol):
    """What belongs into the transaction of somebody else's write."""

    async def ride(self, connection: Any) -> None:
        """After the write itself; statements as the driver takes them."""

    def arrived(self) -> None:
        """Once both are durable."""


class Postgres:
    """An open database. Make it with `open`, end it with `close`."""

    def __init__(self, url: str, channel: str, replica: str, pool: Any) -> None:
        self.replica = replica  # a part of the name of all our connections, `ALIVE`
        self._url, self._channel, self._pool = url, channel, pool
        self._commits: list[Callable[[], None]] = []
        self._notices: list[Notice] = []
        self._due: dict[tuple[str, str], None] = {}  # what to announce
        self._rider: Callable[[], Rider | None] = lambda: None
        self._dirty = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(cls, url: str, *, channel: str, head: str, upgrade: Callable[[], None], connections: int = 10) -> "Postgres":
        """Connect, bring to revision `head` (by `upgrade`, in a thread, when it is older or new), listen on `channel`.

        Raises `UnavailableError`, `Misconfigured`, `NewerData`.
        """
        replica = uuid.uuid4().hex[:12]
        with _translating():
            if await _revision(url) != head:
                await asyncio.to_thread(upgrade)
            found = await _revision(url)
            if found != head:
                raise NewerData(
                    f"the database has revision {found}, this version knows {head}",
                    next_step="run the version that wrote it, or restore a backup of this one",
                )
            pool = await asyncpg.create_pool(url, min_size=1, max_size=connections, command_timeout=TIMEOUT, reset=_as_it_is,
                server_settings={"application_name": f"kizuna {replica}", "idle_in_transaction_session_timeout": "10s"},
            )  # fmt: skip
            made = cls(url, channel, replica, pool)
            await made._start()
            return made

    async def _start(self) -> None:
        listening = await self._listener()
        self._tasks = [asyncio.create_task(self._listen(listening)), asyncio.create_task(self._announce())]

    # statements ------------------------------------------------------------------------------------------------------

    async def rows(self, sql: str, *arguments: Any) -> Rows:
        """What a query finds; rows are tuples."""
        try:
            return await self.once(sql, *arguments)
        except UnavailableError:
            return await self.once(sql, *arguments)

    async def once(self, sql: str, *arguments: Any) -> Rows:
        """One statement, tried once; nobody is told of what it writes."""
        with _translating():
            async with self._pool.acquire() as connection:
                return await connection.fetch(numbered(sql), *arguments)

    async def write(self, *statements: Statement, fuse: bool = False) -> Rows:
        """Write, all or nothing; what the only statement returns.

        Several run one after the other in a transaction, or fused, where none sees what another does. Raises `NotUnique`, and `Unchanged` when fused.
        """
        run = _fused if fuse else _in_turn
        return await self._written(lambda connection: run(connection, statements), apart=False)

    async def transact(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Write by as many statements of `work` as it takes, in one transaction."""
        return await self._written(work, apart=True)

    async def _written(self, work: Callable[[Any], Awaitable[T]], *, apart: bool) -> T:
        rider = self._rider()
        crashpoint("database:before-commit")
        with _translating():
            async with self._pool.acquire() as connection, connection.transaction() if apart or rider else nullcontext():
                found = await work(connection)
                if rider is not None:
                    await rider.ride(connection)
        crashpoint("database:after-commit")
        if rider is not None:
            rider.arrived()
        self._dirty.set()
        for listener in self._commits:
            listener()
        return found

    async def together(self, work: Callable[[Any], Awaitable[T]], **kind: Any) -> T:
        """Run `work` on a connection, in a transaction of its own (`kind`: the driver's); nobody is told of what it writes."""
        with _translating():
            async with self._pool.acquire() as connection, connection.transaction(**kind):
                return await work(connection)

    def accompany(self, rider: Callable[[], "Rider | None"]) -> None:
        """Ask `rider`, in the caller's context, what else belongs into each write."""
        self._rider = rider

    # replicas --------------------------------------------------------------------------------------------------------

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every write, here or at another replica."""
        self._commits.append(listener)

    def on_notice(self, listener: Notice) -> None:
        """Call `listener(kind, key)` for every notice of another replica; with two empty texts when some may have been missed."""
        self._notices.append(listener)

    def announce(self, kind: str, key: str) -> None:
        """Tell the other replicas with the next notice of commits: what they may also find out in their own time."""
        self._due[kind, key] = None
        self._dirty.set()

    def notice(self, kind: str, key: str) -> Statement:
        """The statement that tells the other replicas, for a transaction that writes what it tells of."""
        return "SELECT pg_notify(?, ?)", (self._channel, f"{self.replica} {kind} {key}")

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Wait until no replica is in the turn of this name, and have it until the end of the block."""
        with _translating():
            connection = await asyncpg.connect(self._url)
        try:
            with _translating():
                await connection.execute("SELECT pg_advisory_lock($1)", _key(f"{self._channel} {name}"))
            yield
        finally:
            connection.terminate()

    async def close(self) -> None:
        """End what runs, and give the connections back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(*_UNREACHABLE):
            async with asyncio.timeout(5):
                await self._pool.close()
        self._pool.terminate()

    async def _announce(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            due, self._due = self._due, {}
            payloads = [f"{self.replica} {kind} {key}" for kind, key in ((COMMIT, ""), *due)]
            with suppress(UnavailableError):
                await self.once("SELECT pg_notify(?, told) FROM unnest(?::text[]) told", self._channel, payloads)
            await asyncio.sleep(APART)

    async def _listener(self) -> Any:
        connection = await asyncpg.connect(self._url, timeout=TIMEOUT)
        await connection.add_listener(self._channel, self._heard)
        return connection

    async def _listen(self, connection: Any) -> None:
        try:
            while True:
                try:
                    while not await _ended(connection):
                        await connection.execute("SELECT 1", timeout=TIMEOUT)
                except _UNREACHABLE as error:
                    log.warning("the database is not heard any more", cause=str(error))
                connection.terminate()
                connection = await self._again()
                self._tell(("", ""))
        finally:
            connection.terminate()

    async def _again(self) -> Any:
        pause = 0.1
        while True:
            await asyncio.sleep(pause)
            pause = min(5.0, pause * 2)
            try:
                return await self._listener()
            except (asyncpg.PostgresError, *_UNREACHABLE) as error:
                log.warning("the database cannot be reached", cause=str(error), again_in=pause)

    def _heard(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        replica, kind, key = str(payload).split(" ", 2)
        if replica == self.replica:
            return
        if kind == COMMIT:
            self._tell()
        else:
            self._tell((kind, key))

    def _tell(self, *notices: tuple[str, str]) -> None:
        for listener in self._commits:
            listener()
        for each in self._notices:
            for kind, key in notices:
                each(kind, key)


async def _ended(connection: Any) -> bool:
    """Whether the connection ends within a while; False when it is still there."""
    ended = asyncio.Event()
    connection.add_termination_listener(lambda _connection: ended.set())
    return connection.is_closed() or await until(ended, QUIET)


async def _as_it_is(_connection: Any) -> None:
    """Connections go back to the pool as they are: nothing here changes a session."""


async def _fused(connection: Any, statements: Sequence[Statement]) -> Rows:
    arguments = [each for _, found in statements for each in found]
    return await connection.fetch(fused(tuple(sql for sql, _ in statements)), *arguments)


async def _in_turn(connection: Any, statements: Sequence[Statement]) -> Rows:
    if len(statements) == 1:
        return await connection.fetch(numbered(statements[0][0]), *statements[0][1])
    async with connection.transaction():
        for sql, arguments in statements:
            found = await connection.fetch(numbered(sql), *arguments)
    return found


@lru_cache(1024)
def numbered(sql: str) -> str:
    """Question marks as `$1`, `$2`, ...; no statement holds one in a literal."""
    first, *rest = sql.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))


@lru_cache(1024)
def fused(statements: tuple[str, ...]) -> str:
    """Several writes as one statement. It divides by the number of rows that the first one changed, so that all fail together when that is none."""
    parts = ", ".join(f"s{number} AS ({sql} RETURNING 1)" for number, sql in enumerate(statements))
    return numbered(f"WITH {parts} SELECT 1 / count(*) FROM s0")  # noqa: S608  of constants of ours


def channel_of(name: str) -> str:
    """The channel of all replicas of a participant."""
    return f"kizuna_{hashlib.sha256(name.encode()).hexdigest()[:24]}"


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


async def _revision(url: str) -> str:
    """The alembic revision of the database; empty for a new one."""
    connection = await asyncpg.connect(url, timeout=TIMEOUT)
    try:
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            return ""
        return str(await connection.fetchval("SELECT version_num FROM alembic_version") or "")
    finally:
        await connection.close()


class _translating:  # noqa: N801  used as a function
    """Errors of the server and of the way to it, as those that people and programs can act on."""

    def __enter__(self) -> None:
        """Nothing is opened."""

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, asyncpg.UniqueViolationError | asyncpg.NotNullViolationError):
            raise NotUnique(error.table_name or "") from error
        if isinstance(error, asyncpg.DivisionByZeroError):
            raise Unchanged from error
        if isinstance(error, asyncpg.DiskFullError):
            raise StorageFull(
                "the database's disk is full; nothing was changed", next_step="make space there, then try again"
            ) from error
        if isinstance(error, _TEXT):
            raise BadInput("a text holds a character that cannot be stored") from error
        if isinstance(error, _WRONG):
            raise Misconfigured(f"the database refuses us: {error}", next_step="correct the setting `database`") from error
        if isinstance(error, _UNREACHABLE):
            raise UnavailableError("the database cannot be reached", next_step="it is tried again", cause=str(error)) from error
