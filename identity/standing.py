"""What is known of participants beyond what they show: who was suspended or revoked, and which member certificates were.

`identity.verify` asks at every call, so a member is out with its next request, also on a connection that is kept alive. Where the knowledge comes
from (the authority's event feed and revocation list) is the business of whoever fills it; without one, nobody is barred and status lists decide alone.
"""

from typing import Protocol


class Standing(Protocol):
    """Asked for every caller, in memory."""

    def barred(self, did: str) -> str | None:
        """Why the authority keeps this participant out: `suspension` or `revocation`; None when it does not."""
        ...

    def revoked(self, certificate: bytes) -> bool:
        """Whether this member certificate (DER) is on the authority's revocation list, or cannot be checked."""
        ...


class Unfollowed:
    """Nothing is known: no authority is followed."""

    def barred(self, did: str) -> str | None:  # noqa: ARG002  the port's shape
        return None

    def revoked(self, certificate: bytes) -> bool:  # noqa: ARG002
        return False
