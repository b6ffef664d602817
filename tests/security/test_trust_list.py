"""The trust list under attack: forged, foreign, old, endless, malformed; and what a list lets an issuer do. Each refusal by its reason."""

from datetime import UTC, datetime, timedelta

import pytest

from identity import trustlist, vc
from identity.jose import public_key
from identity.trust import TrustPolicy
from identity.trustlist import BadTrustList, Bridge, Content, TrustedIssuer, TrustList
from identity.vc import StatusEntry, issue, parse_vc
from tests.unit.identity_core.world import signer

AUTHORITY, OTHER, NOTARY = "did:web:authority.example", "did:web:other.example", "did:web:notary.example"
URL = f"https://authority.example{'/authority/v1/trust-list'}"
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
WEEK = timedelta(days=7)
KEY, NOTARY_KEY = signer(AUTHORITY, "trust-1"), signer(NOTARY, "k1")
CONTENT = Content(
    issuers=(
        TrustedIssuer(did=AUTHORITY, types=("MembershipCredential",)),
        TrustedIssuer(did=NOTARY, types=("NumberCredential",), profiles=(vc.VC20,), status_hosts=("notary.example",),
                      valid_until="2026-12-01T00:00:00Z"),
    ),
    bridges=(Bridge(authority=OTHER, key="k" * 43, types=("MembershipCredential",)),),
    ca_digest="d" * 64,
)  # fmt: skip


def written(key=KEY, sequence=3, content=CONTENT, since=NOW, until=NOW + WEEK):
    return trustlist.write(key, URL, sequence, content, since=since, until=until)


def read(text, *, now=NOW, authority=AUTHORITY):
    return trustlist.read(trustlist.parse(text), public_key(KEY.public_jwk()), authority, now)


def refused(text, reason, **more):
    with pytest.raises(BadTrustList) as found:
        read(text, **more)
    assert found.value.facts["reason"] == reason


def test_a_list_says_what_was_written():
    assert read(written()) == TrustList(3, CONTENT, NOW, NOW + WEEK)


def test_signed_by_somebody_else():
    refused(written(signer(AUTHORITY, "trust-1")), "foreign")
    refused(written(), "foreign", authority=OTHER)


def test_another_credential_of_the_authority():
    text = issue(
        KEY, id="urn:x", types=["MembershipCredential"], subject={"id": "did:web:m.example"}, valid_from=NOW, valid_until=NOW + WEEK
    )
    refused(text, "type")


@pytest.mark.parametrize("now", [NOW - timedelta(seconds=121), NOW + WEEK, NOW + WEEK * 2])
def test_outside_of_its_window(now):
    refused(written(), "window", now=now)


def test_a_window_without_end_or_longer_than_a_week():
    refused(written(until=NOW + WEEK + timedelta(seconds=1)), "window")
    subject = {"id": "x", "sequence": 1, "content": {"issuers": []}}
    refused(issue(KEY, id=URL, types=[trustlist.TYPE], subject=subject, valid_from=NOW, valid_until=None), "window")


@pytest.mark.parametrize(
    "subject",
    [
        {"id": "x", "sequence": "1", "content": {"issuers": []}},
        {"id": "x", "sequence": 1},
        {"id": "x", "sequence": 1, "content": {"issuers": [{"did": "did:web:a.example"}]}},
        {"id": "x", "sequence": 1, "content": {"issuers": [], "unknown": 1}},
    ],
)
def test_of_the_wrong_form(subject):
    text = issue(KEY, id=URL, types=[trustlist.TYPE], subject=subject, valid_from=NOW, valid_until=NOW + WEEK)
    refused(text, "form")


@pytest.mark.parametrize("text", ["", "{}", "a.b.c", "x" * (trustlist.LIMIT + 1)])
def test_no_list_at_all(text):
    refused(text, "form")


def test_an_older_list_never_takes_the_place_of_a_newer_one():
    old, new = read(written(sequence=3)), read(written(sequence=4))
    assert trustlist.follows(new, old)
    assert not trustlist.follows(new, new)
    changed = read(written(sequence=4, content=Content(issuers=())))
    for each in (old, changed):
        with pytest.raises(BadTrustList) as found:
            trustlist.follows(each, new)
        assert found.value.facts["reason"] == "older"


def credential(key=NOTARY_KEY, kind="NumberCredential", form=vc.VC20, host="notary.example"):
    status = [StatusEntry(url=f"https://{host}/s", index=1, purpose="revocation",
                          type="BitstringStatusListEntry" if form == vc.VC20 else "StatusList2021Entry")]  # fmt: skip
    return parse_vc(issue(key, id="urn:x", types=[kind], subject={"id": "did:web:m.example"}, valid_from=NOW,
                          valid_until=NOW + WEEK, status=status, format=form))  # fmt: skip


def test_an_issuer_is_believed_for_its_types_profiles_hosts_and_time():
    policy = TrustPolicy(trustlist.rules(CONTENT))
    assert policy.believes(credential(), NOW)
    assert not policy.believes(credential(kind="MembershipCredential"), NOW)
    assert not policy.believes(credential(form=vc.VC11), NOW)
    assert not policy.believes(credential(host="elsewhere.example"), NOW)
    assert not policy.believes(credential(), datetime(2026, 12, 1, tzinfo=UTC))
    assert not policy.believes(credential(key=signer("did:web:nobody.example")), NOW)


def test_a_bridge_goes_as_far_as_it_says_and_no_further():
    theirs = Content(
        issuers=(TrustedIssuer(did=OTHER, types=("MembershipCredential", "RoleCredential")),),
        bridges=(Bridge(authority="did:web:third.example", key="k" * 43, types=("MembershipCredential",)),),
    )
    policy = TrustPolicy(trustlist.rules(CONTENT, [(CONTENT.bridges[0], theirs)]))
    key = signer(OTHER)
    assert policy.believes(credential(key, "MembershipCredential"), NOW)
    assert not policy.believes(credential(key, "RoleCredential"), NOW)
    assert not policy.believes(credential(signer("did:web:third.example"), "MembershipCredential"), NOW)


def test_differences_are_told_before_publishing():
    new = Content(issuers=(TrustedIssuer(did=AUTHORITY, types=("MembershipCredential", "RoleCredential")),), ca_digest="d" * 64)
    assert trustlist.changes(CONTENT, new) == [
        f"- issuer {NOTARY}: types NumberCredential; profiles vc20-bssl/jwt; statusHosts notary.example; validUntil 2026-12-01T00:00:00Z",
        f"- bridge {OTHER}: key {'k' * 43}; types MembershipCredential",
        f"~ issuer {AUTHORITY}: types MembershipCredential -> types MembershipCredential, RoleCredential",
    ]
    assert trustlist.changes(new, new) == []
    assert len(trustlist.changes(None, CONTENT)) == 4
