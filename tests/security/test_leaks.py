"""Group 53: no token, secret or key in a log line or in an answer, whatever is refused, at the door and at the credential service."""

import io
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from identity import did as dids
from identity import jose
from identity.verify import Caller, authenticate
from kernel import telemetry, wire
from kernel.http import Reply
from kernel.web import Route, application
from tests.support.web import TestServer
from tests.unit.identity_core.world import Party, StatusHost, World, signer
from tests.unit.identity_wallet.test_credential_service import QUERY, Wallet, asking

ACCESS = "canary-access-token-000"


@pytest.fixture
def lines():
    stream = io.StringIO()
    telemetry.configure("debug", stream)
    return stream


async def called(world: World, *tokens: str) -> list[tuple[int, str]]:
    """The answers to these tokens at a route behind the door."""

    async def handler(request: web.Request) -> web.Response:
        caller = Caller(tuple(request.headers.getall("Authorization", [])), world.member.leaf)
        await authenticate(world.door, caller, fresh=True)
        return web.Response(text="in")

    route = Route(method="GET", path="/x", handler=handler, auth="token", summary="x")
    async with TestClient(TestServer(application([route]))) as client:
        answers = [await client.get("/x", headers={"Authorization": f"Bearer {each}"}) for each in tokens]
        return [(each.status, await each.text()) for each in answers]


def secrets_of(*tokens: str) -> set[str]:
    """What must not be seen: the tokens, their signatures, and the access tokens inside."""
    found = {ACCESS}
    for each in tokens:
        found |= {each, each.rpartition(".")[2]}
    return {each for each in found if len(each) > 8}


def spoil_status(world: World, member: Party) -> None:
    host = StatusHost(world.issuer, "1")
    member.held[:] = [world.issuer.issue(member.did, status=[host.entry(1)])]
    host.set(1)


def spoil_answer(world: World, member: Party) -> None:
    body = wire.dumps({"error": ACCESS})
    world.web.answers[f"{member.base}/cs/presentations/query"] = lambda *_: Reply(500, {}, body)


def spoil_credential(world: World, member: Party) -> None:
    member.held[:] = [world.issuer.issue(member.did, signer=signer(world.issuer.did))]


def spoil_document(_world: World, member: Party) -> None:
    member.document[dids.INVOCATION] = []


def publish_private(_world: World, member: Party) -> None:
    member.document["verificationMethod"][0]["publicKeyJwk"] |= {"d": ACCESS}


@pytest.mark.parametrize("spoil", [spoil_status, spoil_answer, spoil_credential, spoil_document, publish_private])
async def test_g53_refusals_at_the_door(lines: io.StringIO, spoil) -> None:
    world = World()
    spoil(world, world.member)
    good = world.member.token(token=ACCESS)
    bad = [
        world.member.token(token=ACCESS, key=signer(world.member.did)),
        world.member.token(token=ACCESS, aud="did:web:other.example"),
        world.member.token(token=ACCESS, exp=1),
        world.member.token(token=ACCESS, jti=5),
        good[:-4] + "AAAA",
        jose.sign(world.member.claims(token=ACCESS), world.member.key, header={"jwk": world.member.key.public_jwk()}),
    ]
    answers = await called(world, good, *bad)
    assert {status for status, _ in answers} == {401}
    assert len({body for _, body in answers}) == 1, "every refusal reads the same"
    written = lines.getvalue()
    assert written.count('"refused"') == len(answers)
    for secret in secrets_of(good, *bad):
        assert secret not in written
        assert all(secret not in body for _, body in answers)
    reasons = {json.loads(each).get("reason") for each in written.splitlines()}
    assert {"aud", "exp", "jti-form", "key-source"} <= reasons, "our own side is told why"
    assert reasons & {"signature", "relationship", "private-key"}
    assert '"explanation"' in written


async def test_g53_refusals_at_the_credential_service(lines: io.StringIO) -> None:
    wallet = Wallet()
    access = wallet.sts.access_token(wallet.verifier.did, ())
    async with TestClient(TestServer(application(wallet.service.routes()))) as wallet.client:
        thief = await wallet.query(asking(["x:y:read"]), access=access, party=wallet.thief)
        late = await wallet.client.post(QUERY, json=asking(["x:y:read"]), headers={"Authorization": f"Bearer {ACCESS}"})
        body = await wallet.client.post(QUERY, data=b"{", headers=wallet.bearer(wallet.verifier, access))
    written = lines.getvalue() + await_text(thief, late, body)
    assert (thief.status, late.status, body.status) == (401, 401, 400)
    for secret in (access, access.rpartition(".")[2], ACCESS):
        assert secret not in written


def await_text(*answers) -> str:
    return "".join(str(each.headers) + each.reason for each in answers)
