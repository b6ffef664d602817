"""Management keys and the audit log in a PostgreSQL database that replicas share (`kernel.postgres`).

A row locks the head of its log until its transaction ends: rows of several replicas follow one another without a gap.
"""

from collections.abc import Sequence
from typing import Any, Final

from identity.access.audit import START, Entry, Event, Head
from identity.access.sql import HEAD, SqlAccess, Statement
from identity.access.trail import Pending, pending
from kernel.postgres import Postgres, Unchanged, numbered

_FIRST: Final = "INSERT INTO audit_head (participant, seq, hash) VALUES (?,0,?) ON CONFLICT DO NOTHING"


class PostgresAccess(SqlAccess):
    """Made once per database: from then on open events travel with its writes."""

    def __init__(self, database: Postgres, participant: str) -> None:
        super().__init__(participant)
        self._db = database
        database.accompany(self._rider)

    async def append(self, event: Event) -> Entry:
        return await self._db.together(lambda connection: self.append_with(connection, event))

    async def append_with(self, connection: Any, event: Event) -> Entry:
        """Write the row in a transaction that is under way."""
        await connection.execute(numbered(_FIRST), self._me, START)
        found = await connection.fetchrow(numbered(f"{HEAD} FOR UPDATE"), self._me)
        entry, statements = self.following(Head(*found), event)
        for sql, arguments in statements:
            await connection.execute(numbered(sql), *arguments)
        return entry

    async def _rows(self, sql: str, *arguments: Any) -> Sequence[Any]:
        found: Sequence[Any] = await self._db.rows(sql, *arguments)
        return found

    async def _changed(self, statement: Statement) -> bool:
        try:
            await self._db.write(statement, fuse=True)
        except Unchanged:
            return False
        return True

    def _rider(self) -> "_Rider | None":
        found = pending()
        return _Rider(self, found) if found is not None else None


class _Rider:
    """Takes the row of an open event along with a write."""

    def __init__(self, access: PostgresAccess, event: Pending) -> None:
        self._access, self._event = access, event
        self._entry: Entry | None = None

    async def ride(self, connection: Any) -> None:
        self._entry = await self._access.append_with(connection, self._event.event)

    def arrived(self) -> None:
        self._event.entry = self._entry
