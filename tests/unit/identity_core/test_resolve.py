"""Fetching DID documents: cache, one fetch at a time, what is refused; and the real guarded client before addresses (group 40)."""

import asyncio
import ssl

import pytest

from identity.did import BadDid
from identity.resolve import Resolver
from kernel.errors import KizunaError
from kernel.http import GuardedClient, Outbound, Reply
from tests.unit.identity_core.world import FakeClock, World, json_reply, signer


@pytest.fixture
def world() -> World:
    return World()


async def test_document_is_fetched_once_in_five_minutes(world: World) -> None:
    for _ in range(3):
        await world.resolver.resolve(world.member.did)
    world.clock.forward(299)
    await world.resolver.resolve(world.member.did)
    assert world.web.count("member") == 1
    world.clock.forward(1)
    await world.resolver.resolve(world.member.did)
    assert world.web.count("member") == 2


async def test_clock_that_went_back_makes_the_document_stale(world: World) -> None:
    await world.resolver.resolve(world.member.did)
    world.clock.forward(-1)
    await world.resolver.resolve(world.member.did)
    assert world.web.count("member") == 2


async def test_concurrent_calls_share_one_fetch(world: World) -> None:
    found = await asyncio.gather(*(world.resolver.resolve(world.member.did) for _ in range(50)))
    assert world.web.count("member") == 1
    assert len({id(each) for each in found}) == 1


async def test_an_impatient_caller_does_not_take_the_answer_away(world: World) -> None:
    gate = asyncio.Event()

    async def slow(*_: object) -> Reply:
        await gate.wait()
        return json_reply(world.member.document)

    world.web.answers["https://member.example:8443/.well-known/did.json"] = slow
    first, second = (asyncio.create_task(world.resolver.resolve(world.member.did)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert (await second).id == world.member.did
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_failure_is_not_remembered(world: World) -> None:
    url = "https://member.example:8443/.well-known/did.json"
    good = world.web.answers.pop(url)
    with pytest.raises(KizunaError):
        await world.resolver.resolve(world.member.did)
    world.web.answers[url] = good
    assert await world.resolver.resolve(world.member.did)


async def test_old_document_is_no_substitute(world: World) -> None:
    await world.resolver.resolve(world.member.did)
    world.web.answers.clear()
    world.clock.forward(300)
    with pytest.raises(KizunaError):
        await world.resolver.resolve(world.member.did)


async def test_refresh_fetches_at_most_every_five_seconds(world: World) -> None:
    await world.resolver.resolve(world.member.did)
    for _ in range(5):
        await world.resolver.refresh(world.member.did)
    assert world.web.count("member") == 1
    world.clock.forward(5)
    await world.resolver.refresh(world.member.did)
    assert world.web.count("member") == 2


@pytest.mark.parametrize("code", [201, 204, 301, 302, 307, 404, 500])
async def test_only_200(world: World, code: int) -> None:
    world.web.answers["https://member.example:8443/.well-known/did.json"] = lambda *_: json_reply(world.member.document, code=code)
    with pytest.raises(BadDid) as caught:
        await world.resolver.resolve(world.member.did)
    assert caught.value.facts["reason"] == "document-status"


@pytest.mark.parametrize(
    ("kind", "good"),
    [("application/did+ld+json", True), ("application/json; charset=utf-8", True), ("text/html", False), ("", True)],
)
async def test_media_type(world: World, kind: str, *, good: bool) -> None:
    world.web.answers["https://member.example:8443/.well-known/did.json"] = lambda *_: json_reply(world.member.document, kind)
    if good:
        assert await world.resolver.resolve(world.member.did)
        return
    with pytest.raises(BadDid) as caught:
        await world.resolver.resolve(world.member.did)
    assert caught.value.facts["reason"] == "document-type"


async def test_oversized_document(world: World) -> None:
    world.member.document["pad"] = "x" * 200_000
    with pytest.raises(KizunaError, match="too large"):
        await world.resolver.resolve(world.member.did)


async def test_plain_http_is_a_switch_of_tests(world: World) -> None:
    world.web.answers["http://member.example:8443/.well-known/did.json"] = lambda *_: json_reply(world.member.document)
    resolver = Resolver(world.web, world.clock, scheme="http")  # type: ignore[arg-type]
    assert (await resolver.resolve(world.member.did)).id == world.member.did


async def test_did_jwk_needs_no_fetch(world: World) -> None:
    from kernel import wire

    jwk = {name: value for name, value in signer("x").public_jwk().items() if name in {"kty", "crv", "x", "y"}}
    assert await world.resolver.resolve("did:jwk:" + wire.b64url(wire.dumps(jwk)))
    assert not world.web.calls


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "169.254.169.254", "10.1.2.3", "192.168.0.1", "::ffff:127.0.0.1", "fd00::1", "100.64.0.1"]
)
async def test_g40_name_that_resolves_to_a_private_address(address: str) -> None:
    async def lookup(_host: str, _port: int) -> list[str]:
        return [address]

    client = GuardedClient(Outbound(), tls=ssl.create_default_context, lookup=lookup)
    try:
        with pytest.raises(KizunaError) as caught:
            await Resolver(client, FakeClock()).resolve("did:web:thief.example")
        assert caught.value.code == "blocked-address"
    finally:
        await client.close()
