"""Invitations (a code for one DID, stored as its SHA-256, used once) and applications."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from identity.service.store.port import Connection

_INVITATION: Final = "id, member, code_digest, created, expires, application"
_APPLICATION: Final = "id, member, did, hosts, submitted"


class Invitation(Struct, frozen=True, kw_only=True):
    """A code that was sent to a company; `application` is what it was used for."""

    id: str
    member: str
    code_digest: str
    created: str
    expires: str
    application: str | None = None


class Application(Struct, frozen=True, kw_only=True):
    """A company that proved control of its DID. Its state is the member's."""

    id: str
    member: str
    did: str
    hosts: tuple[str, ...]
    submitted: str


class Admissions(Struct, frozen=True):
    """Invitations and applications of one participant."""

    participant: str

    def invite(self, connection: Connection, invitation: Invitation) -> None:
        """Store it; codes of the same member that nobody used are void from now on."""
        connection.execute(
            "DELETE FROM invitation WHERE participant = ? AND member = ? AND application IS NULL",
            (self.participant, invitation.member),
        )
        connection.execute(
            f"INSERT INTO invitation (participant, {_INVITATION}) VALUES (?,?,?,?,?,?,?)",  # noqa: S608  # constant
            (
                self.participant,
                invitation.id,
                invitation.member,
                invitation.code_digest,
                invitation.created,
                invitation.expires,
                invitation.application,
            ),
        )

    def by_code(self, connection: Connection, code_digest: str) -> Invitation | None:
        row = connection.execute(
            f"SELECT {_INVITATION} FROM invitation WHERE participant = ? AND code_digest = ?",  # noqa: S608  # constant
            (self.participant, code_digest),
        ).fetchone()
        return None if row is None else Invitation(**dict(zip(Invitation.__struct_fields__, row, strict=True)))

    def apply(self, connection: Connection, application: Application, invitation: Invitation) -> None:
        """Store the application and use up the invitation."""
        connection.execute(
            f"INSERT INTO application (participant, {_APPLICATION}) VALUES (?,?,?,?,?,?)",  # noqa: S608  # constant
            (
                self.participant,
                application.id,
                application.member,
                application.did,
                msgspec.json.encode(application.hosts).decode(),
                application.submitted,
            ),
        )
        connection.execute(
            "UPDATE invitation SET application = ? WHERE participant = ? AND id = ?",
            (application.id, self.participant, invitation.id),
        )

    def application(self, connection: Connection, key: str) -> Application | None:
        row = connection.execute(
            f"SELECT {_APPLICATION} FROM application WHERE participant = ? AND id = ?",  # noqa: S608  # constant
            (self.participant, key),
        ).fetchone()
        return None if row is None else _application(row)


def _application(row: Any) -> Application:
    key, member, did, hosts, submitted = row
    return Application(id=key, member=member, did=did, hosts=msgspec.json.decode(hosts, type=tuple[str, ...]), submitted=submitted)
