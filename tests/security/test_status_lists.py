"""Attacks on status lists: identity.md 6, groups 32 to 39, each by its reason, at `StatusReader.read`."""

import asyncio
import gzip
from datetime import timedelta
from typing import Any

import pytest

from identity import did as dids
from identity import jose, status, vc
from identity.status import LIST2021, BitString
from identity.vc import Credential
from kernel import wire
from kernel.errors import KizunaError
from kernel.http import Reply, Unreachable
from kernel.wire import b64url
from tests.unit.identity_core.world import ALL, StatusHost, World, signer


@pytest.fixture
def host(world: World) -> StatusHost:
    return StatusHost(world.issuer, "1")


def credential(world: World, *entries: vc.StatusEntry) -> Credential:
    return vc.parse_vc(world.issuer.issue(world.member.did, status=entries))


async def refused(world: World, found: Credential, reason: str, max_age: float = 1) -> None:
    with pytest.raises(KizunaError) as caught:
        await world.status.read(found, max_age=max_age)
    assert caught.value.facts.get("reason", caught.value.code) == reason


def raw_entry(world: World, **changes: Any) -> str:
    """A credential whose status entry says anything."""
    claims = jose.parse(world.issuer.issue(world.member.did)).claims
    entry = {
        "type": "BitstringStatusListEntry",
        "statusPurpose": "revocation",
        "statusListIndex": "1",
        "statusListCredential": "https://issuer.example/status/1",
    } | changes
    status_ = {name: value for name, value in entry.items() if value is not None}
    return jose.sign(claims | {"credentialStatus": status_}, world.issuer.key, typ="vc+jwt")


@pytest.mark.parametrize("kind", [status.BITSTRING, LIST2021])
@pytest.mark.parametrize("purpose", ["revocation", "suspension"])
async def test_g32_set_and_unset(world: World, kind: str, purpose: str) -> None:
    host = StatusHost(world.issuer, "9", purpose, kind)
    found = credential(world, host.entry(41))
    assert await world.status.read(found, max_age=1) == frozenset()
    host.set(41)
    world.clock.forward(2)
    assert await world.status.read(found, max_age=1) == {purpose}
    host.set(41, 0)
    host.set(40)
    host.set(42)
    world.clock.forward(2)
    assert await world.status.read(found, max_age=1) == frozenset()


async def test_g32_list_for_another_purpose(world: World, host: StatusHost) -> None:
    await refused(world, credential(world, host.entry(1, purpose="suspension")), "purpose")


async def test_g32_list_with_several_purposes(world: World, host: StatusHost) -> None:
    host.changes["subject"] = status.list_subject(host.url, "x", host.bits) | {"statusPurpose": ["revocation", "suspension"]}
    host.sign()
    assert await world.status.read(credential(world, host.entry(1, purpose="suspension")), max_age=1) == frozenset()


@pytest.mark.parametrize("code", [301, 302, 304, 404, 410, 500, 204])
async def test_g33_list_is_not_there(world: World, host: StatusHost, code: int) -> None:
    world.web.answers[host.url] = lambda *_: Reply(code, {"Location": "https://thief.example"}, host.jwt.encode())
    await refused(world, credential(world, host.entry(1)), "list-status")


async def test_g33_unreachable(world: World, host: StatusHost) -> None:
    del world.web.answers[host.url]
    await refused(world, credential(world, host.entry(1)), "unreachable")


async def test_g33_oversized(world: World, host: StatusHost) -> None:
    world.web.answers[host.url] = lambda *_: Reply(200, {}, b"x" * (5 * 1024 * 1024))
    await refused(world, credential(world, host.entry(1)), "unreachable")


async def test_g34_unsigned_list(world: World, host: StatusHost) -> None:
    body = wire.dumps(jose.parse(host.jwt, limit=100_000).claims)
    world.web.answers[host.url] = lambda *_: Reply(200, {"Content-Type": "application/json"}, body)
    await refused(world, credential(world, host.entry(1)), "unsigned")


async def test_g34_list_with_alg_none(world: World, host: StatusHost) -> None:
    claims = jose.parse(host.jwt, limit=100_000).claims
    body = f"{b64url(wire.dumps({'alg': 'none', 'typ': 'vc+jwt'}))}.{b64url(wire.dumps(claims))}."
    world.web.answers[host.url] = lambda *_: Reply(200, {}, body.encode())
    await refused(world, credential(world, host.entry(1)), "list-alg")


