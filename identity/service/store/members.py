"""The register of members: rows of `member`, by id or by DID.

Every function takes a connection inside a unit of work of `kernel.db`: reading the state and writing the next one in the same
work is what makes a transition safe (one writer).
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from identity.service.store.port import Connection
from kernel.errors import NotFound

_ALL: Final = 1_000_000_000
_COLUMNS: Final = "id, did, name, corporate_number, roles, hosts, state, number, since, changed"


class Member(Struct, frozen=True, kw_only=True):
    """One company. `number` and `since` (date) are set by the approval; `hosts` are the approved host names."""

    id: str
    did: str
    name: str
    corporate_number: str
    roles: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    state: str
    number: str | None = None
    since: str | None = None
    changed: str


class Members(Struct, frozen=True):
    """The members of one participant (the service's own DID)."""

    participant: str

    def find(self, connection: Connection, reference: str) -> Member | None:
        """The member with this id or this DID."""
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM member WHERE participant = ? AND (id = ? OR did = ?)",  # noqa: S608  # constant
            (self.participant, reference, reference),
        ).fetchone()
        return None if row is None else _member(row)

    def get(self, connection: Connection, reference: str) -> Member:
        """The member with this id or this DID; raises `NotFound`."""
        found = self.find(connection, reference)
        if found is None:
            raise NotFound(f"no member {reference}", next_step="kizuna member list shows the known ones")
        return found

    def all(self, connection: Connection) -> list[Member]:
        """All members, oldest invitation first."""
        return self.page(connection, "", _ALL)

    def page(self, connection: Connection, after: str, limit: int) -> list[Member]:
        """Members, oldest invitation first; `after` is the id of the last one seen. Raises `NotFound` for one that is none."""
        last = self.get(connection, after).id if after else ""
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM member WHERE participant = ?"  # noqa: S608  # constant
            " AND seq > COALESCE((SELECT seq FROM member WHERE participant = ? AND id = ?), 0) ORDER BY seq LIMIT ?",
            (self.participant, self.participant, last, limit),
        )
        return [_member(row) for row in rows]

    def save(self, connection: Connection, member: Member) -> None:
        """Insert or overwrite the row of this id."""
        connection.execute(
            f"INSERT INTO member (participant, seq, {_COLUMNS}) VALUES"  # noqa: S608  # constant
            " (?,(SELECT COALESCE(MAX(seq), 0) + 1 FROM member WHERE participant = ?),?,?,?,?,?,?,?,?,?,?)"
            " ON CONFLICT (participant, id) DO UPDATE SET name = excluded.name, state = excluded.state,"
            " corporate_number = excluded.corporate_number, roles = excluded.roles, hosts = excluded.hosts,"
            " number = excluded.number, since = excluded.since, changed = excluded.changed",
            (
                self.participant,
                self.participant,
                member.id,
                member.did,
                member.name,
                member.corporate_number,
                msgspec.json.encode(member.roles).decode(),
                msgspec.json.encode(member.hosts).decode(),
                member.state,
                member.number,
                member.since,
                member.changed,
            ),
        )

    def attested(self, connection: Connection, member: str) -> dict[str, Any]:
        """What the operator has attested of a member: name -> value."""
        rows = connection.execute(
            "SELECT name, value FROM attestation WHERE participant = ? AND member = ? ORDER BY name", (self.participant, member)
        )
        return {name: msgspec.json.decode(value) for name, value in rows}

    def attest(self, connection: Connection, member: str, name: str, value: str | float | bool | None, now: str) -> None:
        """Keep an attestation; None takes it back."""
        connection.execute(
            "DELETE FROM attestation WHERE participant = ? AND member = ? AND name = ?", (self.participant, member, name)
        )
        if value is not None:
            connection.execute(
                "INSERT INTO attestation (participant, member, name, value, at) VALUES (?,?,?,?,?)",
                (self.participant, member, name, msgspec.json.encode(value).decode(), now),
            )

    def next_number(self, connection: Connection) -> str:
        """The next free member number, `M000001` upwards; numbers are never given twice."""
        (taken,) = connection.execute("SELECT COUNT(number) FROM member WHERE participant = ?", (self.participant,)).fetchone()
        return f"M{taken + 1:06d}"


def _member(row: Any) -> Member:
    key, did, name, corporate_number, roles, hosts, state, number, since, changed = row
    return Member(
        id=key,
        did=did,
        name=name,
        corporate_number=corporate_number,
        roles=msgspec.json.decode(roles, type=tuple[str, ...]),
        hosts=msgspec.json.decode(hosts, type=tuple[str, ...]),
        state=state,
        number=number,
        since=since,
        changed=changed,
    )
