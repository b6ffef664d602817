"""identity.tls.ca: a request gives its key and nothing else; keys, lives, names, revocation lists and files are as the clause says."""

import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from identity.leaf import read_leaf
from identity.tls.ca import ISSUING_LIFE, LONGEST, SHORTEST, Authority, BadRequest, Revoked, create
from identity.tls.names import serial
from kernel.errors import Misconfigured

DID, THIEF = "did:web:member.example", "did:web:thief.example"
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
CRL = "https://authority.example/ca/v1/crl"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("ca") / "ca"


@pytest.fixture(scope="module")
def authority(directory):
    return create(directory, name="Test", crl_url=CRL, now=NOW)


def request(key=None, *extensions, subject=()):
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm)


def pem(csr):
    return csr.public_bytes(serialization.Encoding.PEM)


def issue(authority, csr=None, did=DID, hosts=("member.example",), **changes):
    return authority.issue_member(csr or pem(request()), did, hosts, **({"now": NOW, "life": DAY} | changes))


def leaf_of(issued):
    return x509.load_pem_x509_certificate(issued.certificate.encode())


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


def test_what_a_request_asks_for_is_not_given(authority):
    key = ec.generate_private_key(ec.SECP256R1())
    wishes = [
        (x509.BasicConstraints(ca=True, path_length=3), True),
        (x509.KeyUsage(True, True, True, True, True, True, True, True, True), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, ExtendedKeyUsageOID.CODE_SIGNING]), False),
        (
            x509.SubjectAlternativeName(
                [
                    x509.UniformResourceIdentifier(THIEF),
                    x509.DNSName("bank.example"),
                    x509.DNSName("*.example"),
                    x509.RFC822Name("root@bank.example"),
                ]
            ),
            True,
        ),
        (x509.SubjectKeyIdentifier(b"thief"), False),
    ]
    csr = request(key, *wishes, subject=[x509.NameAttribute(NameOID.COMMON_NAME, THIEF)])
    leaf = leaf_of(issue(authority, pem(csr)))
    names = extension(leaf, x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier(DID), x509.DNSName("member.example")]
    assert list(leaf.subject) == []
    assert extension(leaf, x509.BasicConstraints).value == x509.BasicConstraints(ca=False, path_length=None)
    assert extension(leaf, x509.BasicConstraints).critical
    usage = extension(leaf, x509.KeyUsage).value
    assert usage.digital_signature
    others = ("key_cert_sign", "crl_sign", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    assert not any(getattr(usage, each) for each in others)
    assert set(extension(leaf, x509.ExtendedKeyUsage).value) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    assert extension(leaf, x509.SubjectKeyIdentifier).value == x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    assert leaf.public_key() == key.public_key()
    for trace in (b"thief", b"bank.example"):
        assert trace not in leaf.public_bytes(serialization.Encoding.DER)


def test_the_only_uri_name_is_the_did(authority):
    issued = issue(authority, hosts=["member.example", "127.0.0.1", "::1"])
    names = extension(leaf_of(issued), x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [DID]
    assert names.get_values_for_type(x509.DNSName) == ["member.example"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert read_leaf(issued.der).did == DID


def test_a_host_that_looks_like_a_did_does_not_become_a_second_uri(authority):
    assert read_leaf(issue(authority, hosts=[THIEF]).der).did == DID


def test_a_request_signed_with_another_key_is_refused(authority):
    der = bytearray(request().public_bytes(serialization.Encoding.DER))
    other = request().public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    own = (
        x509.load_der_x509_csr(bytes(der))
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    start = der.index(own)
    der[start : start + len(own)] = other
    with pytest.raises(BadRequest, match="own key"):
        issue(authority, pem(x509.load_der_x509_csr(bytes(der))))


def test_a_request_changed_after_signing_is_refused(authority):
    csr = request(None, (x509.SubjectAlternativeName([x509.DNSName("member.example")]), False))
    der = csr.public_bytes(serialization.Encoding.DER).replace(b"member.example", b"mumber.example")
    with pytest.raises(BadRequest, match="own key"):
        issue(authority, pem(x509.load_der_x509_csr(der)))


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["P-384", "P-521", "secp256k1", "RSA", "Ed25519"],
)
def test_keys_other_than_p_256_are_refused(authority, key):
    with pytest.raises(BadRequest, match="P-256") as caught:
        issue(authority, pem(request(key)))
    assert caught.value.next_step


@pytest.mark.parametrize(
    "csr",
    [
        b"",
        b"nonsense",
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        request().public_bytes(serialization.Encoding.DER),
        pem(request())[:-60],
        "鍵".encode(),
    ],
    ids=["empty", "nonsense", "empty-der", "der", "cut", "unicode"],
)
def test_what_is_no_request_in_pem_is_refused(authority, csr):
    with pytest.raises(BadRequest):
        authority.issue_member(csr, DID, [], now=NOW, life=DAY)


@pytest.mark.parametrize("life", [SHORTEST, DAY, LONGEST])
def test_a_life_inside_the_bounds_is_given(authority, life):
    issued = issue(authority, life=life)
    assert issued.not_after == NOW + life
    assert NOW - timedelta(minutes=5) == issued.not_before
    assert (leaf_of(issued).not_valid_before_utc, leaf_of(issued).not_valid_after_utc) == (issued.not_before, issued.not_after)


@pytest.mark.parametrize(
    "life", [SHORTEST - timedelta(seconds=1), LONGEST + timedelta(seconds=1), timedelta(0), -DAY, timedelta(days=3650)]
)
def test_a_life_outside_the_bounds_is_refused(authority, life):
    with pytest.raises(BadRequest, match="life"):
        issue(authority, life=life)


def test_a_leaf_does_not_outlive_the_issuing_authority(authority):
    issued = issue(authority, now=NOW + ISSUING_LIFE - timedelta(hours=2))
    assert issued.not_after == NOW + ISSUING_LIFE


def test_serial_numbers_differ_and_are_long(authority):
    found = {leaf_of(issue(authority)).serial_number for _ in range(5)}
    assert len(found) == 5
    assert all(each.bit_length() > 64 for each in found)
    assert all(each.bit_length() < 160 for each in found)


def test_the_chain_is_root_issuing_leaf_with_the_lengths_and_curves_of_the_clause(authority, directory):
    root, issuing = x509.load_pem_x509_certificates(authority.bundle.encode())
    leaf = leaf_of(issue(authority))
    assert (root.public_key().curve.name, issuing.public_key().curve.name) == ("secp384r1", "secp256r1")
    assert extension(root, x509.BasicConstraints).value == x509.BasicConstraints(ca=True, path_length=1)
    assert extension(issuing, x509.BasicConstraints).value == x509.BasicConstraints(ca=True, path_length=0)
    for each in (root, issuing):
        usage = extension(each, x509.KeyUsage).value
        assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)
    leaf.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    points = extension(leaf, x509.CRLDistributionPoints).value
    assert [each.value for point in points for each in point.full_name] == [CRL]
    identifier = extension(issuing, x509.SubjectKeyIdentifier).value.digest
    assert extension(leaf, x509.AuthorityKeyIdentifier).value.key_identifier == identifier


def test_a_strict_verifier_takes_the_chain(authority):
    root, issuing = x509.load_pem_x509_certificates(authority.bundle.encode())
    policy = PolicyBuilder().store(Store([root])).time(NOW)
    leaf = leaf_of(issue(authority))
    policy.build_client_verifier().verify(leaf, [issuing])
    policy.build_server_verifier(x509.DNSName("member.example")).verify(leaf, [issuing])


def test_a_revocation_list_has_number_window_entries_and_reasons(authority):
    reasons = {
        "certificateHold": x509.ReasonFlags.certificate_hold,
        "privilegeWithdrawn": x509.ReasonFlags.privilege_withdrawn,
        "superseded": x509.ReasonFlags.superseded,
        "keyCompromise": x509.ReasonFlags.key_compromise,
        "": x509.ReasonFlags.unspecified,
    }
    entries = [Revoked(n, NOW - timedelta(hours=n), reason) for n, reason in enumerate(reasons, 1)]
    der = authority.crl(entries, number=7, this_update=NOW, next_update=NOW + DAY)
    found = x509.load_der_x509_crl(der)
    _, issuing = x509.load_pem_x509_certificates(authority.bundle.encode())
    assert found.is_signature_valid(issuing.public_key())
    assert found.issuer == issuing.subject
    assert extension(found, x509.CRLNumber).value.crl_number == 7
    assert (found.last_update_utc, found.next_update_utc) == (NOW, NOW + DAY)
    for entry in entries:
        listed = found.get_revoked_certificate_by_serial_number(entry.serial)
        assert extension(listed, x509.CRLReason).value.reason == reasons[entry.reason]
        assert listed.revocation_date_utc == entry.at
    assert len(found) == len(entries)


def test_an_empty_revocation_list_is_signed_too(authority):
    found = x509.load_der_x509_crl(authority.crl([], number=1, this_update=NOW, next_update=NOW + DAY))
    assert len(found) == 0


def test_the_serial_of_a_leaf_is_read_as_the_register_writes_it(authority):
    issued = issue(authority)
    assert serial(issued.der) == f"{leaf_of(issued).serial_number:x}"


def test_keys_are_for_their_owner_alone_and_never_in_what_goes_out(authority, directory):
    for name in ("root.key", "issuing.key"):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    issued = issue(authority)
    for text in (authority.bundle, issued.certificate, issued.chain):
        assert "PRIVATE" not in text


def test_an_authority_is_not_made_over_another(authority, directory):
    before = {each.name: each.read_bytes() for each in directory.iterdir()}
    with pytest.raises(Misconfigured):
        create(directory, name="Other", crl_url=CRL, now=NOW)
    assert {each.name: each.read_bytes() for each in directory.iterdir()} == before


def test_an_opened_authority_issues_below_the_same_root(authority, directory):
    again = Authority.open(directory)
    assert again.bundle == authority.bundle
    leaf_of(issue(again)).verify_directly_issued_by(x509.load_pem_x509_certificates(authority.bundle.encode())[1])


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_key_that_others_can_read_stops_the_start(tmp_path, mode):
    create(tmp_path / "ca", name="Test", crl_url=CRL, now=NOW)
    (tmp_path / "ca" / "issuing.key").chmod(mode)
    with pytest.raises(Misconfigured, match="readable by others"):
        Authority.open(tmp_path / "ca")


@pytest.mark.parametrize("name", ["issuing.key", "issuing.pem", "root.pem", "crl-url"])
def test_a_missing_or_broken_file_stops_the_start(tmp_path, name):
    create(tmp_path / "ca", name="Test", crl_url=CRL, now=NOW)
    (tmp_path / "ca" / name).write_bytes(b"\xff")
    with pytest.raises(Misconfigured):
        Authority.open(tmp_path / "ca")
    (tmp_path / "ca" / name).unlink()
    with pytest.raises(Misconfigured):
        Authority.open(tmp_path / "ca")
