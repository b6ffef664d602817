"""The revocation lists of the consortium, and of consortia that it recognises, as members read them (RFC 5280 5 and 6.3; identity.md 4.4).

Rules
- A list counts when an issuing CA of the consortium's bundle has signed it, it is inside its window, and its number and its thisUpdate are not lower than those of the
  list before: an older list never replaces a newer one.
- A certificate is refused when its serial is on the list of its issuer, or when there is no list of its issuer that is inside its window: a
  certificate that cannot be checked is not accepted.
- The issuer of a certificate is the CA whose key has signed it, not one of the same name: another consortium's CA speaks of its own certificates only. A CA of ours
  stays ours, whatever bundle names it too. What is no longer recognised is dropped, and its certificates with it.
- Asked for every request, so a certificate that is revoked ends a connection that is kept alive with the next request on it.

Not done here: fetching (`connector.worker.feed`, `connector.worker.bundles`), chains (TLS has verified them), other extensions: lists with critical extensions that are not known here
are refused.
"""

from collections import OrderedDict
from datetime import datetime
from typing import ClassVar, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from msgspec import Struct

from kernel.clock import Clock
from kernel.errors import BadInput

_KNOWN: Final = (x509.CRLNumber, x509.AuthorityKeyIdentifier)
_CAPACITY: Final = 4_096


class BadList(BadInput):
    """A revocation list that cannot be relied on. `facts["reason"]` is a fixed word."""

    code: ClassVar[str] = "bad-revocation-list"

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail, reason=reason)


class _Held(Struct, frozen=True):
    ca: x509.Certificate
    consortium: str  # the authority's DID of a recognised one; empty for ours
    number: int
    since: datetime
    until: datetime
    serials: frozenset[int]


class RevocationLists:
    """The current list of every issuing CA that counts; `load` brings a newer one, `revoked` is asked per request."""

    __slots__ = ("_clock", "_held", "_leaves")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[bytes, _Held] = {}  # by the key of the CA
        self._leaves: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()  # the CA's key and the serial, by certificate

    def load(self, der: bytes, bundle: bytes, consortium: str = "") -> int:
        """Take a list (DER) signed by a CA of the bundle (PEM) of our consortium, or of the one with that authority; returns its number. Raises `BadList`."""
        try:
            found = x509.load_der_x509_crl(der)
            number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            known = all(not each.critical or isinstance(each.value, _KNOWN) for each in found.extensions)
        except (ValueError, x509.ExtensionNotFound) as error:
            raise BadList("not a revocation list with a number", reason="form") from error
        if not known:
            raise BadList("the list has a critical extension that is not known here", reason="extension")
        ca = next((each for each in x509.load_pem_x509_certificates(bundle) if _signed(found, each)), None)
        if ca is None:
            raise BadList("the list is not signed by a CA of the consortium", reason="foreign")
        until = found.next_update_utc
        if until is None or until <= self._clock.now():
            raise BadList("the list has expired", reason="expired")
        before = self._held.get(_key(ca))
        if before is not None and before.consortium != consortium:
            if consortium:
                raise BadList("the list is of a CA of another consortium", reason="foreign")
            before = None
        if before is not None and (number < before.number or found.last_update_utc < before.since):
            raise BadList(f"list {number} is older than list {before.number}", reason="older")
        serials = frozenset(each.serial_number for each in found)
        self._held[_key(ca)] = _Held(ca, consortium, number, found.last_update_utc, until, serials)
        return number

    def drop(self, consortium: str) -> None:
        """Forget the CAs of a consortium that is not recognised any more: none of its certificates counts."""
        self._held = {key: each for key, each in self._held.items() if each.consortium != consortium}

    def revoked(self, certificate: bytes) -> bool:
        """Whether the leaf (DER) is on its issuer's list, or cannot be checked."""
        key, serial = self._leaves.get(certificate) or self._of(certificate)
        held = self._held.get(key)
        return held is None or held.until <= self._clock.now() or serial in held.serials

    def consortium(self, certificate: bytes) -> str | None:
        """Whose CA has signed the leaf (DER): empty for ours, the authority's DID of a recognised one; None when nobody's that is known."""
        held = self._held.get((self._leaves.get(certificate) or self._of(certificate))[0])
        return held.consortium if held is not None else None

    def _of(self, certificate: bytes) -> tuple[bytes, int]:
        """The key of the CA that has signed the leaf, with its serial, for the next time; an empty key when it is nobody's that is known."""
        parsed = x509.load_der_x509_certificate(certificate)
        key = next((key for key, each in self._held.items() if _issued(parsed, each.ca)), b"")
        found = key, parsed.serial_number
        if key:
            self._leaves[certificate] = found
            if len(self._leaves) > _CAPACITY:
                self._leaves.popitem(last=False)
        return found


def _key(ca: x509.Certificate) -> bytes:
    return ca.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _issued(leaf: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _signed(found: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    """Whether this CA, entitled to sign lists, has signed it."""
    if found.issuer != issuer.subject:
        return False
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
        return usage.crl_sign and found.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (x509.ExtensionNotFound, InvalidSignature, TypeError):
        return False
