"""Composition root of the identity service: opens the data directory, wires the parts, serves.

One process owns the directory. Start: settings, private files, keys, definitions, database, lists and CRL signed,
listeners, worker, then one `ready` line. A restart resumes the outbox and signs what a crash left unsigned.

The public listener asks for a client certificate of the consortium's CA without requiring one; routes decide (DESIGN 5).
"""

import asyncio
import signal
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from identity.access.oidc import provider
from identity.access.service import Access
from identity.did import Service as ServiceEntry
from identity.did import document
from identity.feed import SERVICE as FEED
from identity.keys import KeyStore, passphrase
from identity.resolve import Resolver
from identity.service import settings as configuration
from identity.service import setup
from identity.service.authority.admission import Admission
from identity.service.authority.feed import PATH as EVENTS
from identity.service.authority.feed import Feed
from identity.service.authority.routes import AuthorityRoutes
from identity.service.authority.standing import Standing
from identity.service.authority.trust import FILE as TRUST_FILE
from identity.service.authority.trust import PATH as TRUST
from identity.service.authority.trust import TrustLists
from identity.service.ca.crl import RevocationList
from identity.service.ca.enrolment import Enrolment
from identity.service.ca.revocation import CertificateRevocation
from identity.service.ca.routes import CaRoutes
from identity.service.callers import Callers
from identity.service.issuer import definitions
from identity.service.issuer.delivery import Delivery
from identity.service.issuer.requests import Requests
from identity.service.issuer.revocation import Revocation
from identity.service.issuer.routes import PATH as ISSUER
from identity.service.issuer.routes import IssuerRoutes
from identity.service.issuer.statuslists import StatusLists
from identity.service.management import Management
from identity.service.settings import Settings
from identity.service.store.ledger import Ledger, ledger, open_database
from identity.service.store.port import Database
from identity.service.worker import Worker
from identity.tls import contexts
from identity.tls.ca import Authority
from identity.trustlist import SERVICE as TRUST_LIST
from identity.verify import TokenDoor
from kernel import telemetry
from kernel.clock import Clock, SystemClock
from kernel.errors import KizunaError
from kernel.http import GuardedClient, Outbound
from kernel.web import Route, application, json_response, openapi, serve

