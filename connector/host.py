"""The serving process: one participant, or several, told apart by host name and, below one host, by base path (DCP 1.0 section 2: a base URL may carry a path).

Rules
- Each participant has its own data directory: database, keys, workers, management listener. Its routes are closures over its own store, so there is no other way from
  a path to data; that is the one place where participants are kept apart.
- Participants with the same address and port share the listener. The host name that a client asks for in the handshake (SNI) chooses the certificate, the Host header the
  routes, and both must be the same participant's: a request for another host than the handshake's is 421.
- Those of one host share its public listener, with the server certificate of the first of them. A member certificate names one DID, so a host and member port belong to one
  participant.
- A shared member listener opens with the first enrolment. Whoever has no member certificate yet is not found there: the handshake ends.

Not done here: sharing workers.
"""

import asyncio
import gc
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from connector import errors, settings
from connector.app import Connector, serving, tls
from connector.settings import Settings
from identity.tls.contexts import by_name
from kernel import telemetry
from kernel.errors import KizunaError, Misconfigured
from kernel.web import Application, Handler, Listener, Route, Table, serve

Context = Callable[[Connector], ssl.SSLContext | None]
log = telemetry.get(__name__)


class Misdirected(KizunaError):
    """The request is for another host than the connection (RFC 9110 15.5.20)."""

    code, status = "misdirected", 421


def settle() -> None:
    """Take what a started process keeps for good out of the collector's sight, and let it look less often: most of what serving makes dies by itself."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def run(directory: Path, *others: Path) -> None:
    """Serve until SIGTERM or SIGINT; `others` are further participants in this process."""
    telemetry.configure(settings.load(directory).log_level)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with together(directory, *others) as connectors:
        settle()
        for found in (each.settings for each in connectors):
            log.info("ready", did=found.did, url=found.public_url, management_port=found.management_port)
        stopped = asyncio.create_task(stop.wait())
        working = [task for each in connectors for task in each.working]
        await asyncio.wait([stopped, *working], return_when=asyncio.FIRST_COMPLETED)
        for task in working:
            if task.done():  # half a connector is worse than none: whoever watches it starts it again
                log.critical("a worker has ended", exc_info=task.exception())
                await task


@asynccontextmanager
async def together(*directories: Path, found: Sequence[Settings] = (), **stand_ins: Any) -> AsyncIterator[list[Connector]]:
    """Several participants in one process; raises `Misconfigured` when two of them cannot be told apart.

    Each has its own data, keys, workers and management listener; those of one address and port share its public, and its member listener.
    """
    async with AsyncExitStack() as stack:
        brought = found or [settings.load(each) for each in directories]
        _check(brought)
        listeners = _Listeners()
        opens = listeners.open if len(directories) > 1 else None
        connectors = [
            await stack.enter_async_context(serving(directory, None, each, opens=opens, **stand_ins))
            for directory, each in zip(directories, brought, strict=True)
        ]
        if opens is not None:
            for each in connectors:
                listeners.add(each)
            stack.push_async_callback(listeners.close)
            await listeners.open()
        yield connectors


@dataclass(slots=True)
class Shared:
    """One listener of several participants; `context` gives the certificate of one of them at this listener, None while it has none."""

    bind: str
    port: int
    context: Context
    sharing: list[Connector] = field(default_factory=list)
    listener: Listener | None = None
    tls: ssl.SSLContext | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def open(self) -> None:
        """Listen, once one of them has a certificate; also to be called when certificates or the CAs of clients have changed."""
        async with self.turn:
            contexts = [found for each in self.sharing if (found := self.context(each)) is not None]
            plain = not tls(self.sharing[0].settings)
            if not contexts and not plain:
                return
            if self.tls is None and not plain:
                self.tls = by_name(self._named)
            if self.tls is not None:
                self.tls.verify_mode = max(each.verify_mode for each in contexts)
            if self.listener is None:
                self.listener = await serve(self._application(), self.bind, self.port, self.tls)

    async def close(self) -> None:
        """Stop listening."""
        if self.listener is not None:
            await self.listener.close()

    def _named(self, host: str) -> ssl.SSLContext | None:
        return next((self.context(each) for each in self.sharing if each.settings.host.lower() == host), None)

    def _application(self) -> Application:
        tables: dict[str, Table] = {}
        for host in {each.settings.host.lower() for each in self.sharing}:
            routes = [route for each in self.sharing if each.settings.host.lower() == host for route in each.public]
            tables[host] = Table(routes, [self._directed])
        none = Table([], [self._directed])
        return Application(lambda request: tables.get(_host(request), none)(request), errors=errors.response)

    def _directed(self, handler: Handler, _: Route | None) -> Handler:
        async def directed(request: web.Request) -> web.StreamResponse:
            """Only what is for the host of the connection's certificate."""
            connection = request.transport.get_extra_info("ssl_object") if request.transport is not None else None
            if self.tls is not None and (connection is None or connection.context is not self._named(_host(request))):
                raise Misdirected(
                    "the request is for another host than the connection", next_step="open a connection for each host"
                )
            return await handler(request)

        return directed


def _host(request: web.Request) -> str:
    return request.headers.get("Host", "").lower().partition(":")[0]


@dataclass(slots=True)
class _Listeners:
    """All listeners of a process with several participants; there are none before the last participant is there."""

    all: list[Shared] = field(default_factory=list)

    async def open(self) -> None:
        for each in self.all:
            await each.open()

    async def close(self) -> None:
        for each in self.all:
            await each.close()

    def add(self, connector: Connector) -> None:
        found = connector.settings
        self._shared(found.bind, found.public_port, _public).sharing.append(connector)
        self._shared(found.bind, found.member_port, _member).sharing.append(connector)

    def _shared(self, bind: str, port: int, context: Context) -> Shared:
        known = next((each for each in self.all if (each.bind, each.port, each.context) == (bind, port, context)), None)
        if known is None:
            known = Shared(bind, port, context)
            self.all.append(known)
        return known


def _public(connector: Connector) -> ssl.SSLContext | None:
    return connector.channel.public


def _member(connector: Connector) -> ssl.SSLContext | None:
    return connector.channel.member


def _check(found: Sequence[Settings]) -> None:
    """Refuse participants that could not be told apart."""
    public: set[tuple[str, int, str, str]] = set()
    member: set[tuple[str, int, str]] = set()
    for each in found:
        here, there = (each.bind, each.public_port, each.host, each.base_path), (each.bind, each.member_port, each.host)
        if here in public:
            raise Misconfigured(
                f"two participants at {each.public_url}",
                next_step="give each a base_path or a host name of its own: it is part of the DID",
            )
        if there in member:
            raise Misconfigured(
                f"two participants at the member port {each.member_port} of {each.host}",
                next_step="a member certificate names one participant: give each a member_port or a host name of its own",
            )
        public.add(here)
        member.add(there)