async def test_g35_list_of_another_did(world: World, host: StatusHost) -> None:
    thief = world.party("did:web:thief.example")
    host.changes["signer"] = thief.key
    host.sign()
    await refused(world, credential(world, host.entry(1)), "list-issuer")


async def test_g35_list_signed_by_another_for_the_issuer(world: World, host: StatusHost) -> None:
    thief = world.party("did:web:thief.example")
    host.changes |= {"signer": thief.key, "issuer": world.issuer.did}
    host.sign()
    await refused(world, credential(world, host.entry(1)), "kid")


async def test_g35_kid_that_does_not_say_whose_it_is(world: World, host: StatusHost) -> None:
    old = jose.parse(host.jwt, limit=100_000)
    signed = f"{b64url(wire.dumps(old.header | {'kid': '#k1'}))}.{b64url(wire.dumps(old.claims))}"
    host.jwt = f"{signed}.{b64url(world.issuer.key.sign(signed.encode()))}"
    await refused(world, credential(world, host.entry(1)), "kid")


async def test_g35_forged_signature(world: World, host: StatusHost) -> None:
    host.changes["signer"] = signer(world.issuer.did)
    host.sign()
    await refused(world, credential(world, host.entry(1)), "signature")


async def test_g35_credential_points_at_the_list_of_another_trusted_issuer(world: World, host: StatusHost) -> None:
    await world.status.read(credential(world, host.entry(1)), max_age=900)
    other = world.party("did:web:other.example")
    foreign = vc.parse_vc(other.issue(world.member.did, status=[host.entry(1)]))
    await refused(world, foreign, "list-issuer", 900)


async def test_g35_key_not_for_assertions(world: World, host: StatusHost) -> None:
    world.issuer.document["assertionMethod"] = []
    await refused(world, credential(world, host.entry(1)), "relationship")


async def test_g36_expired_list_and_list_of_tomorrow(world: World, host: StatusHost) -> None:
    found = credential(world, host.entry(1))
    world.clock.forward(86_401)
    await refused(world, found, "list-window")
    host.changes["valid_from"] = world.clock.now() + timedelta(seconds=20)
    host.changes["valid_until"] = world.clock.now() + timedelta(days=1)
    host.sign()
    await refused(world, found, "list-window")


async def test_g36_cached_list_ends_with_its_window(world: World, host: StatusHost) -> None:
    host.changes["valid_until"] = world.clock.now() + timedelta(seconds=60)
    host.sign()
    found = credential(world, host.entry(1))
    await world.status.read(found, max_age=900)
    world.clock.forward(61)
    await refused(world, found, "list-window", 900)


async def test_g36_cache_by_age(world: World, host: StatusHost) -> None:
    found = credential(world, host.entry(1))
    for _ in range(3):
        await world.status.read(found, max_age=1)
    assert host.asked == 1
    world.clock.forward(1.5)
    await world.status.read(found, max_age=900)
    assert host.asked == 1
    await world.status.read(found, max_age=1)
    assert (host.asked, host.unchanged) == (2, 1)


async def test_g36_clock_that_went_back_makes_the_list_stale(world: World, host: StatusHost) -> None:
    found = credential(world, host.entry(1))
    world.clock.forward(5)
    await world.status.read(found, max_age=900)
    world.clock.forward(-3)
    await world.status.read(found, max_age=900)
    assert host.asked == 2


async def test_g36_not_modified_is_checked_with_the_issuers_present_keys(world: World, host: StatusHost) -> None:
    found = credential(world, host.entry(1))
    await world.status.read(found, max_age=1)
    newer = signer(world.issuer.did, "k2")
    world.issuer.document = dids.document(world.issuer.did, [dids.Key(newer.kid, newer.public_jwk(), ALL)])
    world.clock.forward(301)
    await refused(world, found, "kid")


async def test_g36_list_that_becomes_unreachable_is_used_within_its_age_only(world: World, host: StatusHost) -> None:
    found = credential(world, host.entry(1))
    await world.status.read(found, max_age=1)
    del world.web.answers[host.url]
    world.clock.forward(10)
    assert await world.status.read(found, max_age=900) == frozenset()
    await refused(world, found, "unreachable")


