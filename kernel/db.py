"""SQLite, embedded: one process owns the file, one thread writes it, many writes share one durable commit.

Rules
- The file is locked for its process (`InUse` names the reason). WAL, `synchronous=FULL`: a commit that returned is on disk.
- `write` queues a function; the writer thread runs all that wait inside one transaction. One that raises is undone alone and hears its own error:
  where it had changed something, all of them run once more, each in a savepoint of its own (rare, and savepoints cost a fifth of all writing), so
  that a function may run twice. When the commit itself fails, all of them hear that.
- What `accompany` names for a write travels with it: both are durable, or neither.
- `read` runs at once on the caller's thread, on a connection of its own: it sees what is committed, and never waits for writers.
- A file of a newer revision is refused (`NewerData`); an older one is upgraded before anything else happens.

Not done here: migrations (`kernel.migrate`), queries (`store` packages).
"""

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from kernel.errors import InUse, NewerData, StorageFull, UnavailableError
from kernel.faults import crashpoint

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]
_Job = tuple[Work, "asyncio.Future[Any]", asyncio.AbstractEventLoop]
_Outcome = tuple["asyncio.Future[Any]", asyncio.AbstractEventLoop, Any, BaseException | None]
GROUP = 256


class Rider(Protocol):
    """What belongs into the transaction of somebody else's write."""

    def ride(self, connection: sqlite3.Connection) -> None:
        """On the writer's thread, after the write itself."""

    def arrived(self) -> None:
        """On the loop, once both are durable."""


