"""Management API of the operator: invitations, members, credentials, what is late.

Every route but health needs the role that it names, in the scope `membership` (`identity.access`).

Members are addressed by id or by DID (percent-encoded as one path segment).
"""

from typing import Final, Literal

import msgspec
from aiohttp import web
from msgspec import Struct

from identity.access.principal import Role
from identity.access.service import Access
from identity.access.trail import about
from identity.service.authority.admission import Admission, Invite, Invited
from identity.service.authority.standing import EFFECTS, Effect, Standing
from identity.service.bodies import read
from identity.service.issuer.revocation import Revocation
from identity.service.store.issuance import Issued, Which
from identity.service.store.ledger import Ledger
from identity.service.store.members import Member
from kernel.errors import BadInput
from kernel.web import Handler, Route, json_response, openapi

_FILTER: Final = ("id", "holder", "type", "after")


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


class MemberList(Struct, frozen=True):
    """All members, oldest invitation first."""

    members: list[MemberView]


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
    """Credentials by id, at most 1000 after the id asked for (`?after=`)."""

    credentials: list[CredentialView]


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


class IssuanceList(Struct, frozen=True):
    """Requests, newest first, at most 1000."""

    issuances: list[IssuanceView]


class EventView(Struct, frozen=True):
    """One entry of the member history."""

    seq: int
    kind: str
    member: str
    did: str
    subject: str
    at: str


class EventList(Struct, frozen=True):
    """Events in order, at most 1000 after the number asked for (`?after=`)."""

    events: list[EventView]


class Health(Struct, frozen=True):
    """The service answers."""

    status: str
    did: str


class Management:
    """Handlers of the operator's API."""

    def __init__(self, *, ledger: Ledger, admission: Admission, standing: Standing, revocation: Revocation, access: Access) -> None:
        self._ledger = ledger
        self._admission = admission
        self._standing = standing
        self._revocation = revocation
        self._access = access

    def routes(self) -> list[Route]:
        """The route table; `/openapi.json` describes it."""
        table = [
            _route("GET", "/health", self.health, "", "The service answers", response=Health),
            _route("GET", "/openapi.json", self.document, "read", "This API as an OpenAPI document"),
            _route(
                "POST", "/v1/invitations", self.invite, "admin", "Invite a company", request=Invite, response=Invited, status=201
            ),
            _route("GET", "/v1/members", self.members, "read", "All members", response=MemberList),
            _route("GET", "/v1/members/{id}", self.member, "read", "One member", response=MemberView),
            _route("GET", "/v1/members/{id}/credentials", self.credentials, "read", "Its credentials", response=CredentialList),
            _route("POST", "/v1/members/{id}/approve", self.approve, "admin", "Approve an applicant", response=MemberView),
            *(
                _route("POST", f"/v1/members/{{id}}/{name}", self._change(effect), "admin", text, response=MemberView)
                for name, effect, text in (
                    ("suspend", EFFECTS["suspend"], "Suspend a member (reversible)"),
                    ("reinstate", EFFECTS["reinstate"], "Lift a suspension"),
                    ("revoke", EFFECTS["revoke"], "End a membership for good"),
                )
            ),
            _route(
                "GET",
                "/v1/credentials",
                self.find,
                "read",
                "Credentials by id, holder, type",
                response=CredentialList,
                query=_FILTER,
            ),
            *(
                _route("POST", f"/v1/credentials/{name}", self._mark(name), "admin", text, request=Which, response=CredentialList)
                for name, text in (
                    ("suspend", "Suspend credentials by id, holder or type (reversible)"),
                    ("reinstate", "Lift suspensions of credentials"),
                    ("revoke", "Revoke credentials for good"),
                )
            ),
            _route("GET", "/v1/issuances", self.issuances, "read", "Credential requests and deliveries", response=IssuanceList),
            _route("GET", "/v1/events", self.events, "read", "What happened to members", response=EventList),
        ]
        return table + self._access.routes(table)

    async def health(self, _: web.Request) -> web.StreamResponse:
        return _answer(Health("ok", self._ledger.participant))

    async def document(self, _: web.Request) -> web.StreamResponse:
        return json_response(openapi(self.routes(), title="Kizuna identity service, management", version="1"))

    async def invite(self, request: web.Request) -> web.StreamResponse:
        wanted = read(await request.read(), Invite)
        about(wanted.did)
        return _answer(await self._admission.invite(wanted), status=201)

    async def members(self, _: web.Request) -> web.StreamResponse:
        found = self._ledger.database.read(self._ledger.members.all)
        return _answer(MemberList([_view(member) for member in found]))

    async def member(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["id"]
        return _answer(_view(self._ledger.database.read(lambda c: self._ledger.members.get(c, key))))

    async def credentials(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["id"]
        found = self._ledger.database.read(
            lambda c: self._ledger.issuances.find(c, Which(holder=self._ledger.members.get(c, key).did))
        )
        return _answer(_credentials(found))

    async def find(self, request: web.Request) -> web.StreamResponse:
        wanted = Which(**{name: request.query.get(name, "") for name in ("id", "holder", "type")})
        after = request.query.get("after", "")
        return _answer(_credentials(self._ledger.database.read(lambda c: self._ledger.issuances.find(c, wanted, after))))

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

    async def issuances(self, _: web.Request) -> web.StreamResponse:
        found = self._ledger.database.read(self._ledger.issuances.overview)
        return _answer(IssuanceList([msgspec.convert(one, IssuanceView, from_attributes=True) for one in found]))

    async def events(self, request: web.Request) -> web.StreamResponse:
        after = request.query.get("after", "0")
        if not (after.isascii() and after.isdigit() and len(after) < 16):
            raise BadInput("after must be a sequence number", path="after", reason="not a number")
        found = self._ledger.database.read(lambda c: self._ledger.journal.events(c, int(after)))
        return _answer(EventList([msgspec.convert(one, EventView, from_attributes=True) for one in found]))


def _route(
    method: str,
    path: str,
    handler: Handler,
    role: Role | Literal[""],
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


def _credentials(found: list[Issued]) -> CredentialList:
    return CredentialList([msgspec.convert(one, CredentialView, from_attributes=True) for one in found])


def _view(member: Member) -> MemberView:
    return msgspec.convert(member, MemberView, from_attributes=True)


def _answer(value: Struct, status: int = 200) -> web.StreamResponse:
    return json_response(msgspec.to_builtins(value), status=status)
