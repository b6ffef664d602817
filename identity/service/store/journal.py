"""Token ids that were used, and what happened to members.

A token is spent in the transaction that it authorises; a read spends it alone. Whoever inserts the row first has used the token
(identity.md 1.1 step 8): a second use fails with `Unauthorized`, alike for every caller.
"""

from msgspec import Struct

from identity.service.store.port import Connection
from kernel.errors import Unauthorized


class Event(Struct, frozen=True):
    """One entry of the member history; `seq` counts from 1 without gaps. `subject` is a credential, a serial or a number, where one is meant."""

    seq: int
    kind: str
    member: str
    did: str
    subject: str
    at: str


class Journal(Struct, frozen=True):
    """Used tokens and events of one participant."""

    participant: str

    def spend(self, connection: Connection, *, issuer: str, jti: str, expires: str) -> None:
        """Use a token up; raises `Unauthorized` when it was used before. `expires` includes the leeway."""
        done = connection.execute(
            "INSERT INTO used_token (participant, issuer, jti, expires) VALUES (?,?,?,?) ON CONFLICT DO NOTHING",
            (self.participant, issuer, jti, expires),
        )
        if done.rowcount != 1:
            raise Unauthorized(step="replay", reason="jti was used before")

    def spent(self, connection: Connection, issuer: str, jti: str) -> bool:
        """Whether the token was used: an early answer, the insert decides."""
        row = connection.execute(
            "SELECT 1 FROM used_token WHERE participant = ? AND issuer = ? AND jti = ?", (self.participant, issuer, jti)
        ).fetchone()
        return row is not None

    def forget(self, connection: Connection, now: str) -> None:
        """Drop tokens that have expired and would be refused for that."""
        connection.execute("DELETE FROM used_token WHERE participant = ? AND expires < ?", (self.participant, now))

    def record(self, connection: Connection, kind: str, member: str, did: str, at: str, subject: str = "") -> None:
        """Append an event; it stands or falls with the transaction of what it tells."""
        connection.execute(
            "INSERT INTO event (participant, seq, kind, member, did, subject, at)"
            " VALUES (?,(SELECT COALESCE(MAX(seq), 0) + 1 FROM event WHERE participant = ?),?,?,?,?,?)",
            (self.participant, self.participant, kind, member, did, subject, at),
        )

    def head(self, connection: Connection) -> int:
        """The number of the newest event; 0 when there is none."""
        (head,) = connection.execute(
            "SELECT COALESCE(MAX(seq), 0) FROM event WHERE participant = ?", (self.participant,)
        ).fetchone()
        return int(head)

    def events(self, connection: Connection, after: int, limit: int = 1000) -> list[Event]:
        """Events with a greater sequence number, oldest first."""
        rows = connection.execute(
            "SELECT seq, kind, member, did, subject, at FROM event WHERE participant = ? AND seq > ? ORDER BY seq LIMIT ?",
            (self.participant, after, limit),
        )
        return [Event(*row) for row in rows]
