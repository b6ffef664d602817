"""What can be wrong with a token or a key. `facts["reason"]` is a fixed word, for the log and for tests."""

from typing import ClassVar

from kernel.errors import BadInput


class BadToken(BadInput):
    """Not a JWS that we read, or not signed by that key."""

    code: ClassVar[str] = "bad-token"

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail, reason=reason)
