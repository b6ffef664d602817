"""identity.access: keys, roles and scopes at the door of a management API."""

import asyncio
import hashlib
import io
import itertools
import json
import sqlite3

import pytest

from identity.access.door import guard
from identity.access.principal import ROLES, Grant, Principal, grant
from kernel import telemetry
from kernel.errors import BadInput, Forbidden, Misconfigured
from kernel.web import Route
from tests.unit.access.conftest import FILE_KEY


@pytest.mark.parametrize(
    "given",
    [None, "", FILE_KEY, "Bearer", "Bearer ", "Bearer wrong", f"bearer {FILE_KEY}", f"Bearer {FILE_KEY}f", f"Bearer  {FILE_KEY}",
     f"Basic {FILE_KEY}", "Bearer kzk_", "Bearer a.b.c", "Bearer kzk_0123456789abcdef_" + "a" * 43],
)  # fmt: skip
async def test_without_a_right_key_it_is_401_and_one_answer(world, given):
    reply = await world.client.get("/v1/things", headers={} if given is None else {"Authorization": given})
    assert reply.status == 401
    assert await reply.json(content_type="application/problem+json") == {
        "type": "https://w3id.org/kizuna/problem/unauthorized",
        "title": "unauthorized",
        "status": 401,
        "code": "unauthorized",
        "detail": "no or wrong management key",
        "nextStep": "send Authorization: Bearer <management key>",
    }
    assert not world.ran


@pytest.mark.parametrize(
    "raw", [b"Bearer \xff", b"Bearer right\xff", "Bearer 鍵".encode(), b"Bearer \xed\xa0\x80", b"Bearer kzk_\xff"]
)
async def test_a_key_of_other_bytes_is_401_and_no_failure(world, raw):
    reader, writer = await asyncio.open_connection("127.0.0.1", world.client.server.port)
    writer.write(b"GET /v1/things HTTP/1.1\r\nHost: x\r\nAuthorization: " + raw + b"\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 400 "))


async def test_the_key_of_the_data_directory_may_everything_and_health_needs_none(world):
    assert (await world.call("GET", "/v1/things")).status == 200
    assert (await world.call("POST", "/v1/others")).status == 200
    assert (await world.call("GET", "/health", key="")).status == 200
    assert [each and each.who for each in world.ran] == ["file", "file", None]


async def test_unknown_paths_and_methods_are_not_told_apart_without_a_key(world):
    assert (await world.call("GET", "/nowhere", key="")).status == 401
    assert (await world.call("DELETE", "/v1/things", key="")).status == 401
    assert (await world.call("GET", "/nowhere")).status == 404
    assert (await world.call("DELETE", "/v1/things")).status == 405


async def test_head_needs_what_get_needs(world):
    key = await world.key("read")
    for path, status, shown in (
        ("/v1/keys", 403, key),
        ("/v1/keys", 200, FILE_KEY),
        ("/v1/things", 200, key),
        ("/v1/things", 401, ""),
        ("/health", 200, ""),
    ):
        assert (await world.call("HEAD", path, shown)).status == status, path


@pytest.mark.parametrize(
    ("role", "scopes", "allowed"),
    [
        ("read", (), {"GET /v1/things", "GET /v1/any", "GET /v1/audit"}),
        ("operate", (), {"GET /v1/things", "GET /v1/any", "GET /v1/audit", "POST /v1/things"}),
        ("admin", (), {"GET /v1/things", "GET /v1/any", "GET /v1/audit", "POST /v1/things", "POST /v1/others", "GET /v1/keys"}),
        ("operate", ("things",), {"GET /v1/things", "GET /v1/any", "POST /v1/things"}),
        ("admin", ("others",), {"POST /v1/others", "GET /v1/any"}),
        ("read", ("audit",), {"GET /v1/audit", "GET /v1/any"}),
    ],
)
async def test_a_key_opens_what_its_role_and_scopes_say_and_nothing_else(world, role, scopes, allowed):
    key = await world.key(role, *scopes)
    for each in ("GET /v1/things", "GET /v1/any", "GET /v1/audit", "POST /v1/things", "POST /v1/others", "GET /v1/keys"):
        reply = await world.call(*each.split(), key)
        assert (reply.status < 300) == (each in allowed), each
        if each not in allowed:
            assert (reply.status, reply.body["code"]) == (403, "forbidden")
            assert "role" in reply.body["detail"]
            assert reply.body["nextStep"]