@pytest.mark.parametrize(
    "index", ["-1", "abc", "1.5", "0x1", "1" + "0" * 20, "01", "+1", " 1", "1 ", "", "１", "1e3", 1, 1.0, None, True, ["1"]]
)
def test_g37_malformed_index(world: World, index: object) -> None:
    with pytest.raises(vc.BadCredential) as caught:
        vc.parse_vc(raw_entry(world, statusListIndex=index))
    assert caught.value.facts["reason"] == "status-index"


async def test_g37_just_out_of_range(world: World, host: StatusHost) -> None:
    assert await world.status.read(credential(world, host.entry(len(host.bits) - 1)), max_age=1) == frozenset()
    await refused(world, credential(world, host.entry(len(host.bits))), "range")


@pytest.mark.parametrize("size", [0, -1, 9, "1", 1.0, True, None])
def test_g37_status_size(world: World, size: object) -> None:
    token = raw_entry(world, statusSize=size)
    if size is None:
        assert vc.parse_vc(token).status[0].size == 1
        return
    with pytest.raises(vc.BadCredential) as caught:
        vc.parse_vc(token)
    assert caught.value.facts["reason"] == "status-form"


async def test_g37_status_size_of_two(world: World, host: StatusHost) -> None:
    messages = [{"status": hex(value), "message": str(value)} for value in range(4)]
    with pytest.raises(vc.BadCredential):
        vc.parse_vc(raw_entry(world, statusSize=2))
    found = vc.parse_vc(raw_entry(world, statusSize=2, statusMessage=messages, statusListIndex="3"))
    await refused(world, found, "length")  # the minimum counts entries, not bits
    host.bits = BitString.empty(2 * status.MINIMUM_BITS)
    host.bits.set(6)
    host.sign()
    assert host.bits.get(3, 2) == 2
    world.clock.forward(2)
    assert await world.status.read(found, max_age=0) == {"revocation"}
    assert await world.status.values(found, max_age=1) == (status.StatusValue("revocation", 2, "2"),)


@pytest.mark.parametrize(
    "messages",
    [
        "0x0",
        [],
        [{"status": "0x0", "message": "a"}],
        [{"status": "0x0", "message": "a"}, {"status": "0x0", "message": "b"}],
        [{"status": "0x0", "message": "a"}, {"status": "0x2", "message": "b"}],
        [{"status": "0", "message": "a"}, {"status": "1", "message": "b"}],
        [{"status": "0x0"}, {"status": "0x1"}],
        ["0x0", "0x1"],
    ],
)
def test_g37_messages_that_do_not_name_every_value_once(world: World, messages: object) -> None:
    with pytest.raises(vc.BadCredential) as caught:
        vc.parse_vc(raw_entry(world, statusMessage=messages))
    assert caught.value.facts["reason"] == "status-form"


async def test_message_is_told_with_its_text(world: World, host: StatusHost) -> None:
    messages = [{"status": "0x1", "message": "under review"}, {"status": "0x0", "message": "fine"}]
    told = StatusHost(world.issuer, "m", "message")
    token = raw_entry(
        world, statusPurpose="message", statusMessage=messages, statusListCredential=told.url, statusReference="https://x.example/"
    )
    found = vc.parse_vc(token)
    assert found.status[0].references == ("https://x.example/",)
    assert await world.status.values(found, max_age=1) == (status.StatusValue("message", 0, "fine"),)
    told.set(1)
    world.clock.forward(2)
    value = (await world.status.values(found, max_age=1))[0]
    assert (value.value, value.message, value.denies) == (1, "under review", False)


async def test_ttl_asks_again_sooner_and_prolongs_nothing(world: World, host: StatusHost) -> None:
    host.changes["subject"] = status.list_subject(host.url, "revocation", host.bits) | {"ttl": 60_000}
    host.sign()
    found = credential(world, host.entry(1))
    await world.status.read(found, max_age=900)
    world.clock.forward(59)
    await world.status.read(found, max_age=900)
    assert host.asked == 1
    world.clock.forward(2)
    await world.status.read(found, max_age=900)
    assert host.asked == 2
    world.clock.forward(2)
    await world.status.read(found, max_age=1)
    assert host.asked == 3


@pytest.mark.parametrize("ttl", ["60000", -1, True, []])
async def test_ttl_that_is_no_number(world: World, host: StatusHost, ttl: object) -> None:
    host.changes["subject"] = status.list_subject(host.url, "revocation", host.bits) | {"ttl": ttl}
    host.sign()
    await refused(world, credential(world, host.entry(1)), "list-form")


