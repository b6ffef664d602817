"""The consortium's certificate authority (RFC 5280; identity.md 4.3).

    root (P-384, 10 years, pathLen 1) -> issuing (P-256, 2 years, pathLen 0) -> member leaves (P-256, 24 hours to 7 days)

Rules
- A leaf's names are built from what the register says: one URI, the DID, and the approved hosts as DNS names. What the request asks for is
  ignored but for its public key and the proof, by its signature, that the caller has the private one.
- P-256 keys only. Serial numbers are random; leaves serve as client and as server certificates, and never as CAs.
- Revocation lists carry a number, and a thisUpdate that the caller makes increase.

- The root's key is only needed to make an issuing CA, and may stay on a machine of its own: `request` there, `certify` with the root, `install` here. What is
  installed was requested here, is signed by the root, and is a CA without further CAs below it. The issuing CA before it stays in the bundle and keeps signing its
  revocation list until its last leaf has ended.

Files: `root.pem`, `root.key` (may be away), `issuing.pem`, `issuing.key`, `previous.pem`, `previous.key` (after a change), `next.key` (between request and
installation), `crl-url`.

Not done here: who may have a certificate, and what was issued (`identity.service.ca`).
"""

import ipaddress
import secrets
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
SHORTEST: Final = timedelta(hours=24)
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

    def __init__(
        self,
        issuing: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
        root: x509.Certificate,
        crl_url: str,
        previous: "Authority | None" = None,
    ) -> None:
        """`previous` is the issuing CA before this one, while leaves of it may run."""
        self._issuing, self._key, self._root, self._crl_url, self.previous = issuing, key, root, crl_url, previous
        self._directory: Path | None = None

    @classmethod
    def open(cls, directory: Path) -> "Authority":
        """The CA of a directory made by `create`; raises `Misconfigured`."""
        crl_url = _text(directory / "crl-url").strip()
        root = _certificate(directory / "root.pem")
        before = None
        if (directory / "previous.pem").exists():
            old = _certificate(directory / "previous.pem")
            before = cls(old, _private(directory / "previous.key"), root, crl_url)
        found = cls(_certificate(directory / "issuing.pem"), _private(directory / "issuing.key"), root, crl_url, before)
        found._directory = directory
        return found

    def reload(self) -> None:
        """Issue with what has been installed since; raises `Misconfigured`, and goes on with what it had."""
        if self._directory is not None:
            now = Authority.open(self._directory)
            self._issuing, self._key, self.previous = now._issuing, now._key, now.previous  # noqa: SLF001

    def signed(self, crl: bytes) -> bool:
        """Whether the revocation list (DER) is one of the issuing CA of now."""
        return x509.load_der_x509_crl(crl).issuer == self._issuing.subject

    @property
    def bundle(self) -> str:
        """What members trust: the root, the issuing CA, and the one before it, PEM."""
        return _pem(self._root) + _pem(self._issuing) + (_pem(self.previous._issuing) if self.previous else "")  # noqa: SLF001

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


class Bundle:
    """The same for who has the certificates of a CA's directory and not its key; call it for the PEM. Raises `Misconfigured`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.reload()

    def reload(self) -> None:
        """Take what has been installed since."""
        names = ["root.pem", "issuing.pem", *(["previous.pem"] if (self._directory / "previous.pem").exists() else [])]
        self._text = "".join(_pem(_certificate(self._directory / name)) for name in names)

    def __call__(self) -> str:
        return self._text


def create(directory: Path, *, name: str, crl_url: str, now: datetime, root: Path | None = None) -> Authority:
    """Make an issuing CA in an empty directory, and a root, unless the directory of one is given: its key stays there. Keys have mode 0600."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if root is None:
        create_root(directory, name=name, now=now)
    else:
        (directory / "root.pem").write_text(_pem(_certificate(root / "root.pem")), encoding="ascii")
    (directory / "crl-url").write_text(crl_url, encoding="utf-8")
    install(directory, certify(root or directory, request(directory, name=name), now=now), now=now)
    return Authority.open(directory)