async def test_a_key_is_kept_as_a_hash_and_shown_once(world, tmp_path):
    key = await world.key("operate", "things")
    secret = key.split("_", 2)[2]
    listed = await world.call("GET", "/v1/keys")
    (view,) = listed.body["items"]
    assert (view["role"], view["scopes"], view["name"], view["madeBy"], view["used"]) == (
        "operate",
        ["things"],
        "operate key",
        "file",
        "",
    )
    assert secret not in json.dumps(listed.body)
    world.database.close()
    dump = "\n".join(sqlite3.connect(tmp_path / "data.sqlite").iterdump())
    assert secret not in dump
    assert secret.encode().hex().upper() not in dump
    assert hashlib.sha256(secret.encode()).hexdigest().encode().hex().upper() in dump


@pytest.mark.parametrize("change", ["id", "last", "shorter", "longer", "upper"])
async def test_a_key_that_is_nearly_right_opens_nothing(world, change):
    key = await world.key()
    other = await world.key()
    wrong = {
        "id": other[:21] + key[21:],
        "last": key[:-1] + ("A" if key[-1] != "A" else "B"),
        "shorter": key[:-1],
        "longer": key + "A",
        "upper": key[:4] + key[4:20].upper() + key[20:] if key[4:20].upper() != key[4:20] else key + "0",
    }[change]
    assert (await world.call("GET", "/v1/things", wrong)).status == 401
    assert (await world.call("GET", "/v1/things", key)).status == 200


async def test_a_revoked_key_opens_nothing_from_that_call_on(world):
    key = await world.key()
    assert (await world.call("GET", "/v1/things", key)).status == 200
    revoked = await world.call("POST", f"/v1/keys/{key.split('_')[1]}/revoke")
    assert (revoked.status, revoked.body["revoked"]) == (200, "2026-11-24T09:00:00.000Z")
    assert (await world.call("GET", "/v1/things", key)).status == 401
    assert (await world.call("POST", f"/v1/keys/{key.split('_')[1]}/revoke")).status == 409
    assert (await world.call("POST", "/v1/keys/0000000000000000/revoke")).status == 404


async def test_a_key_ends_at_its_time(world):
    key = await world.key(expires="2026-11-24T10:00:00Z")
    world.clock.forward(minutes=59, seconds=59)
    assert (await world.call("GET", "/v1/things", key)).status == 200
    world.clock.forward(seconds=1)
    assert (await world.call("GET", "/v1/things", key)).status == 401


async def test_last_use_is_kept_to_the_hour(world):
    key = await world.key()

    async def used():
        return (await world.call("GET", "/v1/keys")).body["items"][0]["used"]

    await world.call("GET", "/v1/things", key)
    assert await used() == "2026-11-24T09:00:00.000Z"
    world.clock.forward(minutes=59)
    await world.call("GET", "/v1/things", key)
    assert await used() == "2026-11-24T09:00:00.000Z"
    world.clock.forward(minutes=1)
    await world.call("GET", "/v1/things", key)
    assert await used() == "2026-11-24T10:00:00.000Z"


