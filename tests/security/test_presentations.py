"""Attacks on presentations and credentials: identity.md 6, groups 17 to 31 as far as the verifier meets them, each by its reason."""

import secrets
from datetime import timedelta

import pytest

from identity import did as dids
from identity import jose, status, vc
from identity.trust import ANY, Claim, ClaimTable, IssuerRule, TrustPolicy
from identity.verify import TokenUse, VerifiedParticipant, VerifierProfile, authenticate
from kernel import wire
from kernel.errors import Unauthorized
from tests.unit.identity_core.world import ALL, MEMBERSHIP, ROLE, Party, StatusHost, World, json_reply, replace, signer


async def refused(world: World, reason: str, *, stage: str | None = None, fresh: bool = True) -> Unauthorized:
    with pytest.raises(Unauthorized) as caught:
        await authenticate(world.door, world.member.caller(), fresh=fresh)
    assert caught.value.facts["reason"] == reason
    assert caught.value.facts["step"] >= 11
    assert stage is None or caught.value.facts["stage"] == stage
    assert f"refused ({reason}: " in caught.value.facts["explanation"]
    assert caught.value.problem()["detail"] == "the caller is not authenticated"
    return caught.value


async def test_a_member_is_authenticated(world: World, member: Party) -> None:
    found = await authenticate(world.door, member.caller(jti="j1"), fresh=True)
    assert found.did == member.did
    assert found.claims["MembershipCredential"] == ({"id": member.did, "memberOf": "consortium"},)
    assert [each.issuer for each in found.credentials] == [world.issuer.did]
    assert (found.token.issuer, found.token.jti) == (member.did, "j1")
    assert found.member_channel


@pytest.mark.parametrize("model", [vc.VC11, vc.VC20])
@pytest.mark.parametrize("wrapped", [False, True])
async def test_both_data_models(world: World, member: Party, model: str, *, wrapped: bool) -> None:
    credential = world.issuer.issue(member.did, format=model)
    member.shows(member.present(credentials=[credential], format=model, wrapped=wrapped))
    found = await authenticate(world.door, member.caller(), fresh=True)
    assert found.credentials[0].format == model


def test_nobody_else_makes_a_verified_participant() -> None:
    use = TokenUse("did:web:a.example", "j", World().clock.now())
    given = {"did": "did:web:a.example", "credentials": (), "claims": {}, "thumbprint": None, "member_channel": False, "token": use}
    with pytest.raises(TypeError):
        VerifiedParticipant(**given)
    with pytest.raises(TypeError):
        VerifiedParticipant(**given, seal=object())


async def test_a_verified_participant_cannot_be_altered_into_another(world: World, member: Party) -> None:
    found = await authenticate(world.door, member.caller(), fresh=True)
    with pytest.raises((TypeError, ValueError)):
        replace(found, did="did:web:thief.example")
    with pytest.raises(AttributeError):
        found.did = "did:web:thief.example"


async def test_query_is_ours_for_the_holder_and_carries_the_access_token_back(world: World, member: Party) -> None:
    await authenticate(world.door, member.caller(), fresh=True)
    claims, message = member.queries[0]
    assert (claims["iss"], claims["sub"], claims["aud"], claims["token"]) == (world.verifier.did,) * 2 + (member.did, "access")
    assert message == {"@context": [vc.DCP_CONTEXT], "type": "PresentationQueryMessage", "scope": [MEMBERSHIP]}


@pytest.mark.parametrize("code", [400, 401, 404, 500, 302])
async def test_credential_service_refuses(world: World, member: Party, code: int) -> None:
    url = f"{member.base}/cs/presentations/query"
    answer = member.present_as([member.present()])
    world.web.answers[url] = lambda *_: type(answer)(code, answer.headers, answer.body)
    await refused(world, "query-status")


async def test_no_credential_service_in_the_document(world: World, member: Party) -> None:
    member.document["service"] = []
    await refused(world, "no-credential-service")


async def test_credential_service_is_unreachable(world: World, member: Party) -> None:
    del world.web.answers[f"{member.base}/cs/presentations/query"]
    assert (await refused(world, "unreachable")).facts["temporary"]


async def test_g19_type_that_only_begins_alike(world: World, member: Party) -> None:
    world.door.trust = TrustPolicy([IssuerRule(world.issuer.did, frozenset({ANY}))])
    for kind in ("Membership", "MembershipCredentialX", "XMembershipCredential"):
        member.shows(member.present(credentials=[world.issuer.issue(member.did, kind)]))
        await refused(world, "missing-credential")