async def test_g33_grace_while_the_host_is_silent_and_no_longer(world: World, host: StatusHost) -> None:
    found = credential(world, host.entry(1))
    await world.status.read(found, max_age=60, grace=840)
    for broken in (None, lambda *_: Reply(503, {}, b"")):
        world.web.answers.pop(host.url)
        if broken:
            world.web.answers[host.url] = broken
        else:
            world.web.answers[host.url] = lambda *_: (_ for _ in ()).throw(Unreachable("gone"))
        world.clock.forward(400)
        assert await world.status.read(found, max_age=60, grace=840) == frozenset()
        with pytest.raises(KizunaError):
            await world.status.read(found, max_age=60)
    world.clock.forward(101)
    with pytest.raises(KizunaError):
        await world.status.read(found, max_age=60, grace=840)


async def test_g33_no_grace_for_a_host_that_answers_something_else(world: World, host: StatusHost) -> None:
    found = credential(world, host.entry(1))
    await world.status.read(found, max_age=60, grace=840)
    world.clock.forward(61)
    for reply, reason in ((Reply(404, {}, b""), "list-status"), (Reply(200, {}, b"{}"), "unsigned")):
        world.web.answers[host.url] = lambda *_, reply=reply: reply
        with pytest.raises(KizunaError) as caught:
            await world.status.read(found, max_age=60, grace=840)
        assert caught.value.facts["reason"] == reason


async def test_g33_grace_ends_with_the_lists_window(world: World, host: StatusHost) -> None:
    host.changes["valid_until"] = world.clock.now() + timedelta(seconds=120)
    host.sign()
    found = credential(world, host.entry(1))
    await world.status.read(found, max_age=60, grace=840)
    del world.web.answers[host.url]
    world.clock.forward(119)
    assert await world.status.read(found, max_age=60, grace=840) == frozenset()
    world.clock.forward(2)
    await refused(world, found, "unreachable", 60)


async def test_a_silent_host_is_not_asked_by_every_call_while_grace_lasts(world: World, host: StatusHost) -> None:
    found = credential(world, host.entry(1))
    await world.status.read(found, max_age=60, grace=840)
    del world.web.answers[host.url]
    world.clock.forward(61)
    before = world.web.count("/status/")
    for _ in range(20):
        await world.status.read(found, max_age=60, grace=840)
    assert world.web.count("/status/") == before + 1
    world.clock.forward(6)
    await world.status.read(found, max_age=60, grace=840)
    assert world.web.count("/status/") == before + 2


async def test_an_invalidated_list_is_read_anew_with_or_without_grace(world: World, host: StatusHost) -> None:
    found = credential(world, host.entry(1))
    await world.status.read(found, max_age=900)
    host.set(1)
    assert await world.status.read(found, max_age=900) == frozenset()
    world.status.invalidate(world.issuer.did)
    assert await world.status.read(found, max_age=900) == {"revocation"}
    world.status.invalidate(world.issuer.did)
    del world.web.answers[host.url]
    with pytest.raises(KizunaError):
        await world.status.read(found, max_age=60, grace=840)


async def test_a_fetch_under_way_does_not_survive_an_invalidation(world: World, host: StatusHost) -> None:
    gate, early = asyncio.Event(), host.jwt

    async def slow(*_: object) -> Reply:
        await gate.wait()
        return Reply(200, {}, early.encode())

    world.web.answers[host.url] = slow
    found = credential(world, host.entry(1))
    first = asyncio.create_task(world.status.read(found, max_age=900))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    host.set(1)
    world.web.answers[host.url] = host.answer
    world.status.invalidate(world.issuer.did)
    gate.set()
    assert await first == {"revocation"}
    assert await world.status.read(found, max_age=900) == {"revocation"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "RevocationList2020Status"}, "status-type"),
        ({"type": None}, "status-type"),
        ({"statusListCredential": None}, "status-form"),
        ({"statusListCredential": 5}, "status-form"),
        ({"statusPurpose": None}, "status-form"),
        ({"id": "https://issuer.example/status/1"}, "status-form"),
    ],
)
def test_entry_that_says_too_little(world: World, changes: dict, reason: str) -> None:
    with pytest.raises(vc.BadCredential) as caught:
        vc.parse_vc(raw_entry(world, **changes))
    assert caught.value.facts["reason"] == reason


