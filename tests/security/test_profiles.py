"""Verifier profiles: what each gives way in, and that none gives way in anything else (identity.md 8.4; 1.7; 3.2)."""

import secrets

import pytest

from identity import did as dids
from identity import jose, status, vc
from identity.profiles import PROFILES, STRICT
from identity.verify import authenticate
from kernel import wire
from kernel.errors import Unauthorized
from tests.unit.identity_core.world import Party, StatusHost, World, signer


async def outcome(world: World, profile: str) -> str:
    """`in`, or the reason of the refusal."""
    world.demand(profile=PROFILES[profile])
    try:
        await authenticate(world.door, world.member.caller(), fresh=True)
    except Unauthorized as error:
        return str(error.facts["reason"])
    return "in"


def bare(world: World, member: Party) -> None:
    """A presentation as some peers make it: no audience, no end, no id."""
    claims = jose.parse(member.present()).claims
    short = {name: value for name, value in claims.items() if name not in {"aud", "exp", "jti"}}
    member.shows(jose.sign(short, member.key, typ="vp+jwt"))


def test_the_default_is_strict() -> None:
    assert PROFILES["strict"] == STRICT
    assert set(PROFILES) == {"strict", "dcp-tck", "edc", "gaia-x-loire"}
    assert all(each.access_token for each in PROFILES.values())


@pytest.mark.parametrize("profile", PROFILES)
async def test_every_profile_takes_a_good_member(world: World, profile: str) -> None:
    assert await outcome(world, profile) == "in"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", [dids.INVOCATION, dids.AUTHENTICATION])
async def test_relationship_left_out(world: World, member: Party, profile: str, name: str) -> None:
    del member.document[name]
    assert await outcome(world, profile) == ("in" if profile == "edc" else "relationship")


@pytest.mark.parametrize("profile", PROFILES)
async def test_issuer_leaves_its_relationship_out(world: World, member: Party, profile: str) -> None:
    host = StatusHost(world.issuer, "1")
    member.held[:] = [world.issuer.issue(member.did, status=[host.entry(3)])]
    del world.issuer.document[dids.ASSERTION]
    assert await outcome(world, profile) == ("in" if profile == "edc" else "relationship")


@pytest.mark.parametrize("name", [dids.INVOCATION, dids.AUTHENTICATION])
async def test_edc_relationship_that_is_there_is_heeded(world: World, member: Party, name: str) -> None:
    member.document[name] = [f"{member.did}#other"]
    assert await outcome(world, "edc") == "relationship"


async def test_a_list_that_a_lax_profile_took_does_not_count_for_a_strict_one(world: World, member: Party) -> None:
    host = StatusHost(world.issuer, "1")
    member.held[:] = [world.issuer.issue(member.did, status=[host.entry(3)])]
    del world.issuer.document[dids.ASSERTION]
    assert await outcome(world, "edc") == "in"
    assert await outcome(world, "strict") == "relationship"


@pytest.mark.parametrize("profile", PROFILES)
async def test_presentation_without_audience(world: World, member: Party, profile: str) -> None:
    bare(world, member)
    assert await outcome(world, profile) == ("in" if profile == "edc" else "presentation-aud")


@pytest.mark.parametrize("profile", PROFILES)
async def test_presentation_for_somebody_else(world: World, member: Party, profile: str) -> None:
    member.shows(member.present(audience="did:web:other.example"))
    assert await outcome(world, profile) == "presentation-aud"


@pytest.mark.parametrize("profile", PROFILES)
async def test_short_status_list(world: World, member: Party, profile: str) -> None:
    host = StatusHost(world.issuer, "1")
    member.held[:] = [world.issuer.issue(member.did, status=[host.entry(3)])]
    host.bits = status.BitString.empty(16_384)
    host.sign()
    assert await outcome(world, profile) == ("in" if profile == "dcp-tck" else "length")


@pytest.mark.parametrize("profile", PROFILES)
async def test_unsigned_list_and_revocation_are_refused_by_all(world: World, member: Party, profile: str) -> None:
    host = StatusHost(world.issuer, "1")
    member.held[:] = [world.issuer.issue(member.did, status=[host.entry(3)])]
    host.set(3)
    assert await outcome(world, profile) == "revocation"
    body = wire.dumps(jose.parse(host.jwt, limit=100_000).claims)
    world.clock.forward(2)
    world.web.answers[host.url] = lambda *_: type(host.answer("", {}, None))(200, {}, body)
    assert await outcome(world, profile) == "unsigned"


