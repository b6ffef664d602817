"""Enrolment and renewal of member certificates under attack (identity.md 4.3, 6.47): each refusal by its reason. Real CA, database and requests."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from identity.leaf import read_leaf
from identity.service.authority.standing import REINSTATE, REVOKE, SUSPEND
from identity.service.ca.enrolment import Enrolment
from identity.tls.ca import BadRequest
from kernel.errors import Conflict, Forbidden, TooMany, Unauthorized
from tests.support.consortium import consortium

ME, OTHER, THIEF = "did:web:m0.example", "did:web:m1.example", "did:web:thief.example"
PER_HOUR = 3


@pytest.fixture
async def world(tmp_path, clock):
    found = consortium(tmp_path, clock)
    await found.add(2)
    found.enrolment = Enrolment(found.ledger, found.crl.authority, timedelta(hours=24), PER_HOUR)
    yield found
    found.ledger.database.file.close()


def request(key=None, *names):
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
    return builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


async def enrol(world, caller=ME, csr=None):
    return await world.ledger.database.write(lambda c: world.enrolment.enrol(c, caller, csr or request()))


async def renew(world, leaf, caller=ME, csr=None):
    return await world.ledger.database.write(lambda c: world.enrolment.renew(c, caller, leaf, csr or request()))


def der(enrolled):
    return x509.load_pem_x509_certificate(enrolled.certificate.encode()).public_bytes(serialization.Encoding.DER)


async def test_names_come_from_the_register_whatever_the_request_asks_for(world):
    made = await enrol(world, csr=request(None, x509.UniformResourceIdentifier(THIEF), x509.DNSName("thief.example")))
    leaf = x509.load_pem_x509_certificate(made.certificate.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [ME]
    assert names.get_values_for_type(x509.DNSName) == ["m0.example"]
    assert read_leaf(der(made)).did == ME
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(hours=24, minutes=5)


async def test_a_stranger_and_a_member_that_is_out(world):
    with pytest.raises(Forbidden):
        await enrol(world, THIEF)
    await world.standing.change(ME, SUSPEND)
    with pytest.raises(Forbidden):
        await enrol(world)
    await world.standing.change(ME, REINSTATE)
    await enrol(world)
    await world.standing.change(ME, REVOKE)
    with pytest.raises(Forbidden):
        await enrol(world)


async def test_too_many_certificates_within_an_hour(world, clock):
    for _ in range(PER_HOUR - 1):  # the register holds one already
        await enrol(world)
    with pytest.raises(TooMany):
        await enrol(world)
    await enrol(world, OTHER)
    clock.advance(hours=1, seconds=1)
    await enrol(world)


async def test_a_key_that_was_certified_for_somebody_else(world):
    key = ec.generate_private_key(ec.SECP256R1())
    await enrol(world, OTHER, request(key))
    with pytest.raises(Conflict, match="another participant"):
        await enrol(world, ME, request(key))


@pytest.mark.parametrize("csr", [b"nonsense", b"", request(ec.generate_private_key(ec.SECP384R1()))])
async def test_a_request_that_cannot_be_used(world, csr):
    with pytest.raises(BadRequest):
        await enrol(world, csr=csr or b"-")


async def test_renewal_wants_the_running_certificate_of_the_same_member(world, tmp_path, clock):
    mine = der(await enrol(world))
    assert read_leaf(der(await renew(world, mine))).did == ME
    for leaf, why in ((None, "no member certificate"), (mine, "no member certificate")):
        with pytest.raises(Unauthorized) as found:
            await renew(world, leaf, caller=OTHER)
        assert why in found.value.facts["reason"]
    (tmp_path / "thief").mkdir()
    foreign = consortium(tmp_path / "thief", clock)
    await foreign.add(1)
    forged = Enrolment(foreign.ledger, foreign.crl.authority, timedelta(hours=24), 9)
    theirs = der(await foreign.ledger.database.write(lambda c: forged.enrol(c, ME, request())))
    foreign.ledger.database.file.close()
    with pytest.raises(Unauthorized) as found:
        await renew(world, theirs)
    assert found.value.facts["reason"] == "the certificate is not one of ours"


async def test_renewal_after_suspension_and_with_a_revoked_certificate(world):
    mine = der(await enrol(world))
    await world.standing.change(ME, SUSPEND)
    with pytest.raises(Unauthorized) as found:
        await renew(world, mine)
    assert found.value.facts["reason"] == "the certificate is revoked"
    await world.standing.change(ME, REINSTATE)
    await renew(world, mine)
