"""What can be wrong with a credential or a presentation. `facts["reason"]` is a fixed word, for the log and for tests."""

from typing import ClassVar

from kernel.errors import BadInput


class BadCredential(BadInput):
    """Not a credential or presentation that we read."""

    code: ClassVar[str] = "bad-credential"

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail, reason=reason)
