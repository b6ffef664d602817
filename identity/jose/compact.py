"""Compact JWS: parse, verify, sign (RFC 7515, RFC 8725; identity.md 1.1, 6.1-6.5, 6.45, 6.46).

Rules
- `alg` comes from an allow-list of asymmetric algorithms and must fit the key that the DID document names.
- A header that brings a key (`jwk`, `jku`, `x5u`, `x5c`), asks for an extension (`crit`, `b64`) or is a JWE is refused.
- Header and claims are JSON objects without duplicate members; base64url in its one form; size capped before anything is decoded.
- `parse` proves nothing: what it returns is called `Unverified` until `verify` has been passed.

Signatures themselves are made and checked by PyJWT's algorithm layer, and those of ECDSA beside it (`ecdsa`). Not done here: claims (`identity.verify`, `identity.vc`).
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from identity.jose.errors import BadToken
from identity.jose.keys import ALGORITHMS, PublicKey, Signer, public_key
from kernel import wire
from kernel.errors import BadInput

LIMIT: Final = 16_384
_HEADER_LIMIT: Final = 8_192
_KEY_SOURCES: Final = ("jwk", "jku", "x5u", "x5c")
_EXTENSIONS: Final = ("crit", "b64", "zip", "enc")
_KID_LIMIT: Final = 2_560


class Unverified(Struct, frozen=True):
    """A parsed JWS; nothing in it is proven. `claims` is the payload as a JSON object."""

    header: dict[str, Any]
    claims: dict[str, Any]
    alg: str
    kid: str | None
    typ: str | None
    signed: bytes
    signature: bytes
    raw: str


def parse(token: str, *, limit: int = LIMIT) -> Unverified:
    """Read a compact JWS of at most `limit` characters; raises `BadToken` with the reason."""
    if len(token) > limit:
        raise BadToken(f"a token of {len(token)} characters, at most {limit} are read", reason="size")
    parts = token.split(".")
    if len(parts) == 5:
        raise BadToken("encrypted tokens are not read", reason="jwe")
    if len(parts) != 3:
        raise BadToken("not a compact JWS", reason="form")
    header, alg, kid, typ = _header(parts[0])
    claims = _object(parts[1], limit, "claims")
    signature = _decode(parts[2], "signature")
    signed = token[: token.rindex(".")].encode("ascii")
    return Unverified(header, claims, alg, kid, typ, signed, signature, token)


def verify(token: Unverified, key: PublicKey | Mapping[str, Any]) -> None:
    """Check the signature with this key; raises `BadToken` (`key-alg` when they do not fit, `signature`)."""
    public = key if isinstance(key, PublicKey) else public_key(key)
    if token.alg not in public.algorithms:
        raise BadToken(f"the key is not for {token.alg}", reason="key-alg")
    if not ALGORITHMS[token.alg].verify(token.signed, public.key, token.signature):
        raise BadToken("the signature does not verify", reason="signature")


def sign(claims: Mapping[str, Any], signer: Signer, *, typ: str = "JWT", header: Mapping[str, Any] | None = None) -> str:
    """The claims as a compact JWS by this signer; `header` adds members (never `alg` or `kid`)."""
    signer = signer.pinned()
    head = (
        _made(signer.alg, signer.kid, typ) if not header else _encoded({**header, "alg": signer.alg, "kid": signer.kid, "typ": typ})
    )
    signed = f"{head}.{_encoded(claims)}"
    return f"{signed}.{wire.b64url(signer.sign(signed.encode('ascii')))}"


def kid(token: str) -> str | None:
    """The `kid` of a compact JWS, of which nothing else is read; raises `BadToken`."""
    if len(token) > LIMIT:
        raise BadToken(f"a token of {len(token)} characters, at most {LIMIT} are read", reason="size")
    return _header(token.partition(".")[0])[2]


def _encoded(value: Mapping[str, Any]) -> str:
    return wire.b64url(wire.dumps(value))


@lru_cache(maxsize=64)
def _made(alg: str, kid: str, typ: str) -> str:
    """A header of ours: the same for all tokens of one kind by one key."""
    return _encoded({"alg": alg, "kid": kid, "typ": typ})


@lru_cache(maxsize=256)
def _header(part: str) -> tuple[dict[str, Any], str, str | None, str | None]:
    """Header, `alg`, `kid` and `typ`: the same text again and again from one signer. Nobody changes it."""
    header = _object(part, _HEADER_LIMIT, "header")
    return header, _check_header(header), _text(header, "kid"), _text(header, "typ")


def _check_header(header: Mapping[str, Any]) -> str:
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise BadToken("the algorithm is not allowed", reason="alg")
    for name in _KEY_SOURCES:
        if name in header:
            raise BadToken(f"the header brings a key ({name})", reason="key-source")
    for name in _EXTENSIONS:
        if name in header:
            raise BadToken(f"the header asks for an extension ({name})", reason="extension")
    return alg


def _text(header: Mapping[str, Any], name: str) -> str | None:
    value = header.get(name)
    if value is None and name not in header:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= _KID_LIMIT:
        raise BadToken(f"{name} is not a text", reason=name)
    return value


def _object(part: str, limit: int, what: str) -> dict[str, Any]:
    data = _decode(part, what)
    try:
        value = wire.loads(data, limit=limit)
    except BadInput as error:
        raise BadToken(f"the {what}: {error.detail}", reason="json") from error
    if not isinstance(value, dict):
        raise BadToken(f"the {what} is no object", reason="json")
    return value


def _decode(part: str, what: str) -> bytes:
    try:
        return wire.unb64url(part)
    except BadInput as error:
        raise BadToken(f"the {what} is not base64url", reason="form") from error
