"""Composition root of the identity service: opens the data directory, wires the parts, serves.

One process owns the directory; it has all roles or some (`roles`). Start: settings, private files, keys, definitions, database, lists and CRL signed,
listeners, worker, then one `ready` line. A restart resumes the outbox and signs what a crash left unsigned.

The public listener asks for a client certificate of the consortium's CA without requiring one; routes decide (DESIGN 5).
"""

import asyncio
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from identity.access.oidc import provider
from identity.access.service import Access
from identity.keys import KeyRing, KeyStore, passphrase
from identity.resolve import Resolver
from identity.service import settings as configuration
from identity.service import setup
from identity.service.authority.admission import Admission
from identity.service.authority.standing import Standing
from identity.service.ca.revocation import CertificateRevocation
from identity.service.callers import Callers
from identity.service.issuer import definitions
from identity.service.issuer.requests import Requests
from identity.service.issuer.revocation import Revocation
from identity.service.management import Management
from identity.service.roles import PARTS, Common, Part, trust_lists
from identity.service.settings import ROLES, Role, Settings
from identity.service.store.ledger import Ledger, ledger, open_database
from identity.service.store.port import Database
from identity.service.worker import Worker
from identity.tls import ca, contexts
from identity.verify import TokenDoor, TokenUse
from kernel import telemetry
from kernel.clock import Clock, SystemClock
from kernel.errors import KizunaError
from kernel.http import GuardedClient, Outbound
from kernel.web import Route, application, json_response, openapi, serve

