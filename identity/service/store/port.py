"""The database of the identity service as the rest of it sees it: SQLite in the data directory (`sqlite`), or PostgreSQL that processes of several roles share (`postgres`).

Rules
- A unit of work is a plain function of a connection. It runs in one transaction, and no other unit of the same data space runs beside it, in whichever
  process: what it reads does not move before what it writes stands. That is what makes every transition, number and event sequence safe.
- A read sees one state of the database from its first statement to its last.
- Statements are the same for both: placeholders are question marks, and nothing but what both understand is written.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from identity.access.service import AccessStore

T = TypeVar("T")


class Cursor(Protocol):
    """What a statement found, as tuples, or how many rows it changed."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """Inside a unit of work."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor: ...
    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> object: ...


class Database(Protocol):
    """An open database."""

    @property
    def access(self) -> AccessStore:
        """Management keys and audit log."""
        ...

    @property
    def replica(self) -> str:
        """The name of this process among those that share the database."""
        ...

    @property
    def alive(self) -> str:
        """SQL: whether the process that the column `owner` names still runs."""
        ...

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What is committed; nothing may be written."""
        ...

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Do the work in a transaction; returns when it is durable. Raises what `work` raises, and nothing is written then."""
        ...

    def turn(self, name: str) -> AbstractAsyncContextManager[None]:
        """One at a time, in whichever process; it ends with the process at the latest."""
        ...

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Call `listener` on the loop after every write, here or in another process."""
        ...

    async def close(self) -> None: ...
