"""Two processes of the same role over one PostgreSQL: a change is signed once, a number is used once, and one that dies after signing leaves the other to it (ADR 0021)."""

import asyncio

import pytest

from identity.keys import KeyStore
from identity.service.authority.trust import TrustLists
from identity.service.ca.crl import RevocationList
from identity.service.issuer.statuslists import StatusLists
from identity.service.store.certificates import HOLD
from identity.tls import ca
from kernel import faults
from kernel.errors import Conflict
from tests.store.test_identity_store import certificate, credential, member
from tests.support.books import clock, identity_migrated, identity_tables, two
from tests.unit.identity_service.conftest import DID

__all__ = ["clock", "identity_migrated", "identity_tables", "two"]
URL = "https://issuer.example"
VC20 = "vc20-bssl/jwt"


class Counting:
    """A signer that counts."""

    def __init__(self, signer):
        self.signer, self.signed = signer, 0
        self.kid, self.alg, self.public_jwk = signer.kid, signer.alg, signer.public_jwk

    def sign(self, data):
        self.signed += 1
        return self.signer.sign(data)

    def pinned(self):
        return self


@pytest.fixture
def signer(tmp_path):
    return Counting(KeyStore(tmp_path / "keys", DID).ensure("vc"))


async def fill(books):
    def work(connection):
        books.members.save(connection, member())
        books.issuances.allocate(connection, credential("c1"))
        books.statuses.allocate(connection, "c1", VC20, "suspension")
        books.certificates.add(connection, certificate("01"))

    await books.database.write(work)


async def suspend(books):
    def work(connection):
        books.members.save(connection, member(state="SUSPENDED"))
        books.statuses.settle(connection, member="id-a")
        books.certificates.revoke_member(connection, "id-a", books.now(), HOLD)

    await books.database.write(work)


async def lists(books):
    return [(row.version, row.signed_version) for row in await books.database.read(books.statuses.signed)]


async def test_two_issuers_sign_a_change_once(two, signer):
    issuers = [StatusLists(books, signer, URL) for books in two]
    await fill(two[0])
    await asyncio.gather(*(each.publish() for each in issuers for _ in range(5)))
    assert (signer.signed, await lists(two[0])) == (1, [(1, 1)])
    await suspend(two[1])
    await asyncio.gather(*(each.publish() for each in issuers for _ in range(5)))
    assert (signer.signed, await lists(two[1])) == (2, [(2, 2)])


async def test_an_issuer_that_dies_after_signing_leaves_one_signed_list_to_the_other(two, signer, monkeypatch):
    first, second = (StatusLists(books, signer, URL) for books in two)
    await fill(two[0])
    await first.publish()
    await suspend(two[0])

    def die(name):
        if name == "statuslist.signed":
            raise OSError("killed")

    monkeypatch.setattr(faults, "hook", die)
    with pytest.raises(OSError, match="killed"):
        await first.publish()
    assert await lists(two[0]) == [(2, 1)], "what was signed was not stored"
    monkeypatch.setattr(faults, "hook", lambda _name: None)
    await second.publish()
    served = await second.fetch((await two[1].database.read(two[1].statuses.signed))[0].id)
    assert await lists(two[1]) == [(2, 2)]
    assert (await first.fetch((await two[0].database.read(two[0].statuses.signed))[0].id)).text == served.text


async def test_two_cas_use_a_number_once(two, tmp_path, clock):
    authority = ca.create(tmp_path / "ca", name="Test", crl_url=f"{URL}/crl", now=clock.now())
    both = [RevocationList(books, authority) for books in two]
    await fill(two[0])
    await asyncio.gather(*(each.publish() for each in both for _ in range(5)))
    await suspend(two[0])
    await asyncio.gather(*(each.publish() for each in both for _ in range(5)))
    found = await two[1].database.read(two[1].certificates.crl)
    assert (found.number, found.current) == (2, True)
    assert await both[0].fetch("issuing") == await both[1].fetch("issuing")


async def test_two_authorities_continue_one_sequence(two, tmp_path, signer, clock):
    ca.create(tmp_path / "ca", name="Test", crl_url=f"{URL}/crl", now=clock.now())
    bundle = ca.Bundle(tmp_path / "ca")
    both = [TrustLists(books, [signer], {}, URL, bundle, tmp_path / "trust.toml") for books in two]
    await asyncio.gather(*(each.upkeep() for each in both for _ in range(3)))
    assert signer.signed == 1
    (tmp_path / "trust.toml").write_text('[[issuer]]\ndid = "did:web:notary.example"\ntypes = ["NumberCredential"]\n')
    results = await asyncio.gather(*(each.publish(1) for each in both), return_exceptions=True)
    assert sorted(isinstance(each, Conflict) for each in results) == [False, True]
    assert {(await each.shown()).sequence for each in both} == {2}
    events = await two[0].database.read(lambda c: two[0].journal.events(c, 0))
    assert [(event.seq, event.subject) for event in events] == [(1, "1"), (2, "2")]
