"""Status lists as rows: allocation of random positions without reuse, bits, and the signed form of each list.

Rules (identity.md 2.4)
- A position is random and never given twice: the primary key (participant, list, position) holds that.
- A list is filled up to half of its length, so that a random draw hits a free position within a few attempts and the list keeps its
  herd privacy; then a new list is opened.
- A bit is derived: set for `revocation` when the credential or its member is REVOKED, for `suspension` when one of them is SUSPENDED. So lifting one
  suspension never lifts another, and a revocation leaves a suspension bit as it is: no reader sees the one gone before the other is there.
- `version` grows with every change of a bit; the list is current while `signed_version` equals it.
"""

import secrets
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from identity.service.store.port import Connection

LENGTH: Final = 131_072
_COLUMNS: Final = "id, format, purpose, length, version, signed_version, jwt, signed, expires"
_BITS: Final = (
    "SELECT e.list, e.position, e.value, CASE"
    " WHEN l.purpose = 'revocation' AND (c.state = 'REVOKED' OR m.state = 'REVOKED') THEN 1"
    " WHEN l.purpose = 'suspension' AND (c.state = 'SUSPENDED' OR m.state = 'SUSPENDED') THEN 1"
    " WHEN l.purpose = 'suspension' AND (c.state = 'REVOKED' OR m.state = 'REVOKED') THEN e.value"
    " ELSE 0 END AS wanted"
    " FROM status_entry e JOIN credential c ON c.participant = e.participant AND c.id = e.credential"
    " JOIN member m ON m.participant = c.participant AND m.id = c.member"
    " JOIN status_list l ON l.participant = e.participant AND l.id = e.list"
    " WHERE e.participant = ? AND e.credential IN (SELECT id FROM credential WHERE participant = ? AND"
)


class ListRow(Struct, frozen=True, kw_only=True):
    """One list; `jwt` shows `signed_version`."""

    id: str
    format: str
    purpose: str
    length: int
    version: int
    signed_version: int
    jwt: str | None
    signed: str | None
    expires: str | None

    @property
    def current(self) -> bool:
        """Whether the signed form shows all changes."""
        return self.jwt is not None and self.version == self.signed_version


class Entry(Struct, frozen=True):
    """One allocated position of a credential."""

    list: str
    purpose: str
    position: int


class StatusRows(Struct, frozen=True):
    """The status lists of one participant."""

    participant: str
    length: int = LENGTH

    def allocate(self, connection: Connection, credential: str, form: str, purpose: str) -> Entry:
        """A free random position in the open list of this format and purpose, given to the credential for ever."""
        key, length = self._open(connection, form, purpose)
        while True:
            position = secrets.randbelow(length)
            done = connection.execute(
                "INSERT INTO status_entry (participant, list, position, credential, value) VALUES (?,?,?,?,0)"
                " ON CONFLICT DO NOTHING",
                (self.participant, key, position, credential),
            )
            if done.rowcount == 1:
                break
        connection.execute("UPDATE status_list SET taken = taken + 1 WHERE participant = ? AND id = ?", (self.participant, key))
        return Entry(key, purpose, position)

    def _open(self, connection: Connection, form: str, purpose: str) -> tuple[str, int]:
        row = connection.execute(
            "SELECT id, length FROM status_list WHERE participant = ? AND format = ? AND purpose = ?"
            " AND taken * 2 < length ORDER BY seq DESC LIMIT 1",
            (self.participant, form, purpose),
        ).fetchone()
        if row is not None:
            return str(row[0]), int(row[1])
        key = secrets.token_hex(8)
        connection.execute(
            "INSERT INTO status_list (participant, seq, id, format, purpose, length, taken, version, signed_version)"
            " VALUES (?,(SELECT COALESCE(MAX(seq), 0) + 1 FROM status_list WHERE participant = ?),?,?,?,?,0,1,0)",
            (self.participant, self.participant, key, form, purpose, self.length),
        )
        return key, self.length

    def entries(self, connection: Connection, credential: str) -> list[Entry]:
        """Where the status of a credential stands."""
        rows = connection.execute(
            "SELECT e.list, l.purpose, e.position FROM status_entry e"
            " JOIN status_list l ON l.participant = e.participant AND l.id = e.list"
            " WHERE e.participant = ? AND e.credential = ? ORDER BY l.purpose",
            (self.participant, credential),
        )
        return [Entry(*row) for row in rows]

    def settle(self, connection: Connection, *, member: str = "", credential: str = "") -> None:
        """Bring the bits of a member's credentials, or of one credential, to what its own state and its member's say.

        Lists that change are due for signing then.
        """
        condition, value = ("member = ?", member) if member else ("id = ?", credential)
        rows = connection.execute(
            f"SELECT list, position, wanted FROM ({_BITS} {condition})) AS bits WHERE value <> wanted",  # noqa: S608  # constants
            (self.participant, self.participant, value),
        ).fetchall()
        connection.executemany(
            "UPDATE status_entry SET value = ? WHERE participant = ? AND list = ? AND position = ?",
            [(wanted, self.participant, key, position) for key, position, wanted in rows],
        )
        connection.executemany(
            "UPDATE status_list SET version = version + 1 WHERE participant = ? AND id = ?",
            [(self.participant, key) for key in {row[0] for row in rows}],
        )

    def get(self, connection: Connection, key: str) -> ListRow | None:
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM status_list WHERE participant = ? AND id = ?",  # noqa: S608  # constant
            (self.participant, key),
        ).fetchone()
        return None if row is None else ListRow(**dict(zip(ListRow.__struct_fields__, row, strict=True)))

    def unsigned(self, connection: Connection, signed_before: str) -> list[ListRow]:
        """Lists whose signed form is missing, behind, or older than the given time."""
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM status_list WHERE participant = ?"  # noqa: S608  # constant
            " AND (jwt IS NULL OR version <> signed_version OR signed <= ?)",
            (self.participant, signed_before),
        )
        return [ListRow(**dict(zip(ListRow.__struct_fields__, row, strict=True))) for row in rows]

    def signed(self, connection: Connection) -> list[ListRow]:
        """All lists that have a signed form."""
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM status_list WHERE participant = ? AND jwt IS NOT NULL ORDER BY id",  # noqa: S608  # constant
            (self.participant,),
        )
        return [ListRow(**dict(zip(ListRow.__struct_fields__, row, strict=True))) for row in rows]

    def oldest(self, connection: Connection) -> str | None:
        """When the list that was signed longest ago was signed."""
        (signed,) = connection.execute("SELECT MIN(signed) FROM status_list WHERE participant = ?", (self.participant,)).fetchone()
        return None if signed is None else str(signed)

    def marked(self, connection: Connection, key: str) -> Iterable[int]:
        """Positions whose bit is set."""
        rows = connection.execute(
            "SELECT position FROM status_entry WHERE participant = ? AND list = ? AND value = 1",
            (self.participant, key),
        )
        return [int(position) for (position,) in rows]

    def publish(self, connection: Connection, row: ListRow) -> None:
        """Store a signed form, unless a newer one is there."""
        connection.execute(
            "UPDATE status_list SET jwt = ?, signed = ?, expires = ?, signed_version = ?"
            " WHERE participant = ? AND id = ? AND signed_version <= ?",
            (row.jwt, row.signed, row.expires, row.signed_version, self.participant, row.id, row.signed_version),
        )
