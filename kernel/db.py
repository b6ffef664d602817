"""SQLite, embedded: one process owns the file, one connection writes it, many writes share one durable commit.

Rules
- The file is locked for its process (`InUse` names the reason). WAL, `synchronous=FULL`: a commit that returned is on disk.
- `write` queues a function. What a turn of the loop has asked for, and all that comes while a commit is on its way to the disk and in a few turns after it, runs in one transaction on
  the loop's thread; only its COMMIT, which waits for the disk, runs in a thread of its own. Statements there would have to take the interpreter's lock back from the loop after
  each: a sixth of a busy connector's CPU went into that. One that raises is undone alone and hears its own error: where it had changed something, all of them run once
  more, each in a savepoint of its own (rare, and savepoints cost a fifth of all writing), so that a function may run twice. When the commit fails, all of them hear that.
- What `accompany` names for a write travels with it: both are durable, or neither.
- `read` runs at once on the caller's thread, on a connection of its own: it sees what is committed, and never waits for writers.
- A file of a newer revision is refused (`NewerData`); an older one is upgraded before anything else happens.
- One event loop at a time writes; what one that has ended had asked for is written with what the next asks for, or by `close`.

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
_Job = tuple[Work, "asyncio.Future[Any]"]
_Outcome = tuple["asyncio.Future[Any]", Any, BaseException | None]
GROUP = 256
PAUSE = 20  # turns of the loop between the end of a commit and the next group


class Rider(Protocol):
    """What belongs into the transaction of somebody else's write."""

    def ride(self, connection: sqlite3.Connection) -> None:
        """After the write itself."""

    def arrived(self) -> None:
        """On the loop, once both are durable."""


class Database:
    """An open database file. Make it with `open`, end it with `close`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._reader, self._writer = _connect(path, read_only=True), _connect(path, read_only=False)
        self._waiting: list[_Job] = []
        self._under_way = False  # a group, from its first statement until its COMMIT has ended
        self._awaited: asyncio.AbstractEventLoop | None = None  # the loop that is to hear of it, until it has
        self._commits: queue.SimpleQueue[list[_Outcome] | None] = queue.SimpleQueue()
        self._listeners: list[Callable[[], None]] = []
        self._quiet: set[asyncio.Future[Any]] = set()  # writes that listeners need not hear of
        self._rider: Callable[[], Rider | None] = lambda: None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="database-commit", daemon=True)
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
            return await self._asked(work, quiet)
        value = await self._asked(lambda connection: _together(connection, work, rider), quiet)
        rider.arrived()
        return value

    def _asked(self, work: Callable[[sqlite3.Connection], T], quiet: bool) -> asyncio.Future[T]:
        """What becomes of it; a caller that gives up does not undo its write."""
        if self._closed:
            raise UnavailableError("the database is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if quiet:
            self._quiet.add(future)
        self._waiting.append((work, future))
        if len(self._waiting) == 1 or self._waiting[-2][1].get_loop() is not loop:
            loop.call_soon(self._begin)
        return future

    def _begin(self) -> None:
        """Run what waits. Where a group is under way its end calls this again, when the loop has heard of it and not before: groups would be small, and commits many."""
        heard = self._awaited is None or self._awaited.is_closed()
        if self._under_way or not heard or not self._waiting:
            return
        jobs, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
        self._under_way, self._awaited = True, jobs[-1][1].get_loop()
        self._commits.put(_execute(self._writer, jobs))

    def _run(self) -> None:
        """The thread: commit one group after the other."""
        while (group := self._commits.get()) is not None:
            outcomes = _commit(self._writer, group)
            self._under_way = False
            newest = self._waiting[-1][1] if self._waiting else outcomes[-1][0]
            try:
                newest.get_loop().call_soon_threadsafe(self._ended, outcomes)
            except RuntimeError:
                continue  # the loop ended while its last writes were on their way: they are durable, nobody listens

    def _ended(self, outcomes: list[_Outcome]) -> None:
        self._awaited = None
        quiet = {each[0] for each in outcomes} & self._quiet
        self._quiet -= quiet
        for future, value, error in outcomes:
            if future.done() or future.get_loop().is_closed():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
                future.exception()  # the caller may be gone; its error was seen
        for listener in self._listeners if len(quiet) < len(outcomes) else ():
            listener()
        if self._waiting:  # together with what those ask for who were told just now
            self._begin_in(PAUSE)

    def _begin_in(self, turns: int) -> None:
        """After so many turns of the loop, in which more is asked for: groups are larger, and commits fewer. Where nothing waits the next write begins at once."""
        if turns:
            asyncio.get_running_loop().call_soon(self._begin_in, turns - 1)
        else:
            self._begin()

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
        self._commits.put(None)
        self._thread.join()
        while self._waiting:
            self._awaited = None
            self._begin()
            self._commits.put(None)
            self._run()
        self._writer.close()
        self._reader.close()
        os.close(self._lock)


def _together(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T], rider: Rider) -> T:
    value = work(connection)
    rider.ride(connection)
    return value


class _HalfDone(Exception):
    """A write has failed after it had changed something."""


def _execute(connection: sqlite3.Connection, jobs: list[_Job], *, guarded: bool = False) -> list[_Outcome]:
    """Run the works in a transaction that is left open; where it is gone all of them have failed."""
    outcomes: list[_Outcome] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        for work, future in jobs:
            outcomes.append((future, *_one(connection, work, guarded)))
    except _HalfDone:
        connection.execute("ROLLBACK")
        return _execute(connection, jobs, guarded=True)
    except Exception as error:  # noqa: BLE001  whatever it was, nothing will be committed, and every caller hears it
        return _undone(connection, [future for _, future in jobs], error)
    return outcomes


def _commit(connection: sqlite3.Connection, outcomes: list[_Outcome]) -> list[_Outcome]:
    """Make it durable, if there is anything to; what the callers then hear."""
    if not connection.in_transaction:
        return outcomes
    try:
        crashpoint("database:before-commit")
        connection.execute("COMMIT")
    except Exception as error:  # noqa: BLE001  nothing was committed, and every caller hears it
        return _undone(connection, [each[0] for each in outcomes], error)
    crashpoint("database:after-commit")
    return outcomes


def _undone(connection: sqlite3.Connection, futures: list["asyncio.Future[Any]"], error: BaseException) -> list[_Outcome]:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    return [(future, None, translated(error)) for future in futures]


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
