"""Server-side request forgery: whatever address a stranger names, the guarded client decides (identity.md 6, groups 40 and 41).

One real client with a name server that lies; the sites that fetch are asked at their public interface, each by its reason.
"""

import secrets
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from connector.store.port import Followed
from connector.worker.feed import Follower
from identity import did as dids
from identity import vc
from identity.schemas import CredentialSchemas
from identity.status import BitString
from identity.tls import enrol
from identity.verify import authenticate
from identity.wallet import request as requests
from identity.wallet.sts import Sts
from kernel import wire
from kernel.errors import KizunaError, Unauthorized
from kernel.http import GuardedClient, Outbound, Reply
from tests.unit.identity_core.world import FakeWeb, Party, StatusHost, World

PRIVATE = [
    "127.0.0.1", "10.0.0.5", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1", "fd00::1", "fe80::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.5", "64:ff9b::a00:5", "2002:a00:5::1",
]  # fmt: skip
EVIL = "evil.example"


class Guarded(FakeWeb):
    """Known hosts answer from the world; everything else goes through a real guarded client whose name server lies."""

    def __init__(self, known: FakeWeb, addresses: list[str], allow: tuple[str, ...] = ()) -> None:
        super().__init__(known.answers, known.calls)
        self.asked: list[str] = []

        async def lookup(host: str, _port: int) -> list[str]:
            self.asked.append(host)
            return addresses

        self.client = GuardedClient(Outbound(allow=frozenset(allow), timeout=2), tls=_tls, lookup=lookup)

    async def request(self, method: str, url: str, **given: Any) -> Reply:
        if url in self.answers:
            return await super().request(method, url, **given)
        return await self.client.request(method, url, **given)


def _tls() -> Any:
    from identity.tls.contexts import client_context

    return client_context(None)


async def attempt(world: World) -> str:
    """The reason for which the member is refused; `in` when it is not."""
    try:
        await authenticate(world.door, world.member.caller(jti=secrets.token_hex(4)), fresh=True)
    except Unauthorized as error:
        return str(error.facts["reason"])
    return "in"


async def at_the_did(world: World) -> str:
    evil = world.party(f"did:web:{EVIL}")
    del world.web.answers[dids.web_url(evil.did)]
    try:
        await authenticate(world.door, evil.caller(), fresh=True)
    except Unauthorized as error:
        return str(error.facts["reason"])
    return "in"


async def at_the_credential_service(world: World) -> str:
    world.member.document["service"][0]["serviceEndpoint"] = f"https://{EVIL}/cs"
    return await attempt(world)


async def at_the_status_list(world: World) -> str:
    entry = vc.StatusEntry(url=f"https://{EVIL}/status/1", index=1, purpose="revocation")
    world.member.held[:] = [world.issuer.issue(world.member.did, status=[entry])]
    return await attempt(world)


async def at_the_schema(world: World) -> str:
    schema = {"id": f"https://{EVIL}/schema.json", "type": "JsonSchema"}
    world.member.held[:] = [world.issuer.issue(world.member.did, schemas=[schema])]
    return await attempt(world)


async def at_the_issuer_of_an_offer(world: World) -> str:
    """Whoever takes an offer up asks the issuer that the offer names; the address comes from that issuer's document."""
    evil = world.party("did:web:offering.example")
    evil.document["service"] = [{"id": "#is", "type": "IssuerService", "serviceEndpoint": f"https://{EVIL}/issuer"}]
    try:
        await requests.definitions_of(evil.did, world.resolver, world.door.client)
    except KizunaError as error:
        return error.code
    return "in"


class Authority:
    """An authority whose document names `EVIL`, as `connector.worker.feed` asks it."""

    did = "did:web:authority.example"
    keys = ()

    async def certificates(self) -> str:
        return f"https://{EVIL}/ca/v1"

    async def endpoint(self, _service: str) -> str:
        return f"https://{EVIL}/events"


def follower(world: World, tls: Path = Path()) -> Follower:
    """Somebody who follows that authority; what an event would do is not reached."""
    silent: Any = SimpleNamespace(on_membership=lambda _: None, followed=Followed(), live=True)
    sts = Sts(world.verifier.did, world.verifier.key, world.clock)
    return Follower(
        authority=Authority(), store=silent, client=world.door.client, sts=sts, clock=world.clock, standing=silent,  # type: ignore[arg-type]
        measures=silent, tls=tls, status_changed=lambda _: None, trust_changed=lambda: None,
    )  # fmt: skip


