"""HTTP of the issuer: DCP 1.0 issuance API, metadata, claim schemas and status lists.

`/issuer/metadata`, `/issuer/schemas/*` and `/status/*` are public and need neither token nor certificate.
"""

from typing import Any, Final

from aiohttp import web
from msgspec import Struct

from identity.service.callers import Callers
from identity.service.issuer import messages
from identity.service.issuer.definitions import schema
from identity.service.issuer.requests import Requests
from identity.service.issuer.statuslists import StatusLists
from kernel.errors import NotFound
from kernel.web import Route, json_response

PATH: Final = "/issuer"


class CredentialStatus(Struct, frozen=True, rename="camel"):
    """DCP CredentialStatus, as the API document shows it."""

    type: str
    issuer_pid: str
    holder_pid: str
    status: str


class IssuerRoutes:
    """Handlers of the issuer; `base_url` is the service's, without a trailing slash."""

    def __init__(self, *, base_url: str, callers: Callers, requests: Requests, lists: StatusLists, status_max_age: int) -> None:
        self._url = base_url + PATH
        self._callers = callers
        self._requests = requests
        self._lists = lists
        self._cache = f"public, max-age={status_max_age}"

    def routes(self) -> list[Route]:
        """The route table of this part."""
        return [
            Route(
                method="POST",
                path=PATH + "/credentials",
                handler=self.request_credentials,
                auth="token",
                summary="Ask for credentials (DCP CredentialRequestMessage)",
                request=messages.CredentialRequestMessage,
                response=CredentialStatus,
                status=201,
            ),
            Route(
                method="GET",
                path=PATH + "/requests/{id}",
                handler=self.request_status,
                auth="token",
                summary="State of an own request (DCP CredentialStatus)",
                response=CredentialStatus,
            ),
            Route(
                method="GET",
                path=PATH + "/metadata",
                handler=self.metadata,
                auth="none",
                summary="What can be asked for (DCP IssuerMetadata)",
            ),
            Route(
                method="GET",
                path=PATH + "/schemas/{id}",
                handler=self.claim_schema,
                auth="none",
                summary="JSON Schema of a credential's subject",
            ),
            Route(
                method="GET",
                path="/status/{list}",
                handler=self.status_list,
                auth="none",
                summary="A signed status list (application/vc+jwt, or application/vc when asked for)",
            ),
        ]

    async def request_credentials(self, request: web.Request) -> web.StreamResponse:
        token = await self._callers.proven(request)
        message = messages.read_request(await request.read())
        grant = token.claims.get("token")
        grant = grant if isinstance(grant, str) else None
        issuance = await self._callers.spending(token, lambda c: self._requests.accept(c, token.did, message, grant))
        location = f"{self._url}/requests/{issuance.id}"
        return json_response(messages.credential_status(issuance), status=201, headers={"Location": location})

    async def request_status(self, request: web.Request) -> web.StreamResponse:
        token = await self._callers.proven(request)
        key = request.match_info["id"]
        issuance = await self._callers.spending(token, lambda c: self._requests.status(c, token.did, key))
        return json_response(messages.credential_status(issuance))

    async def metadata(self, _: web.Request) -> web.StreamResponse:
        issuer = self._requests.ledger.participant
        return json_response(messages.issuer_metadata(issuer, self._url, self._requests.definitions.values()))

    async def claim_schema(self, request: web.Request) -> web.StreamResponse:
        definition = self._requests.definitions.get(request.match_info["id"])
        if definition is None:
            raise NotFound("no such schema")
        found: dict[str, Any] = schema(definition)
        return json_response(found, content_type="application/schema+json")

    async def status_list(self, request: web.Request) -> web.StreamResponse:
        document = _wants_document(request.headers.get("Accept", ""))
        served = await self._lists.fetch(request.match_info["list"], document=document)
        headers = {"ETag": served.etag, "Cache-Control": self._cache, "Vary": "Accept"}
        if served.etag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        kind = "application/vc" if document else "application/vc+jwt"
        return web.Response(text=served.text, content_type=kind, headers=headers)


def _wants_document(accept: str) -> bool:
    """A reader that names a JSON form and no JWT gets Data Integrity; everybody else, `*/*` too, gets the JWT."""
    kinds = {each.partition(";")[0].strip().lower() for each in accept.split(",")}
    return "jwt" not in accept.lower() and any(each == "application/vc" or each.endswith(("/json", "+json")) for each in kinds)