async def test_g22_presentation_signed_by_another_holder(world: World, member: Party) -> None:
    thief = world.party("did:web:thief.example")
    member.shows(thief.present(credentials=member.held))
    await refused(world, "presentation-holder")


async def test_g22_presentation_of_us_signed_by_another_key(world: World, member: Party) -> None:
    forged = signer(member.did)
    member.shows(member.present(signer=forged))
    await refused(world, "signature")


async def test_g22_holder_and_kid_differ(world: World, member: Party) -> None:
    thief = world.party("did:web:thief.example")
    claims = jose.parse(member.present()).claims
    member.shows(jose.sign(claims, thief.key, typ="vp+jwt"))
    await refused(world, "kid")


async def test_g23_presentation_for_another_audience(world: World, member: Party) -> None:
    member.shows(member.present(audience="did:web:other.example"))
    await refused(world, "presentation-aud")


@pytest.mark.parametrize(("name", "reason"), [("aud", "presentation-aud"), ("exp", "presentation-expired")])
async def test_g23_presentation_without_audience_or_end(world: World, member: Party, name: str, reason: str) -> None:
    claims = jose.parse(member.present()).claims
    del claims[name]
    member.shows(jose.sign(claims, member.key, typ="vp+jwt"))
    await refused(world, reason)
    world.demand(profile=VerifierProfile(audience=False))
    assert await authenticate(world.door, member.caller(), fresh=True)


async def test_g23_old_presentation(world: World, member: Party) -> None:
    old = member.present()
    member.shows(old)
    world.clock.forward(309)
    assert await authenticate(world.door, member.caller(), fresh=True)
    world.clock.forward(1)
    await refused(world, "presentation-expired")


async def test_presentation_of_tomorrow(world: World, member: Party) -> None:
    claims = jose.parse(member.present()).claims
    later = int(world.clock.now().timestamp()) + 11
    member.shows(jose.sign(claims | {"nbf": later}, member.key, typ="vp+jwt"))
    await refused(world, "presentation-window", stage="window")


@pytest.mark.parametrize("answer", [[], "x", {}, {"type": "PresentationQueryMessage", "presentation": ["x"]}, {"presentation": []}])
async def test_answer_that_is_no_presentation(world: World, member: Party, answer: object) -> None:
    world.web.answers[f"{member.base}/cs/presentations/query"] = lambda *_: json_reply(answer)
    await refused(world, "query-form", stage="parse")


async def test_g24_payload_issuer_is_trusted_but_another_signed(world: World, member: Party) -> None:
    thief = world.party("did:web:thief.example")
    member.shows(member.present(credentials=[thief.issue(member.did, issuer=world.issuer.did)]))
    await refused(world, "kid")


@pytest.mark.parametrize("model", [vc.VC11, vc.VC20])
async def test_g24_forged_signature_with_the_right_kid(world: World, member: Party, model: str) -> None:
    forged = world.issuer.issue(member.did, signer=signer(world.issuer.did), format=model)
    member.shows(member.present(credentials=[forged], format=model))
    await refused(world, "signature")


async def test_g25_presentation_key_not_for_authentication(world: World, member: Party) -> None:
    member.document["authentication"] = []
    await refused(world, "relationship")


async def test_g25_credential_key_not_for_assertion(world: World) -> None:
    world.issuer.document["assertionMethod"] = []
    await refused(world, "relationship")


@pytest.mark.parametrize("kid", ["#k1", None])
async def test_g24_kid_that_does_not_say_whose_it_is(world: World, member: Party, kid: str | None) -> None:
    """A relative or missing kid would let the verifier choose the document; both are for Self-Issued ID tokens alone."""
    member.shows(member.present(credentials=[rekeyed(member.held[0], world.issuer, kid)]))
    await refused(world, "kid")
    member.shows(rekeyed(member.present(), member, kid))
    await refused(world, "kid")


def rekeyed(token: str, party: Party, kid: str | None) -> str:
    """The same claims, signed by the same key under another kid."""
    old = jose.parse(token, limit=100_000)
    header = {name: value for name, value in (old.header | {"kid": kid}).items() if value is not None}
    signed = f"{wire.b64url(wire.dumps(header))}.{wire.b64url(wire.dumps(old.claims))}"
    return f"{signed}.{wire.b64url(party.key.sign(signed.encode()))}"


