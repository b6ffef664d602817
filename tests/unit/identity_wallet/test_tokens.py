"""identity.wallet.tokens and .clients: the token service as an OAuth 2.0 endpoint (identity.md 1.3)."""

import jwt
import pytest
from aiohttp.test_utils import TestClient

from identity.wallet import clients
from identity.wallet.clients import Client, Clients, digest, new_secret
from identity.wallet.sts import LIFE, Sts
from identity.wallet.tokens import PATH, TokenEndpoint
from kernel.errors import Misconfigured
from kernel.web import application
from tests.support.web import TestServer
from tests.unit.identity_core.world import World

PEER, OTHER = "did:web:peer.example", "did:web:other.example"
MEMBERSHIP = "org.eclipse.dspace.dcp.vc.type:MembershipCredential"


class Bench:
    def __init__(self):
        world = self.world = World()
        self.sts = Sts(world.member.did, world.member.key, world.clock)
        self.secret, kept = new_secret()
        known = [Client("edc", kept), Client("narrow", kept, audiences=(PEER,), scopes=(f"{MEMBERSHIP}:read",))]
        self.endpoint = TokenEndpoint(self.sts, Clients(known, world.clock))

    async def draw(self, **changes):
        form = {"grant_type": "client_credentials", "client_id": "edc", "client_secret": self.secret, "audience": PEER} | changes
        reply = await self.client.post(PATH, data={name: value for name, value in form.items() if value is not None})
        return reply.status, await reply.json(), reply.headers


@pytest.fixture
async def bench(monkeypatch):
    monkeypatch.setattr(clients, "_COST", 2)
    found = Bench()
    async with TestClient(TestServer(application(found.endpoint.routes()))) as found.client:
        yield found


def claims(answer):
    return jwt.decode(answer["access_token"], options={"verify_signature": False})


async def test_a_client_draws_an_identity_token(bench):
    status, answer, headers = await bench.draw()
    assert (status, answer["token_type"], answer["expires_in"], headers["Cache-Control"]) == (200, "Bearer", LIFE, "no-store")
    found = claims(answer)
    assert (found["iss"], found["sub"], found["aud"]) == (bench.sts.did, bench.sts.did, PEER)
    assert "token" not in found


async def test_scopes_make_an_access_token_for_the_audience(bench):
    _, answer, _ = await bench.draw(bearer_access_scope=f"{MEMBERSHIP}:read {MEMBERSHIP}")
    assert bench.sts.granted(claims(answer)["token"], PEER) == (f"{MEMBERSHIP}:read", MEMBERSHIP)


async def test_a_given_token_is_handed_back_as_it_is(bench):
    _, answer, _ = await bench.draw(token="opaque")
    assert claims(answer)["token"] == "opaque"


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_id": None}, 400, "invalid_request"),
        ({"client_secret": None}, 400, "invalid_request"),
        ({"audience": None}, 400, "invalid_request"),
        ({"audience": "https://peer.example"}, 400, "invalid_request"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"bearer_access_scope": "nonsense"}, 400, "invalid_scope"),
        ({"bearer_access_scope": f"{MEMBERSHIP}:read", "token": "x"}, 400, "invalid_request"),
        ({"token": "x" * 8_193}, 400, "invalid_request"),
        ({"client_id": "narrow", "audience": OTHER}, 400, "invalid_request"),
        (
            {"client_id": "narrow", "bearer_access_scope": "org.eclipse.dspace.dcp.vc.type:RoleCredential:read"},
            400,
            "invalid_scope",
        ),
        ({"client_id": "narrow", "bearer_access_scope": "org.eclipse.dspace.dcp.vc.type:Member:read"}, 400, "invalid_scope"),
    ],
)
async def test_a_wrong_request_has_oauths_error(bench, changes, status, error):
    found, answer, _ = await bench.draw(**changes)
    assert (found, answer["error"], set(answer)) == (status, error, {"error", "error_description"})


async def test_json_and_repeated_parameters_are_refused(bench):
    reply = await bench.client.post(PATH, json={"grant_type": "client_credentials"})
    assert (reply.status, (await reply.json())["error"]) == (400, "invalid_request")
    twice = [("grant_type", "client_credentials"), ("client_id", "edc"), ("client_id", "narrow")]
    reply = await bench.client.post(PATH, data=twice)
    assert (reply.status, (await reply.json())["error_description"]) == (400, "a parameter comes twice")


async def test_guessing_is_slowed_down_and_the_right_secret_waits_too(bench):
    for _ in range(clients.MISSES):
        assert (await bench.draw(client_secret="wrong"))[0] == 401
    status, answer, headers = await bench.draw()
    assert (status, answer["error"], headers["Retry-After"]) == (429, "temporarily_unavailable", "60")
    assert (await bench.draw(client_id="narrow"))[0] == 200, "other clients go on"
    bench.world.clock.forward(60)
    assert (await bench.draw())[0] == 200


async def test_tokens_are_counted_per_client(bench):
    bench.endpoint._clients._tokens._limit = 2
    assert [(await bench.draw())[0] for _ in range(3)] == [200, 200, 429]


def test_no_secret_is_kept_and_no_digest_is_the_same():
    secret, kept = new_secret()
    assert secret not in kept
    assert digest(secret) != kept


@pytest.mark.parametrize("secret", ["plain text", "scrypt:", "scrypt:AAAA:BBBB", ""])
def test_a_secret_that_is_no_digest_stops_the_start(secret):
    with pytest.raises(Misconfigured, match="digest"):
        Clients([Client("edc", secret)], World().clock)