@pytest.mark.parametrize(("kind", "other"), [(status.BITSTRING, LIST2021), (LIST2021, status.BITSTRING)])
async def test_list_of_another_kind_than_the_entry(world: World, kind: str, other: str) -> None:
    host = StatusHost(world.issuer, "7", kind=kind)
    await refused(world, credential(world, host.entry(1, type=f"{other}Entry")), "list-type")


async def test_credential_that_is_no_list(world: World, host: StatusHost) -> None:
    host.changes["types"] = ["MembershipCredential"]
    host.sign()
    await refused(world, credential(world, host.entry(1)), "list-type")


async def test_list_with_another_id_than_its_address(world: World, host: StatusHost) -> None:
    host.changes["id"] = "https://issuer.example/status/2"
    host.sign()
    await refused(world, credential(world, host.entry(1)), "list-id")


def encoded(world: World, host: StatusHost, text: object) -> None:
    host.changes["subject"] = status.list_subject(host.url, "revocation", BitString.empty()) | {"encodedList": text}
    host.sign()


async def test_g38_decompression_bomb(world: World, host: StatusHost) -> None:
    bomb = gzip.compress(b"\0" * (200 * 1024 * 1024), compresslevel=9)
    encoded(world, host, "u" + b64url(bomb))
    await refused(world, credential(world, host.entry(1)), "bomb")


@pytest.mark.parametrize(
    "make",
    [
        lambda good: good + good,
        lambda good: good + b"trailing",
        lambda good: good[:-1],
        lambda good: good[:20],
        lambda _: b"",
        lambda _: b"not gzip",
    ],
    ids=["two members", "trailing data", "cut by one", "cut", "empty", "not gzip"],
)
async def test_g38_gzip_games(world: World, host: StatusHost, make: Any) -> None:
    encoded(world, host, "u" + b64url(make(gzip.compress(bytes(16_384)))))
    await refused(world, credential(world, host.entry(1)), "encoding")


@pytest.mark.parametrize("text", ["u!", "uH4sI=", "H4sI\n", "zAbc", "mH4sI"])
async def test_g38_not_base64(world: World, host: StatusHost, text: str) -> None:
    encoded(world, host, text)
    await refused(world, credential(world, host.entry(1)), "encoding")


@pytest.mark.parametrize("text", [None, 5, [], {}])
async def test_g38_no_list_in_the_list(world: World, host: StatusHost, text: object) -> None:
    encoded(world, host, text)
    await refused(world, credential(world, host.entry(1)), "list-form")


async def test_g38_list_shorter_than_the_minimum(world: World, host: StatusHost) -> None:
    encoded(world, host, BitString.empty(16_384).encode())
    await refused(world, credential(world, host.entry(1)), "length")


def test_g39_bit_order() -> None:
    bits = BitString(bytes([0b1000_0001, 0b0100_0000]))
    assert [index for index in range(16) if bits.get(index)] == [0, 7, 9]


async def test_concurrent_reads_share_one_fetch(world: World, host: StatusHost) -> None:
    found = credential(world, host.entry(1))
    await asyncio.gather(*(world.status.read(found, max_age=1) for _ in range(50)))
    assert host.asked == 1


async def test_a_fetch_that_began_too_early_does_not_count(world: World, host: StatusHost) -> None:
    """A decision does not use a list that was asked for before the time it may look back to."""
    gate = asyncio.Event()
    early = host.jwt

    async def slow(*_: object) -> Reply:
        answer = early if world.clock.now() < moment else host.jwt
        await gate.wait()
        return Reply(200, {}, answer.encode())

    moment = world.clock.now() + timedelta(seconds=1)
    world.web.answers[host.url] = slow
    found = credential(world, host.entry(1))
    first = asyncio.create_task(world.status.read(found, max_age=900))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    world.clock.forward(5)
    host.set(1)
    second = asyncio.create_task(world.status.read(found, max_age=1))
    await asyncio.sleep(0)
    gate.set()
    assert await first == frozenset()
    assert await second == {"revocation"}


async def test_a_list_that_is_invalidated_while_it_comes_and_again_is_no_list(world: World, host: StatusHost) -> None:
    """Changes are told faster than lists can be read: then there is none that is new enough, and the caller is denied."""

    def answer(*given: Any) -> Reply:
        world.status.invalidate(world.issuer.did)
        return host.answer(*given)

    world.web.answers[host.url] = answer
    await refused(world, credential(world, host.entry(1)), "stale", 900)
    world.web.answers[host.url] = host.answer
    assert await world.status.read(credential(world, host.entry(1)), max_age=900) == frozenset()
