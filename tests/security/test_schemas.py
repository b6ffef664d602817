"""The schema stage: `credentialSchema` is applied, and fetched from trusted hosts alone (identity.md 1.2, 6.40; VC JSON Schema)."""

import base64
import hashlib

import pytest

from identity.schemas import KEPT, CredentialSchemas
from identity.verify import authenticate
from kernel import wire
from kernel.errors import Unauthorized
from kernel.http import Reply
from tests.unit.identity_core.world import Party, World, json_reply

URL = "https://issuer.example/schema/membership.json"
SCHEMA = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "type": "object",
    "properties": {"credentialSubject": {"type": "object", "required": ["id", "memberOf"]}},
}


@pytest.fixture
def world() -> World:
    world = World()
    world.web.answers[URL] = lambda *_: json_reply(SCHEMA, "application/schema+json")
    return world


def names(world: World, *entries: dict, **subject: object) -> None:
    """The member's credential names these schemas."""
    given = {"subject": {"id": world.member.did, **subject}} if subject else {}
    world.member.held[:] = [world.issuer.issue(world.member.did, schemas=entries, **given)]


def entry(url: str = URL, kind: str = "JsonSchema", **more: object) -> dict:
    return {"id": url, "type": kind, **more}


async def refused(world: World, reason: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        await authenticate(world.door, world.member.caller(), fresh=True)
    assert (caught.value.facts["stage"], caught.value.facts["reason"]) == ("schema", reason)


@pytest.mark.parametrize("kind", ["JsonSchema", "JsonSchemaValidator2018", "FullJsonSchemaValidator2021"])
async def test_schema_of_the_issuers_host_is_applied(world: World, member: Party, kind: str) -> None:
    names(world, entry(kind=kind))
    assert await authenticate(world.door, member.caller(), fresh=True)
    names(world, entry(kind=kind), plant="P1")
    world.clock.forward(301)
    await refused(world, "schema")
    assert world.web.count("/schema/") == 1


async def test_every_schema_is_applied(world: World) -> None:
    other = "https://issuer.example/schema/2.json"
    world.web.answers[other] = lambda *_: json_reply({"properties": {"credentialSubject": {"required": ["plant"]}}})
    names(world, entry(), entry(other))
    await refused(world, "schema")


@pytest.mark.parametrize(
    "url",
    [
        "https://thief.example/schema.json",
        "https://issuer.example@thief.example/schema.json",
        "https://issuer.example:8443/schema.json",
        "https://issuer.example.thief.example/schema.json",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "urn:schema:1",
        "https://[::1",
    ],
)
async def test_g40_schema_of_another_host_is_never_fetched(world: World, url: str) -> None:
    names(world, entry(url))
    await refused(world, "schema-host")
    assert not [each for _, each in world.web.calls if each == url]


async def test_configured_host_and_bundled_schema(world: World, member: Party) -> None:
    url = "https://schemas.example/1.json"
    world.web.answers[url] = lambda *_: json_reply(SCHEMA)
    names(world, entry(url))
    world.door.schemas = CredentialSchemas(world.web, world.clock, hosts=frozenset({"schemas.example"}))
    assert await authenticate(world.door, member.caller(), fresh=True)
    names(world, entry("urn:bundled", "JsonSchemaCredential"))
    bundled = {
        "urn:bundled": {"properties": {"credentialSubject": {"$ref": "urn:other"}}},
        "urn:other": {"required": ["plant"]},
    }
    world.door.schemas = CredentialSchemas(world.web, world.clock, bundled=bundled)
    world.clock.forward(301)
    await refused(world, "schema")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"type": "JsonSchema"}, "schema-form"),
        ({"id": 5, "type": "JsonSchema"}, "schema-form"),
        ({"id": URL, "type": "JsonSchemaCredential"}, "schema-form"),
        ({"id": URL, "type": ["JsonSchema"]}, "schema-form"),
    ],
)
async def test_entry_that_is_not_read(world: World, given: dict, reason: str) -> None:
    names(world, given)
    await refused(world, reason)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(404, {}, b""), "schema-status"),
        (Reply(302, {"Location": "https://thief.example"}, b""), "schema-status"),
        (Reply(200, {}, b"not json"), "schema-form"),
        (Reply(200, {}, b"[]"), "schema-form"),
        (Reply(200, {}, b"true"), "schema-form"),
        (Reply(200, {}, b'{"type":5}'), "schema-form"),
        (Reply(200, {}, b'{"type":"object","type":"array"}'), "schema-form"),
        (Reply(200, {}, b'{"$ref":"https://thief.example/more.json"}'), "schema-form"),
        (Reply(200, {}, b'{"$schema":"https://thief.example/meta.json"}'), "schema-form"),
        (Reply(200, {}, b'{"x":"' + b"a" * 70_000 + b'"}'), "unreachable"),
    ],
)
async def test_schema_that_is_not_to_be_had(world: World, reply: Reply, reason: str) -> None:
    world.web.answers[URL] = lambda *_: reply
    names(world, entry())
    await refused(world, reason)
    assert not world.web.count("thief")


async def test_a_slow_pattern_does_not_hold_us_up(world: World, member: Party) -> None:
    evil = {"properties": {"credentialSubject": {"properties": {"memberOf": {"pattern": "^(a+)+$"}}}}}
    world.web.answers[URL] = lambda *_: json_reply(evil)
    names(world, entry(), memberOf="a" * 5_000 + "!")
    await refused(world, "schema")


@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512"])
async def test_digest(world: World, member: Party, name: str) -> None:
    digest = base64.b64encode(hashlib.new(name, wire.dumps(SCHEMA)).digest()).decode()
    names(world, entry(digestSRI=f"{name}-{digest}"))
    assert await authenticate(world.door, member.caller(), fresh=True)
    names(world, entry(digestSRI=f"{name}-{digest[::-1]}"))
    world.clock.forward(301)
    await refused(world, "schema-digest")


async def test_a_schema_is_kept_for_an_hour(world: World, member: Party) -> None:
    world.member.held[:] = [world.issuer.issue(member.did, schemas=[entry()])]
    for _ in range(3):
        await authenticate(world.door, member.caller(), fresh=True)
        world.clock.forward(301)
    assert world.web.count("/schema/") == 1
    world.clock.forward(KEPT.total_seconds())
    await authenticate(world.door, member.caller(), fresh=True)
    assert world.web.count("/schema/") == 2


async def test_nothing_is_fetched_for_an_untrusted_issuer(world: World, member: Party) -> None:
    stranger = world.party("did:web:stranger.example")
    member.held[:] = [stranger.issue(member.did, schemas=[entry("https://stranger.example/schema.json")])]
    with pytest.raises(Unauthorized) as caught:
        await authenticate(world.door, member.caller(), fresh=True)
    assert (caught.value.facts["stage"], caught.value.facts["reason"]) == ("issuer", "untrusted-issuer")
    assert not world.web.count("stranger")
