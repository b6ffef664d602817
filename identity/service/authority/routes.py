"""HTTP of the authority for companies: applications and the register of members.

The register tells members (and nobody else) who is a member: DID, name, state.
"""

from typing import Final

import msgspec
from aiohttp import web
from msgspec import Struct

from identity.service.authority.admission import Admission, Applied, Apply
from identity.service.bodies import read
from identity.service.callers import Callers
from identity.service.issuer.requests import active_member
from identity.service.store.port import Connection
from kernel.web import Route, json_response

PATH: Final = "/authority/v1"


class RegisterEntry(Struct, frozen=True):
    """One approved member."""

    did: str
    name: str
    state: str


class Register(Struct, frozen=True):
    """The members of the data space."""

    members: list[RegisterEntry]


class AuthorityRoutes:
    """Handlers for applicants and members."""

    def __init__(self, *, base_url: str, callers: Callers, admission: Admission) -> None:
        self._url = base_url + PATH
        self._callers = callers
        self._admission = admission

    def routes(self) -> list[Route]:
        """The route table of this part."""
        return [
            Route(
                method="POST",
                path=PATH + "/applications",
                handler=self.apply,
                auth="token",
                summary="Apply with an invitation; the token proves control of the DID",
                request=Apply,
                response=Applied,
                status=201,
            ),
            Route(
                method="GET",
                path=PATH + "/applications/{id}",
                handler=self.application,
                auth="token",
                summary="State of an own application",
                response=Applied,
            ),
            Route(
                method="GET",
                path=PATH + "/members",
                handler=self.register,
                auth="token",
                summary="The register, for active members",
                response=Register,
            ),
        ]

    async def apply(self, request: web.Request) -> web.StreamResponse:
        token = await self._callers.proven(request)
        wanted = read(await request.read(), Apply)
        applied = await self._callers.spending(token, lambda c: self._admission.apply(c, token.did, wanted))
        location = f"{self._url}/applications/{applied.id}"
        return json_response(msgspec.to_builtins(applied), status=201, headers={"Location": location})

    async def application(self, request: web.Request) -> web.StreamResponse:
        token = await self._callers.proven(request)
        key = request.match_info["id"]
        found = await self._callers.spending(token, lambda c: self._admission.application(c, token.did, key))
        return json_response(msgspec.to_builtins(found))

    async def register(self, request: web.Request) -> web.StreamResponse:
        token = await self._callers.proven(request)
        found = await self._callers.spending(token, lambda c: self._entries(c, token.did))
        return json_response(msgspec.to_builtins(found))

    def _entries(self, connection: Connection, caller: str) -> Register:
        ledger = self._admission.ledger
        active_member(ledger, connection, caller)
        shown = ("ACTIVE", "SUSPENDED", "REVOKED")
        members = [one for one in ledger.members.all(connection) if one.state in shown and one.number]
        return Register([RegisterEntry(one.did, one.name, one.state) for one in members])