async def at_the_revocation_list(world: World) -> str:
    try:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / enrol.CONSORTIUM).write_bytes(b"-----BEGIN CERTIFICATE-----")
            await follower(world, Path(folder)).fetch_crl()
    except KizunaError as error:
        return error.code
    return "in"


async def at_the_event_feed(world: World) -> str:
    try:
        await follower(world)._ask()
    except KizunaError as error:
        return error.code
    return "in"


SITES: list[Callable[[World], Awaitable[str]]] = [
    at_the_did, at_the_credential_service, at_the_status_list, at_the_schema, at_the_issuer_of_an_offer,
    at_the_revocation_list, at_the_event_feed,
]  # fmt: skip


def guarded(addresses: list[str], allow: tuple[str, ...] = ()) -> tuple[World, Guarded]:
    """A world whose verifier fetches through a real client; `EVIL` resolves to these addresses."""
    world = World()
    web = Guarded(world.web, addresses, allow)
    world.door.client = web  # type: ignore[assignment]
    world.resolver._client = web  # type: ignore[assignment]
    world.status._client = web  # type: ignore[assignment]
    world.door.schemas = CredentialSchemas(web, world.clock, hosts=frozenset({EVIL}))  # type: ignore[arg-type]
    return world, web


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("address", PRIVATE)
async def test_g40_name_that_resolves_to_an_address_inside(site: Callable[[World], Awaitable[str]], address: str) -> None:
    world, web = guarded([address])
    assert await site(world) == "blocked-address"
    assert set(web.asked) == {EVIL}
    await web.client.close()


@pytest.mark.parametrize("site", SITES)
async def test_g40_one_address_inside_among_public_ones(site: Callable[[World], Awaitable[str]]) -> None:
    world, web = guarded(["93.184.216.34", "10.0.0.5"])
    assert await site(world) == "blocked-address"
    await web.client.close()


@pytest.mark.parametrize("site", SITES)
async def test_g40_rebinding_every_new_connection_is_checked(site: Callable[[World], Awaitable[str]]) -> None:
    """First a public address, then one inside: the checked address is the one that is used, and the next connection is judged anew."""
    addresses = ["93.184.216.34"]
    world, web = guarded(addresses)
    assert await site(world) == "unreachable"  # there is no such network here; nothing else was tried
    addresses[:] = ["169.254.169.254"]
    assert await site(world) == "blocked-address"
    await web.client.close()


@pytest.mark.parametrize("site", [at_the_did, at_the_credential_service, at_the_status_list, at_the_schema])
async def test_g41_inside_only_by_an_explicit_list(site: Callable[[World], Awaitable[str]]) -> None:
    for allow, expected in (
        ((), "blocked-address"),
        (("other.example", "10.1.0.0/16"), "blocked-address"),
        ((EVIL,), "unreachable"),
    ):
        world, web = guarded(["127.0.0.9"], allow)
        assert await site(world) == expected
        await web.client.close()
    world, web = guarded(["127.0.0.9"], ("127.0.0.0/8",))
    assert await site(world) == "unreachable"
    await web.client.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/status/1", "https://127.0.0.1/1", "https://[::1]/1", "https://2130706433/1", "https://0x7f000001/1",
        "https://0177.0.0.1/1", "https://127.1/1", "https://user@issuer.example/1", "ftp://issuer.example/1", "file:///etc/passwd",
        "https://[::ffff:127.0.0.1]/1", "gopher://issuer.example/1", "//issuer.example/1", "https:///1",
    ],
)  # fmt: skip
async def test_g40_addresses_in_a_credential(url: str) -> None:
    world, web = guarded([])
    world.member.held[:] = [world.issuer.issue(world.member.did, status=[vc.StatusEntry(url=url, index=1, purpose="revocation")])]
    assert await attempt(world) == "blocked-address"
    assert not web.asked
    await web.client.close()