async def test_g25_withdrawn_issuer_key_is_dead_after_five_minutes(world: World, member: Party) -> None:
    member.shows(member.present(lifetime=timedelta(hours=1)))
    await authenticate(world.door, member.caller(), fresh=True)
    newer = signer(world.issuer.did, "k2")
    world.issuer.document = dids.document(world.issuer.did, [dids.Key(newer.kid, newer.public_jwk(), ALL)])
    world.clock.forward(299)
    assert await authenticate(world.door, member.caller(), fresh=True)
    world.clock.forward(1)
    await refused(world, "kid")


@pytest.mark.parametrize(
    "subject",
    [
        {"id": "did:web:thief.example", "memberOf": "x"},
        {"memberOf": "x"},
        [{"id": "did:web:member.example%3A8443"}, {"id": "did:web:thief.example"}],
        [{"id": "did:web:member.example%3A8443"}, {"memberOf": "x"}],
    ],
)
async def test_g26_subject_is_not_the_holder(world: World, member: Party, subject: object) -> None:
    member.shows(member.present(credentials=[world.issuer.issue("", subject=subject)]))
    await refused(world, "subject")


@pytest.mark.parametrize(
    ("claim", "value"),
    [("iss", "did:web:other.example"), ("sub", "did:web:other.example"), ("exp", 1), ("nbf", 1), ("jti", "urn:other")],
)
async def test_g27_claim_and_property_differ(world: World, member: Party, claim: str, value: object) -> None:
    claims = jose.parse(world.issuer.issue(member.did, format=vc.VC11)).claims
    member.shows(member.present(credentials=[jose.sign(claims | {claim: value}, world.issuer.key)], format=vc.VC11))
    await refused(world, "disagreement")


@pytest.mark.parametrize(
    ("claim", "value"),
    [("iss", "did:web:other.example"), ("sub", "did:web:other.example"), ("exp", 1), ("nbf", 1), ("jti", "urn:other")],
)
async def test_g27_registered_claims_contradict_in_2_0(world: World, member: Party, claim: str, value: object) -> None:
    claims = jose.parse(world.issuer.issue(member.did)).claims
    credential = jose.sign(claims | {claim: value}, world.issuer.key, typ="vc+jwt")
    member.shows(member.present(credentials=[credential]))
    await refused(world, "disagreement")


async def test_g28_mixed_formats(world: World, member: Party) -> None:
    older = world.issuer.issue(member.did, format=vc.VC11)
    member.shows(member.present(credentials=[*member.held, older]))
    await refused(world, "mixed")


@pytest.mark.parametrize(
    "url",
    [
        "data:text/html,{}",
        "data:application/vp+jwt,{}",
        "data:application/vc+jwt;base64,{}",
        "data:application/vc+jwt,{};{}",
        "data:application/vc+jwt,{},{}",
        "DATA:application/vc+jwt,{}",
        "https://thief.example/vc",
        "",
    ],
)
async def test_g29_enveloped_object(world: World, member: Party, url: str) -> None:
    claims = jose.parse(member.present()).claims
    claims["verifiableCredential"][0]["id"] = url.replace("{}", member.held[0])
    member.shows(jose.sign(claims, member.key, typ="vp+jwt"))
    await refused(world, "envelope")
    assert not world.web.count("thief")


async def test_g29_nested_envelopes(world: World, member: Party) -> None:
    inner = member.present()
    for _ in range(10):
        envelope = {"@context": ["https://www.w3.org/ns/credentials/v2"], "type": "EnvelopedVerifiablePresentation"}
        inner = jose.sign(envelope | {"id": f"data:application/vp+jwt,{inner}"}, member.key, typ="vp+jwt")
    member.shows(inner)
    await refused(world, "form")


async def test_g29_bare_string_in_a_2_0_presentation(world: World, member: Party) -> None:
    claims = jose.parse(member.present()).claims | {"verifiableCredential": member.held}
    member.shows(jose.sign(claims, member.key, typ="vp+jwt"))
    await refused(world, "envelope")


async def test_g30_untrusted_issuer_and_nothing_of_it_is_fetched(world: World, member: Party) -> None:
    stranger = world.party("did:web:stranger.example")
    entry = vc.StatusEntry(url="https://stranger.example/status/1", index=1, purpose="revocation")
    schema = {"id": "https://stranger.example/schema", "type": "JsonSchema"}
    member.shows(member.present(credentials=[stranger.issue(member.did, status=[entry], schemas=[schema])]))
    await refused(world, "untrusted-issuer")
    assert not world.web.count("stranger")