def create_root(directory: Path, *, name: str, now: datetime) -> None:
    """Make the root: `root.key` (0600) and `root.pem`, never over another's; raises `Misconfigured`."""
    key, subject = ec.generate_private_key(ec.SECP384R1()), _named(f"{name} root CA")
    certificate = _ca(subject, subject, key.public_key(), key, now, ROOT_LIFE, depth=1, parent=None)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        write_private(directory / "root.key", key)
    except FileExistsError as error:
        raise Misconfigured(f"{directory} holds a root already", next_step="choose another directory") from error
    (directory / "root.pem").write_text(_pem(certificate), encoding="ascii")


def request(directory: Path, *, name: str) -> bytes:
    """A new key for an issuing CA (`next.key`, replacing one that was never installed) and its PKCS#10 request, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    (directory / "next.key").unlink(missing_ok=True)
    write_private(directory / "next.key", key)
    number = secrets.token_hex(4)  # two issuing CAs never share a name: a revocation list belongs to one of them
    builder = x509.CertificateSigningRequestBuilder().subject_name(_named(f"{name[:40]} issuing CA {number}"))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def certify(root: Path, csr: bytes, *, now: datetime, life: timedelta = ISSUING_LIFE) -> bytes:
    """The certificate of an issuing CA, signed with the root of a directory; PEM. Of the request, name and key are taken. Raises `BadRequest`, `Misconfigured`."""
    public = _requested_key(csr)
    parent = _certificate(root / "root.pem")
    key = _private(root / "root.key")
    subject = x509.load_pem_x509_csr(csr).subject
    if not subject or subject == parent.subject:
        raise BadRequest("an issuing CA needs a name of its own")
    made = _ca(subject, parent.subject, public, key, now, life, depth=0, parent=parent)
    return _pem(made).encode("ascii")


def install(directory: Path, certificate: bytes, *, now: datetime) -> None:
    """Issue with this CA from the next start, or `Authority.reload`, on; the one before it keeps signing its revocation list. Raises `Misconfigured`."""
    try:
        found = x509.load_pem_x509_certificate(certificate)
    except ValueError as error:
        raise Misconfigured("not a certificate in PEM", next_step="take what `kizuna identity ca sign` has printed") from error
    root, key = _certificate(directory / "root.pem"), _private(directory / "next.key")
    _check_issuing(found, root, key, now)
    if (directory / "issuing.key").exists():
        (directory / "issuing.key").replace(directory / "previous.key")
        (directory / "issuing.pem").replace(directory / "previous.pem")
    (directory / "next.key").replace(directory / "issuing.key")
    (directory / "issuing.pem").write_text(_pem(found), encoding="ascii")


def _check_issuing(found: x509.Certificate, root: x509.Certificate, key: ec.EllipticCurvePrivateKey, now: datetime) -> None:
    try:
        found.verify_directly_issued_by(root)
        constraints = found.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        raise Misconfigured(
            "the certificate is not one that our root has made for an issuing CA", next_step="sign it with the root"
        ) from error
    if found.public_key() != key.public_key():
        raise Misconfigured(
            "the certificate is for another key than the one requested", next_step="request, sign and install in this order"
        )
    if not constraints.ca or constraints.path_length != 0 or not usage.key_cert_sign or not usage.crl_sign:
        raise Misconfigured("the certificate is not one of an issuing CA", next_step="sign it with `kizuna identity ca sign`")
    if not found.not_valid_before_utc <= now < found.not_valid_after_utc:
        raise Misconfigured("the certificate is not valid now", next_step="check the clock of the machine with the root")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _private(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        if path.stat().st_mode & 0o077:
            raise Misconfigured(f"{path} is readable by others", next_step=f"chmod 600 {path}")
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Misconfigured(f"{path} is no EC key", next_step="restore it from the backup")
    return key


def _unreadable(path: Path, error: Exception) -> Misconfigured:
    return Misconfigured(
        f"the CA cannot be read: {path}: {error}",
        next_step="restore it from the backup; an offline root's key is needed only there",
    )


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
