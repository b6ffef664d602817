"""What binds a TLS leaf to a participant (RFC 8705; identity.md 4.2): the DID of its only URI name, and its SHA-256.

A certificate with two URI names, with a URI that is no DID, or that cannot be read names nobody. TLS has verified the chain.
"""

import hashlib

from cryptography import x509
from msgspec import Struct

from identity.did import BadDid, parse
from kernel.wire import b64url


class Leaf(Struct, frozen=True):
    """A TLS leaf: its DID, if it names exactly one, and `x5t#S256`, the base64url SHA-256 of its DER."""

    did: str | None
    thumbprint: str


def read_leaf(der: bytes) -> Leaf:
    """The leaf of a DER certificate."""
    return Leaf(_did(der), b64url(hashlib.sha256(der).digest()))


def _did(der: bytes) -> str | None:
    try:
        extensions = x509.load_der_x509_certificate(der).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        return parse(uris[0]).text if len(uris) == 1 else None
    except (ValueError, x509.ExtensionNotFound, BadDid):
        return None