@pytest.mark.parametrize(
    "did", ["did:web:127.0.0.1", "did:web:localhost%2Fx", "did:web:2130706433", "did:web:[::1]", "did:web:a.example%40b"]
)
async def test_g40_did_that_is_an_address(did: str) -> None:
    world, web = guarded([])
    with pytest.raises(Unauthorized) as caught:
        await authenticate(world.door, world.member.caller(iss=did, sub=did, cnf=None), fresh=True)
    assert caught.value.facts["reason"].startswith("did-")
    assert not web.asked
    await web.client.close()


BOMBS = [b'{"a":' * 10_000 + b"1" + b"}" * 10_000, b"[" * 100_000, b'"' + b'\\"' * 60_000, b"{}" + b" " * 100]


@pytest.mark.parametrize("body", BOMBS)
@pytest.mark.parametrize("kind", ["document", "list", "schema", "answer"])
async def test_g40_documents_that_nest_or_never_end(body: bytes, kind: str) -> None:
    world = World()
    member, host = world.member, StatusHost(world.issuer, "1")
    schema = {"id": "https://issuer.example/s.json", "type": "JsonSchema"}
    member.held[:] = [world.issuer.issue(member.did, status=[host.entry(3)], schemas=[schema] if kind == "schema" else [])]
    site = {
        "document": dids.web_url(member.did), "list": host.url, "schema": schema["id"], "answer": f"{member.base}/cs/presentations/query",
    }[kind]  # fmt: skip
    world.web.answers[site] = lambda *_: Reply(200, {"Content-Type": "application/json"}, body)
    found = await attempt(world)
    expected = {
        "document": {"document-form", "document-id"},
        "list": {"unsigned", "bad-input", "list-form"},
        "schema": {"schema-form", "unreachable", "in"},  # `{}` is a schema, which everything follows
        "answer": {"bad-input", "query-form", "too-large"},
    }
    assert found in expected[kind]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_g40_redirect_to_an_address_inside_is_not_followed(code: int) -> None:
    world = World()
    url = dids.web_url(world.member.did)
    world.web.answers[url] = lambda *_: Reply(code, {"Location": "https://169.254.169.254/"}, b"")
    assert await attempt(world) == "document-status"
    assert not world.web.count("169.254")


async def test_g40_callback_of_another_host_is_refused(party: Party) -> None:
    """The callback address of a message must be one of the sender's own services; nothing is fetched from it (`connector.peers`)."""
    from connector.peers import Peers
    from identity.standing import Unfollowed
    from kernel.errors import BadInput

    world = party.world
    peers = Peers(world.web, world.resolver, lambda _: "Bearer x", world.door.rules, Unfollowed())  # type: ignore[arg-type]
    who = await authenticate(world.door, party.caller(), fresh=True)
    await peers.check_callback(who, f"{party.base}/callback")
    for url in (f"https://{EVIL}/callback", "https://169.254.169.254/", f"https://{EVIL}@member.example:8443/", "", "file:///etc"):
        with pytest.raises(BadInput, match="callbackAddress"):
            await peers.check_callback(who, url)
    assert not world.web.count(EVIL)


@pytest.fixture
def party() -> Party:
    return World().member


async def test_g40_trust_comes_before_anything_that_a_credential_names() -> None:
    world = World()
    stranger = world.party("did:web:stranger.example")
    entry = vc.StatusEntry(url=f"https://{EVIL}/1", index=1, purpose="revocation")
    schema = {"id": f"https://{EVIL}/s.json", "type": "JsonSchema"}
    world.member.held[:] = [stranger.issue(world.member.did, status=[entry], schemas=[schema])]
    assert await attempt(world) == "untrusted-issuer"
    assert not world.web.count(EVIL)
    assert not world.web.count("stranger")


async def test_g38_compressed_list_in_a_small_answer_is_capped() -> None:
    world = World()
    host = StatusHost(world.issuer, "1")
    world.member.held[:] = [world.issuer.issue(world.member.did, status=[host.entry(3)])]
    host.bits = BitString.empty(16 * 1024 * 1024 * 8 + 8)
    host.sign()
    assert len(host.jwt) < 100_000
    assert await attempt(world) == "bomb"


def test_wire_reads_what_it_wrote() -> None:
    """The bombs above are refused for what they are: an ordinary document of the same readers is read."""
    assert wire.loads(wire.dumps({"a": [1, {"b": "c"}]})) == {"a": [1, {"b": "c"}]}
