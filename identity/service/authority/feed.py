"""The event feed for members: what happened to members, credentials and certificates, as signed pages, by long poll (`identity.feed`; ADR 0008).

    GET /authority/v1/events?after=N&nonce=...&wait=20     the page after number N, as soon as there is one; an empty page after `wait` seconds

Rules
- Every member may follow, a suspended one too: it must learn that it was reinstated. The caller is proven by its token, and the page is signed for it.
- Numbers have no gaps. What concerns nobody but the operator and a company that is no member yet is told as a number and a kind, without the DID.
- Events are those of the journal: they stand or fall with the transaction of what they tell, so a follower never hears of what was undone.
"""

import asyncio
from typing import Final

from aiohttp import web

from identity import feed
from identity.feed import Event, Question
from identity.keys import Signer
from identity.service.callers import Callers
from identity.service.store.ledger import Ledger
from identity.service.store.port import Connection
from kernel.errors import BadInput, Forbidden, UnavailableError
from kernel.telemetry import get
from kernel.web import Route

PATH: Final = "/authority/v1/events"
LONGEST: Final = 25.0
_PAUSE: Final = 1.0  # seconds, when the database cannot be read
_FOLLOWERS: Final = ("ACTIVE", "SUSPENDED")
_PRIVATE: Final = ("invited", "applied")
log = get(__name__)


class Feed:
    """Pages for followers, and the one place that knows who waits for the next event."""

    def __init__(self, *, ledger: Ledger, callers: Callers, signer: Signer) -> None:
        self._ledger, self._callers, self._signer = ledger, callers, signer
        self._head = -1
        self._look = asyncio.Event()
        self._waiting: set[asyncio.Event] = set()
        self._closed = False

    def routes(self) -> list[Route]:
        """The route table of this part."""
        return [
            Route(
                method="GET",
                path=PATH,
                handler=self.events,
                auth="token",
                summary="The signed events after a number, by long poll (application/jwt)",
                query=("after", "nonce", "wait"),
            )
        ]

    def committed(self) -> None:
        """Called after every group of commits, here or in another process."""
        self._look.set()

    async def watch(self) -> None:
        """Until cancelled: after commits, wake those who wait when there is a new event."""
        while True:
            await self._look.wait()
            self._look.clear()
            try:
                head = await self._ledger.database.read(self._ledger.journal.head)
            except UnavailableError as error:
                log.warning("the event feed cannot look", cause=error.detail)
                await asyncio.sleep(_PAUSE)
                self._look.set()
                continue
            if head != self._head:
                self._head = head
                for each in self._waiting:
                    each.set()

    def close(self) -> None:
        """Answer everybody who waits, now and from now on."""
        self._closed = True
        for each in self._waiting:
            each.set()

    async def events(self, request: web.Request) -> web.StreamResponse:
        token = await self._callers.proven(request)
        asked = Question(token.did, _number(request.query.get("after", "0")), _nonce(request.query.get("nonce", "")))
        seconds = min(LONGEST, float(_number(request.query.get("wait", "0"))))
        await self._callers.spending(token, lambda c: self._follower(c, token.did))
        await self._wait(asked.after, seconds)
        head, events = await self._ledger.database.read(lambda c: self._after(c, asked.after))
        page = feed.write(self._signer, asked, head, events, self._ledger.clock.now())
        return web.Response(text=page, content_type="application/jwt", headers={"Cache-Control": "no-store"})

    def _follower(self, connection: Connection, did: str) -> None:
        member = self._ledger.members.find(connection, did)
        if member is None or member.did != did or member.state not in _FOLLOWERS:
            raise Forbidden("the event feed is for members", next_step="ask the operator of the data space")

    async def _wait(self, after: int, seconds: float) -> None:
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            async with asyncio.timeout(seconds):
                while not self._closed and await self._ledger.database.read(self._ledger.journal.head) <= after:
                    await event.wait()
                    event.clear()
        except TimeoutError:
            return
        finally:
            self._waiting.discard(event)

    def _after(self, connection: Connection, after: int) -> tuple[int, list[Event]]:
        found = self._ledger.journal.events(connection, after, feed.PAGE)
        told = [
            Event(one.seq, one.kind, one.at) if one.kind in _PRIVATE else Event(one.seq, one.kind, one.at, one.did, one.subject)
            for one in found
        ]
        return self._ledger.journal.head(connection), told


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BadInput("after and wait are numbers", reason="not a number")
    return int(text)


def _nonce(text: str) -> str:
    if not 16 <= len(text) <= 64:
        raise BadInput("a nonce of 16 to 64 characters is needed", path="nonce", reason="no nonce")
    return text
