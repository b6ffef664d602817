"""Management keys and the audit log in a SQLite file (`kernel.db`), for whichever service owns it."""

from collections.abc import Sequence
from sqlite3 import Connection
from typing import Any

from identity.access.audit import Entry, Event, Head, linked
from identity.access.sql import HEAD, MOVE_FROM, SqlAccess, Statement
from identity.access.trail import Pending, pending
from kernel.db import Database


class SqliteAccess(SqlAccess):
    """Made once per database: from then on open events travel with its writes."""

    def __init__(self, database: Database, participant: str) -> None:
        super().__init__(participant)
        self._db = database
        self._head = Head()
        database.accompany(self._rider)

    async def append(self, event: Event) -> Entry:
        return await self._db.write(lambda c: self.append_with(c, event))

    def append_with(self, connection: Connection, event: Event) -> Entry:
        """Write the row in a transaction that is under way; there is one writer, so nobody is faster.

        The head is remembered, and what moves it tells whether it was the head: not after a start, nor after writes that were undone.
        """
        head = self._head
        entry = linked(self._me, head, event)
        if connection.execute(MOVE_FROM, (entry.seq, entry.hash, self._me, head.seq, head.hash)).rowcount:
            connection.execute(*self.row(entry))
        else:
            found = connection.execute(HEAD, (self._me,)).fetchone()
            entry, statements = self.following(Head(*found) if found else Head(), event)
            for each in statements:
                connection.execute(*each)
        self._head = Head(entry.seq, entry.hash)
        return entry

    async def _rows(self, sql: str, *arguments: Any) -> Sequence[Any]:
        return self._db.read(lambda c: c.execute(sql, arguments).fetchall())

    async def _changed(self, statement: Statement) -> bool:
        def work(c: Connection) -> None:
            if c.execute(*statement).rowcount == 0:
                raise _Unchanged

        try:
            await self._db.write(work)
        except _Unchanged:
            return False
        return True

    def _rider(self) -> "_Rider | None":
        found = pending()
        return _Rider(self, found) if found is not None else None


class _Unchanged(Exception):
    """Nothing was written, so that nothing may be recorded as done."""


class _Rider:
    """Takes the row of an open event along with a write."""

    def __init__(self, access: SqliteAccess, event: Pending) -> None:
        self._access, self._event = access, event
        self._entry: Entry | None = None

    def ride(self, connection: Connection) -> None:
        self._entry = self._access.append_with(connection, self._event.event)

    def arrived(self) -> None:
        self._event.entry = self._entry
