"""One credential's way in every format: issuer's outbox, holder's wallet, verifier's query, status list. Real services over HTTP."""

import pytest
from aiohttp.test_utils import TestClient

from identity import vc
from identity.service.authority.standing import REVOKE, Standing
from identity.verify import TokenDoor, authenticate
from identity.wallet.credentials import CredentialService
from identity.wallet.port import CredentialRequest
from identity.wallet.sts import Sts
from kernel.errors import Unauthorized
from kernel.http import Reply
from kernel.web import application
from tests.security import test_issuer
from tests.support.web import TestServer
from tests.unit.identity_core.world import MEMBERSHIP, World
from tests.unit.identity_wallet.test_credential_service import Store

FORMATS = [vc.VC20, vc.VC11, vc.VC20_DI, vc.VC11_DI]


@pytest.fixture
async def consortium(tmp_path, monkeypatch, request):
    """The issuer, with one definition in the format asked for."""
    definitions = test_issuer.DEFINITIONS.replace(
        'type = "MembershipCredential"', f'type = "MembershipCredential"\nformat = "{request.param}"'
    )
    monkeypatch.setattr(test_issuer, "DEFINITIONS", definitions)
    found = test_issuer.Consortium(tmp_path)
    await found.member(found.world.member)
    async with TestClient(TestServer(application(found.routes))) as found.client:
        yield found
    found.database.file.close()


def wallet(world: World) -> tuple[CredentialService, Store, Sts]:
    """The member's own wallet."""
    member = world.member

    async def seen(token):
        return (token.issuer, token.jti) in world.used

    store, sts = Store(world), Sts(member.did, member.key, world.clock)
    door = TokenDoor(did=member.did, resolver=world.resolver, clock=world.clock, seen=seen)
    return CredentialService(door, sts, member.key, store), store, sts


def through(world: World, client: TestClient, base: str, inner: str) -> None:
    """What the world asks of `base` is asked of a real server under `inner`."""

    async def post(_method, headers, body):
        answer = await client.post(inner, data=body, headers=dict(headers))
        return Reply(answer.status, dict(answer.headers), await answer.read())

    world.web.answers[base] = post


@pytest.mark.parametrize(("consortium", "form"), [(each, each) for each in FORMATS], indirect=["consortium"])
async def test_issued_delivered_stored_presented_verified_and_revoked(consortium, form: str) -> None:
    world, member = consortium.world, consortium.world.member
    service, store, sts = wallet(world)
    world.member.leaf = b""
    world.demand(mtls="off")
    async with TestClient(TestServer(application(service.routes()))) as client:
        for path in ("/credentials", "/presentations/query"):
            through(world, client, f"{member.base}/cs{path}", f"/cs{path}")
        await store.save_request(
            CredentialRequest(id="pid-1", issuer=world.issuer.did, definitions=("membership",), state="REQUESTED")
        )
        assert (await consortium.ask(member, "membership")).status == 201
        await consortium.delivery.deliver(consortium.due()[0])
        (held,) = await store.held()
        assert (held.format, held.type) == (form, "MembershipCredential")

        urls = {each.url for each in vc.read_vc(held.jwt).status}
        for url in urls:
            world.web.answers[url] = status_at(consortium, url.removeprefix(world.issuer.base))

        async def call():
            token = sts.token(world.verifier.did, scopes=[MEMBERSHIP])
            return await authenticate(world.door, type(member.caller())((f"Bearer {token}",)), fresh=True)

        who = await call()
        assert who.claims["MembershipCredential"] == ({"id": member.did, "memberOf": "consortium"},)
        assert who.credentials[0].format == form

        standing = Standing(consortium.books, consortium.lists.publish)
        await standing.change_all([member.did], REVOKE)
        world.clock.forward(2)
        with pytest.raises(Unauthorized) as caught:
            await call()
        assert (caught.value.facts["reason"], caught.value.facts["stage"]) == ("revocation", "status")


def status_at(consortium, path: str):
    async def get(_method, headers, _body):
        answer = await consortium.client.get(path, headers=dict(headers))
        return Reply(answer.status, dict(answer.headers), await answer.read())

    return get
