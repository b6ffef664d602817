"""Presentations, credentials and status lists with Data Integrity proofs, at the door (identity.md 2.3; groups 26, 28, 34, 42 to 44)."""

import secrets
from datetime import timedelta
from typing import Any

import pytest

from identity import did as dids
from identity import status, vc
from identity.profiles import PROFILES
from identity.vc.integrity import add_proof
from identity.vc.model import CONTEXT_20
from identity.verify import authenticate
from kernel import wire
from kernel.errors import Unauthorized
from kernel.http import Reply
from tests.unit.identity_core.world import Party, StatusHost, World, signer


def shows(member: Party, *credentials: str, **changes: Any) -> dict[str, Any]:
    """The member answers with a presentation of these, changed as told before it is signed; the signed document."""
    made = wire.loads(member.present(credentials=list(credentials), format=vc.VC20_DI))
    options = {"purpose": "authentication", "created": member.world.clock.now(), "domain": member.world.verifier.did}
    options |= {"expires": member.world.clock.now() + timedelta(minutes=5), "challenge": "c"} | changes.pop("options", {})
    key = changes.pop("key", member.key)
    made = add_proof(made | changes, key, **options)
    member.shows(made)
    return made


async def refused(world: World, reason: str, stage: str | None = None) -> None:
    with pytest.raises(Unauthorized) as caught:
        await authenticate(world.door, world.member.caller(jti=secrets.token_hex(4)), fresh=True)
    assert caught.value.facts["reason"] == reason
    assert stage is None or caught.value.facts["stage"] == stage


@pytest.mark.parametrize("model", [vc.VC11_DI, vc.VC20_DI])
@pytest.mark.parametrize("alg", ["EdDSA", "ES256", "ES384"])
async def test_a_member_with_data_integrity_is_authenticated(model: str, alg: str) -> None:
    world = World()
    issuer, member = world.party("did:web:issuer.example", alg), world.party("did:web:member.example%3A8443", alg)
    credential = issuer.issue(member.did, format=model)
    member.shows(wire.loads(member.present(credentials=[credential], format=model)))
    found = await authenticate(world.door, member.caller(), fresh=True)
    assert found.credentials[0].format == model
    assert found.claims["MembershipCredential"] == ({"id": member.did, "memberOf": "consortium"},)


async def test_tampered_credential(world: World, member: Party) -> None:
    document = wire.loads(world.issuer.issue(member.did, format=vc.VC20_DI))
    document["credentialSubject"]["memberOf"] = "another"
    shows(member, wire.dumps(document).decode())
    await refused(world, "signature", "signature")


async def test_tampered_presentation(world: World, member: Party) -> None:
    made = shows(member, world.issuer.issue(member.did, format=vc.VC20_DI))
    other = wire.loads(world.issuer.issue(member.did, "RoleCredential", "MembershipCredential", format=vc.VC20_DI))
    member.shows(made | {"verifiableCredential": [other]})
    await refused(world, "signature", "signature")


async def test_g24_credential_of_the_issuer_signed_by_another(world: World, member: Party) -> None:
    thief = world.party("did:web:thief.example")
    shows(member, world.issuer.issue(member.did, format=vc.VC20_DI, signer=thief.key, issuer=world.issuer.did))
    await refused(world, "kid", "signature")
    forged = signer(world.issuer.did)
    shows(member, world.issuer.issue(member.did, format=vc.VC20_DI, signer=forged))
    await refused(world, "signature", "signature")


async def test_g26_subject_is_another(world: World, member: Party) -> None:
    shows(member, world.issuer.issue("did:web:other.example", format=vc.VC20_DI))
    await refused(world, "subject", "binding")


async def test_g30_untrusted_issuer(world: World, member: Party) -> None:
    stranger = world.party("did:web:stranger.example")
    shows(member, stranger.issue(member.did, format=vc.VC20_DI))
    await refused(world, "untrusted-issuer", "issuer")
    assert not world.web.count("stranger")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"domain": "did:web:other.example"}, "presentation-aud"),
        ({"domain": None}, "presentation-aud"),
        ({"expires": None}, "presentation-expired"),
        ({"purpose": "assertionMethod"}, "proof-purpose"),
        ({"purpose": "capabilityInvocation"}, "proof-purpose"),
    ],
)
async def test_g44_proof_of_a_presentation_for_something_else(world: World, member: Party, options: dict, reason: str) -> None:
    shows(member, world.issuer.issue(member.did, format=vc.VC20_DI), options=options)
    await refused(world, reason)


async def test_g44_replayed_presentation_ends(world: World, member: Party) -> None:
    made = shows(member, world.issuer.issue(member.did, format=vc.VC20_DI))
    world.clock.forward(311)
    member.shows(made)
    await refused(world, "presentation-expired", "window")


async def test_g44_credential_with_a_proof_for_authentication(world: World, member: Party) -> None:
    document = wire.loads(world.issuer.issue(member.did, format=vc.VC20_DI))
    signed = add_proof(document, world.issuer.key, purpose="authentication", created=world.clock.now())
    shows(member, wire.dumps(signed).decode())
    await refused(world, "proof-purpose", "signature")


async def test_g44_two_proofs_or_none(world: World, member: Party) -> None:
    document = wire.loads(world.issuer.issue(member.did, format=vc.VC20_DI))
    shows(member, wire.dumps(document | {"proof": [document["proof"]] * 2}).decode())
    await refused(world, "proof-count")
    del document["proof"]
    made = wire.loads(member.present(credentials=[], format=vc.VC20_DI))
    options = {"purpose": "authentication", "created": world.clock.now(), "domain": world.verifier.did}
    member.shows(add_proof(made | {"verifiableCredential": [document]}, member.key, **options))
    await refused(world, "proof-form")