VERSION = "0.1.0"
_log = telemetry.get(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """A wired service; `open_service` makes it, `serving` runs it."""

    directory: Path
    settings: Settings
    database: Database
    authority: Authority
    client: GuardedClient
    lists: StatusLists
    crl: RevocationList
    worker: Worker
    feed: Feed
    trust: TrustLists
    public: Sequence[Route]
    management: Management
    access: Access

    async def publish(self) -> None:
        """Sign what a change made out of date."""
        await self.lists.publish()
        await self.crl.publish()
        await self.trust.upkeep()


async def open_service(directory: Path, clock: Clock) -> Service:
    """Open and wire everything; raises `Misconfigured`, `InUse`, `NewerData` with the next step."""
    settings = configuration.load(directory)
    setup.check_private(directory / name for name in (setup.SERVER_KEY, setup.MANAGEMENT_KEY))
    keys = KeyStore(directory / "keys", settings.did, passphrase(settings.passphrase_file))
    authority = Authority.open(directory / "ca")
    credentials = definitions.load(directory / definitions.FILE)
    database = await open_database(directory, settings.did, settings.database)
    books = ledger(settings.did, database, clock)
    own_key = directory / setup.MANAGEMENT_KEY
    access = Access(
        database.access,
        settings.did,
        clock,
        lambda: setup.management_key(own_key),
        provider(settings.oidc, lambda rules: GuardedClient(rules, tls=lambda: _outgoing(directory, settings)), clock),
    )
    client = GuardedClient(Outbound(allow=frozenset(settings.allow_private)), tls=lambda: _outgoing(directory, settings))
    resolver = Resolver(client, clock)
    callers = Callers(_door(settings, resolver, books), books)
    requests = Requests(books, credentials, settings.data_space)
    lists = StatusLists(books, keys.open("vc"), settings.url)
    crl = RevocationList(books, authority)
    delivery = Delivery(
        ledger=books,
        definitions=credentials,
        data_space=settings.data_space,
        lists=lists,
        credential_signer=keys.open("vc"),
        token_signer=keys.open("si"),
        resolver=resolver,
        client=client,
        give_up=timedelta(days=settings.delivery_days),
        issuer_url=settings.url + ISSUER,
    )
    admission = Admission(books, settings.invitation_days)
    enrolment = Enrolment(books, authority, timedelta(hours=settings.certificate_hours), settings.certificates_per_hour)

    signers = keys.all("trust")
    if not signers:
        keys.open("trust")
    feed = Feed(ledger=books, callers=callers, signer=signers[0])
    trust = TrustLists(books, signers, credentials, settings.url, authority.bundle, directory / TRUST_FILE)

    async def publish() -> None:
        """After a change that stands: what fails here is signed by the worker."""
        for each in (lists, crl):
            try:
                await each.publish()
            except KizunaError as error:
                _log.error("not signed yet", what=type(each).__name__, detail=error.detail)

    certificates = CertificateRevocation(books, publish)
    routes = [
        *IssuerRoutes(
            base_url=settings.url,
            callers=callers,
            requests=requests,
            lists=lists,
            status_max_age=settings.status_max_age,
        ).routes(),
        *AuthorityRoutes(base_url=settings.url, callers=callers, admission=admission).routes(),
        *CaRoutes(callers=callers, enrolment=enrolment, crl=crl, revocation=certificates).routes(),
        *feed.routes(),
        *trust.routes(),
    ]
    return Service(
        directory=directory,
        settings=settings,
        database=database,
        client=client,
        authority=authority,
        lists=lists,
        crl=crl,
        worker=Worker(
            books,
            delivery,
            [(lists.publish, lists.next_due), (crl.publish, crl.next_due), (trust.upkeep, trust.next_due)],
        ),
        feed=feed,
        trust=trust,
        public=[*_own_routes(settings, keys), *routes],
        management=Management(
            access=access,
            ledger=books,
            admission=admission,
            standing=Standing(books, publish),
            revocation=Revocation(books, publish),
            trust=trust,
            certificates=certificates,
            requests=requests,
        ),
        access=access,
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

    async def seen(issuer: str, jti: str) -> bool:
        return await books.database.read(lambda c: books.journal.spent(c, issuer, jti))

    return TokenDoor(did=settings.did, resolver=resolver, clock=books.clock, seen=seen)


def _own_routes(settings: Settings, keys: KeyStore) -> list[Route]:
    """The service's DID document, its health, and the description of its API."""
    services = [
        ServiceEntry(f"{settings.did}#issuer", "IssuerService", settings.url + ISSUER),
        ServiceEntry(f"{settings.did}#events", FEED, settings.events_url or settings.url + EVENTS),
        ServiceEntry(f"{settings.did}#trust-list", TRUST_LIST, settings.url + TRUST),
    ]
    published = document(settings.did, keys.published(), services)

    async def did_document(_request: web.Request) -> web.Response:
        return json_response(published, headers={"Cache-Control": "max-age=60"}, content_type="application/did+json")

    async def health(_request: web.Request) -> web.Response:
        return json_response({"status": "ok"})

    return [
        Route(method="GET", path="/.well-known/did.json", handler=did_document, auth="none", summary="DID document"),
        Route(method="GET", path="/health", handler=health, auth="none", summary="Whether the service answers"),
    ]


@asynccontextmanager
async def serving(directory: Path, clock: Clock | None = None) -> AsyncIterator[Service]:
    """Open the directory, listen, work; everything is closed on leaving."""
    service = await open_service(directory, clock or SystemClock())
    settings = service.settings
    tls = contexts.server_context(directory / setup.SERVER, directory / setup.SERVER_KEY)
    tls.load_verify_locations(cadata=service.authority.bundle)
    tls.verify_mode = ssl.CERT_OPTIONAL
    service.database.on_commit(service.worker.wake.set)
    service.database.on_commit(service.feed.committed)
    described = openapi(service.public, "Kizuna identity service", VERSION)
    public = [*service.public, _description(described)]
    management = service.management.routes()
    listeners = []
    try:
        await service.publish()
        listeners.append(await serve(application(public), settings.bind, settings.port, tls))
        app = application(management, middlewares=[service.access.guard(management)])
        listeners.append(await serve(app, settings.management_bind, settings.management_port, _management_tls(settings)))
        running = [asyncio.create_task(work) for work in (service.worker.run(), service.feed.watch())]
        try:
            yield service
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
    finally:
        service.feed.close()
        for listener in listeners:
            await listener.close()
        await service.client.close()
        await service.access.close()
        await service.database.close()


def _description(described: dict[str, Any]) -> Route:
    async def show(_request: web.Request) -> web.Response:
        return json_response(described)

    return Route(method="GET", path="/openapi.json", handler=show, auth="none", summary="This API's description")


async def run(directory: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    telemetry.configure(configuration.load(directory).log_level, final=True)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with serving(directory) as service:
        _log.info("ready", did=service.settings.did, url=service.settings.url, management_port=service.settings.management_port)
        await stop.wait()