VERSION = "0.1.0"
_log = telemetry.get(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """A wired service; `open_service` makes it, `serving` runs it. `bundle`: the CA certificates of the consortium; `reloaded` are told when these may have changed."""

    directory: Path
    settings: Settings
    database: Database
    bundle: ca.Bundle
    client: GuardedClient
    parts: Sequence[Part]
    worker: Worker
    public: Sequence[Route]
    management: Management
    access: Access
    reloaded: list[Callable[[], None]]

    async def publish(self) -> None:
        """Sign what a change made out of date."""
        for part in self.parts:
            await part.publish()

    def committed(self) -> None:
        """Something was written, here or in another process."""
        self.worker.wake.set()
        for part in self.parts:
            if part.feed is not None:
                part.feed.committed()

    def close(self) -> None:
        """Answer who waits."""
        for part in self.parts:
            if part.feed is not None:
                part.feed.close()


async def open_service(directory: Path, clock: Clock, roles: tuple[Role, ...] = ()) -> Service:
    """Open and wire everything, with these roles or those of the settings; raises `Misconfigured`, `InUse`, `NewerData` with the next step."""
    settings = configuration.load(directory, roles)
    setup.check_private(directory / name for name in (setup.SERVER_KEY, setup.MANAGEMENT_KEY))
    keys = KeyStore(directory / "keys", settings.did, passphrase(settings.passphrase_file))
    needs_definitions = set(settings.roles) & {"authority", "issuer"}
    credentials = definitions.load(directory / definitions.FILE) if needs_definitions else {}
    database = await open_database(directory, settings.did, settings.database)
    try:
        return _wired(directory, settings, ledger(settings.did, database, clock), keys, credentials)
    except BaseException:
        await database.close()
        raise


def _wired(
    directory: Path, settings: Settings, books: Ledger, keys: KeyStore, credentials: Mapping[str, definitions.Definition]
) -> Service:
    own_key = directory / setup.MANAGEMENT_KEY
    access = Access(
        books.database.access,
        settings.did,
        books.clock,
        lambda: setup.management_key(own_key),
        provider(settings.oidc, lambda rules: GuardedClient(rules, tls=lambda: _outgoing(directory, settings)), books.clock),
    )
    client = GuardedClient(Outbound(allow=frozenset(settings.allow_private)), tls=lambda: _outgoing(directory, settings))
    resolver = Resolver(client, books.clock)
    bundle, ring = ca.Bundle(directory / "ca"), KeyRing(keys, books.clock)
    common = Common(
        directory=directory,
        settings=settings,
        books=books,
        keys=ring,
        definitions=credentials,
        callers=Callers(_door(settings, resolver, books), books),
        resolver=resolver,
        client=client,
        admission=Admission(books, settings.invitation_days),
        requests=Requests(books, credentials, settings.data_space),
        trust=trust_lists(directory, settings, books, ring, credentials, bundle),
    )
    parts = [PARTS[role](common) for role in ROLES if role in settings.roles]

    async def publish() -> None:
        """After a change that stands: what fails here is signed by the worker, as what other roles sign is by theirs."""
        for part in parts:
            try:
                await part.publish()
            except KizunaError as error:
                _log.error("not signed yet", role=part.role, detail=error.detail)

    reloaded: list[Callable[[], None]] = [ring.reload, bundle.reload]

    async def reload() -> None:
        """Take over keys and CA certificates that have changed in the directory, and sign what hangs on them."""
        for each in reloaded:
            each()
        for part in parts:
            if part.reload is not None:
                await part.reload()
        await publish()

    delivery = next((part.delivery for part in parts if part.delivery is not None), None)
    return Service(
        directory=directory,
        settings=settings,
        database=books.database,
        bundle=bundle,
        client=client,
        parts=parts,
        worker=Worker(books, delivery, [part.upkeep for part in parts]),
        public=[_health(settings), *(route for part in parts for route in part.routes)],
        management=Management(
            access=access,
            ledger=books,
            admission=common.admission,
            standing=Standing(books, publish),
            revocation=Revocation(books, publish),
            trust=common.trust,
            certificates=CertificateRevocation(books, publish),
            requests=common.requests,
            roles=settings.roles,
            reload=reload,
        ),
        access=access,
        reloaded=reloaded,
    )


def _management_tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.management_certificate:
        return None
    return contexts.server_context(Path(settings.management_certificate), Path(settings.management_key))


def _outgoing(directory: Path, settings: Settings) -> ssl.SSLContext:
    """Outgoing HTTPS: the system's roots, or those of the settings."""
    return contexts.client_context(directory / settings.roots if settings.roots else None)


def _door(settings: Settings, resolver: Resolver, books: Ledger) -> TokenDoor:
    """Verifies tokens of companies; what they may do is in the register."""

    async def seen(token: TokenUse) -> bool:
        return await books.database.read(lambda c: books.journal.spent(c, token.issuer, token.jti))

    return TokenDoor(did=settings.did, resolver=resolver, clock=books.clock, seen=seen)


def _health(settings: Settings) -> Route:
    async def health(_request: web.Request) -> web.Response:
        return json_response({"status": "ok", "roles": list(settings.roles)})

    return Route(method="GET", path="/health", handler=health, auth="none", summary="Whether the service answers, and its roles")


@asynccontextmanager
async def serving(directory: Path, clock: Clock | None = None, roles: tuple[Role, ...] = ()) -> AsyncIterator[Service]:
    """Open the directory, listen, work; everything is closed on leaving."""
    service = await open_service(directory, clock or SystemClock(), roles)
    settings = service.settings
    tls = contexts.server_context(directory / setup.SERVER, directory / setup.SERVER_KEY)
    tls.load_verify_locations(cadata=service.bundle())
    tls.verify_mode = ssl.CERT_OPTIONAL
    service.reloaded.append(lambda: tls.load_verify_locations(cadata=service.bundle()))
    service.database.on_commit(service.committed)
    described = openapi(service.public, "Kizuna identity service", VERSION)
    public = [*service.public, _description(described)]
    management = service.management.routes()
    listeners = []
    try:
        await service.publish()
        listeners.append(await serve(application(public), settings.bind, settings.listen_port or settings.port, tls))
        app = application(management, middlewares=[service.access.guard(management)])
        listeners.append(await serve(app, settings.management_bind, settings.management_port, _management_tls(settings)))
        feeds = (part.feed for part in service.parts if part.feed is not None)
        running = [asyncio.create_task(work) for work in (service.worker.run(), *(each.watch() for each in feeds))]
        try:
            yield service
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
    finally:
        service.close()
        for listener in listeners:
            await listener.close()
        await service.client.close()
        await service.access.close()
        await service.database.close()


def _description(described: dict[str, Any]) -> Route:
    async def show(_request: web.Request) -> web.Response:
        return json_response(described)

    return Route(method="GET", path="/openapi.json", handler=show, auth="none", summary="This API's description")


async def run(directory: Path, roles: tuple[Role, ...] = ()) -> None:
    """Serve until SIGTERM or SIGINT."""
    telemetry.configure(configuration.load(directory).log_level)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with serving(directory, roles=roles) as service:
        found = service.settings
        _log.info("ready", did=found.did, url=found.url, management_port=found.management_port, roles=list(found.roles))
        await stop.wait()
