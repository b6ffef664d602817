"""The service's database in its data directory: one SQLite file, one process (`kernel.db`)."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from identity.access.service import AccessStore
from identity.access.sqlite import SqliteAccess
from identity.service.store.port import Connection
from kernel.db import Database

T = TypeVar("T")


class SqliteDatabase:
    """The `store.port.Database` of one process; `file` is what `kernel.db` has opened."""

    def __init__(self, file: Database, participant: str) -> None:
        self.file = file
        self.access: AccessStore = SqliteAccess(file, participant)
        self.replica = uuid.uuid4().hex[:12]
        self.alive = f"owner = '{self.replica}'"
        self._turns: dict[str, asyncio.Lock] = {}

    async def read(self, work: Callable[[Connection], T]) -> T:
        return self.file.read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self.file.write(work)

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        async with self._turns.setdefault(name, asyncio.Lock()):
            yield

    def on_commit(self, listener: Callable[[], None]) -> None:
        self.file.on_commit(listener)

    async def close(self) -> None:
        self.file.close()
