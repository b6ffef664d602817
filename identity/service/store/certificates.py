"""Member certificates that the CA issued, and the current revocation list.

Reasons are names of RFC 5280 5.3.1. `certificateHold` (suspension) is lifted by a reinstatement; every other reason is final.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from identity.service.store.port import Connection

HOLD: Final = "certificateHold"
ISSUING: Final = "issuing"
PREVIOUS: Final = "previous"
_COLUMNS: Final = "serial, member, did, thumbprint, key_digest, issued, expires, revoked, reason"
_CRL: Final = "number, version, signed_version, this_update, next_update, der"


class Issued(Struct, frozen=True, kw_only=True):
    """One member certificate. `serial` is hexadecimal, `key_digest` the SHA-256 of the public key."""

    serial: str
    member: str
    did: str
    thumbprint: str
    key_digest: str
    issued: str
    expires: str
    revoked: str | None = None
    reason: str | None = None


class Crl(Struct, frozen=True, kw_only=True):
    """The current list; it is up to date while `signed_version` equals `version`."""

    number: int = 0
    version: int = 1
    signed_version: int = 0
    this_update: str | None = None
    next_update: str | None = None
    der: bytes | None = None

    @property
    def current(self) -> bool:
        """Whether the signed list shows all changes."""
        return self.der is not None and self.version == self.signed_version


class Certificates(Struct, frozen=True):
    """Certificates of one participant's CA; names of revocation lists are those in the CRL path."""

    participant: str

    def add(self, connection: Connection, certificate: Issued) -> None:
        connection.execute(
            f"INSERT INTO certificate (participant, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)",  # noqa: S608  # constant
            (
                self.participant,
                certificate.serial,
                certificate.member,
                certificate.did,
                certificate.thumbprint,
                certificate.key_digest,
                certificate.issued,
                certificate.expires,
                certificate.revoked,
                certificate.reason,
            ),
        )

    def by_serial(self, connection: Connection, serial: str) -> Issued | None:
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM certificate WHERE participant = ? AND serial = ?",  # noqa: S608  # constant
            (self.participant, serial),
        ).fetchone()
        return None if row is None else Issued(**dict(zip(Issued.__struct_fields__, row, strict=True)))

    def issued_since(self, connection: Connection, member: str, since: str) -> int:
        """How many certificates the member got since then: the rate limit counts them."""
        (count,) = connection.execute(
            "SELECT COUNT(*) FROM certificate WHERE participant = ? AND member = ? AND issued >= ?",
            (self.participant, member, since),
        ).fetchone()
        return int(count)

    def key_of_another(self, connection: Connection, key_digest: str, did: str) -> bool:
        """Whether this public key was certified for a different DID."""
        row = connection.execute(
            "SELECT 1 FROM certificate WHERE participant = ? AND key_digest = ? AND did <> ? LIMIT 1",
            (self.participant, key_digest, did),
        ).fetchone()
        return row is not None

    def revoke_member(self, connection: Connection, member: str, now: str, reason: str) -> None:
        """List all certificates of the member that still run; a hold may become final, never the reverse."""
        done = connection.execute(
            "UPDATE certificate SET revoked = COALESCE(revoked, ?), reason = ?"
            " WHERE participant = ? AND member = ? AND expires > ? AND (reason IS NULL OR (reason = ? AND reason <> ?))",
            (now, reason, self.participant, member, now, HOLD, reason),
        )
        self._changed(connection, done.rowcount)

    def revoke(self, connection: Connection, serial: str, now: str, reason: str) -> bool:
        """List one certificate for good; False when it is listed for good already, or has expired."""
        done = connection.execute(
            "UPDATE certificate SET revoked = COALESCE(revoked, ?), reason = ?"
            " WHERE participant = ? AND serial = ? AND expires > ? AND (reason IS NULL OR reason = ?)",
            (now, reason, self.participant, serial, now, HOLD),
        )
        self._changed(connection, done.rowcount)
        return done.rowcount > 0

    def of_member(self, connection: Connection, member: str, now: str) -> list[Issued]:
        """Certificates of a member that have not expired, newest first."""
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM certificate WHERE participant = ? AND member = ? AND expires > ? ORDER BY issued DESC, serial",  # noqa: S608
            (self.participant, member, now),
        )
        return [Issued(**dict(zip(Issued.__struct_fields__, row, strict=True))) for row in rows]

    def lift_hold(self, connection: Connection, member: str) -> None:
        """Take the certificates that were only on hold off the list."""
        done = connection.execute(
            "UPDATE certificate SET revoked = NULL, reason = NULL WHERE participant = ? AND member = ? AND reason = ?",
            (self.participant, member, HOLD),
        )
        self._changed(connection, done.rowcount)

    def revoked(self, connection: Connection, now: str) -> Sequence[tuple[str, str, str]]:
        """What the list must show: (serial, revoked, reason) of certificates that have not expired."""
        rows = connection.execute(
            "SELECT serial, revoked, reason FROM certificate"
            " WHERE participant = ? AND revoked IS NOT NULL AND expires > ? ORDER BY serial",
            (self.participant, now),
        )
        return [(str(serial), str(revoked), str(reason)) for serial, revoked, reason in rows]

    def crl(self, connection: Connection, name: str = ISSUING) -> Crl:
        """The current list; version 1 without signature before the first one."""
        row = connection.execute(
            f"SELECT {_CRL} FROM crl WHERE participant = ? AND name = ?",  # noqa: S608  # constant
            (self.participant, name),
        ).fetchone()
        return Crl() if row is None else Crl(**dict(zip(Crl.__struct_fields__, row, strict=True)))

    def publish(self, connection: Connection, crl: Crl, name: str = ISSUING) -> None:
        """Store a signed list with a greater number than the one before; an older one is ignored."""
        connection.execute(
            f"INSERT INTO crl (participant, name, {_CRL}) VALUES (?,?,?,?,?,?,?,?)"  # noqa: S608  # constant
            " ON CONFLICT (participant, name) DO UPDATE SET number = excluded.number,"
            " signed_version = excluded.signed_version, this_update = excluded.this_update,"
            " next_update = excluded.next_update, der = excluded.der WHERE excluded.number > crl.number",
            (
                self.participant,
                name,
                crl.number,
                crl.version,
                crl.signed_version,
                crl.this_update,
                crl.next_update,
                crl.der,
            ),
        )

    def _changed(self, connection: Connection, count: int) -> None:
        if count > 0:
            connection.execute(
                "INSERT INTO crl (participant, name, number, version, signed_version) VALUES (?,?,0,2,0)"
                " ON CONFLICT (participant, name) DO UPDATE SET version = crl.version + 1",
                (self.participant, ISSUING),
            )
