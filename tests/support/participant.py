"""Verified participants for tests that begin behind the door. The product has no other way than `identity.verify.authenticate`."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from identity import verify
from identity.vc import Credential
from identity.verify import TokenUse, VerifiedParticipant

EXPIRES = datetime(2026, 11, 24, 9, 0, tzinfo=UTC) + timedelta(minutes=5)


def participant(
    did: str,
    *,
    claims: Mapping[str, tuple[dict[str, Any], ...]] | None = None,
    jti: str = "",
    expires: datetime = EXPIRES,
    thumbprint: str | None = None,
    credentials: tuple[Credential, ...] = (),
) -> VerifiedParticipant:
    """A participant as the verifier would have made it; `thumbprint` says that it came with that member certificate."""
    return VerifiedParticipant(
        did=did,
        credentials=credentials,
        claims=claims or {},
        thumbprint=thumbprint,
        member_channel=thumbprint is not None,
        token=TokenUse(did, jti or secrets.token_hex(8), expires),
        seal=verify._SEAL,
    )
