"""The roles of the service: authority, issuer, CA. A process runs all of them, or some; apart, they share a PostgreSQL database and nothing else (ADR 0021).

    role        signs                                                key that it needs                       public address
    authority   event feed, trust list; serves the DID document      keys/trust-*                            that of the DID
    issuer      credentials, status lists, tokens of its deliveries  keys/vc-*, keys/si-*                    `issuer_url`
    ca          member certificates, revocation lists                ca/issuing.key (and ca/previous.key)    `ca_url`

Rules
- A process opens the keys of its roles and no others, serves their routes and no others, and does their work and no other's. A key that is missing or that others can read
  stops the start.
- What concerns everybody is one transaction, whichever process takes the command: a suspension writes status bits, listed certificates, register and event together. What
  that makes out of date is signed by a process of the role, which the commit wakes (NOTIFY), or when somebody asks for it: nothing is served behind the database.
- Processes of the same role take turns at signing (`store.port.Database.turn`): a number is used once.

Not done here: listeners and the loop (`app`), who may use the management API (`management`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from aiohttp import web

from identity.did import Service as ServiceEntry
from identity.did import document
from identity.feed import REGISTER
from identity.feed import SERVICE as FEED
from identity.keys import KeyRing
from identity.resolve import Resolver
from identity.service.authority.admission import Admission
from identity.service.authority.feed import PATH as EVENTS
from identity.service.authority.feed import Feed
from identity.service.authority.routes import PATH as AUTHORITY
from identity.service.authority.routes import AuthorityRoutes
from identity.service.authority.trust import FILE as TRUST_FILE
from identity.service.authority.trust import PATH as TRUST
from identity.service.authority.trust import TrustLists
from identity.service.ca.crl import RevocationList
from identity.service.ca.enrolment import Enrolment
from identity.service.ca.revocation import CertificateRevocation
from identity.service.ca.routes import PATH as CA
from identity.service.ca.routes import CaRoutes
from identity.service.callers import Callers
from identity.service.issuer.definitions import Definition
from identity.service.issuer.delivery import Delivery
from identity.service.issuer.requests import Requests
from identity.service.issuer.routes import PATH as ISSUER
from identity.service.issuer.routes import IssuerRoutes
from identity.service.issuer.statuslists import StatusLists
from identity.service.settings import KEYS, Role, Settings
from identity.service.store.ledger import Ledger
from identity.service.worker import Upkeep
from identity.tls.ca import Authority, Bundle
from identity.tls.enrol import SERVICE as CERTIFICATES
from identity.trustlist import SERVICE as TRUST_LIST
from kernel.errors import Misconfigured
from kernel.http import GuardedClient
from kernel.web import Route, json_response

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Common:
    """What every role has."""

    directory: Path
    settings: Settings
    books: Ledger
    keys: KeyRing
    definitions: Mapping[str, Definition]
    callers: Callers
    resolver: Resolver
    client: GuardedClient
    admission: Admission
    requests: Requests
    trust: TrustLists


@dataclass(frozen=True, slots=True)
class Part:
    """A role of this process: its public routes, and its work. `publish` signs what a change has made out of date, `reload` takes over keys that have changed."""

    role: Role
    routes: Sequence[Route]
    upkeep: Upkeep
    publish: Callable[[], Awaitable[None]]
    delivery: Delivery | None = None
    feed: Feed | None = None
    reload: Callable[[], Awaitable[None]] | None = None


def trust_lists(
    directory: Path, settings: Settings, books: Ledger, keys: KeyRing, definitions: Mapping[str, Definition], bundle: Bundle
) -> TrustLists:
    """The trust lists: to sign where the authority runs, to look at elsewhere. Raises `Misconfigured`."""
    signers = _needed("authority", partial(keys.all, "trust")) if "authority" in settings.roles else ()
    return TrustLists(books, signers, definitions, settings.url, bundle, directory / TRUST_FILE, settings.address("issuer"))


def authority(common: Common) -> Part:
    """Raises `Misconfigured`."""
    feed = Feed(ledger=common.books, callers=common.callers, signer=common.keys.signer("trust"))
    routes = [
        _did_document(common.settings, common.keys),
        *AuthorityRoutes(base_url=common.settings.url, callers=common.callers, admission=common.admission).routes(),
        *feed.routes(),
        *common.trust.routes(),
    ]
    return Part("authority", routes, (common.trust.upkeep, common.trust.next_due), common.trust.upkeep, feed=feed)


def issuer(common: Common) -> Part:
    """Raises `Misconfigured`."""
    settings, url = common.settings, common.settings.address("issuer")
    credential_signer, token_signer = (_needed("issuer", partial(common.keys.signer, purpose)) for purpose in ("vc", "si"))
    lists = StatusLists(common.books, credential_signer, url)
    delivery = Delivery(
        ledger=common.books,
        definitions=common.definitions,
        data_space=settings.data_space,
        lists=lists,
        credential_signer=credential_signer,
        token_signer=token_signer,
        resolver=common.resolver,
        client=common.client,
        give_up=timedelta(days=settings.delivery_days),
        issuer_url=url + ISSUER,
    )
    routes = IssuerRoutes(
        base_url=url, callers=common.callers, requests=common.requests, lists=lists, status_max_age=settings.status_max_age
    ).routes()
    return Part("issuer", routes, (lists.publish, lists.next_due), lists.publish, delivery=delivery, reload=lists.renew)


def ca(common: Common) -> Part:
    """Raises `Misconfigured`."""
    settings = common.settings
    signing = _needed("ca", lambda: Authority.open(common.directory / "ca"))
    crl = RevocationList(common.books, signing)
    enrolment = Enrolment(common.books, signing, timedelta(hours=settings.certificate_hours), settings.certificates_per_hour)
    revocation = CertificateRevocation(common.books, crl.publish)
    routes = CaRoutes(callers=common.callers, enrolment=enrolment, crl=crl, revocation=revocation).routes()

    async def reload() -> None:
        signing.reload()

    return Part("ca", routes, (crl.publish, crl.next_due), crl.publish, reload=reload)


PARTS: Final[Mapping[Role, Callable[[Common], Part]]] = {"issuer": issuer, "ca": ca, "authority": authority}


def _needed(role: Role, key: Callable[[], T]) -> T:
    """A key of a role; without it the process must not run the role."""
    try:
        return key()
    except Misconfigured as error:
        raise Misconfigured(
            f"role {role}: {error.detail}", next_step=f"{error.next_step}; or run other roles here (`roles`, --role)"
        ) from error


def _did_document(settings: Settings, keys: KeyRing) -> Route:
    """The DID document: the keys of all roles, wherever their private halves are, and where each role answers."""
    services = [
        ServiceEntry(f"{settings.did}#issuer", "IssuerService", settings.address("issuer") + ISSUER),
        ServiceEntry(f"{settings.did}#ca", CERTIFICATES, settings.address("ca") + CA),
        ServiceEntry(f"{settings.did}#register", REGISTER, settings.url + AUTHORITY),
        ServiceEntry(f"{settings.did}#events", FEED, settings.events_url or settings.url + EVENTS),
        ServiceEntry(f"{settings.did}#trust-list", TRUST_LIST, settings.url + TRUST),
    ]
    _complete(keys)

    async def show(_request: web.Request) -> web.Response:
        published = document(settings.did, keys.published(), services)
        return json_response(published, headers={"Cache-Control": "max-age=60"}, content_type="application/did+json")

    return Route(method="GET", path="/.well-known/did.json", handler=show, auth="none", summary="DID document")


def _complete(keys: KeyRing) -> None:
    """Every role's key is there, or its public half; raises `Misconfigured`."""
    found = keys.published()
    for role, purposes in KEYS.items():
        for purpose in purposes:
            if not any(each.kid.partition("#")[2].startswith(f"{purpose}-") for each in found):
                raise Misconfigured(
                    f"the DID document lacks the key {purpose} of the role {role}",
                    next_step=f"copy its public half ({purpose}-1.jwk) into the authority's keys folder",
                )
