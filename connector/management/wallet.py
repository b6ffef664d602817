"""Management routes of the participant's keys and credentials (`identity.keys.ring`, `identity.wallet`)."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from connector.worker.replicas import KEYS
from identity.keys.ring import KeyRing, KeyState
from identity.wallet.renewal import HeldState, Renewal
from identity.wallet.tokens import TokenEndpoint
from kernel.errors import BadInput
from kernel.web import Route, json_response, read_json

T = TypeVar("T")


class NewKey(Struct, frozen=True, forbid_unknown_fields=True):
    """What a new key is for: `si` (tokens), `vp` (presentations) or `data` (data tokens)."""

    purpose: str
    alg: str = "ES256"


class OldKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A key to retire; `revoke` does not wait until what it signed is over."""

    kid: str
    revoke: bool = False


class Wallet:
    """Handlers over the keys and credentials of a running connector."""

    def __init__(self, keys: KeyRing, renewal: Renewal, tokens: TokenEndpoint, tell: Callable[[str], Awaitable[None]]) -> None:
        """`tell` lets other replicas know that the keys have changed."""
        self._keys, self._renewal, self._tokens, self._tell = keys, renewal, tokens, tell

    def routes(self, route: Callable[..., Route]) -> list[Route]:
        """The table, its rows made by `route` (`connector.management.routes`)."""
        return [
            *self._tokens.routes(),
            route("GET", "/v1/signing-keys", self.keys, "read keys", "Keys by purpose, with their state", response=list[KeyState]),
            route("POST", "/v1/signing-keys", self.rotate, "admin keys", "A new key for a purpose, with overlap", NewKey, KeyState, status=201),
            route("POST", "/v1/signing-keys/retire", self.retire, "admin keys", "Take an older key out of the DID document", OldKey),
            route("GET", "/v1/credentials", self.credentials, "read membership", "Credentials held, and their renewal", response=list[HeldState]),
            route("POST", "/v1/credentials/renew", self.renew, "operate membership", "Ask for all credentials anew, now"),
        ]  # fmt: skip

    async def keys(self, _request: web.Request) -> web.Response:
        return json_response(self._keys.states())

    async def rotate(self, request: web.Request) -> web.Response:
        wanted = await _body(request, NewKey)
        made = self._keys.rotate(wanted.purpose, wanted.alg)
        await self._tell(KEYS)
        return json_response(made, status=201)

    async def retire(self, request: web.Request) -> web.Response:
        wanted = await _body(request, OldKey)
        self._keys.retire(wanted.kid, revoke=wanted.revoke)
        await self._tell(KEYS)
        return json_response({"retired": wanted.kid})

    async def credentials(self, _request: web.Request) -> web.Response:
        return json_response(await self._renewal.states())

    async def renew(self, _request: web.Request) -> web.Response:
        return json_response({"asked": await self._renewal.ask_again()})


async def _body(request: web.Request, cls: type[T]) -> T:
    value: Any = await read_json(request)
    try:
        return msgspec.convert(value, cls)
    except msgspec.ValidationError as error:
        raise BadInput(str(error)) from error
