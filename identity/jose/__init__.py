"""Compact JWS (RFC 7515) with asymmetric algorithms only, and the Self-Issued ID token of DCP 1.0.

Pure: no I/O. `keys` reads public JWKs, `compact` signs, parses and verifies, `token` makes Self-Issued ID tokens.
"""

from identity.jose.compact import LIMIT, Unverified, kid, parse, sign, verify
from identity.jose.errors import BadToken
from identity.jose.keys import ALGORITHMS, PublicKey, Signer, public_key, thumbprint
from identity.jose.token import LIFETIME, token_for

__all__ = [
    "ALGORITHMS",
    "LIFETIME",
    "LIMIT",
    "BadToken",
    "PublicKey",
    "Signer",
    "Unverified",
    "kid",
    "parse",
    "public_key",
    "sign",
    "thumbprint",
    "token_for",
    "verify",
]
