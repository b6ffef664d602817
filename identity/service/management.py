"""Management API of the operator: invitations, members, credentials, what is late.

Every route but health needs the role that it names, in the scope `membership` (`identity.access`).

Where the roles run apart (`roles`), every process answers what concerns everybody: members and their standing, the history, keys and audit log. The rest is the business of
one role (`BUSINESS`), and a process without it answers 421 and says which role to ask.

Members are addressed by id or by DID (percent-encoded as one path segment).
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from identity.access.pages import PageOf, listed, page
from identity.access.principal import Role as AccessRole
from identity.access.service import Access
from identity.access.trail import about
from identity.service.authority.admission import Admission, Attest, Invite, Invited
from identity.service.authority.standing import EFFECTS, Effect, Standing
from identity.service.authority.trust import Differences, Shown, TrustLists
from identity.service.bodies import read
from identity.service.ca.revocation import CertificateRevocation, Revoke
from identity.service.issuer.requests import Requests
from identity.service.issuer.revocation import Revocation
from identity.service.settings import ROLES, Role
from identity.service.store.issuance import Issuance, Issued, Which
from identity.service.store.ledger import Ledger
from identity.service.store.members import Member
from kernel.errors import KizunaError
from kernel.web import Handler, Route, json_response, openapi

_PAGED: Final = ("after", "limit")
BUSINESS: Final[Mapping[str, Role]] = {
    "/v1/invitations": "authority",
    "/v1/members/{id}/approve": "authority",
    "/v1/members/{id}/attestations": "authority",
    "/v1/trust-list": "authority",
    "/v1/credentials": "issuer",
    "/v1/issuances": "issuer",
    "/v1/members/{id}/credentials": "issuer",
    "/v1/members/{id}/offers": "issuer",
    "/v1/certificates": "ca",
    "/v1/members/{id}/certificates": "ca",
}  # beginning of a path -> the role that answers


class OtherRole(KizunaError):
    """The call is for a process with another role."""

    code, status = "other-role", 421


class MemberView(Struct, frozen=True, kw_only=True, rename="camel"):
    """A member as the operator sees it."""

    id: str
    did: str
    name: str
    corporate_number: str
    roles: tuple[str, ...]
    state: str
    number: str | None
    since: str | None
    changed: str


class CredentialView(Struct, frozen=True, kw_only=True, rename="camel"):
    """A credential that was made for a member; `state` is its own, whatever its holder's membership is."""

    id: str
    holder: str
    type: str
    state: str
    format: str
    issuance: str
    valid_from: str
    valid_until: str


class CredentialList(Struct, frozen=True):
    """The credentials that a call has changed, by id."""

    credentials: list[CredentialView]


class CertificateView(Struct, frozen=True, kw_only=True):
    """A member certificate; the serial is the one that the revocation takes."""

    serial: str
    did: str
    issued: str
    expires: str
    revoked: str | None
    reason: str | None


class CertificateList(Struct, frozen=True):
    """Certificates of one member, newest first."""

    certificates: list[CertificateView]


class IssuanceView(Struct, frozen=True, kw_only=True, rename="camel"):
    """A credential request and its delivery: `attempts`, `due` and `error` are there while it is under way."""

    id: str
    holder: str
    holder_pid: str
    state: str
    reason: str | None
    attempts: int | None
    due: str | None
    error: str | None


class EventView(Struct, frozen=True):
    """One entry of the member history."""

    seq: int
    kind: str
    member: str
    did: str
    subject: str
    at: str


class Reject(Struct, frozen=True, forbid_unknown_fields=True):
    """Why; the holder is told."""

    reason: Annotated[str, Meta(max_length=500)] = ""


class OfferWanted(Struct, frozen=True, forbid_unknown_fields=True):
    """Ids of definitions to offer."""

    definitions: Annotated[tuple[str, ...], Meta(min_length=1, max_length=20)]


class Decided(Struct, frozen=True, kw_only=True):
    """A credential request or an offer, and its state."""

    id: str
    holder: str
    definitions: tuple[str, ...]
    state: str
    reason: str | None


class Replaces(Struct, frozen=True, forbid_unknown_fields=True):
    """Which trust list a publication replaces: the number that the differences were compared with."""

    replaces: int


class Health(Struct, frozen=True):
    """The service answers."""

    status: str
    did: str


async def _nothing() -> None:
    """There is nothing to take over."""


