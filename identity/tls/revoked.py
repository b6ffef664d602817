"""The consortium's revocation list as its members read it (RFC 5280 5 and 6.3; identity.md 4.4).

Rules
- A list counts when an issuing CA of the consortium's bundle has signed it, it is inside its window, and its number and its thisUpdate are not lower than those of the
  list before: an older list never replaces a newer one.
- A certificate is refused when its serial is on the list of its issuer, or when there is no list of its issuer that is inside its window: a
  certificate that cannot be checked is not accepted.
- Asked for every request, so a certificate that is revoked ends a connection that is kept alive with the next request on it.

Not done here: fetching (`connector.worker.feed`), chains (TLS has verified them), other extensions: lists with critical extensions that are not known here
are refused.
"""

from collections import OrderedDict
from datetime import datetime
from typing import ClassVar, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
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
    number: int
    since: datetime
    until: datetime
    serials: frozenset[int]


class RevocationLists:
    """The current list of every issuing CA; `load` brings a newer one, `revoked` is asked per request."""

    __slots__ = ("_clock", "_held", "_leaves")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[x509.Name, _Held] = {}
        self._leaves: OrderedDict[bytes, tuple[x509.Name, int]] = OrderedDict()

    def load(self, der: bytes, bundle: bytes) -> int:
        """Take a list (DER) signed by a CA of the bundle (PEM); returns its number. Raises `BadList`."""
        try:
            found = x509.load_der_x509_crl(der)
            number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            known = all(not each.critical or isinstance(each.value, _KNOWN) for each in found.extensions)
        except (ValueError, x509.ExtensionNotFound) as error:
            raise BadList("not a revocation list with a number", reason="form") from error
        if not known:
            raise BadList("the list has a critical extension that is not known here", reason="extension")
        if not any(_signed(found, each) for each in x509.load_pem_x509_certificates(bundle)):
            raise BadList("the list is not signed by a CA of the consortium", reason="foreign")
        until = found.next_update_utc
        if until is None or until <= self._clock.now():
            raise BadList("the list has expired", reason="expired")
        before = self._held.get(found.issuer)
        if before is not None and (number < before.number or found.last_update_utc < before.since):
            raise BadList(f"list {number} is older than list {before.number}", reason="older")
        self._held[found.issuer] = _Held(number, found.last_update_utc, until, frozenset(each.serial_number for each in found))
        return number

    def revoked(self, certificate: bytes) -> bool:
        """Whether the leaf (DER) is on its issuer's list, or cannot be checked."""
        issuer, serial = self._named(certificate)
        held = self._held.get(issuer)
        return held is None or held.until <= self._clock.now() or serial in held.serials

    def _named(self, certificate: bytes) -> tuple[x509.Name, int]:
        found = self._leaves.get(certificate)
        if found is None:
            parsed = x509.load_der_x509_certificate(certificate)
            found = self._leaves[certificate] = (parsed.issuer, parsed.serial_number)
            if len(self._leaves) > _CAPACITY:
                self._leaves.popitem(last=False)
        return found


def _signed(found: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    """Whether this CA, entitled to sign lists, has signed it."""
    if found.issuer != issuer.subject:
        return False
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
        return usage.crl_sign and found.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (x509.ExtensionNotFound, InvalidSignature, TypeError):
        return False
