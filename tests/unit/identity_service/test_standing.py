"""Suspension and revocation of members and of credentials: one transaction, signed afterwards, reversible or final, and quick."""

import shutil
import time

import pytest
from cryptography import x509

from identity.service.authority.standing import EFFECTS, REINSTATE, REVOKE, SUSPEND
from identity.service.ca.revocation import CertificateRevocation
from identity.service.store.certificates import HOLD
from identity.service.store.issuance import Which
from identity.status import read_list
from identity.vc import parse_vc
from kernel import faults
from kernel.errors import BadInput, Conflict, NotFound
from tests.support.consortium import consortium


@pytest.fixture
async def world(tmp_path, clock):
    found = consortium(tmp_path, clock)
    yield found
    found.ledger.database.file.close()


def signed(world, purpose):
    """Positions that are set in the signed lists of a purpose, read as a verifier reads them: {(url, position)}."""
    rows = world.ledger.database.file.read(lambda c: world.ledger.statuses.signed(c))
    found = set()
    for row in rows:
        if row.purpose == purpose:
            url = world.lists.url(row.id)
            credential = parse_vc(row.jwt, limit=1 << 22)
            assert credential.proof.kid, "identity.md 2.4: a list is never signed without kid"
            bits = read_list(credential, url).bits
            found |= {(row.id, n) for n, _ in enumerate(range(row.length)) if bits.get(n)}
    return found


def positions(world, credential, purpose):
    entries = world.ledger.database.file.read(lambda c: world.ledger.statuses.entries(c, credential))
    return {(each.list, each.position) for each in entries if each.purpose == purpose}


def listed(world):
    """Serials and reasons on the signed revocation list."""
    der = world.ledger.database.file.read(world.ledger.certificates.crl).der
    found = x509.load_der_x509_crl(der)
    reason = lambda each: each.extensions.get_extension_for_class(x509.CRLReason).value.reason.value  # noqa: E731
    return {f"{each.serial_number:x}": reason(each) for each in found}


def events(world):
    return [(e.kind, e.did, e.subject) for e in world.ledger.database.file.read(lambda c: world.ledger.journal.events(c, 0))]


async def test_one_change_marks_bits_serials_register_and_event_and_signs_them(world):
    one, other = await world.add(2, credentials=2)
    await world.publish()
    assert signed(world, "suspension") == set()
    member = await world.standing.change(one, SUSPEND)
    assert member.state == "SUSPENDED"
    expected = positions(world, "urn:uuid:0-0", "suspension") | positions(world, "urn:uuid:0-1", "suspension")
    assert signed(world, "suspension") == expected
    assert signed(world, "revocation") == set()
    assert listed(world) == {"1": "certificateHold"}
    assert events(world) == [("suspended", one, "")]
    await world.standing.change(one, REINSTATE)
    assert signed(world, "suspension") == set()
    assert listed(world) == {}
    await world.standing.change(one, REVOKE)
    assert len(signed(world, "revocation")) == 2
    assert listed(world) == {"1": "privilegeWithdrawn"}
    for event in ("suspend", "reinstate", "revoke"):
        with pytest.raises(Conflict):
            await world.standing.change(one, EFFECTS[event])
    assert world.ledger.database.file.read(lambda c: world.ledger.members.get(c, other)).state == "ACTIVE"


async def test_a_revocation_leaves_the_suspension_bit_so_that_no_reader_sees_a_gap(world):
    (one,) = await world.add(1)
    await world.standing.change(one, SUSPEND)
    await world.standing.change(one, REVOKE)
    assert signed(world, "suspension") == positions(world, "urn:uuid:0-0", "suspension")
    assert signed(world, "revocation") == positions(world, "urn:uuid:0-0", "revocation")


async def test_lifting_a_members_suspension_leaves_what_was_suspended_by_itself(world):
    (one,) = await world.add(1, credentials=2)
    (changed,) = await world.revocation.change(Which(id="urn:uuid:0-1"), "suspend")
    assert (changed.id, changed.state) == ("urn:uuid:0-1", "SUSPENDED")
    await world.standing.change(one, SUSPEND)
    await world.standing.change(one, REINSTATE)
    assert signed(world, "suspension") == positions(world, "urn:uuid:0-1", "suspension")
    await world.standing.change(one, SUSPEND)
    await world.revocation.change(Which(id="urn:uuid:0-1"), "reinstate")
    assert len(signed(world, "suspension")) == 2, "its holder is suspended still"


