"""Whether data may flow between us and a participant at this very moment, whatever its token says.

Rules
- Not with a participant that the authority keeps out, nor over a member certificate that is revoked.
- With a member, while the authority's feed is being heard: a suspension would be known.
- Otherwise (feed silent, or a peer from outside the consortium, also one that comes over a trust bridge) the status of the credentials with which the participant was let in last is read anew.
  What cannot be read, has expired or is not known any more means no data; the peer's next token request proves it again in full.
"""

from connector.membership.standing import Standing
from identity.door import Door
from identity.profiles import VerifierProfile
from identity.status import DENYING
from identity.tls import names
from identity.vc import Credential
from kernel.errors import KizunaError, Unauthorized


class Gate:
    """Asked before every piece of data."""

    def __init__(self, door: Door, standing: Standing) -> None:
        self._door, self._standing = door, standing

    async def permit(self, did: str, certificate: bytes | None) -> None:
        """Return when data may flow to or from `did`; raises `Unauthorized` with the reason as a fact."""
        if (why := self.closed(did)) is not None:
            raise _refused(did, why)
        if certificate is not None and names.did_of(certificate) is not None and self._standing.revoked(certificate):
            raise _refused(did, "the certificate is revoked")
        if certificate is not None and names.did_of(certificate) == did and self._standing.told_of(certificate):
            return
        shown, profile = self._door.presentations.last(did), self._door.rules(did).profile
        if not shown:
            raise _refused(did, "its credentials are not known")
        for each in shown:
            if (why := await self._denied(each, profile)) is not None:
                raise _refused(did, why)

    def closed(self, did: str) -> str | None:
        """Why nothing flows to this participant any more; None while it may."""
        return self._standing.barred(did)

    async def lost(self, did: str) -> frozenset[str] | None:
        """Types of the credentials shown last that do not count any more; None where nothing is known of them, so that none counts."""
        shown, profile = self._door.presentations.last(did), self._door.rules(did).profile
        if not shown:
            return None
        denied = [each for each in shown if await self._denied(each, profile) is not None]
        return frozenset(name for each in denied for name in each.types)

    async def _denied(self, credential: Credential, profile: VerifierProfile) -> str | None:
        if credential.valid_until is not None and credential.valid_until <= self._door.clock.now():
            return "a credential has expired"
        try:
            found = await self._door.status.values(
                credential, max_age=0, minimum_bits=profile.minimum_bits, strict=profile.relationships
            )
        except KizunaError as error:
            return f"its status cannot be read: {error.detail}"
        return min((each.purpose for each in found if each.value and each.purpose in DENYING), default=None)


def _refused(did: str, why: str) -> Unauthorized:
    return Unauthorized("invalid token", step="standing", reason=why, peer=did)