async def test_g30_issuer_trusted_for_another_type(world: World) -> None:
    world.door.trust = TrustPolicy([IssuerRule(world.issuer.did, frozenset({"RoleCredential"}))])
    await refused(world, "untrusted-issuer")


async def test_g30_trusted_type_with_one_that_rides_along(world: World, member: Party) -> None:
    member.shows(member.present(credentials=[world.issuer.issue(member.did, "MembershipCredential", "AuthorityCredential")]))
    await refused(world, "untrusted-issuer")


@pytest.mark.parametrize("entries", [[], "x", None, {}])
async def test_g31_empty_presentation(world: World, member: Party, entries: object) -> None:
    world.web.answers[f"{member.base}/cs/presentations/query"] = lambda *_: member.present_as(entries)  # type: ignore[arg-type]
    await refused(world, "presentation-empty")


async def test_g31_presentation_without_credentials(world: World, member: Party) -> None:
    member.shows(member.present(credentials=[]))
    await refused(world, "missing-credential")


async def test_g31_thousand_presentations(world: World, member: Party) -> None:
    member.shows(*["x.y.z"] * 1000)
    await refused(world, "presentation-count")


async def test_g31_thousand_credentials(world: World, member: Party) -> None:
    member.shows(member.present(credentials=["a.b.c"] * 1000))
    await refused(world, "credential-count")


async def test_g31_credentials_spread_over_presentations(world: World, member: Party) -> None:
    many = member.present(credentials=member.held * 10)
    member.shows(*[many] * 7)
    await refused(world, "credential-count")


async def test_one_bad_credential_spoils_all(world: World, member: Party) -> None:
    thief = world.party("did:web:thief.example")
    member.shows(member.present(credentials=[*member.held, thief.issue(member.did)]))
    await refused(world, "untrusted-issuer")


async def test_more_than_asked_is_left_alone(world: World, member: Party) -> None:
    stranger = world.party("did:web:stranger.example")
    entry = vc.StatusEntry(url="https://stranger.example/status/1", index=1, purpose="revocation")
    extra = stranger.issue(member.did, "OtherCredential", status=[entry])
    member.shows(member.present(credentials=[*member.held, extra]))
    found = await authenticate(world.door, member.caller(), fresh=True)
    assert list(found.claims) == ["MembershipCredential"]
    assert not world.web.count("stranger")


async def test_window(world: World, member: Party) -> None:
    now = world.clock.now()
    member.shows(member.present(credentials=[world.issuer.issue(member.did, valid_from=now + timedelta(seconds=11))]))
    await refused(world, "not-yet-valid")
    member.shows(member.present(credentials=[world.issuer.issue(member.did, valid_until=now)]))
    await refused(world, "expired-credential")


async def test_inner_context_redefines_terms(world: World, member: Party) -> None:
    subject = {"id": member.did, "role": {"@context": {"@vocab": "https://thief.example/"}, "name": "x"}}
    member.shows(member.present(credentials=[world.issuer.issue(member.did, subject=subject)]))
    await refused(world, "inner-context")


async def test_optional_credential_may_be_missing_and_counts_once_it_is_there(world: World, member: Party) -> None:
    world.demand(optional=(ROLE,))
    assert "RoleCredential" not in (await authenticate(world.door, member.caller(), fresh=True)).claims
    member.held.append(world.issuer.issue(member.did, "RoleCredential"))
    assert "RoleCredential" not in (await authenticate(world.door, member.caller(), fresh=False)).claims
    assert "RoleCredential" in (await authenticate(world.door, member.caller(), fresh=True)).claims
    asked = len(member.queries)
    await authenticate(world.door, member.caller(), fresh=True)
    assert len(member.queries) == asked


async def test_missing_required_credential(world: World) -> None:
    world.demand(scopes=(MEMBERSHIP, ROLE))
    await refused(world, "missing-credential")


async def test_rule_without_scopes_lets_nobody_in(world: World) -> None:
    world.demand(scopes=())
    await refused(world, "no-scopes")


