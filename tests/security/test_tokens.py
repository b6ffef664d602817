"""Attacks on Self-Issued ID tokens: identity.md 6, groups 1 to 16, 45 and 46, each by its reason, at `verify_token`."""

import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives import serialization

from identity import did as dids
from identity import jose
from identity.verify import Caller, VerifiedToken, verify_token
from kernel import wire
from kernel.errors import Unauthorized
from tests.unit.identity_core.world import ALL, Party, World, signer


async def refused(world: World, caller: Caller, reason: str) -> Unauthorized:
    """The caller is refused for this reason, and learns nothing of it."""
    with pytest.raises(Unauthorized) as caught:
        await verify_token(world.door, caller)
    assert caught.value.facts["reason"] == reason
    assert caught.value.problem()["detail"] == "the caller is not authenticated"
    assert reason not in str(caught.value.problem().values())
    return caught.value


def raw(header: dict, claims: dict, key: bytes | None = None) -> str:
    """A compact JWS with any header, signed by HMAC or by nobody."""
    signed = f"{wire.b64url(wire.dumps(header))}.{wire.b64url(wire.dumps(claims))}"
    mac = hmac.digest(key, signed.encode(), "sha256") if key is not None else b""
    return f"{signed}.{wire.b64url(mac)}"


def with_header(member: Party, **header: object) -> str:
    return jose.sign(member.claims(), member.key, header=header)


async def test_a_good_token_is_verified(world: World, member: Party) -> None:
    found = await verify_token(world.door, member.caller(jti="j1"), mtls="required")
    assert isinstance(found, VerifiedToken)
    assert (found.did, found.use.issuer, found.use.jti, found.access_token) == (member.did, member.did, "j1", "access")
    assert found.member_channel
    assert found.use.expires.timestamp() == member.claims()["exp"]


@pytest.mark.parametrize("alg", ["none", "None", "NONE", None, "", 1])
async def test_g01_no_algorithm(world: World, member: Party, alg: object) -> None:
    header = {"kid": member.key.kid, "typ": "JWT"} | ({} if alg is None else {"alg": alg})
    await refused(world, member.caller(raw(header, member.claims())), "alg")


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
async def test_g02_public_key_as_hmac_secret(world: World, member: Party, alg: str) -> None:
    pem = member.key._key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    token = raw({"alg": alg, "kid": member.key.kid}, member.claims(), pem)
    await refused(world, member.caller(token), "alg")


async def test_g03_es256_with_a_p384_key(world: World) -> None:
    member = world.party("did:web:other.example", "ES384")
    header = {"alg": "ES256", "kid": member.key.kid}
    signed = f"{wire.b64url(wire.dumps(header))}.{wire.b64url(wire.dumps(member.claims()))}"
    token = f"{signed}.{wire.b64url(member.key.sign(signed.encode()))}"
    await refused(world, member.caller(token), "key-alg")


@pytest.mark.parametrize("header", [{"crit": ["x"], "x": 1}, {"crit": []}, {"b64": False, "crit": ["b64"]}, {"zip": "DEF"}])
async def test_g04_unknown_extension(world: World, member: Party, header: dict) -> None:
    await refused(world, member.caller(with_header(member, **header)), "extension")


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
async def test_g05_header_offers_a_key(world: World, member: Party, name: str) -> None:
    thief = signer(member.did)
    value = thief.public_jwk() if name == "jwk" else "https://thief.example/key"
    token = jose.sign(member.claims(), thief, header={name: value})
    await refused(world, member.caller(token), "key-source")
    assert not world.web.count("thief")


async def test_g06_kid_of_another_did(world: World, member: Party) -> None:
    thief = world.party("did:web:thief.example")
    await refused(world, member.caller(member.token(key=thief.key)), "kid")


async def test_g06_no_key_found_is_no_success(world: World, member: Party) -> None:
    await refused(world, member.caller(member.token(key=signer(member.did, "unknown"))), "kid")


@pytest.mark.parametrize(
    ("iss", "kid"),
    [
        ("did:web:corp.example.com", "did:web:corp-example.com#k1"),
        ("did:web:corp.example.com", "did:web:corp.example.com.evil.example#k1"),
        ("did:web:corp.example.com", "did:web:corp.example.com:k1#k1"),
        ("did:web:corp.example.com", "did:web:CORP.example.com#k1"),
    ],
)
async def test_g07_look_alike_did(world: World, iss: str, kid: str) -> None:
    world.party("did:web:corp.example.com")
    thief = signer(kid.partition("#")[0])
    if kid.islower():
        world.party(thief.kid.partition("#")[0])
    claims = world.member.claims(iss=iss, sub=iss, cnf=None)
    reason = "kid" if kid.islower() else "did-host"
    await refused(world, Caller((f"Bearer {jose.sign(claims, thief)}",)), reason)