def loire(member: Party, credential: str, **header: object) -> str:
    """A presentation with the media types and header claims of Gaia-X Loire."""
    claims = jose.parse(member.present(credentials=[credential])).claims
    return jose.sign(claims, member.key, typ="vp+ld+json+jwt", header={"cty": "vp+ld+json", **header})


@pytest.mark.parametrize("profile", PROFILES)
async def test_media_types_of_gaia_x(world: World, member: Party, profile: str) -> None:
    claims = jose.parse(world.issuer.issue(member.did)).claims
    credential = jose.sign(claims, world.issuer.key, typ="vc+ld+json+jwt", header={"cty": "vc+ld+json"})
    member.shows(loire(member, credential))
    assert await outcome(world, profile) == ("in" if profile == "gaia-x-loire" else "form")
    member.shows(member.present(credentials=[credential]))
    assert await outcome(world, profile) == ("in" if profile == "gaia-x-loire" else "typ")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ({"iss": "issuer", "iat": 0, "exp": 3600}, "in"),
        ({"iss": "issuer", "iat": 0, "exp": 3600, "ms": True}, "in"),
        ({"iss": "did:web:thief.example"}, "header-claims"),
        ({"exp": -60}, "header-claims"),
        ({"exp": -60, "ms": True}, "header-claims"),
        ({"iat": 60}, "header-claims"),
        ({"exp": "soon"}, "header-claims"),
    ],
)
async def test_header_claims_of_gaia_x_are_checked(world: World, member: Party, header: dict, found: str) -> None:
    now, milli = int(world.clock.now().timestamp()), header.pop("ms", False)
    given = {name: (now + value) * (1000 if milli else 1) if isinstance(value, int) else value for name, value in header.items()}
    if given.get("iss") == "issuer":
        given["iss"] = world.issuer.did
    claims = jose.parse(world.issuer.issue(member.did)).claims
    member.shows(loire(member, jose.sign(claims, world.issuer.key, typ="vc+jwt", header={"cty": "vc", **given})))
    assert await outcome(world, "gaia-x-loire") == found


@pytest.mark.parametrize("profile", PROFILES)
async def test_no_profile_gives_way_in_who_signed(world: World, member: Party, profile: str) -> None:
    thief = signer("did:web:thief.example")
    member.held[:] = [world.issuer.issue(member.did, signer=thief, issuer=world.issuer.did)]
    assert await outcome(world, profile) == "kid"
    member.held[:] = [world.issuer.issue("did:web:other.example")]
    assert await outcome(world, profile) == "subject"


async def test_a_presentation_that_a_lax_profile_took_does_not_count_for_a_strict_one(world: World, member: Party) -> None:
    bare(world, member)
    assert await outcome(world, "edc") == "in"
    assert await outcome(world, "strict") == "presentation-aud"


async def test_success_and_refusal_explain_themselves(world: World, member: Party) -> None:
    host = StatusHost(world.issuer, "1")
    member.held[:] = [world.issuer.issue(member.did, status=[host.entry(3)], id="urn:uuid:7")]
    found = await authenticate(world.door, member.caller(), fresh=True)
    stages = [each.stage for each in found.findings if each.subject == "MembershipCredential urn:uuid:7"]
    assert stages == ["issuer", "signature", "binding", "window", "status", "schema", "claims"]
    assert [each.stage for each in found.findings if each.subject == "token"][-2:] == ["signature", "binding"]
    assert all(each.passed and not each.reason for each in found.findings)
    host.set(3)
    world.clock.forward(2)
    with pytest.raises(Unauthorized) as caught:
        await authenticate(world.door, member.caller(jti=secrets.token_hex(4)), fresh=True)
    facts = caught.value.facts
    assert (facts["stage"], facts["subject"], facts["reason"]) == ("status", "MembershipCredential urn:uuid:7", "revocation")
    assert facts["explanation"].endswith("status refused (revocation: the credential is under revocation)")
    assert "token: parse, token, window, holder, signature, binding" in facts["explanation"]
    assert caught.value.problem() == Unauthorized("the caller is not authenticated").problem()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("changes", [{"jti": "urn:uuid:other"}, {"exp": 60}, {"exp": -1}, {"nbf": 60}])
