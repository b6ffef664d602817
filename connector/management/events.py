"""`GET /v1/events`: what happened at this connector, for operators and their programs, in the order of commits and without a gap.

    ?after=ID        what came after it (`next` of the answer before; `now`: what comes from now on; empty: from the first that is kept). `Last-Event-ID` says the same
    &limit=N         at most so many
    &wait=SECONDS    an answer as soon as there is something, at the latest then, with no items
    Accept: text/event-stream    a stream of server-sent events instead, for ten minutes at most; a client connects again with the last id

Rules
- Events are rows of the store, written with what they tell (`connector.store.happened`); any replica tells those of all. The id is a place in their order, so whoever was
  away goes on where it stopped, however long that was.
- Nothing is polled: commits wake who waits. On PostgreSQL an event may have to wait for a transaction that began before it, which nobody is told of the end of: while
  there is such a one, it is looked again after `SOON`; and after the store's patience, since a notice of another replica may be lost.
- An id beyond the newest event is refused: the store was set back to an older copy, and what happened since would be passed over.
- Events are removed when they are older than `keep_events`. An id before the oldest one that is left is refused (410), also in the midst of going on from it: something
  that was never told may be gone. The last one of those that are removed stays, so that whoever has been told everything goes on, however long nothing has happened.
- A client holds one page at a time; one that does not read is not written to. The key of a stream is looked at again when it connects again.
"""

import asyncio
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct

from connector.errors import EventsRemoved
from connector.store.happened import place
from connector.store.port import Happened, Store
from identity.access.pages import page
from kernel.errors import BadInput, Conflict, KizunaError
from kernel.waiting import until
from kernel.web import Route, json_response

NOW: Final = "now"
SOON: Final = 0.1  # seconds
PAGE: Final = 100
_QUIET: Final = 20.0  # seconds after which a stream says that it is there
_LONGEST: Final = 600.0
_STREAM: Final = "text/event-stream"


class EventsPage(Struct, frozen=True):
    """Events, and the id to go on after; it is there even where nothing has happened."""

    items: list[Happened]
    next: str


class EventRoutes:
    """What happened, over the store of a participant."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: set[asyncio.Event] = set()
        self._listens = False  # to commits, from the first question on

    def routes(self, route: Any) -> list[Route]:
        """Rows of the management API; `route` makes them."""
        query = ("after", "limit", "wait")
        return [
            route(
                "GET",
                "/v1/events",
                self.events,
                "read events",
                "What happened, in order; also as a stream",
                response=EventsPage,
                query=query,
            )
        ]

    async def events(self, request: web.Request) -> web.StreamResponse:
        wanted = page(request)
        after = await self._begin(wanted.after or request.headers.get("Last-Event-ID", ""))
        if _STREAM in request.headers.get("Accept", ""):
            return await self._stream(request, after)
        found = await self._after(after, wanted.limit, seconds(request))
        return json_response(EventsPage(found, found[-1].id if found else after))

    async def _begin(self, after: str) -> str:
        """The id to go on after; raises `BadInput`, and `Conflict` where the store has not come so far."""
        last = await self._store.last_event()
        if after != NOW and place(after) > place(last):
            raise Conflict(
                "there is no such event: the store was set back, or is another one", next_step="begin anew, without `after`"
            )
        await self._whole(after)
        return last if after == NOW else after

    async def _whole(self, after: str) -> None:
        """Refuse to go on after an event where those that followed it may have been removed; raises `EventsRemoved`."""
        if after not in ("", NOW) and place(after) < place(await self._store.first_event()):
            raise EventsRemoved(
                "events after this one are older than they are kept, and gone",
                next_step="read the lists of what there is now, then begin anew without `after`; `keep_events` keeps more",
            )

    async def _stream(self, request: web.Request, after: str) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": _STREAM, "Cache-Control": "no-store"})
        await stream.prepare(request)
        loop = asyncio.get_running_loop()
        end = loop.time() + _LONGEST
        try:
            while (left := end - loop.time()) > 0:
                found = await self._after(after, PAGE, min(_QUIET, left))
                after = found[-1].id if found else after
                await stream.write(b"".join(map(_told, found)) or b": nothing new\n\n")
        except (KizunaError, ConnectionError):
            return stream  # the client connects again, and hears of nothing twice
        return stream

    async def _after(self, after: str, limit: int, seconds: float) -> list[Happened]:
        """What came after an id, as soon as there is something; nothing after these seconds."""
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        end = loop.time() + seconds
        if not self._listens:
            self._listens = True
            self._store.on_commit(self._wake)
        self._waiting.add(event)
        try:
            while not (found := await self._store.events(after, limit)) and (left := end - loop.time()) > 0:
                pauses = [left, SOON if await self._store.settling(after) else left, self._store.patience or left]
                await until(event, min(pauses))
                event.clear()
            if found:
                await self._whole(after)
            return found
        finally:
            self._waiting.discard(event)

    def _wake(self) -> None:
        for event in self._waiting:
            event.set()


def _told(event: Happened) -> bytes:
    return f"id: {event.id}\nevent: {event.kind}\ndata: ".encode() + msgspec.json.encode(event) + b"\n\n"


def seconds(request: web.Request) -> float:
    """`?wait=<seconds>`; raises `BadInput`."""
    try:
        return min(600.0, max(0.0, float(request.query.get("wait", "0"))))
    except ValueError as error:
        raise BadInput("wait is not a number of seconds") from error