async def test_g44_proof_that_has_ended_or_not_begun(world: World, member: Party) -> None:
    document = wire.loads(world.issuer.issue(member.did, format=vc.VC20_DI))
    now = world.clock.now()
    world.clock.forward(60)
    given: dict[str, Any] = {"purpose": "assertionMethod", "created": now, "expires": now}
    shows(member, wire.dumps(add_proof(document, world.issuer.key, **given)).decode())
    await refused(world, "expired-credential", "window")
    world.clock.forward(60)
    given = {"purpose": "assertionMethod", "created": world.clock.now().replace(year=2027)}
    shows(member, wire.dumps(add_proof(document, world.issuer.key, **given)).decode())
    await refused(world, "time")


async def test_g22_presentation_signed_by_another(world: World, member: Party) -> None:
    thief = world.party("did:web:thief.example")
    credential = world.issuer.issue(member.did, format=vc.VC20_DI)
    shows(member, credential, key=thief.key)
    await refused(world, "kid", "holder")
    shows(member, credential, key=thief.key, holder=thief.did)
    await refused(world, "presentation-holder", "holder")


async def test_g25_key_not_for_the_purpose(world: World, member: Party) -> None:
    shows(member, world.issuer.issue(member.did, format=vc.VC20_DI))
    world.issuer.document[dids.ASSERTION] = []
    await refused(world, "relationship", "signature")
    member.document[dids.AUTHENTICATION] = []
    world.resolver.forget(member.did)
    await refused(world, "relationship", "signature")


async def test_g28_mixed_models_and_ways_of_proof(world: World, member: Party) -> None:
    shows(member, world.issuer.issue(member.did, format=vc.VC11_DI))
    await refused(world, "mixed")
    credential = wire.loads(world.issuer.issue(member.did, format=vc.VC20_DI))
    made = wire.loads(member.present(credentials=[], format=vc.VC20_DI))
    token = world.issuer.issue(member.did)
    options = {"purpose": "authentication", "created": world.clock.now(), "domain": world.verifier.did}
    for entry, reason in ((token, "form"), ([credential], "form")):
        member.shows(add_proof(made | {"verifiableCredential": [entry]}, member.key, **options))
        await refused(world, reason)


@pytest.mark.parametrize("where", ["credential", "presentation"])
async def test_g43_inner_context_and_context_in_place(world: World, member: Party, where: str) -> None:
    evil = {"memberOf": "https://thief.example/"}
    document = wire.loads(world.issuer.issue(member.did, format=vc.VC20_DI))
    subject = document["credentialSubject"]
    for changed, reason in (
        ({"credentialSubject": subject | {"@context": evil}}, "inner-context"),
        ({"@context": [CONTEXT_20, evil]}, "context"),
    ):
        if where == "credential":
            made = add_proof(document | changed, world.issuer.key, purpose="assertionMethod", created=world.clock.now())
            shows(member, wire.dumps(made).decode())
        else:
            shows(
                member,
                wire.dumps(document).decode(),
                **({"evidence": {"@context": evil}} if reason == "inner-context" else changed),
            )
        await refused(world, reason)


async def test_g45_duplicate_members_in_the_answer(world: World, member: Party) -> None:
    made = wire.dumps(shows(member, world.issuer.issue(member.did, format=vc.VC20_DI)))
    doubled = made.replace(b'"memberOf":"consortium"', b'"memberOf":"consortium","memberOf":"another"')
    body = b'{"type":"PresentationResponseMessage","presentation":[' + doubled + b"]}"
    world.web.answers[f"{member.base}/cs/presentations/query"] = lambda *_: Reply(200, {}, body)
    await refused(world, "bad-input")


async def test_status_list_with_data_integrity(world: World, member: Party) -> None:
    host = StatusHost(world.issuer, "1")
    host.changes["format"] = vc.VC20_DI
    host.sign()
    shows(member, world.issuer.issue(member.did, format=vc.VC20_DI, status=[host.entry(3)]))
    assert await authenticate(world.door, member.caller(), fresh=True)
    host.set(3)
    world.clock.forward(2)
    await refused(world, "revocation", "status")


async def test_g34_status_list_whose_proof_does_not_hold(world: World, member: Party) -> None:
    host = StatusHost(world.issuer, "1")
    host.changes["format"] = vc.VC20_DI
    host.set(3)
    shows(member, world.issuer.issue(member.did, format=vc.VC20_DI, status=[host.entry(3)]))
    document = wire.loads(host.jwt)
    document["credentialSubject"]["encodedList"] = status.BitString.empty().encode()
    host.jwt = wire.dumps(document).decode()
    await refused(world, "signature", "status")
    del document["proof"]
    host.jwt = wire.dumps(document).decode()
    await refused(world, "unsigned", "status")


@pytest.mark.parametrize("profile", PROFILES)
async def test_profiles_hold_for_data_integrity_too(world: World, member: Party, profile: str) -> None:
    world.demand(profile=PROFILES[profile])
    shows(member, world.issuer.issue(member.did, format=vc.VC20_DI), options={"domain": None, "expires": None})
    if profile == "edc":
        assert await authenticate(world.door, member.caller(), fresh=True)
    else:
        await refused(world, "presentation-aud")