async def test_credentials_are_changed_by_id_by_holder_and_by_type_and_the_ids_shown_are_the_ids_taken(world):
    one, _ = await world.add(2, credentials=2)
    shown = world.ledger.database.file.read(lambda c: world.ledger.issuances.find(c, Which(holder=one)))
    assert [each.id for each in shown] == ["urn:uuid:0-0", "urn:uuid:0-1"]
    await world.revocation.change(Which(id=shown[0].id), "revoke")
    assert [each.id for each in await world.revocation.change(Which(holder=one), "suspend")] == ["urn:uuid:0-1"]
    assert [each.id for each in await world.revocation.change(Which(type="Type1"), "revoke")] == ["urn:uuid:0-1", "urn:uuid:1-1"]
    assert len(signed(world, "revocation")) == 3
    assert [kind for kind, *_ in events(world)] == ["credential-revoked", "credential-suspended", *["credential-revoked"] * 2]
    with pytest.raises(Conflict):
        await world.revocation.change(Which(id=shown[0].id), "reinstate")
    with pytest.raises(NotFound):
        await world.revocation.change(Which(id="urn:uuid:none"), "revoke")
    with pytest.raises(BadInput):
        await world.revocation.change(Which(), "revoke")


async def test_all_or_nothing_when_one_of_many_cannot_be_changed(world):
    one, other = await world.add(2)
    await world.standing.change(other, REVOKE)
    before = events(world)
    with pytest.raises(Conflict):
        await world.standing.change_all([one, other], SUSPEND)
    assert events(world) == before
    assert signed(world, "suspension") == set()
    assert world.ledger.database.file.read(lambda c: world.ledger.members.get(c, one)).state == "ACTIVE"


class Died(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("point", ["standing.committed", "statuslist.signed", "crl.signed"])
async def test_a_crash_after_the_commit_is_signed_at_the_next_start(tmp_path, clock, monkeypatch, point):
    first = consortium(tmp_path / "one", clock) if (tmp_path / "one").mkdir() is None else None
    (one,) = await first.add(1)
    await first.publish()

    def die(name):
        if name == point:
            raise Died

    monkeypatch.setattr(faults, "hook", die)
    with pytest.raises(Died):
        await first.standing.change(one, SUSPEND)
    monkeypatch.undo()
    first.ledger.database.file.close()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    second = consortium(tmp_path / "two", clock)
    try:
        assert second.ledger.database.file.read(lambda c: second.ledger.members.get(c, one)).state == "SUSPENDED"
        await second.publish()
        assert signed(second, "suspension") == positions(second, "urn:uuid:0-0", "suspension")
        assert listed(second) == {"1": HOLD}
        assert events(second) == [("suspended", one, "")]
    finally:
        second.ledger.database.file.close()


async def test_a_crash_before_the_commit_changes_nothing(tmp_path, clock, monkeypatch):
    found = consortium(tmp_path, clock)
    (one,) = await found.add(1)
    await found.publish()
    monkeypatch.setattr(
        faults, "hook", lambda name: (_ for _ in ()).throw(OSError(name)) if name == "database:before-commit" else None
    )
    with pytest.raises(OSError, match="before-commit"):
        await found.standing.change(one, SUSPEND)
    monkeypatch.undo()
    await found.publish()
    assert (signed(found, "suspension"), listed(found), events(found)) == (set(), {}, [])
    found.ledger.database.file.close()


async def test_a_thousand_members_revoked_at_once_are_signed_within_five_seconds(world, figure):
    members = await world.add(1000, credentials=2)
    await world.publish()
    began = time.monotonic()
    await world.standing.change_all(members, REVOKE)
    took = time.monotonic() - began
    assert len(signed(world, "revocation")) == 2000
    assert len(listed(world)) == 1000
    figure(f"revocation: 1,000 members with 2,000 credentials revoked, lists and CRL signed in {took:.2f} s")
    assert took < 5


async def test_a_single_certificate_is_revoked_for_good_and_stays_so_through_a_suspension(world):
    one, other = await world.add(2)
    revocation = CertificateRevocation(world.ledger, world.publish)
    found = await revocation.revoke("1", "keyCompromise")
    assert (found.serial, found.reason) == ("1", "keyCompromise")
    assert listed(world) == {"1": "keyCompromise"}
    assert events(world) == [("certificate-revoked", one, "1")]
    await world.standing.change(one, SUSPEND)
    await world.standing.change(one, REINSTATE)
    assert listed(world) == {"1": "keyCompromise"}
    with pytest.raises(Conflict):
        await revocation.revoke("1", "superseded")
    with pytest.raises(NotFound):
        await revocation.revoke("ff", "superseded")
    with pytest.raises(NotFound):
        await world.ledger.database.write(lambda c: revocation.listed(c, "2", "superseded", one))
    await world.ledger.database.write(lambda c: revocation.listed(c, "2", "superseded", other))
