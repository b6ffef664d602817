"""identity.tls.revoked: which list counts, and which certificate is refused. Group 47 of identity.md 6: CRL missing, expired, older."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from identity.tls.ca import Revoked, create
from identity.tls.names import serial
from identity.tls.revoked import BadList, RevocationLists

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
DAY = timedelta(days=1)


class Clock:
    moment = NOW

    def now(self):
        return self.moment


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return create(tmp_path_factory.mktemp("ca") / "ca", name="Test", crl_url="https://a.example/crl", now=NOW)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lists(clock):
    return RevocationLists(clock)


def leaf(authority):
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    csr = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return authority.issue_member(csr, "did:web:m.example", ["m.example"], now=NOW, life=DAY).der


def crl(authority, *serials, number=1, this=NOW, until=NOW + DAY):
    entries = [Revoked(int(each, 16), NOW, "certificateHold") for each in serials]
    return authority.crl(entries, number=number, this_update=this, next_update=until)


def refused(lists, der, bundle, reason):
    with pytest.raises(BadList) as found:
        lists.load(der, bundle)
    assert found.value.facts["reason"] == reason


def test_a_listed_serial_is_refused_and_others_are_not(lists, authority):
    good, bad = leaf(authority), leaf(authority)
    assert lists.load(crl(authority, serial(bad)), authority.bundle.encode()) == 1
    assert (lists.revoked(good), lists.revoked(bad)) == (False, True)
    lists.load(crl(authority, number=2), authority.bundle.encode())
    assert not lists.revoked(bad)


def test_without_a_list_nothing_is_accepted(lists, authority):
    assert lists.revoked(leaf(authority))


def test_an_expired_list_accepts_nothing_any_more(lists, authority, clock):
    certificate = leaf(authority)
    lists.load(crl(authority), authority.bundle.encode())
    assert not lists.revoked(certificate)
    clock.moment = NOW + DAY
    assert lists.revoked(certificate)
    refused(lists, crl(authority, number=9), authority.bundle.encode(), "expired")


def test_an_older_list_never_replaces_a_newer_one(lists, authority):
    bad, bundle = leaf(authority), authority.bundle.encode()
    lists.load(crl(authority, serial(bad), number=5, this=NOW), bundle)
    refused(lists, crl(authority, number=4, this=NOW), bundle, "older")
    refused(lists, crl(authority, number=6, this=NOW - DAY), bundle, "older")
    assert lists.revoked(bad)


def test_a_list_of_somebody_else(lists, authority, tmp_path):
    thief = create(tmp_path / "ca", name="Test", crl_url="https://a.example/crl", now=NOW)  # the same names, other keys
    refused(lists, crl(thief), authority.bundle.encode(), "foreign")
    other = create(tmp_path / "other", name="Other", crl_url="https://a.example/crl", now=NOW)
    refused(lists, crl(other), authority.bundle.encode(), "foreign")


def test_a_list_of_another_ca_says_nothing_about_our_leaves(lists, authority, tmp_path):
    other = create(tmp_path / "ca", name="Other", crl_url="https://a.example/crl", now=NOW)
    lists.load(crl(other), other.bundle.encode())
    assert lists.revoked(leaf(authority))


@pytest.mark.parametrize("der", [b"", b"x", b"\x30\x00"])
def test_what_is_no_list(lists, authority, der):
    refused(lists, der, authority.bundle.encode(), "form")


def test_another_consortiums_ca_speaks_of_its_own_certificates_only(lists, authority, tmp_path):
    """A CA of the same name, of a consortium that is recognised, neither lists ours nor vouches for them."""
    thief = create(tmp_path / "ca", name="Test", crl_url="https://a.example/crl", now=NOW)
    ours, theirs = leaf(authority), leaf(thief)
    lists.load(crl(authority, serial(ours)), authority.bundle.encode())
    lists.load(crl(thief, number=99), thief.bundle.encode(), "did:web:other.example")
    assert (lists.consortium(ours), lists.consortium(theirs)) == ("", "did:web:other.example")
    assert (lists.revoked(ours), lists.revoked(theirs)) == (True, False)
    lists.drop("did:web:other.example")
    assert (lists.consortium(theirs), lists.revoked(theirs)) == (None, True)
    assert lists.consortium(ours) == ""


def test_a_ca_of_ours_stays_ours_whatever_bundle_names_it(lists, authority):
    bundle, ours = authority.bundle.encode(), leaf(authority)
    lists.load(crl(authority, number=3), bundle, "did:web:other.example")
    assert lists.consortium(ours) == "did:web:other.example"
    lists.load(crl(authority, number=2), bundle)
    assert lists.consortium(ours) == ""
    with pytest.raises(BadList, match="another consortium"):
        lists.load(crl(authority, number=4), bundle, "did:web:other.example")
    lists.drop("did:web:other.example")
    assert not lists.revoked(ours)
