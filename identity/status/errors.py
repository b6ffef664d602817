"""What can be wrong with a status list. `facts["reason"]` is a fixed word, for the log and for tests."""

from typing import ClassVar

from kernel.errors import BadInput


class BadStatus(BadInput):
    """A list that says nothing we may rely on: every reader treats the credential as not valid."""

    code: ClassVar[str] = "bad-status-list"

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail, reason=reason)