class Management:
    """Handlers of the operator's API."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        admission: Admission,
        standing: Standing,
        revocation: Revocation,
        trust: TrustLists,
        certificates: CertificateRevocation,
        requests: Requests,
        access: Access,
        roles: Collection[Role] = ROLES,
        reload: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        self._ledger = ledger
        self._admission = admission
        self._standing = standing
        self._revocation = revocation
        self._trust = trust
        self._certificates = certificates
        self._requests = requests
        self._access, self._roles, self._reload = access, roles, reload

    def routes(self) -> list[Route]:
        """The route table; `/openapi.json` describes it."""
        table = [
            _route("GET", "/health", self.health, "", "The service answers", response=Health),
            _route("GET", "/openapi.json", self.document, "read", "This API as an OpenAPI document"),
            _route(
                "POST", "/v1/reload", self.reload, "admin", "Take over keys and CA certificates that have changed in the directory"
            ),
            _route(
                "POST", "/v1/invitations", self.invite, "admin", "Invite a company", request=Invite, response=Invited, status=201
            ),
            _route("GET", "/v1/members", self.members, "read", "All members", response=PageOf[MemberView], query=_PAGED),
            _route("GET", "/v1/members/{id}", self.member, "read", "One member", response=MemberView),
            _route(
                "GET",
                "/v1/members/{id}/credentials",
                self.credentials,
                "read",
                "Its credentials",
                response=PageOf[CredentialView],
                query=_PAGED,
            ),
            _route(
                "GET",
                "/v1/members/{id}/certificates",
                self.certificates,
                "read",
                "Its certificates that have not expired",
                response=CertificateList,
            ),
            _route(
                "POST",
                "/v1/certificates/{serial}/revoke",
                self.revoke_certificate,
                "admin",
                "Revoke a certificate for good",
                request=Revoke,
                response=CertificateView,
            ),
            _route("POST", "/v1/members/{id}/approve", self.approve, "admin", "Approve an applicant", response=MemberView),
            *(
                _route("POST", f"/v1/members/{{id}}/{name}", self._change(effect), "admin", text, response=MemberView)
                for name, effect, text in (
                    ("suspend", EFFECTS["suspend"], "Suspend a member (reversible)"),
                    ("reinstate", EFFECTS["reinstate"], "Lift a suspension"),
                    ("revoke", EFFECTS["revoke"], "End a membership for good"),
                )
            ),
            *self._issued_routes(),
        ]
        table = [self._own(each) for each in table]
        return table + self._access.routes(table)

    def _own(self, route: Route) -> Route:
        """The route, or the refusal of one that is another role's business."""
        role = next((role for start, role in BUSINESS.items() if route.path.startswith(start)), None)
        if role is None or role in self._roles:
            return route

        async def elsewhere(_request: web.Request) -> web.StreamResponse:
            raise OtherRole(
                f"{route.method} {route.path} is for the role {role}; this process has {', '.join(self._roles)}",
                next_step=f"ask the management API of the process with the role {role} (--dir or --management)",
            )

        return msgspec.structs.replace(route, handler=elsewhere)

    def _issued_routes(self) -> list[Route]:
        """What was issued, whom members believe, and what happened."""
        return [
            _route(
                "GET",
                "/v1/credentials",
                self.find,
                "read",
                "Credentials by id, holder, type",
                response=PageOf[CredentialView],
                query=("id", "holder", "type", *_PAGED),
            ),
            *(
                _route("POST", f"/v1/credentials/{name}", self._mark(name), "admin", text, request=Which, response=CredentialList)
                for name, text in (
                    ("suspend", "Suspend credentials by id, holder or type (reversible)"),
                    ("reinstate", "Lift suspensions of credentials"),
                    ("revoke", "Revoke credentials for good"),
                )
            ),
            _route(
                "POST", "/v1/issuances/{id}/approve", self.approve_request, "admin", "Approve a waiting request", response=Decided
            ),
            _route(
                "POST",
                "/v1/issuances/{id}/reject",
                self.reject_request,
                "admin",
                "Reject a waiting request; the holder is told why",
                request=Reject,
                response=Decided,
            ),
            _route(
                "POST",
                "/v1/members/{id}/offers",
                self.offer,
                "admin",
                "Offer credentials to a member",
                request=OfferWanted,
                response=Decided,
                status=202,
            ),
            _route(
                "POST",
                "/v1/members/{id}/attestations",
                self.attest,
                "admin",
                "Attest a fact about a member, as a source of claims",
                request=Attest,
            ),
            _route(
                "GET",
                "/v1/issuances",
                self.issuances,
                "read",
                "Credential requests and deliveries",
                response=PageOf[IssuanceView],
                query=_PAGED,
            ),
            _route("GET", "/v1/trust-list", self.trust_list, "read", "The published trust list", response=Shown),
            _route(
                "GET",
                "/v1/trust-list/diff",
                self.trust_changes,
                "read",
                "What publishing the draft would change",
                response=Differences,
            ),
            _route("POST", "/v1/trust-list", self.publish_trust, "admin", "Publish the draft", request=Replaces, response=Shown),
            _route("GET", "/v1/events", self.events, "read", "What happened to members", response=PageOf[EventView], query=_PAGED),
        ]

    async def health(self, _: web.Request) -> web.StreamResponse:
        return _answer(Health("ok", self._ledger.participant))

    async def document(self, _: web.Request) -> web.StreamResponse:
        return json_response(openapi(self.routes(), title="Kizuna identity service, management", version="1"))

    async def reload(self, _: web.Request) -> web.StreamResponse:
        await self._reload()
        return json_response({"reloaded": True})

    async def invite(self, request: web.Request) -> web.StreamResponse:
        wanted = read(await request.read(), Invite)
        about(wanted.did)
        return _answer(await self._admission.invite(wanted), status=201)

    async def members(self, request: web.Request) -> web.StreamResponse:
        wanted = page(request)
        found = await self._ledger.database.read(lambda c: self._ledger.members.page(c, wanted.after, wanted.limit))
        return listed(request, wanted, [_view(member) for member in found], lambda each: each.id)

    async def member(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["id"]
        return _answer(_view(await self._ledger.database.read(lambda c: self._ledger.members.get(c, key))))

    async def credentials(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["id"]
        holder = await self._ledger.database.read(lambda c: self._ledger.members.get(c, key).did)
        return await self._found(request, Which(holder=holder))

    async def certificates(self, request: web.Request) -> web.StreamResponse:
        key, ledger = request.match_info["id"], self._ledger
        found = await ledger.database.read(lambda c: ledger.certificates.of_member(c, ledger.members.get(c, key).id, ledger.now()))
        return _answer(CertificateList([msgspec.convert(one, CertificateView, from_attributes=True) for one in found]))

    async def revoke_certificate(self, request: web.Request) -> web.StreamResponse:
        serial = request.match_info["serial"]
        about(serial)
        found = await self._certificates.revoke(serial, read(await request.read(), Revoke).reason)
        return _answer(msgspec.convert(found, CertificateView, from_attributes=True))

    async def find(self, request: web.Request) -> web.StreamResponse:
        wanted = Which(**{name: request.query.get(name, "") for name in ("id", "holder", "type")})
        return await self._found(request, wanted)

    async def _found(self, request: web.Request, which: Which) -> web.StreamResponse:
        wanted = page(request)
        found = await self._ledger.database.read(lambda c: self._ledger.issuances.find(c, which, wanted.after, wanted.limit))
        return listed(request, wanted, _credentials(found).credentials, lambda each: each.id)

    def _mark(self, event: str) -> Handler:
        async def mark(request: web.Request) -> web.StreamResponse:
            which = read(await request.read(), Which)
            about(which.id or which.holder or which.type)
            return _answer(_credentials(await self._revocation.change(which, event)))

        return mark

    async def approve(self, request: web.Request) -> web.StreamResponse:
        return _answer(_view(await self._admission.approve(request.match_info["id"])))

    def _change(self, effect: Effect) -> Handler:
        async def change(request: web.Request) -> web.StreamResponse:
            return _answer(_view(await self._standing.change(request.match_info["id"], effect)))

        return change

    async def approve_request(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["id"]
        about(key)
        return _answer(_decided(await self._requests.approve(key)))

    async def reject_request(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["id"]
        about(key)
        return _answer(_decided(await self._requests.reject(key, read(await request.read(), Reject).reason)))

    async def offer(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["id"]
        about(key)
        return _answer(_decided(await self._requests.offer(key, read(await request.read(), OfferWanted).definitions)), status=202)

    async def attest(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["id"]
        about(key)
        return json_response({"attested": await self._admission.attest(key, read(await request.read(), Attest))})

    async def issuances(self, request: web.Request) -> web.StreamResponse:
        wanted = page(request)
        found = await self._ledger.database.read(lambda c: self._ledger.issuances.overview(c, wanted.after, wanted.limit))
        views = [msgspec.convert(one, IssuanceView, from_attributes=True) for one in found]
        return listed(request, wanted, views, lambda each: each.id)

    async def trust_list(self, _: web.Request) -> web.StreamResponse:
        return _answer(await self._trust.shown())

    async def trust_changes(self, _: web.Request) -> web.StreamResponse:
        return _answer(await self._trust.changes())

    async def publish_trust(self, request: web.Request) -> web.StreamResponse:
        wanted = read(await request.read(), Replaces)
        about(f"trust list {wanted.replaces + 1}")
        await self._trust.publish(wanted.replaces)
        return _answer(await self._trust.shown())

    async def events(self, request: web.Request) -> web.StreamResponse:
        wanted = page(request)
        found = await self._ledger.database.read(lambda c: self._ledger.journal.events(c, wanted.number, wanted.limit))
        views = [msgspec.convert(one, EventView, from_attributes=True) for one in found]
        return listed(request, wanted, views, lambda each: str(each.seq))


def _route(
    method: str,
    path: str,
    handler: Handler,
    role: AccessRole | Literal[""],
    summary: str,
    *,
    request: type | None = None,
    response: type | None = None,
    status: int = 200,
    query: tuple[str, ...] = (),
) -> Route:
    return Route(
        method=method,
        path=path,
        handler=handler,
        auth="key" if role else "none",
        role=role,
        scope="membership" if role else "",
        summary=summary,
        request=request,
        response=response,
        status=status,
        query=query,
    )


def _decided(found: Issuance) -> Decided:
    return msgspec.convert(found, Decided, from_attributes=True)


def _credentials(found: list[Issued]) -> CredentialList:
    return CredentialList([msgspec.convert(one, CredentialView, from_attributes=True) for one in found])


def _view(member: Member) -> MemberView:
    return msgspec.convert(member, MemberView, from_attributes=True)


def _answer(value: Struct, status: int = 200) -> web.StreamResponse:
    return json_response(msgspec.to_builtins(value), status=status)
