"""Errors that people and programs can act on: a stable code, an HTTP status, a cause and a next step.

    KizunaError
    ├── BadInput 400 ── TooLarge 413
    ├── Unauthorized 401      one generic body; the reason is a fact for the own log
    ├── Forbidden 403
    ├── NotFound 404
    ├── Conflict 409
    ├── TooMany 429
    ├── UnavailableError 503 ── StorageFull 507
    └── Misconfigured         ends a start: exit code 3
        ├── NewerData         exit code 4
        └── InUse             exit code 5

Problems are RFC 9457 (`problem`): `type` is stable for a code, `detail` is the cause, `nextStep` what to do. All codes: docs/reference/problems.md. `facts` never leave the process; they are for the log.
"""

from typing import Any, ClassVar


class KizunaError(Exception):
    """Root of all errors that are meant for people. `detail` says what is wrong, `next_step` what to do."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, detail: str = "", *, next_step: str = "", **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.next_step = next_step
        self.facts = facts

    def problem(self) -> dict[str, Any]:
        """The error as an RFC 9457 problem."""
        found = {
            "type": f"https://w3id.org/kizuna/problem/{self.code}",
            "title": self.code.replace("-", " "),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        return found | ({"nextStep": self.next_step} if self.next_step else {})


class BadInput(KizunaError):
    """What was sent cannot be used as it is."""

    code, status, exit_code = "bad-input", 400, 2


class TooLarge(BadInput):
    """More bytes than are taken."""

    code, status = "too-large", 413


class Unauthorized(KizunaError):
    """The caller has not proven who it is."""

    code, status = "unauthorized", 401


class Forbidden(KizunaError):
    """The caller is known, and may not do this."""

    code, status = "forbidden", 403


class NotFound(KizunaError):
    """There is no such thing, or the caller may not know of it."""

    code, status = "not-found", 404


class Conflict(KizunaError):
    """It does not fit what is already there."""

    code, status = "conflict", 409


class TooMany(KizunaError):
    """More calls than are answered in this time."""

    code, status = "too-many-requests", 429


class UnavailableError(KizunaError):
    """It cannot be done now; later it may."""

    code, status = "unavailable", 503


class StorageFull(UnavailableError):
    """The disk is full or failing; nothing was changed."""

    code, status = "storage-full", 507


class Misconfigured(KizunaError):
    """Settings or files do not allow a start."""

    code, exit_code = "misconfigured", 3


class NewerData(Misconfigured):
    """The data were written by a newer version."""

    code, exit_code = "newer-data", 4


class InUse(Misconfigured):
    """Another process holds the data or the port."""

    code, exit_code = "in-use", 5
