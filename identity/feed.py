"""The authority's event feed: one signed page of events, as it is written and as a follower reads it (identity.md 8.5).

A page answers one question, "what came after number N?", and is signed for the one who asked: `iss` the authority, `aud` the follower, `nonce` and
`after` from the question, `head` the number of the newest event there is, `events` in order. An empty page says that nothing happened.

Rules for reading; each refusal has its reason
- signed by the key that the follower has pinned (`foreign`), as a page and nothing else (`typ`), for us (`audience`)
- the answer to this very question, now: nonce, number, time (`replay`, `after`, `time`)
- numbers go on without a gap, from the number asked for (`gap`); the newest number never goes back (`older`): an authority that was set back to an
  older state has forgotten suspensions, and is not followed until a person has looked at it

Not done here: asking, waiting, what an event means (`connector.worker.feed`), what is told to whom (`identity.service.authority.feed`).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

import msgspec
from msgspec import Struct

from identity import jose
from identity.jose import BadToken, PublicKey, Signer, Unverified
from kernel.errors import BadInput

REGISTER: Final = "MemberRegister"  # type of the entry of applications and the register of members
SERVICE: Final = "MemberEventFeed"  # type of the service entry in the authority's DID document
TYPE: Final = "kizuna-events+jwt"
PAGE: Final = 500
LIMIT: Final = 1_048_576
WINDOW: Final = timedelta(seconds=120)  # clocks of two companies

SUSPENDED: Final = "suspended"
REINSTATED: Final = "reinstated"
REVOKED: Final = "revoked"


class BadFeed(BadInput):
    """A page that cannot be relied on. `facts["reason"]` is a fixed word."""

    code: ClassVar[str] = "bad-event-feed"

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail, reason=reason)


class Event(Struct, frozen=True, omit_defaults=True):
    """One event. `did` is empty where the event is nobody's business but the authority's; its number is told all the same."""

    seq: int
    kind: str
    at: str
    did: str = ""
    subject: str = ""


class Page(Struct, frozen=True):
    """A verified page: events after the number asked for, and the number of the newest one there is."""

    after: int
    head: int
    events: tuple[Event, ...]


class Question(Struct, frozen=True):
    """What a follower asks: its DID, the number it has read up to, and a nonce that is used once."""

    follower: str
    after: int
    nonce: str


def write(signer: Signer, asked: Question, head: int, events: Sequence[Event], now: datetime) -> str:
    """The signed page; the signer's DID is the authority."""
    claims = {
        "iss": signer.kid.partition("#")[0],
        "aud": asked.follower,
        "iat": int(now.timestamp()),
        "nonce": asked.nonce,
        "after": asked.after,
        "head": head,
        "events": [msgspec.to_builtins(each) for each in events],
    }
    return jose.sign(claims, signer, typ=TYPE)


def parse(text: str) -> Unverified:
    """An unverified page, whose `kid` says which key to look at; raises `BadFeed`."""
    try:
        return jose.parse(text, limit=LIMIT)
    except BadToken as error:
        raise BadFeed(f"the event feed: {error.detail}", reason="form") from error


def read(token: Unverified, key: PublicKey, authority: str, asked: Question, now: datetime) -> Page:
    """The page of a parsed answer; `key` is the pinned one. Raises `BadFeed`."""
    if token.typ != TYPE:
        raise BadFeed("signed by the authority, but no page of the event feed", reason="typ")
    try:
        jose.verify(token, key)
    except BadToken as error:
        raise BadFeed("the event feed is not signed by the pinned key", reason="foreign") from error
    claims = token.claims
    if claims.get("iss") != authority:
        raise BadFeed("the event feed is of another authority", reason="foreign")
    if claims.get("aud") != asked.follower:
        raise BadFeed("the page was made for somebody else", reason="audience")
    if claims.get("nonce") != asked.nonce:
        raise BadFeed("the page answers another question", reason="replay")
    if claims.get("after") != asked.after:
        raise BadFeed("the page begins at another number", reason="after")
    _time(claims.get("iat"), now)
    return _page(claims, asked.after)


def _time(issued: Any, now: datetime) -> None:
    if not isinstance(issued, int) or abs(now.timestamp() - issued) > WINDOW.total_seconds():
        raise BadFeed("the page is not of this time", reason="time")


def _page(claims: dict[str, Any], after: int) -> Page:
    try:
        found = msgspec.convert(claims, Page)
    except msgspec.ValidationError as error:
        raise BadFeed(f"the page: {error}", reason="form") from error
    if found.head < after:
        raise BadFeed(f"the newest event has number {found.head}, and {after} was there before", reason="older")
    for number, event in enumerate(found.events, after + 1):
        if event.seq != number:
            raise BadFeed(f"event {number} is missing", reason="gap")
    last = after + len(found.events)
    if last > found.head or (not found.events and found.head > after):
        raise BadFeed("events are left out", reason="gap")
    return found