async def test_claims_beside_the_credential_say_something_else(world: World, member: Party, profile: str, changes: dict) -> None:
    """`dcp-tck` and `edc` take the property as the id and the narrower window; no profile takes a window that is over or has not begun."""
    token = jose.parse(world.issuer.issue(member.did, "MembershipCredential", format=vc.VC11))
    now = int(world.clock.now().timestamp())
    moved = {name: value if isinstance(value, str) else now + value for name, value in changes.items()}
    member.held[:] = [jose.sign(token.claims | moved, world.issuer.key)]
    member.shows(member.present(format=vc.VC11))
    expected = {"jti": "in", "exp": "in" if changes.get("exp") == 60 else "expired-credential", "nbf": "not-yet-valid"}[
        next(iter(changes))
    ]
    assert await outcome(world, profile) == (expected if profile in {"dcp-tck", "edc"} else "disagreement")


@pytest.mark.parametrize("profile", PROFILES)
async def test_presentation_and_credential_in_the_form_of_edc(world: World, member: Party, profile: str) -> None:
    """As EDC 0.15 and its IdentityHub write them: another context first, one written out, `Ed25519` as `alg` (RFC 9864), no `typ`, no
    `capabilityInvocation`, an empty `authentication`, `publicKeyMultibase: null`."""
    edc = world.party(member.did, "EdDSA")
    token = jose.parse(world.issuer.issue(edc.did, format=vc.VC11))
    body = token.claims["vc"]
    body |= {"@context": [*body["@context"], {"membership": "https://example.org/membership/"}]}
    credential = jose.sign(token.claims | {"vc": body}, world.issuer.key)
    shown = jose.parse(edc.present(credentials=[credential], format=vc.VC11), limit=100_000).claims
    del shown["sub"]
    shown["vp"]["@context"] = ["https://w3id.org/tractusx-trust/v0.8", *shown["vp"]["@context"]]
    edc.shows(fully_specified(edc, shown))
    edc.document["authentication"] = []
    edc.document["verificationMethod"][0]["publicKeyMultibase"] = None
    del edc.document["capabilityInvocation"]
    world.demand(profile=PROFILES[profile])
    caller = edc.caller(fully_specified(edc, edc.claims()))
    if profile == "edc":
        found = await authenticate(world.door, caller, fresh=True)
        assert found.claims["MembershipCredential"][0]["id"] == edc.did
        return
    with pytest.raises(Unauthorized) as caught:
        await authenticate(world.door, caller, fresh=True)
    assert caught.value.facts["reason"] == "relationship"


def fully_specified(party: Party, claims: dict) -> str:
    """A token whose algorithm has the name of RFC 9864."""
    header = {"alg": "Ed25519", "kid": party.key.kid}
    signed = f"{wire.b64url(wire.dumps(header))}.{wire.b64url(wire.dumps(claims))}"
    return f"{signed}.{wire.b64url(party.key.sign(signed.encode()))}"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("where", ["first", "inside"])
async def test_contexts(world: World, member: Party, profile: str, where: str) -> None:
    """Only `edc` takes another order or a context in place; none takes a document of another model, or a context inside."""
    claims = jose.parse(world.issuer.issue(member.did)).claims
    if where == "first":
        claims["@context"] = ["https://other.example/v1", *claims["@context"], {"x": "https://x.example/"}]
    else:
        claims["credentialSubject"] |= {"@context": {"memberOf": "https://thief.example/"}}
    member.held[:] = [jose.sign(claims, world.issuer.key, typ="vc+jwt")]
    expected = {"first": "in" if profile == "edc" else "context", "inside": "inner-context"}
    assert await outcome(world, profile) == expected[where]
    world.door.presentations.forget(member.did)
    claims["@context"] = ["https://other.example/v1"]
    member.held[:] = [jose.sign(claims, world.issuer.key, typ="vc+jwt")]
    assert await outcome(world, profile) == "context"
