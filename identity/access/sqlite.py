"""Management keys and the audit log in a SQLite file, for whichever service owns it.

The tables `access_key`, `audit` and `audit_head` are declared by each service's schema. The file itself refuses to change or delete a row of `audit`
(triggers of the first migration): what gets around them breaks the chain.
"""

from sqlite3 import Connection
from typing import Final

import msgspec

from identity.access.audit import Entry, Event, Head, linked
from identity.access.keys import AccessKey
from identity.access.trail import Pending, pending
from kernel.db import Database

_REFUSE: Final = "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
_THERE: Final = (
    "WHEN EXISTS (SELECT 1 FROM audit WHERE participant = NEW.participant AND seq = NEW.seq)"  # a REPLACE fires no DELETE trigger
)
APPEND_ONLY: Final = (
    f"CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit {_REFUSE}",
    f"CREATE TRIGGER audit_not_replaced BEFORE INSERT ON audit {_THERE} {_REFUSE}",
    f"CREATE TRIGGER audit_kept BEFORE DELETE ON audit {_REFUSE}",
)
_COLUMNS: Final = "at, who, name, role, action, object, outcome, seq, previous, hash"


class SqliteAccess:
    """Keys and audit log of one participant. Made once per database: from then on open events travel with its writes."""

    def __init__(self, database: Database, participant: str) -> None:
        self._db, self._me = database, participant
        database.accompany(self._rider)

    async def key(self, key: str) -> AccessKey | None:
        sql = "SELECT body, revoked, used FROM access_key WHERE participant = ? AND id = ?"
        row = self._db.read(lambda c: c.execute(sql, (self._me, key)).fetchone())
        return _key(row) if row else None

    async def keys(self, after: str, limit: int) -> list[AccessKey]:
        sql = "SELECT body, revoked, used FROM access_key WHERE participant = ? AND id > ? ORDER BY id LIMIT ?"
        return [_key(row) for row in self._db.read(lambda c: c.execute(sql, (self._me, after, limit)).fetchall())]

    async def add_key(self, key: AccessKey) -> None:
        sql = "INSERT INTO access_key (participant, id, body, revoked, used) VALUES (?,?,?,'','')"
        await self._db.write(lambda c: c.execute(sql, (self._me, key.id, msgspec.msgpack.encode(key))).rowcount)

    async def revoke_key(self, key: str, at: str) -> bool:
        def work(c: Connection) -> None:
            sql = "UPDATE access_key SET revoked = ? WHERE participant = ? AND id = ? AND revoked = ''"
            if c.execute(sql, (at, self._me, key)).rowcount != 1:
                raise _Unchanged

        try:
            await self._db.write(work)
        except _Unchanged:
            return False
        return True

    async def note_use(self, key: str, at: str) -> None:
        sql = "UPDATE access_key SET used = ? WHERE participant = ? AND id = ?"
        await self._db.write(lambda c: c.execute(sql, (at, self._me, key)).rowcount)

    async def append(self, event: Event) -> Entry:
        return await self._db.write(lambda c: self._append(c, event))

    async def entries(self, after: int, limit: int) -> list[Entry]:
        sql = f"SELECT {_COLUMNS} FROM audit WHERE participant = ? AND seq > ? ORDER BY seq LIMIT ?"  # noqa: S608  constant
        rows = self._db.read(lambda c: c.execute(sql, (self._me, after, limit)).fetchall())
        names = _COLUMNS.split(", ")
        return [Entry(**dict(zip(names, row, strict=True))) for row in rows]

    async def head(self) -> Head:
        return self._db.read(self._head)

    def _head(self, c: Connection) -> Head:
        row = c.execute("SELECT seq, hash FROM audit_head WHERE participant = ?", (self._me,)).fetchone()
        return Head(*row) if row else Head()

    def _append(self, c: Connection, event: Event) -> Entry:
        entry = linked(self._me, self._head(c), event)
        values = [getattr(entry, name) for name in _COLUMNS.split(", ")]
        c.execute(f"INSERT INTO audit (participant, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)", (self._me, *values))  # noqa: S608
        c.execute("INSERT OR REPLACE INTO audit_head (participant, seq, hash) VALUES (?,?,?)", (self._me, entry.seq, entry.hash))
        return entry

    def _rider(self) -> "_Rider | None":
        found = pending()
        return _Rider(self, found) if found is not None else None


class _Unchanged(Exception):
    """Nothing was written, so that nothing may be recorded as done."""


def _key(row: tuple[bytes, str, str]) -> AccessKey:
    body, revoked, used = row
    return msgspec.structs.replace(msgspec.msgpack.decode(body, type=AccessKey), revoked=revoked, used=used)


class _Rider:
    """Takes the row of an open event along with a write."""

    def __init__(self, access: SqliteAccess, event: Pending) -> None:
        self._access, self._event = access, event
        self._entry: Entry | None = None

    def ride(self, connection: Connection) -> None:
        self._entry = self._access._append(connection, self._event.event)  # noqa: SLF001  two halves of one room

    def arrived(self) -> None:
        self._event.entry = self._entry