async def test_scope_by_id_and_two_part_scope(world: World, member: Party) -> None:
    world.demand(scopes=("org.eclipse.dspace.dcp.vc.id:urn:uuid:1", "org.eclipse.dspace.dcp.vc.type:MembershipCredential"))
    await refused(world, "missing-credential")
    member.shows(member.present(credentials=[world.issuer.issue(member.did, id="urn:uuid:1")]))
    assert await authenticate(world.door, member.caller(), fresh=True)


async def test_claim_table(world: World, member: Party) -> None:
    table = ClaimTable("MembershipCredential", {"memberOf": Claim("text", required=True), "level": Claim("number")})
    rules = [IssuerRule(world.issuer.did, frozenset({"MembershipCredential"}))]
    world.door.trust = TrustPolicy(rules, [table])
    assert not (await authenticate(world.door, member.caller(), fresh=True)).noticed
    for subject in ({"id": member.did}, {"id": member.did, "memberOf": 5}, {"id": member.did, "memberOf": "x", "level": True}):
        member.shows(member.present(credentials=[world.issuer.issue(member.did, subject=subject)]))
        world.door.trust = TrustPolicy(rules, [table])
        await refused(world, "claims")
    subject = {"id": member.did, "memberOf": "x", "extra": 1}
    member.shows(member.present(credentials=[world.issuer.issue(member.did, subject=subject)]))
    assert (await authenticate(world.door, member.caller(), fresh=True)).noticed == ("MembershipCredential.extra",)


async def test_cached_presentation_is_asked_for_once(world: World, member: Party) -> None:
    for _ in range(5):
        await authenticate(world.door, member.caller(), fresh=True)
    assert len(member.queries) == 1
    world.clock.forward(300)
    await authenticate(world.door, member.caller(), fresh=True)
    assert len(member.queries) == 2


async def test_cached_presentation_ends_with_its_credential(world: World, member: Party) -> None:
    member.held[:] = [world.issuer.issue(member.did, valid_until=world.clock.now() + timedelta(seconds=60))]
    await authenticate(world.door, member.caller(), fresh=True)
    world.clock.forward(60)
    await refused(world, "expired-credential")


async def test_cached_presentation_is_no_pass_for_another_caller(world: World, member: Party) -> None:
    await authenticate(world.door, member.caller(), fresh=True)
    forged = member.caller(member.token(key=signer(member.did)))
    with pytest.raises(Unauthorized) as caught:
        await authenticate(world.door, forged, fresh=True)
    assert caught.value.facts["reason"] == "signature"


async def test_changed_trust_is_applied_to_cached_presentations(world: World, member: Party) -> None:
    await authenticate(world.door, member.caller(), fresh=True)
    world.door.trust = TrustPolicy([])
    await refused(world, "untrusted-issuer")


async def test_suspended_member_is_out_at_the_next_decision_and_back_after(world: World, member: Party) -> None:
    host = StatusHost(world.issuer, "2", "suspension")
    member.held[:] = [world.issuer.issue(member.did, status=[host.entry(7)])]
    assert await authenticate(world.door, member.caller(), fresh=True)
    host.set(7)
    world.clock.forward(2)
    assert await authenticate(world.door, member.caller(), fresh=False)
    await refused(world, "suspension")
    await refused(world, "suspension", fresh=False)
    host.set(7, 0)
    world.clock.forward(2)
    assert await authenticate(world.door, member.caller(), fresh=True)


async def test_reissued_credential_replaces_a_revoked_one_at_once(world: World, member: Party) -> None:
    host = StatusHost(world.issuer, "1")
    member.held[:] = [world.issuer.issue(member.did, status=[host.entry(7)])]
    await authenticate(world.door, member.caller(), fresh=True)
    host.set(7)
    world.clock.forward(2)
    member.held[:] = [world.issuer.issue(member.did, status=[host.entry(8)])]
    assert await authenticate(world.door, member.caller(), fresh=True)


async def test_status_that_cannot_be_read_refuses_decisions_and_stale_reads(world: World, member: Party) -> None:
    host = StatusHost(world.issuer, "1")
    member.held[:] = [world.issuer.issue(member.did, status=[host.entry(7)], valid_until=world.clock.now() + timedelta(days=1))]
    await authenticate(world.door, member.caller(), fresh=True)
    del world.web.answers[host.url]
    world.clock.forward(2)
    await refused(world, "unreachable")
    assert await authenticate(world.door, member.caller(), fresh=False)
    world.clock.forward(900)
    await refused(world, "unreachable", fresh=False)


