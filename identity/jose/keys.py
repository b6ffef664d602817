"""Public keys as JWK (RFC 7517, 7518, 8037) and which algorithm each may be used with.

Rules
- The key decides: P-256 with ES256, P-384 with ES384, Ed25519 with EdDSA (or Ed25519, RFC 9864), RSA of 2048 bits and more with PS256 and RS256. Nothing
  else is read, so no algorithm of a header can turn one kind of key into another.
- A JWK with a private member is refused: whoever published it has lost the key.
- `use`, `key_ops` and `alg` of the JWK are heeded where they are present.

Not done here: files and generation (`identity.keys`), where a key comes from (`identity.did`).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm, RSAPSSAlgorithm
from jwt.exceptions import InvalidKeyError

from identity.jose.ecdsa import Ecdsa
from identity.jose.errors import BadToken
from kernel import wire

ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    "ES256": Ecdsa(SECP256R1(), ECAlgorithm.SHA256),
    "ES384": Ecdsa(SECP384R1(), ECAlgorithm.SHA384),
    "EdDSA": OKPAlgorithm(),
    "Ed25519": OKPAlgorithm(),
    "PS256": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA256),
    "RS256": RSAAlgorithm(RSAAlgorithm.SHA256),
}
PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {"EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "RSA": ("n", "e")}
_ALLOWED: Final[Mapping[str, frozenset[str]]] = {
    "P-256": frozenset({"ES256"}),
    "P-384": frozenset({"ES384"}),
    "Ed25519": frozenset({"EdDSA", "Ed25519"}),
    "RSA": frozenset({"PS256", "RS256"}),
}
_KINDS: Final[Mapping[str, str]] = {"P-256": "EC", "P-384": "EC", "Ed25519": "OKP", "RSA": "RSA"}
_LENGTHS: Final[Mapping[str, int]] = {"P-256": 32, "P-384": 48, "Ed25519": 32}
_RSA_BITS: Final = 2048


class Signer(Protocol):
    """A private key that signs without showing itself. `kid` is the DID URL of its public half."""

    @property
    def kid(self) -> str: ...
    @property
    def alg(self) -> str: ...
    def sign(self, data: bytes) -> bytes:
        """The JWS signature (RFC 7518 form) of the data."""
        ...

    def public_jwk(self) -> dict[str, Any]: ...
    def own_jwk(self, kid: str | None) -> dict[str, Any]:
        """The public half of a key that this signer uses, or used and still answers for; raises `BadToken` for any other."""
        ...

    def pinned(self) -> "Signer":
        """The same, with one key from now on: a rotation does not come between header and signature."""
        ...


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A usable public key and the algorithms it verifies."""

    key: Any
    algorithms: frozenset[str]


def public_key(jwk: Mapping[str, Any]) -> PublicKey:
    """The key of a JWK; raises `BadToken` (reasons `private-key`, `key-type`, `key-use`, `key-form`)."""
    if not PRIVATE.isdisjoint(jwk):
        raise BadToken("the JWK holds a private key", reason="private-key")
    kind = jwk.get("kty")
    curve = "RSA" if kind == "RSA" else jwk.get("crv")
    if not isinstance(kind, str) or not isinstance(curve, str) or _KINDS.get(curve) != kind:
        raise BadToken("this kind of key is not supported", reason="key-type")
    members = _members(kind, jwk, curve)
    return PublicKey(_load(kind, members), _usable(jwk, _ALLOWED[curve]))


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """The JWK thumbprint of RFC 7638: base64url of SHA-256 over the required members."""
    names = _MEMBERS.get(str(jwk.get("kty")), ())
    required = {name: jwk.get(name) for name in ("kty", *names)}
    return wire.b64url(hashlib.sha256(wire.canonical(required)).digest())


def _members(kind: str, jwk: Mapping[str, Any], curve: str) -> dict[str, str]:
    found = {name: jwk.get(name) for name in _MEMBERS.get(kind, ())}
    if not found or not all(isinstance(value, str) and len(value) <= 1400 for value in found.values()):
        raise BadToken("the JWK lacks a member", reason="key-form")
    for name in ("x", "y"):
        if name in found and len(wire.unb64url(str(found[name]))) != _LENGTHS[curve]:
            raise BadToken("a coordinate has the wrong length", reason="key-form")
    return {"kty": kind} | {name: str(value) for name, value in found.items()}


def _load(kind: str, members: dict[str, str]) -> Any:
    try:
        if kind == "EC":
            key: object = ECAlgorithm.from_jwk(members)
        else:
            key = OKPAlgorithm.from_jwk(members) if kind == "OKP" else RSAAlgorithm.from_jwk(members)
    except (InvalidKeyError, ValueError) as error:
        raise BadToken("the JWK is not a key", reason="key-form") from error
    if isinstance(key, RSAPublicKey) and key.key_size < _RSA_BITS:
        raise BadToken("the RSA key is too short", reason="key-type")
    return key


def _usable(jwk: Mapping[str, Any], algorithms: frozenset[str]) -> frozenset[str]:
    operations = jwk.get("key_ops")
    if jwk.get("use", "sig") != "sig" or (operations is not None and not (isinstance(operations, list) and "verify" in operations)):
        raise BadToken("the JWK is not for signatures", reason="key-use")
    alg = jwk.get("alg")
    if alg is None or (alg in ("Ed25519", "EdDSA") and "EdDSA" in algorithms):  # two names of one algorithm
        return algorithms
    return algorithms & {str(alg)}
