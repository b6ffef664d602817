"""An issuing CA from a root that stays offline, and its change: what may be installed, and that both CAs' leaves and lists hold meanwhile."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store

from identity.tls import ca
from identity.tls.ca import Authority, BadRequest, Revoked
from identity.tls.revoked import RevocationLists
from kernel.errors import Misconfigured

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def root(tmp_path):
    ca.create_root(tmp_path / "root", name="Test", now=NOW)
    return tmp_path / "root"


@pytest.fixture
def service(tmp_path, root):
    ca.create(tmp_path / "ca", name="Test", crl_url="https://a.example/crl", now=NOW, root=root)
    return tmp_path / "ca"


def leaf(authority, did="did:web:m.example"):
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return authority.issue_member(csr.public_bytes(serialization.Encoding.PEM), did, ["m.example"], now=NOW, life=DAY)


def test_the_roots_key_never_comes_to_the_service(service, root):
    assert not (service / "root.key").exists()
    assert (root / "root.key").stat().st_mode & 0o077 == 0
    certificates = x509.load_pem_x509_certificates(Authority.open(service).bundle.encode())
    assert len(certificates) == 2
    certificates[1].verify_directly_issued_by(certificates[0])


def test_a_root_is_never_overwritten(root):
    before = (root / "root.pem").read_bytes()
    with pytest.raises(Misconfigured, match="holds a root already"):
        ca.create_root(root, name="Other", now=NOW)
    assert (root / "root.pem").read_bytes() == before


def test_a_change_of_the_issuing_ca_keeps_old_leaves_and_their_list(service, root):
    old = Authority.open(service)
    before = leaf(old)
    ca.install(service, ca.certify(root, ca.request(service, name="Test"), now=NOW), now=NOW)
    new = Authority.open(service)
    after = leaf(new)
    anchor, *issuing = x509.load_pem_x509_certificates(new.bundle.encode())
    assert len(issuing) == 2
    verifier = PolicyBuilder().store(Store([anchor])).time(NOW).build_client_verifier()
    for each in (before, after):
        verifier.verify(x509.load_der_x509_certificate(each.der), issuing)

    class Clock:
        def now(self):
            return NOW

    lists = RevocationLists(Clock())
    assert new.previous is not None
    serial = x509.load_der_x509_certificate(before.der).serial_number
    for authority in (new, new.previous):
        entries = [Revoked(serial, NOW, "certificateHold")]
        lists.load(authority.crl(entries, number=1, this_update=NOW, next_update=NOW + DAY), new.bundle.encode())
    assert (lists.revoked(before.der), lists.revoked(after.der)) == (True, False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_verify_locations(cadata=new.bundle)


def refused(service, certificate, said, now=NOW):
    before = {path.name: path.read_bytes() for path in service.iterdir()}
    with pytest.raises(Misconfigured, match=said):
        ca.install(service, certificate, now=now)
    assert {path.name: path.read_bytes() for path in service.iterdir()} == before


def test_only_what_was_requested_here_and_signed_by_the_root_is_installed(service, root, tmp_path):
    request = ca.request(service, name="Test")
    good = ca.certify(root, request, now=NOW)
    ca.create_root(tmp_path / "thief", name="Test", now=NOW)
    refused(service, ca.certify(tmp_path / "thief", request, now=NOW), "our root")
    ca.create(tmp_path / "elsewhere", name="Test", crl_url="x", now=NOW, root=root)
    refused(service, ca.certify(root, ca.request(tmp_path / "elsewhere", name="Test"), now=NOW), "another key")
    refused(service, (root / "root.pem").read_bytes(), "another key")
    refused(service, leaf(Authority.open(service)).certificate.encode(), "our root")
    refused(service, b"nonsense", "not a certificate")
    refused(service, good, "not valid now", now=NOW + timedelta(days=731))
    ca.install(service, good, now=NOW)
    refused(service, good, "next.key")


def test_a_request_under_the_roots_own_name_is_not_signed(root):
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.load_pem_x509_certificate((root / "root.pem").read_bytes()).subject
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    with pytest.raises(BadRequest):
        ca.certify(root, csr.public_bytes(serialization.Encoding.PEM), now=NOW)


def test_a_root_whose_key_others_can_read_signs_nothing(service, root):
    (root / "root.key").chmod(0o644)
    with pytest.raises(Misconfigured, match="readable by others"):
        ca.certify(root, ca.request(service, name="Test"), now=NOW)
