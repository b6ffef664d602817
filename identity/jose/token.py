"""The Self-Issued ID token of DCP 1.0, 4.3 (identity.md 1.1): our own proof to one receiver.

`iss` = `sub` = the DID of the signer's key, `aud` = the one receiver, five minutes by default, `jti` new for every attempt.
`cnf.x5t#S256` (RFC 8705) binds it to our member certificate wherever one is presented.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from identity.jose.compact import sign
from identity.jose.keys import Signer

LIFETIME: Final = timedelta(minutes=5)


def token_for(
    signer: Signer,
    audience: str,
    *,
    now: datetime,
    jti: str,
    token: str | None = None,
    thumbprint: str | None = None,
    lifetime: timedelta = LIFETIME,
    extra: Mapping[str, Any] | None = None,
) -> str:
    """A Self-Issued ID token.

    `token` is the access token for a credential service: ours for the receiver to use, or the one that we received and hand
    back. `thumbprint` is base64url SHA-256 of our TLS leaf. `extra` adds claims (`pre-authorized_code`), never replaces any.
    """
    signer = signer.pinned()
    issuer = signer.kid.partition("#")[0]
    issued = int(now.timestamp())
    claims: dict[str, Any] = {
        **(extra or {}),
        "iss": issuer,
        "sub": issuer,
        "aud": audience,
        "iat": issued,
        "exp": issued + int(lifetime.total_seconds()),
        "jti": jti,
    }
    if token is not None:
        claims["token"] = token
    if thumbprint is not None:
        claims["cnf"] = {"x5t#S256": thumbprint}
    return sign(claims, signer)