@pytest.mark.parametrize(
    "iss", ["did:web:corp.*", "did:web:(corp|evil).example", "did:web:corp.example#.*", "https://corp.example"]
)
async def test_g07_iss_with_metacharacters(world: World, member: Party, iss: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        await verify_token(world.door, member.caller(iss=iss, sub=iss, cnf=None))
    assert caught.value.facts["reason"].startswith("did-")


async def test_g08_no_kid_with_one_method(world: World, member: Party) -> None:
    assert (await verify_token(world.door, member.caller(_without_kid(member)))).did == member.did


async def test_g08_no_kid_with_two_methods(world: World, member: Party) -> None:
    second = signer(member.did, "k2")
    keys = [dids.Key(each.kid, each.public_jwk(), ALL) for each in (member.key, second)]
    member.document |= dids.document(member.did, keys)
    await refused(world, member.caller(_without_kid(member)), "kid")


def _without_kid(member: Party) -> str:
    signed = f"{wire.b64url(wire.dumps({'alg': 'ES256'}))}.{wire.b64url(wire.dumps(member.claims()))}"
    return f"{signed}.{wire.b64url(member.key.sign(signed.encode()))}"


@pytest.mark.parametrize("listed", [[dids.AUTHENTICATION], [dids.ASSERTION], []])
async def test_g09_key_not_for_invocation(world: World, member: Party, listed: list[str]) -> None:
    for name in ALL:
        member.document[name] = [member.key.kid] if name in listed else []
    await refused(world, member.caller(), "relationship")


async def test_g10_document_of_another_did(world: World, member: Party) -> None:
    member.document["id"] = "did:web:other.example"
    await refused(world, member.caller(), "document-id")


async def test_g11_foreign_controller(world: World, member: Party) -> None:
    member.document["verificationMethod"][0]["controller"] = "did:web:other.example"
    await refused(world, member.caller(), "controller")


@pytest.mark.parametrize("changes", [{"sub": "did:web:other.example"}, {"sub": None}, {"iss": None}, {"iss": 5, "sub": 5}])
async def test_g12_iss_and_sub_differ(world: World, member: Party, changes: dict) -> None:
    await refused(world, member.caller(**changes), "iss-sub")


@pytest.mark.parametrize("aud", ["did:web:other.example", None, [], ["a", "b"], 7, "did:web:verifier.example"])
async def test_g13_audience(world: World, member: Party, aud: object) -> None:
    await refused(world, member.caller(aud=aud), "aud")


async def test_g13_two_audiences_one_of_them_ours(world: World, member: Party) -> None:
    await refused(world, member.caller(aud=[world.verifier.did, "did:web:other.example"]), "aud")


async def test_g13_one_audience_in_an_array(world: World, member: Party) -> None:
    assert await verify_token(world.door, member.caller(aud=[world.verifier.did]))


@pytest.mark.parametrize(
    ("name", "seconds", "good"),
    [("exp", -9, True), ("exp", -10, False), ("iat", 10, True), ("iat", 11, False), ("nbf", 10, True), ("nbf", 11, False)],
)
async def test_g14_edges_of_the_leeway(world: World, member: Party, name: str, seconds: int, *, good: bool) -> None:
    moment = int(world.clock.now().timestamp()) + seconds
    others = {"iat": moment - 100} if name == "exp" else {}
    caller = member.caller(**{name: moment}, **others)
    if good:
        assert await verify_token(world.door, caller)
    else:
        await refused(world, caller, name)


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ["1", True, 2**63, -1, 1e300, [], {}, "2026-11-24T09:00:00Z"])
async def test_g14_malformed_times(world: World, member: Party, name: str, value: object) -> None:
    await refused(world, member.caller(**{name: value}), name)


@pytest.mark.parametrize(("name", "reason"), [("exp", "exp"), ("iat", "iat"), ("jti", "jti-form")])
async def test_g14_missing_claims(world: World, member: Party, name: str, reason: str) -> None:
    await refused(world, member.caller(**{name: None}), reason)


async def test_g14_life_of_601_seconds(world: World, member: Party) -> None:
    now = int(world.clock.now().timestamp())
    assert await verify_token(world.door, member.caller(exp=now + 600))
    await refused(world, member.caller(exp=now + 601), "life")


async def test_g15_replayed_jti(world: World, member: Party) -> None:
    caller = member.caller(jti="once")
    use = (await verify_token(world.door, caller)).use
    world.used.add((use.issuer, use.jti))
    await refused(world, caller, "jti")
    await refused(world, member.caller(jti="once"), "jti")


async def test_g15_same_jti_of_another_issuer(world: World, member: Party) -> None:
    world.used.add((member.did, "once"))
    other = world.party("did:web:other.example")
    assert await verify_token(world.door, other.caller(jti="once"))


