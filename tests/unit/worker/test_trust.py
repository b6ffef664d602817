"""Keeping the trust list: what a connector believes after a good list, an old one, a forged one, an expired one, a restart; and bridges."""

from datetime import timedelta

import pytest

from connector.membership.authority import Authority
from connector.membership.standing import Standing
from connector.store.sqlite import SqliteStore, open_database
from connector.worker.trust import Trust
from identity import did as dids
from identity import trustlist
from identity.did import BadDid
from identity.jose import thumbprint
from identity.pinned import NotPinned
from identity.tls.revoked import RevocationLists
from identity.trust import IssuerRule
from identity.trustlist import BadTrustList, Bridge, Content, TrustedIssuer
from identity.vc import parse_vc
from kernel.clock import iso
from kernel.errors import NotFound
from kernel.http import Reply, Unreachable
from tests.unit.identity_core.world import ALL, World, json_reply, signer

AUTHORITY, OTHER, PARTNER = "did:web:authority.example", "did:web:other.example", "did:web:partner.example"
DAY = timedelta(days=1)


class Publishes:
    """An authority with a DID document and a trust list in the world's web."""

    def __init__(self, world, did, *types, bridges=()):
        self.world, self.did = world, did
        self.key = signer(did, "trust-1")
        self.sequence, self.life, self.listed, self.ca_digest, self.keys = 1, 7 * DAY, True, "", ()
        self.issuers, self.bridges = (TrustedIssuer(did=did, types=types or ("MembershipCredential",)),), tuple(bridges)
        self.issuer = world.party(did)
        self.url = f"{dids.web_url(did).removesuffix('/.well-known/did.json')}/authority/v1/trust-list"
        world.web.answers[dids.web_url(did)] = self.document
        world.web.answers[self.url] = self.list

    @property
    def pin(self):
        return thumbprint(self.key.public_jwk())

    def document(self, *_):
        services = [dids.Service("#trust-list", trustlist.SERVICE, self.url)] if self.listed else []
        keys = [dids.Key(each.kid, each.public_jwk(), ALL) for each in (self.key, self.issuer.key)]
        return json_reply(dids.document(self.did, keys, services), "application/did+json")

    def list(self, *_):
        content = Content(issuers=self.issuers, bridges=self.bridges, ca_digest=self.ca_digest, keys=self.keys)
        now = self.world.clock.now()
        text = trustlist.write(self.key, self.url, self.sequence, content, since=now, until=now + self.life)
        return Reply(200, {}, text.encode())


@pytest.fixture
async def world(tmp_path):
    found = World()
    found.authority = Publishes(found, AUTHORITY)
    found.partner = found.party(PARTNER)
    found.store = SqliteStore(open_database(tmp_path / "data.sqlite"), found.verifier.did)
    found.pin = found.authority.pin
    make(found)
    yield found
    await found.store.close()


def make(world):
    world.standing = Standing(AUTHORITY, RevocationLists(world.clock), silence=50)

    world.trust = Trust(
        authority=Authority(AUTHORITY, world.pin, resolver=world.resolver, store=world.store, standing=world.standing),
        own=[IssuerRule(PARTNER, frozenset({"PartnerCredential"}))],
        fallback=IssuerRule(AUTHORITY, frozenset({"MembershipCredential"})),
        tables=[],
        store=world.store,
        standing=world.standing,
        resolver=world.resolver,
        client=world.web,
        clock=world.clock,
        door=world.door,
    )


def believed(world, party, kind="MembershipCredential"):
    return world.door.trust.believes(parse_vc(party.issue(world.member.did, kind)), world.clock.now())


async def restarted(world):
    make(world)
    world.standing.followed = await world.store.followed()
    await world.trust.load()


async def refreshed(world):
    await world.trust.refresh()
    world.trust._apply()


async def test_a_list_decides_whom_the_connector_believes(world):
    await world.trust.load()
    assert not believed(world, world.authority.issuer), "no list yet"
    assert believed(world, world.partner, "PartnerCredential"), "peers outside come from the settings"
    await refreshed(world)
    assert believed(world, world.authority.issuer)
    assert not believed(world, world.authority.issuer, "RoleCredential")
    assert world.trust.described()["trustList"]["sequence"] == 1


