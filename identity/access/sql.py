"""Management keys and the audit log in a database: the statements, for whichever backend runs them (`sqlite`; the connector's PostgreSQL).

The tables `access_key`, `audit` and `audit_head` are declared by each service's schema. The database itself refuses to change or delete a row of `audit`
(triggers of the first migration): what gets around them breaks the chain. Placeholders are question marks.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from identity.access.audit import Entry, Event, Head, linked
from identity.access.keys import AccessKey

Statement = tuple[str, tuple[Any, ...]]
HEAD: Final = "SELECT seq, hash FROM audit_head WHERE participant = ?"
_ROW: Final = ("at", "who", "name", "role", "action", "object", "outcome", "seq", "previous", "hash")
_VALUES: Final = attrgetter(*_ROW)
_COLUMNS: Final = ", ".join(_ROW)
_APPEND: Final = f"INSERT INTO audit (participant, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608  constants
_MOVE: Final = (
    "INSERT INTO audit_head (participant, seq, hash) VALUES (?,?,?)"
    " ON CONFLICT (participant) DO UPDATE SET seq = excluded.seq, hash = excluded.hash"
)
MOVE_FROM: Final = "UPDATE audit_head SET seq = ?, hash = ? WHERE participant = ? AND seq = ? AND hash = ?"
_REFUSED: Final = "'the audit log is append-only'"
_THERE: Final = (
    "WHEN EXISTS (SELECT 1 FROM audit WHERE participant = NEW.participant AND seq = NEW.seq)"  # a REPLACE fires no DELETE trigger
)
APPEND_ONLY: Final = {
    "sqlite": (
        f"CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, {_REFUSED}); END",
        f"CREATE TRIGGER audit_not_replaced BEFORE INSERT ON audit {_THERE} BEGIN SELECT RAISE(ABORT, {_REFUSED}); END",
        f"CREATE TRIGGER audit_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, {_REFUSED}); END",
    ),
    "postgresql": (
        f"CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION {_REFUSED}; END$$",
        "CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
        "CREATE TRIGGER audit_not_emptied BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
    ),
}


class SqlAccess(ABC):
    """Keys and audit log of one participant."""

    def __init__(self, participant: str) -> None:
        self._me = participant

    @abstractmethod
    async def _rows(self, sql: str, *arguments: Any) -> Sequence[Any]:
        """What a query finds; rows are tuples."""

    @abstractmethod
    async def _changed(self, statement: Statement) -> bool:
        """Write; False when it changed no row, and then nothing was written, an event that was open neither."""

    @abstractmethod
    async def append(self, event: Event) -> Entry:
        """Write a row of the log alone; durable on return."""

    async def key(self, key: str) -> AccessKey | None:
        sql = "SELECT body, revoked, used FROM access_key WHERE participant = ? AND id = ?"
        rows = await self._rows(sql, self._me, key)
        return _key(rows[0]) if rows else None

    async def keys(self, after: str, limit: int) -> list[AccessKey]:
        sql = "SELECT body, revoked, used FROM access_key WHERE participant = ? AND id > ? ORDER BY id LIMIT ?"
        return [_key(row) for row in await self._rows(sql, self._me, after, limit)]

    async def add_key(self, key: AccessKey) -> None:
        sql = "INSERT INTO access_key (participant, id, body, revoked, used) VALUES (?,?,?,'','')"
        await self._changed((sql, (self._me, key.id, msgspec.msgpack.encode(key))))

    async def revoke_key(self, key: str, at: str) -> bool:
        sql = "UPDATE access_key SET revoked = ? WHERE participant = ? AND id = ? AND revoked = ''"
        return await self._changed((sql, (at, self._me, key)))

    async def note_use(self, key: str, at: str) -> None:
        await self._changed(("UPDATE access_key SET used = ? WHERE participant = ? AND id = ?", (at, self._me, key)))

    async def entries(self, after: int, limit: int) -> list[Entry]:
        sql = f"SELECT {_COLUMNS} FROM audit WHERE participant = ? AND seq > ? ORDER BY seq LIMIT ?"  # noqa: S608  constant
        return [Entry(**dict(zip(_ROW, row, strict=True))) for row in await self._rows(sql, self._me, after, limit)]

    async def head(self) -> Head:
        rows = await self._rows(HEAD, self._me)
        return Head(*rows[0]) if rows else Head()

    def following(self, head: Head, event: Event) -> tuple[Entry, tuple[Statement, ...]]:
        """The row after `head`, and what writes it; the row's number is taken when somebody else was faster."""
        entry = linked(self._me, head, event)
        return entry, (self.row(entry), (_MOVE, (self._me, entry.seq, entry.hash)))

    def row(self, entry: Entry) -> Statement:
        """What writes the row of a head that has moved."""
        return _APPEND, (self._me, *_VALUES(entry))


def _key(row: Sequence[Any]) -> AccessKey:
    body, revoked, used = row
    return msgspec.structs.replace(msgspec.msgpack.decode(body, type=AccessKey), revoked=revoked, used=used)
