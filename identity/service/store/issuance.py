"""Issuance processes, the credentials made for them, and the outbox of deliveries."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from identity.service.store.port import Connection

_ISSUANCE: Final = "id, member, holder, holder_pid, definitions, state, reason, grant_token, created, changed"
_CREDENTIAL: Final = "id, issuance, member, holder, definition, type, format, subject, valid_from, valid_until, jwt, state"

_OPEN: Final = (
    "FROM outbox o JOIN issuance i ON i.participant = o.participant AND i.id = o.issuance"
    " JOIN member m ON m.participant = i.participant AND m.id = i.member WHERE o.participant = ? AND m.state <> 'SUSPENDED'"
)

MOST: Final = 1000


class Issuance(Struct, frozen=True, kw_only=True):
    """One process; `id` is the issuerPid, `grant_token` the holder's write right that goes back with the delivery."""

    id: str
    member: str
    holder: str
    holder_pid: str
    definitions: tuple[str, ...]
    state: str
    reason: str | None = None
    grant_token: str | None = None
    created: str
    changed: str


class Issued(Struct, frozen=True, kw_only=True):
    """One credential; `jwt` is None between the allocation of its status entries and its signature. `state`: `transitions.CREDENTIAL`."""

    id: str
    issuance: str
    member: str
    holder: str
    definition: str
    type: str
    format: str
    subject: dict[str, Any]
    valid_from: str
    valid_until: str
    jwt: str | None = None
    state: str = "ISSUED"


class Which(Struct, frozen=True, forbid_unknown_fields=True):
    """Credentials by id, holder or type, or several of them together; empty means any."""

    id: str = ""
    holder: str = ""
    type: str = ""


class Due(Struct, frozen=True):
    """An outbox row whose time has come."""

    issuance: str
    attempts: int
    created: str


class Waiting(Struct, frozen=True, kw_only=True):
    """What the operator sees of a process: state, and why a delivery is late."""

    id: str
    holder: str
    holder_pid: str
    state: str
    reason: str | None
    attempts: int | None
    due: str | None
    error: str | None


