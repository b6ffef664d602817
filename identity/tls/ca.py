"""The consortium's certificate authority (RFC 5280; identity.md 4.3).

    root (P-384, 10 years, pathLen 1) -> issuing (P-256, 2 years, pathLen 0) -> member leaves (P-256, 24 hours to 7 days)

Rules
- A leaf's names are built from what the register says: one URI, the DID, and the approved hosts as DNS names. What the request asks for is
  ignored but for its public key and the proof, by its signature, that the caller has the private one.
- P-256 keys only. Serial numbers are random; leaves serve as client and as server certificates, and never as CAs.
- Revocation lists carry a number, and a thisUpdate that the caller makes increase.

Not done here: who may have a certificate, and what was issued (`identity.service.ca`). Keys are files for now; the root's may be moved
offline once the issuing CA is there.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from kernel.errors import BadInput, Misconfigured

ROOT_LIFE: Final = timedelta(days=3650)
ISSUING_LIFE: Final = timedelta(days=730)
SHORTEST: Final = timedelta(hours=1)
LONGEST: Final = timedelta(days=7)
_EARLY: Final = timedelta(minutes=5)  # for clocks that run behind
REASONS: Final = {
    each.value: each for each in x509.ReasonFlags
}  # names of RFC 5280 5.3.1: certificateHold, privilegeWithdrawn, ...


class MemberCertificate(Struct, frozen=True):
    """A new leaf: PEM, the chain below the root, DER, its public key (DER), and its window."""

    certificate: str
    chain: str
    der: bytes
    public_key: bytes
    not_before: datetime
    not_after: datetime


class Revoked(Struct, frozen=True):
    """An entry of the revocation list; `reason` is a name of RFC 5280 5.3.1 (`certificateHold`, `privilegeWithdrawn`, ...)."""

    serial: int
    at: datetime
    reason: str


class BadRequest(BadInput):
    """A certificate request that cannot be used."""

    code = "bad-certificate-request"


class Authority:
    """The issuing CA with its key, and the root's certificate."""

    def __init__(self, issuing: x509.Certificate, key: ec.EllipticCurvePrivateKey, root: x509.Certificate, crl_url: str) -> None:
        self._issuing, self._key, self._root, self._crl_url = issuing, key, root, crl_url

    @classmethod
    def open(cls, directory: Path) -> "Authority":
        """The CA of a directory made by `create`; raises `Misconfigured`."""
        try:
            if (directory / "issuing.key").stat().st_mode & 0o077:
                raise Misconfigured(f"{directory}/issuing.key is readable by others", next_step="chmod 600 the key")
            key = serialization.load_pem_private_key((directory / "issuing.key").read_bytes(), None)
            issuing = x509.load_pem_x509_certificate((directory / "issuing.pem").read_bytes())
            root = x509.load_pem_x509_certificate((directory / "root.pem").read_bytes())
            crl_url = (directory / "crl-url").read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise Misconfigured(f"the CA in {directory} cannot be read: {error}", next_step="restore it from the backup") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Misconfigured(f"{directory}/issuing.key is no EC key")
        return cls(issuing, key, root, crl_url)

    @property
    def bundle(self) -> str:
        """What members trust: root and issuing certificate, PEM."""
        return _pem(self._root) + _pem(self._issuing)

    def issue_member(self, csr: bytes, did: str, hosts: Sequence[str], *, now: datetime, life: timedelta) -> MemberCertificate:
        """A leaf for the DID; raises `BadRequest` for an unusable request."""
        public = _requested_key(csr)
        if not SHORTEST <= life <= LONGEST:
            raise BadRequest(f"a life of {life} is not between {SHORTEST} and {LONGEST}")
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(did), *map(_host_name, hosts)]
        start, end = now - _EARLY, min(now + life, self._issuing.not_valid_after_utc)
        builder = (
            _builder(x509.Name([]), self._issuing.subject, public, start, end)
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign=True), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
            )
            .add_extension(_authority_key(self._issuing), critical=False)
            .add_extension(_distribution(self._crl_url), critical=False)
        )
        leaf = builder.sign(self._key, hashes.SHA256())
        raw = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        der = leaf.public_bytes(serialization.Encoding.DER)
        return MemberCertificate(_pem(leaf), _pem(self._issuing), der, raw, leaf.not_valid_before_utc, leaf.not_valid_after_utc)

    def crl(self, entries: Iterable[Revoked], *, number: int, this_update: datetime, next_update: datetime) -> bytes:
        """The signed revocation list, DER."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._issuing.subject)
            .last_update(this_update)
            .next_update(next_update)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(_authority_key(self._issuing), critical=False)
        )
        for entry in entries:
            reason = REASONS.get(entry.reason, x509.ReasonFlags.unspecified)
            revoked = x509.RevokedCertificateBuilder().serial_number(entry.serial).revocation_date(entry.at)
            builder = builder.add_revoked_certificate(revoked.add_extension(x509.CRLReason(reason), critical=False).build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def create(directory: Path, *, name: str, crl_url: str, now: datetime) -> Authority:
    """Make root and issuing CA in an empty directory; keys have mode 0600."""
    root_key, issuing_key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP256R1())
    root_name, issuing_name = _named(f"{name} root CA"), _named(f"{name} issuing CA")
    root = _ca(root_name, root_name, root_key.public_key(), root_key, now, ROOT_LIFE, depth=1, parent=None)
    issuing = _ca(issuing_name, root_name, issuing_key.public_key(), root_key, now, ISSUING_LIFE, depth=0, parent=root)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file, key in (("root.key", root_key), ("issuing.key", issuing_key)):  # first: they are never written over another's
        write_private(directory / file, key)
    (directory / "root.pem").write_text(_pem(root), encoding="ascii")
    (directory / "issuing.pem").write_text(_pem(issuing), encoding="ascii")
    (directory / "crl-url").write_text(crl_url, encoding="utf-8")
    return Authority.open(directory)


def write_private(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """PKCS#8, mode 0600 from the first byte on."""
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def _ca(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
    *,
    depth: int,
    parent: x509.Certificate | None,
) -> x509.Certificate:
    builder = _builder(subject, issuer, public, now - _EARLY, now + life)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=depth), critical=True)
    builder = builder.add_extension(_usage(sign=False), critical=True)
    if parent is not None:
        builder = builder.add_extension(_authority_key(parent), critical=False)
    return builder.sign(key, hashes.SHA384() if isinstance(key.curve, ec.SECP384R1) else hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _requested_key(csr: bytes) -> ec.EllipticCurvePublicKey:
    try:
        request = x509.load_pem_x509_csr(csr)
        public = request.public_key()
        proven = request.is_signature_valid
    except (ValueError, TypeError, InvalidSignature, x509.UnsupportedGeneralNameType) as error:
        raise BadRequest("not a PKCS#10 request in PEM") from error
    if not proven:
        raise BadRequest("the request is not signed with its own key")
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise BadRequest("the key is not P-256", next_step="make a P-256 key")
    return public


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        key_cert_sign=not sign,
        crl_sign=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key(parent: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    found = parent.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found)


def _distribution(url: str) -> x509.CRLDistributionPoints:
    return x509.CRLDistributionPoints([x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
