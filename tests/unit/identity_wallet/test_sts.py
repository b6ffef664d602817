"""identity.wallet.sts: tokens for one receiver, access tokens for one verifier, and what is not taken for one."""

from datetime import UTC, datetime, timedelta

import pytest

from identity import jose
from identity.wallet.sts import LIFE, Sts
from kernel.errors import Unauthorized
from tests.unit.identity_core.world import FakeClock, signer

DID, VERIFIER, THIEF = "did:web:me.example", "did:web:verifier.example", "did:web:thief.example"
SCOPES = ("org.eclipse.dspace.dcp.vc.type:MembershipCredential:read", "org.eclipse.dspace.dcp.vc.type:RoleCredential:read")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def key():
    return signer(DID)


@pytest.fixture
def sts(key, clock):
    return Sts(DID, key, clock)


def at(claim):
    return datetime.fromtimestamp(claim, UTC)


def test_an_identity_token_is_ours_for_one_receiver_and_five_minutes(sts, key, clock):
    token = jose.parse(sts.token(VERIFIER))
    jose.verify(token, key.public_jwk())
    assert token.kid == key.kid
    assert (token.claims["iss"], token.claims["sub"], token.claims["aud"]) == (DID, DID, VERIFIER)
    assert at(token.claims["iat"]) == clock.now()
    assert at(token.claims["exp"]) == clock.now() + timedelta(minutes=5)
    assert not {"token", "cnf", "scope"} & set(token.claims)


def test_every_identity_token_has_its_own_jti(sts):
    assert len({jose.parse(sts.token(VERIFIER)).claims["jti"] for _ in range(20)}) == 20


def test_an_identity_token_is_bound_to_the_member_certificate_of_the_moment(key, clock):
    thumbprints = [None, "one", "two"]
    sts = Sts(DID, key, clock, lambda: thumbprints.pop(0))
    found = [jose.parse(sts.token(VERIFIER)).claims.get("cnf") for _ in range(3)]
    assert found == [None, {"x5t#S256": "one"}, {"x5t#S256": "two"}]


def test_scopes_put_an_access_token_for_the_receiver_into_the_identity_token(sts):
    inner = jose.parse(sts.token(VERIFIER, scopes=SCOPES)).claims["token"]
    assert sts.granted(inner, VERIFIER) == SCOPES


def test_a_received_token_is_handed_back_as_it_came_and_nothing_is_granted_with_it(sts):
    assert jose.parse(sts.token(VERIFIER, scopes=SCOPES, inner="theirs")).claims["token"] == "theirs"
    assert jose.parse(sts.token(VERIFIER, inner="theirs")).claims["token"] == "theirs"


def test_an_access_token_is_by_us_for_us_about_the_verifier(sts, key, clock):
    token = jose.parse(sts.access_token(VERIFIER, SCOPES))
    jose.verify(token, key.public_jwk())
    assert token.typ == "at+jwt"
    assert (token.claims["iss"], token.claims["aud"], token.claims["sub"]) == (DID, DID, VERIFIER)
    assert token.claims["scope"].split() == list(SCOPES)
    assert token.claims["exp"] - token.claims["iat"] == LIFE


def test_an_access_token_works_until_it_expires_and_more_than_once(sts, clock):
    token = sts.access_token(VERIFIER, SCOPES)
    for _ in range(2):
        assert sts.granted(token, VERIFIER) == SCOPES
    clock.forward(LIFE - 0.001)
    assert sts.granted(token, VERIFIER) == SCOPES
    clock.forward(0.001)
    with pytest.raises(Unauthorized):
        sts.granted(token, VERIFIER)


def test_an_access_token_for_no_scope_grants_nothing(sts):
    assert sts.granted(sts.access_token(VERIFIER, ()), VERIFIER) == ()


@pytest.mark.parametrize("verifier", [THIEF, "", VERIFIER.upper(), VERIFIER + "x", VERIFIER + "#k1", DID])
def test_an_access_token_shown_by_somebody_else_is_refused(sts, verifier):
    with pytest.raises(Unauthorized):
        sts.granted(sts.access_token(VERIFIER, SCOPES), verifier)


@pytest.mark.parametrize("token", [None, "", 5, [], {}, "x", "a.b.c", b"bytes", "e30.e30.AA", "." * 10])
def test_what_is_no_token_is_refused(sts, token):
    with pytest.raises(Unauthorized):
        sts.granted(token, VERIFIER)


@pytest.mark.parametrize("alg", ["ES256", "ES384", "EdDSA"])
def test_an_access_token_signed_with_another_key_is_refused_even_under_our_kid(sts, clock, alg):
    forged = Sts(DID, signer(DID, alg=alg), clock).access_token(VERIFIER, SCOPES)
    with pytest.raises(Unauthorized):
        sts.granted(forged, VERIFIER)


@pytest.mark.parametrize(
    "changes",
    [{"iss": THIEF}, {"aud": THIEF}, {"aud": [DID, THIEF]}, {"sub": THIEF}, {"sub": None}, {"exp": 0}],
    ids=str,
)
def test_one_wrong_claim_is_enough(sts, key, clock, changes):
    good = jose.parse(sts.access_token(VERIFIER, SCOPES)).claims
    assert sts.granted(jose.sign(good, key, typ="at+jwt"), VERIFIER) == SCOPES
    with pytest.raises(Unauthorized):
        sts.granted(jose.sign(good | changes, key, typ="at+jwt"), VERIFIER)


@pytest.mark.parametrize("typ", ["JWT", "vp+jwt", "vc+jwt", "AT+JWT"])
def test_another_kind_of_token_of_ours_is_no_access_token(sts, key, typ):
    claims = jose.parse(sts.access_token(VERIFIER, SCOPES)).claims
    with pytest.raises(Unauthorized):
        sts.granted(jose.sign(claims, key, typ=typ), VERIFIER)


def test_a_changed_scope_breaks_the_signature(sts):
    small, large = sts.access_token(VERIFIER, SCOPES[:1]), sts.access_token(VERIFIER, SCOPES)
    mixed = ".".join([small.split(".")[0], large.split(".")[1], small.split(".")[2]])
    with pytest.raises(Unauthorized):
        sts.granted(mixed, VERIFIER)


def test_every_refusal_reads_the_same_outside_and_says_why_inside(sts, clock):
    expired = sts.access_token(VERIFIER, SCOPES)
    clock.forward(LIFE)
    problems, reasons = [], set()
    for token, verifier in ((None, VERIFIER), ("x", VERIFIER), (expired, VERIFIER), (sts.access_token(VERIFIER, SCOPES), THIEF)):
        with pytest.raises(Unauthorized) as caught:
            sts.granted(token, verifier)
        problems.append(caught.value.problem())
        reasons.add(caught.value.facts["reason"])
    assert all(each == problems[0] for each in problems)
    assert len(reasons) == 3


def test_calls_of_a_minute_carry_one_access_token_and_each_its_own_identity_token(sts, clock):
    first, second = (jose.parse(sts.token(VERIFIER, scopes=SCOPES)).claims for _ in range(2))
    assert first["jti"] != second["jti"]
    assert first["token"] == second["token"]
    assert jose.parse(sts.token(THIEF, scopes=SCOPES)).claims["token"] != first["token"]
    assert jose.parse(sts.token(VERIFIER, scopes=SCOPES[:1])).claims["token"] != first["token"]
    clock.forward(61)
    later = jose.parse(sts.token(VERIFIER, scopes=SCOPES)).claims["token"]
    assert later != first["token"]
    assert sts.granted(later, VERIFIER) == SCOPES
