"""The secure token service for other programs: OAuth 2.0 client credentials (DCP 1.0 section 4, non-normative; identity.md 1.3).

`POST /sts/token`, form-encoded: `grant_type=client_credentials`, `client_id`, `client_secret`, `audience` (a DID), and at most one of
`bearer_access_scope` (scopes, separated by blanks: an access token for them goes into the claim `token`) and `token` (put into the claim as
it is). The answer's `access_token` is the Self-Issued ID token.

Rules
- Errors have OAuth's form `{error, error_description}`: `invalid_request`, `unsupported_grant_type`, `invalid_client` (401), `invalid_scope`.
- What a client may draw stands in its entry (`clients`). Every token is a log line: client, audience, scopes; never a secret or token.
"""

from typing import Any, Final

from aiohttp import web

from identity.did import BadDid, parse
from identity.vc import BadCredential, parse_scope
from identity.wallet.clients import Client, Clients
from identity.wallet.sts import LIFE, Sts
from kernel import telemetry
from kernel.errors import TooMany
from kernel.web import Route, json_response

PATH: Final = "/sts/token"
_FIELDS: Final = ("grant_type", "client_id", "client_secret", "audience", "bearer_access_scope", "token")
_MAX_FIELD: Final = 8_192
_MAX_SCOPES: Final = 32
log = telemetry.get(__name__)


class _Refusal(Exception):
    """An answer in OAuth's form."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error, self.description, self.status = error, description, status


class TokenEndpoint:
    """The route over one participant's token service."""

    def __init__(self, sts: Sts, clients: Clients) -> None:
        self._sts, self._clients = sts, clients

    def routes(self) -> list[Route]:
        return [Route(method="POST", path=PATH, handler=self.token, auth="none", summary="STS: a Self-Issued ID token (OAuth 2.0)")]

    async def token(self, request: web.Request) -> web.Response:
        headers = {"Cache-Control": "no-store"}
        try:
            return json_response(await self._answer(await _form(request)), headers=headers)
        except _Refusal as refusal:
            log.info("no token", error=refusal.error, detail=refusal.description)
            body = {"error": refusal.error, "error_description": refusal.description}
            return json_response(body, status=refusal.status, headers=headers)
        except TooMany as error:
            log.warning("no token", error=error.code)
            body = {"error": "temporarily_unavailable", "error_description": error.detail}
            return json_response(body, status=error.status, headers={**headers, "Retry-After": "60"})

    async def _answer(self, form: dict[str, str]) -> dict[str, Any]:
        client = await self._clients.authenticated(_needed(form, "client_id"), _needed(form, "client_secret"))
        if client is None:
            raise _Refusal("invalid_client", "unknown client or wrong secret", 401)
        audience, scopes = _audience(form, client), _scopes(form, client)
        minted = self._sts.token(audience, scopes=scopes, inner=form.get("token") or None)
        log.info("token drawn", client=client.id, audience=audience, scopes=scopes)
        return {"access_token": minted, "token_type": "Bearer", "expires_in": LIFE}


async def _form(request: web.Request) -> dict[str, str]:
    if request.content_type != "application/x-www-form-urlencoded":
        raise _Refusal("invalid_request", "send application/x-www-form-urlencoded")
    found = await request.post()
    if any(len(found.getall(name, [])) > 1 for name in _FIELDS):
        raise _Refusal("invalid_request", "a parameter comes twice")
    form = {name: str(found[name]) for name in _FIELDS if name in found}
    if any(len(value) > _MAX_FIELD for value in form.values()):
        raise _Refusal("invalid_request", "a parameter is too long")
    if _needed(form, "grant_type") != "client_credentials":
        raise _Refusal("unsupported_grant_type", "only client_credentials is supported")
    if form.get("token") and form.get("bearer_access_scope"):
        raise _Refusal("invalid_request", "token and bearer_access_scope exclude each other")
    return form


def _needed(form: dict[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise _Refusal("invalid_request", f"{name} is missing")
    return value


def _audience(form: dict[str, str], client: Client) -> str:
    audience = _needed(form, "audience")
    try:
        parse(audience)
    except BadDid as error:
        raise _Refusal("invalid_request", "audience is no DID") from error
    if client.audiences and audience not in client.audiences:
        raise _Refusal("invalid_request", "this client may not draw tokens for that audience")
    return audience


def _scopes(form: dict[str, str], client: Client) -> tuple[str, ...]:
    scopes = tuple(form.get("bearer_access_scope", "").split())
    try:
        found = {parse_scope(each) for each in scopes}
        allowed = {parse_scope(each) for each in client.scopes}
    except BadCredential as error:
        raise _Refusal("invalid_scope", "a scope is malformed") from error
    if len(scopes) > _MAX_SCOPES or (allowed and not found <= allowed):
        raise _Refusal("invalid_scope", "this client may not grant that scope")
    return scopes