@pytest.mark.parametrize("both", [("revocation", "suspension")])
async def test_g32_revoked_and_suspended(world: World, member: Party, both: tuple[str, ...]) -> None:
    hosts = [StatusHost(world.issuer, purpose, purpose) for purpose in both]
    member.held[:] = [world.issuer.issue(member.did, status=[host.entry(3) for host in hosts])]
    for host in hosts:
        host.set(3)
    await refused(world, "revocation")


async def test_message_purpose_is_not_fatal(world: World, member: Party) -> None:
    host = StatusHost(world.issuer, "m", "message")
    member.held[:] = [world.issuer.issue(member.did, status=[host.entry(3)])]
    host.set(3)
    assert await authenticate(world.door, member.caller(), fresh=True)


def counted(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The issuers whose credentials' status is looked up from now on."""
    asked, real = [], world.status.values

    async def values(credential: vc.Credential, **given: object) -> tuple[object, ...]:
        asked.append(credential.issuer)
        return await real(credential, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(world.status, "values", values)
    return asked


async def _settled(world: World, member: Party, host: StatusHost, *others: vc.StatusEntry) -> None:
    """The member has called twice with a credential under this list; its issuer's changes would be heard of."""
    world.door.followed = lambda issuer: issuer == world.issuer.did
    member.held[:] = [world.issuer.issue(member.did, status=[host.entry(7), *others])]
    for _ in range(2):
        assert await authenticate(world.door, member.caller(), fresh=True)


async def test_status_is_not_looked_up_again_while_nothing_could_come_out_otherwise(
    world: World, member: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, message = StatusHost(world.issuer, "2", "suspension"), StatusHost(world.issuer, "m", "message")
    message.set(3)
    await _settled(world, member, host, message.entry(3))
    asked = counted(world, monkeypatch)
    for fresh, seconds in ((True, 0), (False, 59), (True, 2)):
        world.clock.forward(seconds)
        found = await authenticate(world.door, member.caller(), fresh=fresh)
        assert [each.purpose for each in found.statuses] == ["message"]
        assert [each.stage for each in found.findings if each.subject.startswith("MembershipCredential")] == ["status"]
    assert asked == []
    await authenticate(world.door, member.caller(), fresh=False)
    assert asked == [world.issuer.did], "what decides nothing reads lists again after a minute"


@pytest.mark.parametrize("change", ["invalidated", "read", "not followed", "ttl", "window"])
async def test_status_is_looked_up_again_as_soon_as_it_could_come_out_otherwise(world: World, member: Party, change: str) -> None:
    host = StatusHost(world.issuer, "2", "suspension")
    if change == "ttl":
        host.changes["subject"] = status.list_subject(host.url, "suspension", host.bits) | {"ttl": 30_000}
    if change == "window":
        host.changes["valid_until"] = world.clock.now() + timedelta(seconds=30)
    host.sign()
    await _settled(world, member, host)
    host.changes.clear()
    host.set(7)
    world.clock.forward(29)
    assert await authenticate(world.door, member.caller(), fresh=True), "nobody has told us"
    if change == "invalidated":
        world.status.invalidate(world.issuer.did)
    if change == "read":  # for somebody else
        await world.status.read(vc.parse_vc(world.issuer.issue(member.did, status=[host.entry(1)])), max_age=0)
    if change == "not followed":
        world.door.followed = lambda _: False
    world.clock.forward(2)
    await refused(world, "suspension")


async def test_what_was_forgotten_meanwhile_is_not_kept_for_its_status(world: World, member: Party) -> None:
    await authenticate(world.door, member.caller(), fresh=True)
    held = world.door.presentations
    ((key, shown),) = held._held.items()
    held.forget(member.did)
    held.stood(key, shown, None, ())
    assert held.get(key, world.clock.now(), world.door.trust) is None


async def test_concurrent_first_calls_share_one_exchange(world: World, member: Party) -> None:
    import asyncio

    callers = [member.caller(jti=secrets.token_hex(8)) for _ in range(20)]
    await asyncio.gather(*(authenticate(world.door, each, fresh=False) for each in callers))
    assert len(member.queries) == 1


async def test_holder_of_a_failed_exchange_does_not_spoil_the_next(world: World, member: Party) -> None:
    member.shows()
    await refused(world, "presentation-empty")
    member.publish()
    assert await authenticate(world.door, member.caller(), fresh=True)