async def test_g15_a_forged_token_does_not_reach_the_jti_check(world: World, member: Party) -> None:
    world.used.add((member.did, "once"))
    await refused(world, member.caller(member.token(key=signer(member.did), jti="once")), "signature")


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("",),
        ("Bearer",),
        ("Bearer ",),
        ("bearer {}",),
        ("BEARER {}",),
        ("Bearer  {}",),
        ("Bearer {} ",),
        ("Bearer {} {}",),
        ("Bearer\t{}",),
        ("Basic {}",),
        ("{}",),
        ("Bearer {}", "Bearer {}"),
    ],
)
async def test_g16_header(world: World, member: Party, values: tuple[str, ...]) -> None:
    token = member.token()
    caller = Caller(tuple(each.replace("{}", token) for each in values), member.leaf)
    await refused(world, caller, "header")


@pytest.mark.parametrize("typ", ["vc+jwt", "vp+jwt", "at+jwt", "secevent+jwt"])
async def test_another_kind_of_jwt(world: World, member: Party, typ: str) -> None:
    await refused(world, member.caller(member.token(typ=typ)), "typ")


@pytest.mark.parametrize("where", ["header", "claims"])
async def test_g45_duplicate_members(world: World, member: Party, where: str) -> None:
    header = wire.dumps({"alg": "ES256", "kid": member.key.kid})
    claims = wire.dumps(member.claims())
    if where == "header":
        header = header[:-1] + b',"alg":"ES256"}'
    else:
        claims = claims[:-1] + b',"iss":"did:web:thief.example"}'
    signed = f"{wire.b64url(header)}.{wire.b64url(claims)}"
    await refused(world, member.caller(f"{signed}.{wire.b64url(member.key.sign(signed.encode()))}"), "json")


async def test_g46_oversized_token(world: World, member: Party) -> None:
    await refused(world, member.caller(pad="x" * 20_000), "size")


async def test_g46_encrypted_token(world: World, member: Party) -> None:
    header = wire.b64url(json.dumps({"alg": "RSA-OAEP", "enc": "A256GCM", "zip": "DEF"}).encode())
    await refused(world, member.caller(f"{header}.a.b.c.d"), "jwe")


async def test_g46_deep_nesting(world: World, member: Party) -> None:
    body = b'{"a":' * 40 + b"1" + b"}" * 40
    signed = f"{wire.b64url(wire.dumps({'alg': 'ES256'}))}.{wire.b64url(body)}"
    await refused(world, member.caller(f"{signed}.AAAA"), "json")


@pytest.mark.parametrize("token", ["a", "a.b", "..", "a.b.c.d", "a.b.c.d.e.f", "é.b.c"])
async def test_not_a_jws(world: World, member: Party, token: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        await verify_token(world.door, member.caller(token))
    assert caught.value.facts["reason"] in {"form", "json", "header"}


async def test_padded_or_altered_base64_is_another_text(world: World, member: Party) -> None:
    head, claims, signature = member.token().split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = signature[:-1] + last[last.index(signature[-1]) ^ 1]
    assert base64.urlsafe_b64decode(twin + "==") == base64.urlsafe_b64decode(signature + "==")
    await refused(world, member.caller(f"{head}.{claims}.{twin}"), "form")
    await refused(world, member.caller(f"{head}.{claims}.{signature}=="), "form")


async def test_changed_claims_break_the_signature(world: World, member: Party) -> None:
    head, _, signature = member.token().split(".")
    claims = wire.b64url(wire.dumps(member.claims(token="more")))
    error = await refused(world, member.caller(f"{head}.{claims}.{signature}"), "signature")
    assert error.facts["step"] == 8


async def test_unreachable_did_looks_like_any_other_refusal(world: World, member: Party) -> None:
    world.web.answers.clear()
    error = await refused(world, member.caller(), "unreachable")
    assert error.facts["temporary"]
    assert error.facts["step"] == 6


async def test_rotated_key_is_found_in_a_fresh_document(world: World, member: Party) -> None:
    assert await verify_token(world.door, member.caller())
    world.clock.forward(6)
    newer = signer(member.did, "k2")
    member.document |= dids.document(member.did, [dids.Key(newer.kid, newer.public_jwk(), ALL)])
    assert await verify_token(world.door, member.caller(member.token(key=newer)))
    await refused(world, member.caller(member.token()), "kid")


async def test_unknown_kids_cannot_make_us_fetch_without_end(world: World, member: Party) -> None:
    for number in range(20):
        await refused(world, member.caller(member.token(key=signer(member.did, f"x{number}"))), "kid")
    assert world.web.count("did.json") == 1


@pytest.mark.parametrize("alg", ["ES256", "ES384", "EdDSA"])
async def test_algorithms_of_our_own_keys(world: World, alg: str) -> None:
    assert await verify_token(world.door, world.party("did:web:other.example", alg).caller())


async def test_pre_authorized_code_and_other_claims_are_handed_on(world: World, member: Party) -> None:
    found = await verify_token(world.door, member.caller(**{"pre-authorized_code": "abc"}))
    assert found.claims["pre-authorized_code"] == "abc"


def test_thumbprint_is_sha256_of_the_leaf(member: Party) -> None:
    assert member.claims()["cnf"]["x5t#S256"] == wire.b64url(hashlib.sha256(member.leaf).digest())
