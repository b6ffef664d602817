"""The door of a management API: who calls, may it, and is it written down. One middleware for every route of the table.

Steps
1. `Authorization: Bearer` is the key in the data directory, a management key, or a token of the configured provider. Anything else is 401, the same answer
   for every reason; the reason goes to the log.
2. The route's role and scope are in one of the caller's grants, or 403. A path that is not in the table is 404, after step 1.
3. A route of the role `read` changes nothing and is just answered. Every other call is recorded (`trail`), and so is every refusal of 1 and 2.

Routes with `auth="none"` (health, the OpenAPI document) pass.
"""

import hmac
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from aiohttp import web

from identity.access.keys import PREFIX, Keys
from identity.access.principal import ROLES, Grant, Principal
from identity.access.trail import Trail
from kernel import telemetry
from kernel.errors import KizunaError, Misconfigured, Unauthorized
from kernel.web import Handler, Middleware, Route

CALLER: Final = web.RequestKey("caller", Principal)
FILE: Final = Principal("file", "the key in the data directory", (Grant("admin"),))
_REFUSED: Final = "no or wrong management key"
_NEXT: Final = "send Authorization: Bearer <management key>"


class TokenVerifier(Protocol):
    """A provider whose tokens are taken (`oidc`)."""

    async def principal(self, token: str) -> Principal: ...
    async def close(self) -> None: ...
    def scopes(self) -> frozenset[str]:
        """Those that its grants name."""


class Door:
    """Knows callers by what they show. `load` gives the key of the data directory, for every call (`keyfile`)."""

    def __init__(self, load: Callable[[], str], keys: Keys, provider: TokenVerifier | None = None) -> None:
        self._load, self._keys, self._provider = load, keys, provider

    async def principal(self, authorization: str) -> Principal:
        """The caller; raises `Unauthorized`, or `UnavailableError` when the provider does not answer."""
        scheme, _, shown = authorization.partition(" ")
        if hmac.compare_digest(authorization.encode(errors="surrogateescape"), f"Bearer {self._load()}".encode()):
            return FILE
        try:
            if scheme == "Bearer" and shown.startswith(PREFIX):
                return await self._keys.principal(shown)
            if scheme == "Bearer" and self._provider is not None and shown.count(".") == 2:
                return await self._provider.principal(shown)
        except Unauthorized as error:
            raise Unauthorized(_REFUSED, next_step=_NEXT, **error.facts) from error
        raise Unauthorized(_REFUSED, next_step=_NEXT, reason="no key" if not authorization else "unknown key")


def guard(routes: Iterable[Route], door: Door, trail: Trail) -> Middleware:
    """The middleware for this table; raises `Misconfigured` where a route names no role."""
    for each in routes:
        if each.auth != "none" and each.role not in ROLES:
            raise Misconfigured(f"{each.method} {each.path} names no role")

    def guarded(handler: Handler, route: Route | None) -> Handler:
        if route is not None and route.auth == "none":
            return handler
        action = f"{route.method} {route.path}" if route else "unknown route"

        async def answered(request: web.Request) -> web.StreamResponse:
            try:
                caller = await door.principal(request.headers.get("Authorization", ""))
            except KizunaError as error:
                await trail.stranger(str(error.facts.get("who", "")), action, error.code)
                raise
            with telemetry.bound(caller=caller.who):
                return await _answered(request, handler, route, caller, trail) if route else await handler(request)

        return answered

    return guarded


async def _answered(request: web.Request, handler: Handler, route: Route, caller: Principal, trail: Trail) -> web.StreamResponse:
    action, key = f"{route.method} {route.path}", request.match_info.get("id", "")
    try:
        caller.check(route.role, route.scope)
    except KizunaError as error:
        await trail.refused(caller, action, key, error.code)
        raise
    request[CALLER] = caller
    if route.role == ROLES[0]:
        return await handler(request)
    async with trail.recording(caller, action, key):
        return await handler(request)