async def test_the_list_says_whose_offers_a_wallet_takes_and_of_which_types(world):
    now = world.clock.now
    await world.trust.load()
    assert world.door.trust.types_of(PARTNER, now()) == {"PartnerCredential"}
    assert world.door.trust.types_of(OTHER, now()) == set()
    world.authority.issuers += (TrustedIssuer(did=OTHER, types=("RoleCredential",), valid_until=iso(now() + DAY)),)
    await refreshed(world)
    assert world.door.trust.types_of(OTHER, now()) == {"RoleCredential"}
    world.clock.forward(86_400)
    assert world.door.trust.types_of(OTHER, now()) == set()


async def test_after_its_end_nothing_of_it_is_believed(world):
    await refreshed(world)
    del world.web.answers[world.authority.url]
    world.clock.forward(7 * 86_400 - 1)
    world.trust._apply()
    assert believed(world, world.authority.issuer)
    world.clock.forward(2)
    with pytest.raises(Unreachable):
        await world.trust.refresh()
    world.trust._apply()
    assert not believed(world, world.authority.issuer)
    assert believed(world, world.partner, "PartnerCredential")


async def test_an_older_list_is_refused_and_the_newer_one_stays_also_after_a_restart(world):
    world.authority.sequence = 5
    await refreshed(world)
    await restarted(world)
    assert believed(world, world.authority.issuer)
    world.authority.sequence, world.authority.issuers = 4, (TrustedIssuer(did=AUTHORITY, types=("RoleCredential",)),)
    with pytest.raises(BadTrustList) as found:
        await world.trust.refresh()
    assert found.value.facts["reason"] == "older"
    world.trust._apply()
    assert believed(world, world.authority.issuer)
    assert not believed(world, world.authority.issuer, "RoleCredential")


async def test_a_list_signed_by_another_key_of_the_same_host_is_refused(world):
    world.authority.key = signer(AUTHORITY, "trust-1")
    with pytest.raises((NotPinned, BadDid)):
        await refreshed(world)
    world.trust._apply()
    assert not believed(world, world.authority.issuer)


async def test_the_authority_changes_its_key_by_naming_the_next_one(world):
    old = world.authority.key
    new = signer(AUTHORITY, "trust-2")
    world.authority.keys = (thumbprint(old.public_jwk()), thumbprint(new.public_jwk()))
    await refreshed(world)
    world.authority.key, world.authority.sequence, world.authority.keys = new, 2, (thumbprint(new.public_jwk()),)
    world.clock.forward(301)
    await refreshed(world)
    assert (await world.store.followed()).keys == (thumbprint(new.public_jwk()),)
    world.authority.key, world.authority.sequence = old, 3
    world.clock.forward(301)
    with pytest.raises(NotPinned):
        await world.trust.refresh()


async def test_with_a_pinned_key_an_authority_without_a_list_is_believed_nothing(world):
    world.authority.listed = False
    await world.trust.load()
    with pytest.raises(NotFound):
        await world.trust.refresh()
    world.trust._apply()
    assert not believed(world, world.authority.issuer)


async def test_without_a_pinned_key_an_authority_without_a_list_speaks_by_the_settings(world):
    world.pin, world.authority.listed = "", False
    make(world)
    await refreshed(world)
    assert believed(world, world.authority.issuer)


async def test_a_recognised_consortium_is_believed_what_the_bridge_says(world):
    other = Publishes(world, OTHER, "MembershipCredential", "RoleCredential")
    world.authority.bridges = (Bridge(authority=OTHER, key=other.pin, types=("MembershipCredential",)),)
    await refreshed(world)
    assert believed(world, other.issuer)
    assert not believed(world, other.issuer, "RoleCredential")
    await restarted(world)
    assert believed(world, other.issuer)
    other.key = signer(OTHER, "trust-1")
    other.sequence = 2
    await refreshed(world)
    assert believed(world, other.issuer), "the forged list is refused, the old one lasts"
    world.authority.bridges, world.authority.sequence = (), 2
    await refreshed(world)
    assert not believed(world, other.issuer), "the bridge is gone"


async def test_a_ca_bundle_that_is_not_the_one_of_the_list_is_refused(world, tmp_path):
    from identity.tls import ca

    good = ca.create(tmp_path / "good", name="Test", crl_url="https://authority.example/crl", now=world.clock.now())
    bad = ca.create(tmp_path / "bad", name="Test", crl_url="https://authority.example/crl", now=world.clock.now())
    world.trust.check_bundle(bad.bundle)
    world.authority.ca_digest = trustlist.ca_digest(good.bundle)
    await refreshed(world)
    world.trust.check_bundle(good.bundle)
    with pytest.raises(BadTrustList) as found:
        world.trust.check_bundle(bad.bundle)
    assert found.value.facts["reason"] == "ca-bundle"
