"""Multibase base58btc and the multicodec prefixes of public keys (Multikey; identity.md 2.3)."""

from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from identity.did.errors import BadDid
from kernel.wire import b64url

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ED25519: Final = b"\xed\x01"
_CURVES: Final = ((b"\x80\x24", ec.SECP256R1(), 33), (b"\x81\x24", ec.SECP384R1(), 49))
_MAX: Final = 128


def base58(data: bytes) -> str:
    """base58btc of the bytes."""
    number, digits = int.from_bytes(data), ""
    while number:
        number, rest = divmod(number, 58)
        digits = _ALPHABET[rest] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits


def unbase58(text: str, *, limit: int = _MAX) -> bytes:
    """The bytes of base58btc of at most `limit` letters; raises `BadDid`."""
    number = 0
    if len(text) > limit:
        raise BadDid("too long for a key", reason="multikey")
    for letter in text:
        digit = _ALPHABET.find(letter)
        if digit < 0:
            raise BadDid("not base58btc", reason="multikey")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8)


def jwk_of(multikey: str) -> dict[str, Any]:
    """The JWK of a Multikey (`z...`): Ed25519, P-256 or P-384; raises `BadDid`."""
    if not multikey.startswith("z"):
        raise BadDid("not base58btc multibase", reason="multikey")
    data = unbase58(multikey[1:])
    prefix, body = data[:2], data[2:]
    if prefix == _ED25519 and len(body) == 32:
        return {"kty": "OKP", "crv": "Ed25519", "x": b64url(body)}
    for code, curve, length in _CURVES:
        if prefix == code and len(body) == length:
            try:
                return dict(ECAlgorithm.to_jwk(ec.EllipticCurvePublicKey.from_encoded_point(curve, body), as_dict=True))
            except ValueError as error:
                raise BadDid("not a point of the curve", reason="multikey") from error
    raise BadDid("this kind of Multikey is not supported", reason="multikey")
