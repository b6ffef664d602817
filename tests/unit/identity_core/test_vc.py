"""Credentials and presentations read and written: identity.md 1.7, 2.1, 2.2."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import jose, vc
from identity.vc import BadCredential, Scope, StatusEntry
from tests.unit.identity_core.world import START, signer

ISSUER = signer("did:web:issuer.example")
HOLDER = signer("did:web:holder.example")
DID = "did:web:holder.example"
ENTRY = StatusEntry(url="https://issuer.example/status/1", index=5, purpose="revocation")


def issued(model: str, **changes: Any) -> str:
    given: dict[str, Any] = {
        "id": "urn:uuid:1",
        "types": ["MembershipCredential"],
        "subject": {"id": DID, "memberOf": "x"},
        "valid_from": START,
        "valid_until": START + timedelta(days=1, microseconds=5),
        "status": [ENTRY],
        "format": model,
    } | changes
    return vc.issue(ISSUER, **given)


def altered(model: str, /, **changes: Any) -> str:
    """A signed credential with changed properties; None removes one."""
    claims = jose.parse(issued(model)).claims
    body = claims["vc"] if model == vc.VC11 else claims
    body.update(changes)
    for name in [name for name, value in changes.items() if value is None]:
        del body[name]
    return jose.sign(claims, ISSUER, typ="JWT" if model == vc.VC11 else "vc+jwt")


def reason(call: Any, *args: Any) -> str:
    with pytest.raises(BadCredential) as caught:
        call(*args)
    return caught.value.facts["reason"]


@pytest.mark.parametrize("model", [vc.VC11, vc.VC20])
def test_credential_round_trip(model: str) -> None:
    found = vc.parse_vc(issued(model))
    assert (found.id, found.issuer, found.format) == ("urn:uuid:1", "did:web:issuer.example", model)
    assert found.types == ("VerifiableCredential", "MembershipCredential")
    assert found.kinds == {"MembershipCredential"}
    assert found.subject == {"id": DID, "memberOf": "x"}
    assert (found.valid_from, found.valid_until) == (START, START + timedelta(days=1))
    assert (found.status[0].url, found.status[0].index, found.status[0].purpose) == (ENTRY.url, 5, "revocation")
    jose.verify(found.proof, ISSUER.public_jwk())


def test_wire_form_of_1_1() -> None:
    token = jose.parse(issued(vc.VC11))
    assert token.typ == "JWT"
    assert (token.claims["iss"], token.claims["sub"], token.claims["jti"]) == ("did:web:issuer.example", DID, "urn:uuid:1")
    assert token.claims["nbf"] == int(START.timestamp())
    assert token.claims["vc"]["@context"][0] == "https://www.w3.org/2018/credentials/v1"
    assert token.claims["vc"]["issuanceDate"].endswith("Z")


def test_wire_form_of_2_0() -> None:
    token = jose.parse(issued(vc.VC20))
    assert (token.typ, token.header["cty"]) == ("vc+jwt", "vc")
    assert not {"vc", "iss", "sub"} & token.claims.keys()
    assert token.claims["@context"][0] == "https://www.w3.org/ns/credentials/v2"
    assert token.claims["credentialStatus"] == {
        "id": f"{ENTRY.url}#5",
        "type": "BitstringStatusListEntry",
        "statusPurpose": "revocation",
        "statusListIndex": "5",
        "statusListCredential": ENTRY.url,
    }


BOTH: list[tuple[dict[str, Any], str]] = [
    ({"@context": None}, "context"),
    ({"@context": []}, "context"),
    ({"@context": ["https://w3id.org/other", "https://www.w3.org/ns/credentials/v2"]}, "context"),
    ({"type": None}, "form"),
    ({"type": ["MembershipCredential"]}, "type"),
    ({"type": [1, "VerifiableCredential"]}, "form"),
    ({"issuer": "https://issuer.example"}, "issuer"),
    ({"issuer": 5}, "form"),
    ({"credentialSubject": None}, "subject"),
    ({"credentialSubject": {}}, "form"),
    ({"credentialSubject": "x"}, "form"),
    ({"credentialSubject": [{"id": DID}] * 65}, "form"),
    ({"id": {}}, "form"),
]


@pytest.mark.parametrize(("changes", "why"), BOTH)
def test_malformed_2_0(changes: dict, why: str) -> None:
    assert reason(vc.parse_vc, altered(vc.VC20, **changes)) == why


@pytest.mark.parametrize(
    ("changes", "why"), [each for each in BOTH if "issuer" not in each[0] and "credentialSubject" not in each[0]]
)
def test_malformed_1_1(changes: dict, why: str) -> None:
    assert reason(vc.parse_vc, altered(vc.VC11, **changes)) == why


@pytest.mark.parametrize(
    "time",
    ["2026-11-24", "2026-11-24T09:00:00", "2026-11-24T09:00:00 Z", "20261124T090000Z", "2026-13-24T09:00:00Z", 1, True, "", "now"],
)
@pytest.mark.parametrize(("model", "name"), [(vc.VC20, "validFrom"), (vc.VC20, "validUntil"), (vc.VC11, "issuanceDate")])
def test_time_without_a_zone_or_no_time(time: object, model: str, name: str) -> None:
    assert reason(vc.parse_vc, altered(model, **{name: time})) == "time"


def test_ends_before_it_begins() -> None:
    assert reason(vc.parse_vc, issued(vc.VC20, valid_until=START - timedelta(seconds=1))) == "time"


@pytest.mark.parametrize("name", ["evidence", "termsOfUse", "refreshService", "credentialSchema"])
def test_2_0_property_without_a_type(name: str) -> None:
    assert reason(vc.parse_vc, altered(vc.VC20, **{name: {"id": "x"}})) == "form"


@pytest.mark.parametrize("typ", ["JWT", "vp+jwt", "at+jwt"])
def test_2_0_by_its_type_alone(typ: str) -> None:
    claims = jose.parse(issued(vc.VC20)).claims
    assert reason(vc.parse_vc, jose.sign(claims, ISSUER, typ=typ)) == "typ"


@pytest.mark.parametrize("claims", [{"vc": {}, "vp": {}}, {"vc": "x"}, {"vc": []}])
def test_vc_claim_that_is_none(claims: dict) -> None:
    assert reason(vc.parse_vc, jose.sign(claims, ISSUER)) in {"form", "context"}


def test_self_issued_token_is_no_credential_and_no_presentation() -> None:
    token = jose.token_for(HOLDER, DID, now=START, jti="j")
    assert reason(vc.parse_vc, token) == "typ"
    assert reason(vc.parse_vp, token) == "form"


@pytest.mark.parametrize("model", [vc.VC11, vc.VC20])
def test_presentation_round_trip(model: str) -> None:
    raw = issued(model)
    token = vc.present(HOLDER, [raw], audience="did:web:v.example", now=START, jti="j", format=model)
    found = vc.parse_vp(token)
    assert (found.holder, found.audience, found.jti, found.format) == (DID, "did:web:v.example", "j", model)
    assert found.expires == START + timedelta(minutes=5)
    assert [each.raw for each in found.credentials] == [raw]
    jose.verify(found.proof, HOLDER.public_jwk())


def test_enveloped_presentation_as_an_object_and_as_a_token() -> None:
    given = {"audience": "did:web:v.example", "now": START, "jti": "j"}
    plain, wrapped = (vc.present(HOLDER, [issued(vc.VC20)], wrapped=each, **given) for each in (False, True))  # type: ignore[arg-type]
    inside = jose.parse(wrapped).claims["id"].removeprefix("data:application/vp+jwt,")
    envelope = {"type": "EnvelopedVerifiablePresentation", "id": f"data:application/vp+jwt,{plain}"}
    assert vc.parse_vp(envelope).holder == vc.parse_vp(wrapped).holder == vc.parse_vp(inside).holder == DID
    for change in ({"type": "Other"}, {"id": f"data:text/html,{plain}"}, {"id": f"data:application/vp+jwt,{plain};{plain}"}):
        assert reason(vc.parse_vp, envelope | change) == "envelope"


@pytest.mark.parametrize("name", ["iss", "sub", "holder"])
def test_presentation_of_two_holders(name: str) -> None:
    token = vc.present(HOLDER, [], audience="did:web:v.example", now=START, jti="j")
    claims = jose.parse(token).claims | {name: "did:web:other.example"}
    assert reason(vc.parse_vp, jose.sign(claims, HOLDER, typ="vp+jwt")) == "disagreement"


@pytest.mark.parametrize("kid", ["did:web:issuer.example", "#k1", "did:web:issuer.example.evil#k1", "did:web:issuerXexample#k1"])
def test_kid_of_the_signer(kid: str) -> None:
    class Other:
        alg = "ES256"
        sign = ISSUER.sign

        def pinned(self) -> "Other":
            return self

    other = Other()
    other.kid = kid  # type: ignore[attr-defined]
    token = jose.parse(jose.sign({}, other))  # type: ignore[arg-type]
    assert reason(vc.check_signature_of, token, "did:web:issuer.example") == "kid"


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("org.eclipse.dspace.dcp.vc.type:A:read", Scope("org.eclipse.dspace.dcp.vc.type", "A", "read")),
        ("org.eclipse.dspace.dcp.vc.type:A", Scope("org.eclipse.dspace.dcp.vc.type", "A")),
        ("x.id:urn:uuid:1:read", Scope("x.id", "urn:uuid:1", "read")),
        ("x.id:urn:uuid:1", Scope("x.id", "urn:uuid:1")),
        ("x.id:read", Scope("x.id", "read")),
        ("x.type:https://c.example/ns#A:*", Scope("x.type", "https://c.example/ns#A", "*")),
    ],
)
def test_scope(text: str, scope: Scope) -> None:
    assert vc.parse_scope(text) == scope


@pytest.mark.parametrize("text", ["", "a", "a:", ":a", "a: b", "a:b\n", "a:" + "b" * 2000])
def test_scope_refused(text: str) -> None:
    assert reason(vc.parse_scope, text) == "scope"


@given(st.text(max_size=300))
def test_any_text_as_a_presentation_is_refused_with_a_reason(text: str) -> None:
    assert reason(vc.parse_vp, text)