class Issuances(Struct, frozen=True):
    """Processes, credentials and deliveries of one participant; `alive` as in `store.port`."""

    participant: str
    alive: str

    def add(self, connection: Connection, issuance: Issuance) -> None:
        connection.execute(
            f"INSERT INTO issuance (participant, seq, {_ISSUANCE}) VALUES"  # noqa: S608  # constant
            " (?,(SELECT COALESCE(MAX(seq), 0) + 1 FROM issuance WHERE participant = ?),?,?,?,?,?,?,?,?,?,?)",
            (
                self.participant,
                self.participant,
                issuance.id,
                issuance.member,
                issuance.holder,
                issuance.holder_pid,
                msgspec.json.encode(issuance.definitions).decode(),
                issuance.state,
                issuance.reason,
                issuance.grant_token,
                issuance.created,
                issuance.changed,
            ),
        )

    def get(self, connection: Connection, key: str) -> Issuance | None:
        return self._one(connection, "id = ?", (key,))

    def of_holder(self, connection: Connection, holder: str, holder_pid: str) -> Issuance | None:
        """The process that this holder started under this holderPid."""
        return self._one(connection, "holder = ? AND holder_pid = ?", (holder, holder_pid))

    def _one(self, connection: Connection, condition: str, values: tuple[str, ...]) -> Issuance | None:
        row = connection.execute(
            f"SELECT {_ISSUANCE} FROM issuance WHERE participant = ? AND {condition}",  # noqa: S608  # constants above
            (self.participant, *values),
        ).fetchone()
        if row is None:
            return None
        fields = dict(zip(Issuance.__struct_fields__, row, strict=True))
        fields["definitions"] = msgspec.json.decode(fields["definitions"], type=tuple[str, ...])
        return Issuance(**fields)

    def move(self, connection: Connection, key: str, state: str, now: str, reason: str | None = None) -> None:
        """Write the next state of the process."""
        connection.execute(
            "UPDATE issuance SET state = ?, reason = ?, changed = ? WHERE participant = ? AND id = ?",
            (state, reason, now, self.participant, key),
        )

    def forget_grant(self, connection: Connection, key: str) -> None:
        """Drop the holder's write right: the delivery is over."""
        connection.execute("UPDATE issuance SET grant_token = NULL WHERE participant = ? AND id = ?", (self.participant, key))

    def overview(self, connection: Connection, after: str, limit: int) -> list[Waiting]:
        """Processes, newest first, with the state of their delivery; `after` is the id of the last one seen."""
        where = " AND i.seq < (SELECT seq FROM issuance WHERE participant = i.participant AND id = ?)" if after else ""
        rows = connection.execute(
            "SELECT i.id, i.holder, i.holder_pid, i.state, i.reason, o.attempts, o.due, o.error FROM issuance i"  # noqa: S608  # constants
            " LEFT JOIN outbox o ON o.participant = i.participant AND o.issuance = i.id"
            f" WHERE i.participant = ?{where} ORDER BY i.seq DESC LIMIT ?",
            (self.participant, *([after] if after else []), limit),
        )
        return [Waiting(**dict(zip(Waiting.__struct_fields__, row, strict=True))) for row in rows]

    def allocate(self, connection: Connection, credential: Issued) -> None:
        connection.execute(
            f"INSERT INTO credential (participant, place, {_CREDENTIAL}) VALUES"  # noqa: S608  # constant
            " (?,(SELECT COUNT(*) FROM credential WHERE participant = ? AND issuance = ?),?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                self.participant,
                self.participant,
                credential.issuance,
                credential.id,
                credential.issuance,
                credential.member,
                credential.holder,
                credential.definition,
                credential.type,
                credential.format,
                msgspec.json.encode(credential.subject).decode(),
                credential.valid_from,
                credential.valid_until,
                credential.jwt,
                credential.state,
            ),
        )

    def credentials(self, connection: Connection, issuance: str) -> list[Issued]:
        """The credentials of one process, in the order of its definitions."""
        return self._credentials(connection, "issuance = ?", issuance)

    def find(self, connection: Connection, wanted: Which, after: str = "", limit: int = MOST) -> list[Issued]:
        """Credentials that fit all that is wanted, by id; `after` is the last id seen."""
        named = {"id": wanted.id, "holder": wanted.holder, "type": wanted.type}
        asked = {column: value for column, value in named.items() if value}
        conditions = "".join(f" AND {column} = ?" for column in asked)
        rows = connection.execute(
            f"SELECT {_CREDENTIAL} FROM credential WHERE participant = ? AND id > ?{conditions} ORDER BY id LIMIT ?",  # noqa: S608  # constants
            (self.participant, after, *asked.values(), limit),
        )
        return [_issued(row) for row in rows]

    def change(self, connection: Connection, key: str, state: str) -> None:
        """Write the next state of a credential."""
        connection.execute("UPDATE credential SET state = ? WHERE participant = ? AND id = ?", (state, self.participant, key))

    def _credentials(self, connection: Connection, condition: str, value: str) -> list[Issued]:
        rows = connection.execute(
            f"SELECT {_CREDENTIAL} FROM credential WHERE participant = ? AND {condition} ORDER BY place",  # noqa: S608  # constants
            (self.participant, value),
        )
        return [_issued(row) for row in rows]

    def sign(self, connection: Connection, signed: Sequence[tuple[str, str]]) -> None:
        """Store signatures (id, jwt); one that is there already stays, so that a credential exists once."""
        connection.executemany(
            "UPDATE credential SET jwt = ? WHERE participant = ? AND id = ? AND jwt IS NULL",
            [(jwt, self.participant, key) for key, jwt in signed],
        )

    def enqueue(self, connection: Connection, issuance: str, now: str) -> None:
        """Ask for a delivery; an open one is made due at once."""
        connection.execute(
            "INSERT INTO outbox (participant, issuance, due, attempts, created, error, owner, leased_until)"
            " VALUES (?,?,?,0,?,NULL,'','') ON CONFLICT (participant, issuance) DO UPDATE SET due = excluded.due",
            (self.participant, issuance, now, now),
        )

    def due(self, connection: Connection, now: str, limit: int) -> list[Due]:
        """Deliveries whose time has come and that no living process has; those of a suspended member wait for the end of the suspension."""
        rows = connection.execute(
            f"SELECT o.issuance, o.attempts, o.created {_OPEN} AND o.due <= ? AND NOT (o.leased_until > ? AND {self.alive})"  # constants
            " ORDER BY o.due LIMIT ?",
            (self.participant, now, now, limit),
        )
        return [Due(*row) for row in rows]

    def claim(self, connection: Connection, now: str, until: str, owner: str, limit: int) -> list[Due]:
        """The same, leased to a process until then: nobody else takes them while it lives."""
        found = self.due(connection, now, limit)
        connection.executemany(
            "UPDATE outbox SET owner = ?, leased_until = ? WHERE participant = ? AND issuance = ?",
            [(owner, until, self.participant, row.issuance) for row in found],
        )
        return found

    def release(self, connection: Connection, issuance: str, owner: str) -> None:
        """Give a lease back."""
        connection.execute(
            "UPDATE outbox SET owner = '', leased_until = '' WHERE participant = ? AND issuance = ? AND owner = ?",
            (self.participant, issuance, owner),
        )

    def waiting(self, connection: Connection, limit: int) -> list[tuple[str, str]]:
        """The next deliveries as (issuance, due), earliest first; those of suspended members do not count, leased ones wait for the end of their lease."""
        when = "CASE WHEN o.leased_until > o.due THEN o.leased_until ELSE o.due END"
        rows = connection.execute(
            f"SELECT o.issuance, {when} {_OPEN} ORDER BY 2 LIMIT ?",  # constants
            (self.participant, limit),
        )
        return [(str(issuance), str(due)) for issuance, due in rows]

    def postpone(self, connection: Connection, issuance: str, due: str, error: str, owner: str) -> None:
        """Try again then, and give the lease back; nothing, when somebody else has the row meanwhile."""
        connection.execute(
            "UPDATE outbox SET due = ?, attempts = attempts + 1, error = ?, owner = '', leased_until = ''"
            " WHERE participant = ? AND issuance = ? AND owner IN ('', ?)",
            (due, error, self.participant, issuance, owner),
        )

    def arrived(self, connection: Connection, issuance: str) -> None:
        connection.execute("DELETE FROM outbox WHERE participant = ? AND issuance = ?", (self.participant, issuance))


def _issued(row: Any) -> Issued:
    fields = dict(zip(Issued.__struct_fields__, row, strict=True))
    fields["subject"] = msgspec.json.decode(fields["subject"], type=dict[str, Any])
    return Issued(**fields)
