"""Attacks on the event feed: a page that is forged, old, somebody else's, or leaves events out is refused, each by its reason."""

from datetime import UTC, datetime, timedelta

import pytest

from identity import feed, jose
from identity.feed import BadFeed, Event, Question
from identity.jose import public_key
from tests.unit.identity_core.world import signer

AUTHORITY, ME = "did:web:authority.example", "did:web:me.example"
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
ASKED = Question(ME, 4, "nonce-1")
KEY = signer(AUTHORITY, "trust-1")
EVENTS = [Event(5, "suspended", "2026-11-24T09:00:00.000Z", "did:web:bad.example"), Event(6, "invited", "2026-11-24T09:00:01.000Z")]


def page(key=KEY, asked=ASKED, head=6, events=EVENTS, now=NOW):
    return feed.write(key, asked, head, events, now)


def read(text, *, asked=ASKED, now=NOW, authority=AUTHORITY):
    return feed.read(feed.parse(text), public_key(KEY.public_jwk()), authority, asked, now)


def refused(text, reason, **more):
    with pytest.raises(BadFeed) as found:
        read(text, **more)
    assert found.value.facts["reason"] == reason


def test_a_page_says_what_came_after_a_number():
    found = read(page())
    assert (found.after, found.head, list(found.events)) == (4, 6, EVENTS)
    assert read(page(head=4, events=[])).events == ()


def test_signed_by_somebody_else():
    refused(page(signer(AUTHORITY, "trust-1")), "foreign")
    refused(page(), "foreign", authority="did:web:other.example")


def test_another_thing_that_the_authority_has_signed():
    refused(
        jose.sign({"iss": AUTHORITY, "aud": ME, "nonce": "nonce-1", "after": 4, "head": 4, "events": []}, KEY, typ="vc+jwt"), "typ"
    )


def test_a_changed_page():
    head, _, signature = page().split(".")
    forged = page(head=4, events=[]).split(".")[1]
    refused(f"{head}.{forged}.{signature}", "foreign")


def test_a_page_for_another_member():
    refused(page(asked=Question("did:web:other.example", 4, "nonce-1")), "audience")


def test_a_replayed_page():
    refused(page(asked=Question(ME, 4, "nonce-0")), "replay")


def test_a_page_of_another_number():
    refused(page(asked=Question(ME, 3, "nonce-1")), "after")


@pytest.mark.parametrize("shift", [-121, 121, 86_400])
def test_a_page_of_another_time(shift):
    refused(page(now=NOW + timedelta(seconds=shift)), "time")


def test_events_left_out():
    refused(page(events=EVENTS[1:]), "gap")
    refused(page(events=[EVENTS[0], Event(7, "revoked", "x")], head=7), "gap")
    refused(page(events=[]), "gap")
    refused(page(events=EVENTS, head=5), "gap")


def test_an_authority_that_was_set_back():
    refused(page(head=3, events=[]), "older")


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "a.b.c.d.e", "x" * (feed.LIMIT + 1)])
def test_no_page_at_all(text):
    refused(text, "form")


def test_a_page_of_the_wrong_form():
    claims = {"iss": AUTHORITY, "aud": ME, "iat": int(NOW.timestamp()), "nonce": "nonce-1", "after": 4, "head": "6", "events": []}
    refused(jose.sign(claims, KEY, typ=feed.TYPE), "form")
