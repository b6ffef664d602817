"""The authority's trust list: draft, difference, publication, renewal. A real database, real keys, real CA."""

import pytest

from identity import trustlist
from identity.jose import public_key, thumbprint
from identity.keys import KeyStore
from identity.service.authority.trust import LIFE, RESIGN, TrustLists
from identity.service.issuer.definitions import read
from identity.tls import ca
from kernel.errors import BadInput, Conflict, NotFound
from tests.unit.identity_service.conftest import DID

DEFINITIONS = '[[credential]]\nid = "membership"\ntype = "MembershipCredential"\n'
NOTARY = '[[issuer]]\ndid = "did:web:notary.example"\ntypes = ["NumberCredential"]\n'


@pytest.fixture
def keys(tmp_path):
    found = KeyStore(tmp_path / "keys", DID)
    found.generate("trust")
    return found


@pytest.fixture
def make(books, tmp_path, clock, keys):
    """Makes the lists as a start of the service does."""
    authority = ca.create(tmp_path / "ca", name="Test", crl_url="https://authority.example/crl", now=clock.now())

    def made():
        return TrustLists(
            books,
            keys.all("trust"),
            read(DEFINITIONS),
            "https://authority.example",
            lambda: authority.bundle,
            tmp_path / "trust.toml",
        )

    return made


@pytest.fixture
def lists(make):
    return make()


def verified(lists, books):
    newest = books.database.file.read(books.trust.newest)
    key = public_key(lists.keys[0].public_jwk())
    return trustlist.read(trustlist.parse(newest.jwt), key, DID, books.clock.now())


async def test_the_first_list_names_the_service_itself_its_ca_and_its_keys(lists, books):
    with pytest.raises(NotFound):
        await lists.shown()
    await lists.upkeep()
    found = verified(lists, books)
    (own,) = found.content.issuers
    assert (found.sequence, own.did, own.types, own.status_hosts) == (1, DID, ("MembershipCredential",), ("authority.example",))
    assert found.content.ca_digest == trustlist.ca_digest(lists.bundle())
    assert found.content.keys == (thumbprint(lists.keys[0].public_jwk()),)
    assert [e.kind for e in books.database.file.read(lambda c: books.journal.events(c, 0))] == ["trust-list"]
    await lists.upkeep()
    assert verified(lists, books).sequence == 1, "nothing to do, nothing written"


async def test_a_draft_is_compared_and_published_in_place_of_what_was_looked_at(lists, books):
    await lists.upkeep()
    assert (await lists.changes()).changes == []
    with pytest.raises(Conflict):
        await lists.publish(1)
    lists.draft_file.write_text(NOTARY)
    difference = await lists.changes()
    assert (difference.sequence, difference.changes) == (1, ["+ issuer did:web:notary.example: types NumberCredential"])
    with pytest.raises(Conflict, match="not 0"):
        await lists.publish(0)
    await lists.publish(difference.sequence)
    found = verified(lists, books)
    assert (found.sequence, [each.did for each in found.content.issuers]) == (2, [DID, "did:web:notary.example"])
    assert [e.subject for e in books.database.file.read(lambda c: books.journal.events(c, 0))] == ["1", "2"]


async def test_a_list_is_renewed_unchanged_before_it_ends_with_a_number_of_its_own(lists, books, clock):
    await lists.upkeep()
    lists.draft_file.write_text(NOTARY)  # not published: renewal leaves it alone
    clock.moment += RESIGN
    assert await lists.next_due() == clock.moment
    await lists.upkeep()
    found = verified(lists, books)
    assert (found.sequence, len(found.content.issuers), found.until) == (2, 1, clock.moment + LIFE)


async def test_a_new_key_is_named_before_it_signs_alone(lists, books, keys, make):
    await lists.upkeep()
    new = keys.generate("trust")
    rotated = make()
    assert [line[:5] for line in (await rotated.changes()).changes] == ["+ key"]
    await rotated.publish(1)
    assert verified(lists, books).content.keys[1] == thumbprint(new.public_jwk()), "signed with the old one, naming both"
    keys.retire(rotated.keys[0].kid)
    after = make()
    await after.publish(2)
    assert verified(after, books).content.keys == (thumbprint(new.public_jwk()),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[issuer]]\ndid = 3\n", "str"),
        ('[[issuer]]\ndid = "x"\ntypes = ["A"]\n', "no DID"),
        ('[[issuer]]\ndid = "did:web:a.example"\ntypes = []\n', "no credential types"),
        ('[[issuer]]\ndid = "did:web:a.example"\ntypes = ["A"]\nvalid_until = "tomorrow"\n', "no time"),
        ('[[bridge]]\nauthority = "did:web:a.example"\ntypes = ["A"]\nkey = "short"\n', "thumbprint"),
        (f'[[issuer]]\ndid = "{DID}"\ntypes = ["A"]\n', "is this service"),
        ("[[isuer]]\n", "isuer"),
    ],
)
async def test_a_wrong_draft_is_refused_with_what_is_wrong(lists, text, said):
    await lists.upkeep()
    lists.draft_file.write_text(text)
    with pytest.raises(BadInput, match=said):
        await lists.changes()
    with pytest.raises(BadInput):
        await lists.publish(1)
