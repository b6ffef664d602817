"""What can be wrong with a DID or its document. `facts["reason"]` is a fixed word, for the log and for tests."""

from typing import ClassVar

from kernel.errors import BadInput


class BadDid(BadInput):
    """Not a DID that we read, or a document that does not belong to it or lacks the key asked for."""

    code: ClassVar[str] = "bad-did"

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail, reason=reason)
