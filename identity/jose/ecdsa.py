"""ECDSA on the one curve that goes with each hash (RFC 7518 3.4), as every message needs it twice.

Accepts and refuses what PyJWT's `ECAlgorithm` does, which it is in everything else (keys, JWKs): numbers without the way over hexadecimal texts, parameters made once. A test
compares the two. The key is one of that curve: `jose.keys` reads no other for these algorithms.
"""

from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from jwt.algorithms import ECAlgorithm


class Ecdsa(ECAlgorithm):
    """ES256, ES384."""

    def __init__(self, curve: ec.EllipticCurve, hash_alg: Any) -> None:
        super().__init__(hash_alg)
        self._size = (curve.key_size + 7) // 8  # bytes of each number of a signature
        self._with = ec.ECDSA(hash_alg())

    def sign(self, msg: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
        r, s = decode_dss_signature(key.sign(msg, self._with))
        return r.to_bytes(self._size) + s.to_bytes(self._size)

    def verify(self, msg: bytes, key: Any, sig: bytes) -> bool:
        """Whether it is the signature of the public key."""
        size = self._size
        if len(sig) != 2 * size:
            return False
        try:
            key.verify(encode_dss_signature(int.from_bytes(sig[:size]), int.from_bytes(sig[size:])), msg, self._with)
        except InvalidSignature:
            return False
        return True