class Database:
    """An open database file. Make it with `open`, end it with `close`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._reader = _connect(path, read_only=True)
        self._queue: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._gathered: list[_Job] = []
        self._turn: asyncio.AbstractEventLoop | None = None
        self._listeners: list[Callable[[], None]] = []
        self._quiet: set[asyncio.Future[Any]] = set()  # writes that listeners need not hear of
        self._rider: Callable[[], Rider | None] = lambda: None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="database-writer", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, path: Path, *, head: str, upgrade: Callable[[Path], None]) -> "Database":
        """Lock, bring to revision `head` (by `upgrade` when it is older or new), open. Raises `InUse`, `NewerData`."""
        lock = _lock(path)
        try:
            found = revision(path)
            if found != head:
                upgrade(path)
            if revision(path) != head:
                raise NewerData(
                    f"{path} has revision {found}, this version knows {head}",
                    next_step="run the version that wrote it, or restore a backup of this one",
                )
            return cls(path, lock)
        except BaseException:
            os.close(lock)
            raise

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a short query now, on the loop's thread."""
        return work(self._reader)

    async def write(self, work: Callable[[sqlite3.Connection], T], *, quiet: bool = False) -> T:
        """Run `work` in the next transaction; returns when it is durable. Raises what `work` raises, or `StorageFull`. `quiet`: no listener waits for it."""
        rider = self._rider()
        if rider is None:
            return await self._written(work, quiet)
        value = await self._written(lambda connection: _together(connection, work, rider), quiet)
        rider.arrived()
        return value

    async def _written(self, work: Callable[[sqlite3.Connection], T], quiet: bool) -> T:
        if self._closed:
            raise UnavailableError("the database is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if not self._gathered or self._turn is not loop:
            loop.call_soon(self._hand_over)
            self._turn = loop
        if quiet:
            self._quiet.add(future)
        self._gathered.append((work, future, loop))
        return await future  # a caller that gives up does not undo its write

    def _hand_over(self) -> None:
        """Give the writer everything that this turn of the loop has asked for: it is woken once, and commits it together."""
        jobs, self._gathered = self._gathered, []
        for start in range(0, len(jobs), GROUP):
            self._queue.put(jobs[start : start + GROUP])

    def accompany(self, rider: Callable[[], Rider | None]) -> None:
        """Ask `rider`, on the loop and in the caller's context, what else belongs into each write."""
        self._rider = rider

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Call `listener` on the loop after every group of commits that are not all quiet."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Finish queued writes, close, give the lock back."""
        if self._closed:
            return
        self._closed = True
        self._hand_over()
        self._queue.put(None)
        self._thread.join()
        self._reader.close()
        os.close(self._lock)

    def _run(self) -> None:
        connection = _connect(self.path, read_only=False)
        open_ = True
        while open_:
            jobs: list[_Job] = []
            first = self._queue.get()
            while first is not None:
                jobs += first
                if len(jobs) >= GROUP or self._queue.empty():
                    break
                first = self._queue.get()
            open_ = first is not None
            if jobs:
                self._answer(_commit_group(connection, jobs))
        connection.close()

    def _answer(self, outcomes: list[_Outcome]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
        for outcome in outcomes:
            by_loop.setdefault(outcome[1], []).append(outcome)
        for loop, group in by_loop.items():
            try:
                loop.call_soon_threadsafe(self._resolve, group)
            except RuntimeError:
                continue  # the loop ended while its last writes were on their way: they are durable, nobody listens

    def _resolve(self, outcomes: list[_Outcome]) -> None:
        quiet = {each[0] for each in outcomes} & self._quiet
        self._quiet -= quiet
        for future, _, value, error in outcomes:
            if future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
                future.exception()  # the caller may be gone; its error was seen
        for listener in self._listeners if len(quiet) < len(outcomes) else ():
            listener()


def _together(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T], rider: Rider) -> T:
    value = work(connection)
    rider.ride(connection)
    return value


class _HalfDone(Exception):
    """A write has failed after it had changed something."""


def _commit_group(connection: sqlite3.Connection, jobs: list[_Job], *, guarded: bool = False) -> list[_Outcome]:
    outcomes: list[_Outcome] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        for work, future, loop in jobs:
            outcomes.append((future, loop, *_one(connection, work, guarded)))
        crashpoint("database:before-commit")
        connection.execute("COMMIT")
    except _HalfDone:
        connection.execute("ROLLBACK")
        return _commit_group(connection, jobs, guarded=True)
    except Exception as error:  # noqa: BLE001  whatever it was, nothing was committed, and every caller hears it
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return [(future, loop, None, translated(error)) for _, future, loop in jobs]
    crashpoint("database:after-commit")
    return outcomes


def _one(connection: sqlite3.Connection, work: Work, guarded: bool) -> tuple[Any, BaseException | None]:
    if guarded:
        connection.execute("SAVEPOINT one")
    before, value, failed = connection.total_changes, None, None
    try:
        value = work(connection)
    except Exception as error:
        if not connection.in_transaction:
            raise  # the whole transaction is gone: every caller of this group hears it
        if guarded:
            connection.execute("ROLLBACK TO one")
        elif connection.total_changes != before:
            raise _HalfDone from error
        failed = translated(error)
    if guarded:
        connection.execute("RELEASE one")
    return value, failed


def translated(error: BaseException) -> BaseException:
    """A full disk as `StorageFull`; everything else as it is."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return StorageFull("the disk is full or failing; nothing was changed", next_step="make space, then try again")
    return error


def revision(path: Path) -> str:
    """The alembic revision of the file; empty for a new one."""
    if not path.exists():
        return ""
    connection = sqlite3.connect(path)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return ""
    finally:
        connection.close()
    return str(row[0]) if row else ""


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA temp_store=MEMORY")  # what undoes one write of a group is kept in memory, not in a file
    connection.execute("PRAGMA cache_size=-16384")
    connection.execute("PRAGMA wal_autocheckpoint=4000")  # 16 MB: pages that many commits change are copied once
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA busy_timeout=5000")
    if read_only:
        connection.execute("PRAGMA query_only=ON")
    return connection


def _lock(path: Path) -> int:
    file = path.with_suffix(path.suffix + ".lock")
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise InUse(f"{path} is open in another process", next_step="stop it first: one process owns a data directory") from error
    return handle
