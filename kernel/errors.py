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

Problems are RFC 9457 (`problem`). `facts` never leave the process; they are for the log.
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
        return found | ({"next": self.next_step} if self.next_step else {})


class BadInput(KizunaError):
    code, status, exit_code = "bad-input", 400, 2


class TooLarge(BadInput):
    code, status = "too-large", 413


class Unauthorized(KizunaError):
    code, status = "unauthorized", 401


class Forbidden(KizunaError):
    code, status = "forbidden", 403


class NotFound(KizunaError):
    code, status = "not-found", 404


class Conflict(KizunaError):
    code, status = "conflict", 409


class TooMany(KizunaError):
    code, status = "too-many-requests", 429


class UnavailableError(KizunaError):
    code, status = "unavailable", 503


class StorageFull(UnavailableError):
    code, status = "storage-full", 507


class Misconfigured(KizunaError):
    code, exit_code = "misconfigured", 3


class NewerData(Misconfigured):
    code, exit_code = "newer-data", 4


class InUse(Misconfigured):
    code, exit_code = "in-use", 5
