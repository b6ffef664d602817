"""Several participants behind one host: what is for one of them works at no other (identity.md 6, group 20)."""

import msgspec
import pytest
from aiohttp.test_utils import TestClient

from identity import vc
from kernel.web import application
from tests.support.web import TestServer
from tests.unit.identity_wallet.test_credential_service import QUERY, Wallet, asking

SCOPE = "org.eclipse.dspace.dcp.vc.type:MembershipCredential:read"


@pytest.fixture
async def two():
    """Tenants A and B behind one host; both hold a credential, and know the same verifier."""
    first = Wallet()
    second = Wallet.__new__(Wallet)
    second.__dict__ |= first.__dict__
    second.owner = first.world.party("did:web:second.example")
    _own(second)
    for each in (first, second):
        each.holds("MembershipCredential")
    routes = []
    for name, each in (("a", first), ("b", second)):
        routes += [msgspec.structs.replace(route, path=f"/{name}{route.path}") for route in each.service.routes()]
    async with TestClient(TestServer(application(routes))) as client:
        yield first, second, client


def _own(wallet: Wallet) -> None:
    """Its own keys, store and door, as a tenant has them."""
    from identity.verify import TokenDoor
    from identity.wallet.credentials import CredentialService
    from identity.wallet.sts import Sts
    from tests.unit.identity_wallet.test_credential_service import Store

    world = wallet.world

    async def seen(token):
        return (token.issuer, token.jti) in world.used

    wallet.store = Store(world)
    wallet.sts = Sts(wallet.owner.did, wallet.owner.key, world.clock)
    door = TokenDoor(did=wallet.owner.did, resolver=world.resolver, clock=world.clock, seen=seen)
    wallet.service = CredentialService(door, wallet.sts, wallet.owner.key, wallet.store)


async def ask(client, path: str, wallet: Wallet, access: str, audience: str):
    headers = wallet.bearer(wallet.verifier, access, audience=audience)
    return await client.post(path + QUERY, json=asking([SCOPE]), headers=headers)


async def test_g20_each_tenant_answers_for_itself(two):
    first, second, client = two
    for path, wallet in (("/a", first), ("/b", second)):
        answer = await ask(client, path, wallet, wallet.sts.access_token(wallet.verifier.did, [SCOPE]), wallet.owner.did)
        shown = vc.parse_presentations((await answer.json())["presentation"])
        assert {each.subject["id"] for one in shown for each in one.credentials} == {wallet.owner.did}


async def test_g20_token_for_one_tenant_at_the_other(two):
    first, _, client = two
    access = first.sts.access_token(first.verifier.did, [SCOPE])
    assert (await ask(client, "/b", first, access, first.owner.did)).status == 401


async def test_g20_access_token_of_one_tenant_at_the_other(two):
    first, second, client = two
    access = first.sts.access_token(first.verifier.did, [SCOPE])
    assert (await ask(client, "/b", first, access, second.owner.did)).status == 401


async def test_g20_delivery_for_one_tenant_at_the_other(two):
    """B has asked; A's issuer answers with A's credential under B's request number."""
    first, second, client = two
    second.requested()
    message = {
        "@context": [vc.DCP_CONTEXT], "type": "CredentialMessage", "issuerPid": "i", "holderPid": "urn:uuid:1", "status": "ISSUED",
        "credentials": [{"credentialType": "MembershipCredential", "format": vc.VC20, "payload": first.issuer.issue(first.owner.did)}],
    }  # fmt: skip
    before = len(second.store.credentials)
    headers = first.bearer(first.issuer, audience=second.owner.did)
    assert (await client.post("/b/cs/credentials", json=message, headers=headers)).status == 400
    assert (await client.post("/a/cs/credentials", json=message, headers=first.bearer(first.issuer))).status == 404
    assert len(second.store.credentials) == before