async def test_noting_the_last_use_does_not_bring_a_revoked_key_back(world):
    """The note must not write an older copy of the row over the revocation."""
    key = await world.key()
    stale = await world.store.key(key.split("_")[1])
    await world.call("POST", f"/v1/keys/{stale.id}/revoke")
    await world.access._keys._note_use(stale, world.clock.now())
    assert (await world.store.key(stale.id)).revoked
    assert (await world.call("GET", "/v1/things", key)).status == 401


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"name": "", "role": "read"}, "name"),
        ({"name": "a\nb", "role": "read"}, "name"),
        ({"name": "x" * 101, "role": "read"}, "name"),
        ({"name": "x", "role": "root"}, "no role"),
        ({"name": "x", "role": "read", "scopes": ["thing"]}, "no scope"),
        ({"name": "x", "role": "read", "expires": "2026-11-24T09:00:00Z"}, "passed"),
        ({"name": "x", "role": "read", "expires": "tomorrow"}, "ISO 8601"),
        ({"name": "x", "role": "read", "expires": "2027-01-01T00:00:00"}, "zone"),
        ({"name": "x", "role": "read", "digest": "0"}, "digest"),
        ({"role": "read"}, "name"),
        ([], "Expected"),
    ],
)
async def test_a_key_that_makes_no_sense_is_refused_with_the_reason(world, body, says):
    reply = await world.call("POST", "/v1/keys", json=body)
    assert reply.status == 400
    assert says in reply.body["detail"]
    assert not (await world.call("GET", "/v1/keys")).body["items"]


async def test_nobody_hands_out_more_than_it_has(world):
    """Elevation: an administrator of keys alone must not make itself an administrator of everything, nor revoke who is."""
    limited, full = await world.key("admin", "keys"), await world.key("admin")
    for role, scopes in (("admin", []), ("read", []), ("operate", ["things"]), ("read", ["keys", "things"])):
        reply = await world.call("POST", "/v1/keys", limited, json={"name": "mine", "role": role, "scopes": scopes})
        assert (reply.status, reply.body["code"]) == (403, "forbidden"), (role, scopes)
    await world.key("operate", "keys", by=limited)
    assert (await world.call("POST", f"/v1/keys/{full.split('_')[1]}/revoke", limited)).status == 403
    assert (await world.call("GET", "/v1/things", full)).status == 200


def test_a_grant_covers_exactly_what_it_holds():
    scopes = [(), ("a",), ("b",), ("a", "b")]
    every = [Grant(role, scope) for role in ROLES for scope in scopes]
    for one, other in itertools.product(every, every):
        held = {(role, scope) for role in ROLES for scope in ("a", "b", "c") if other.holds(role, scope)}
        assert one.covers(other) == all(one.holds(role, scope) for role, scope in held), (one, other)


def test_several_grants_are_not_mixed():
    """The role of one grant in the scope of another is nobody's."""
    found = Principal("oidc:x", "x", (Grant("admin", ("a",)), Grant("read", ("b",))))
    assert found.may("admin", "a")
    assert found.may("read", "b")
    assert not found.may("operate", "b")
    with pytest.raises(Forbidden):
        found.check_giving(Grant("read", ("a", "b")))
    with pytest.raises(Forbidden):
        Principal("oidc:x", "x", ()).check("read", "")


def test_a_grant_of_unknown_words_is_refused():
    assert grant("read", ["b", "a", "a"], frozenset("abc")) == Grant("read", ("a", "b"))
    for role, scopes in (("Admin", []), ("", []), ("read", ["*"]), ("read", [""])):
        with pytest.raises(BadInput):
            grant(role, scopes, frozenset("abc"))


def test_a_route_without_a_role_stops_the_start(world):
    async def handler(_):
        raise AssertionError

    with pytest.raises(Misconfigured, match="names no role"):
        guard([Route(method="GET", path="/x", handler=handler, auth="key", summary="x")], None, None)


async def test_why_a_key_was_refused_stands_in_the_log_and_its_secret_does_not(world):
    key = await world.key()
    await world.call("POST", f"/v1/keys/{key.split('_')[1]}/revoke")
    found = io.StringIO()
    telemetry.configure(stream=found)
    await world.call("GET", "/v1/things", key)
    assert '"reason":"revoked"' in found.getvalue().replace(": ", ":")
    assert key not in found.getvalue()
    telemetry.get("test").info("carelessly", text=f"it came with {key} in it")
    assert key.split("_", 2)[2] not in found.getvalue()
