"""Routes for management keys and the audit log, the same in every management API.

Handing out and revoking keys takes the role admin in the scope `keys`; reading and verifying the log takes the role read in the scope `audit`, so that an
auditor needs no more than that. The text of a new key is in the answer to its making and nowhere else.
"""

import asyncio
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct

from identity.access.audit import Chain, Entry, Fault, head_of
from identity.access.door import CALLER
from identity.access.keys import AccessKey, Keys
from identity.access.pages import PageOf, listed, page
from identity.access.principal import grant
from identity.access.trail import AuditStore
from kernel.errors import BadInput
from kernel.web import Handler, Route, json_response, read_json

_AT_ONCE: Final = 200  # rows hashed before others have their turn: 8 ms
SCOPES: Final = frozenset({"keys", "audit"})


class NewKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A key to make; without scopes it holds its role in all, without an expiry for ever."""

    name: str
    role: str
    scopes: tuple[str, ...] = ()
    expires: str = ""


class KeyView(Struct, frozen=True, kw_only=True, rename="camel"):
    """A key without its secret. Times are ISO 8601, empty: never; `used` is exact to the hour."""

    id: str
    name: str
    role: str
    scopes: tuple[str, ...]
    made: str
    made_by: str
    expires: str
    revoked: str
    used: str


class MadeKey(KeyView, frozen=True, kw_only=True, rename="camel"):
    """A new key with its text, which is not shown again."""

    key: str


class EntryList(Struct, frozen=True):
    """A page of the audit log, its head, and whose it is."""

    items: list[Entry]
    next: str
    head: str
    participant: str


class Verdict(Struct, frozen=True):
    """What following the chain has shown; `fault` is where it breaks."""

    intact: bool
    entries: int
    head: str
    fault: Fault | None


class AccessRoutes:
    """Handlers over the keys and the log of one service; `scopes` are the families of its other routes."""

    def __init__(self, keys: Keys, log: AuditStore, participant: str, scopes: frozenset[str]) -> None:
        self._keys, self._log, self._participant, self._scopes = keys, log, participant, scopes | SCOPES

    def routes(self) -> list[Route]:
        """The table."""
        paged, one = ("after", "limit"), "/v1/keys/{id}/revoke"
        return [
            _route("GET", "/v1/keys", self.keys, "admin keys", "Management keys", response=PageOf[KeyView], query=paged),
            _route("POST", "/v1/keys", self.add, "admin keys", "Make a key", request=NewKey, response=MadeKey, status=201),
            _route("POST", one, self.revoke, "admin keys", "Revoke a key: it opens nothing any more", response=KeyView),
            _route("GET", "/v1/audit", self.audit, "read audit", "The audit log", response=EntryList, query=paged),
            _route("GET", "/v1/audit/verify", self.verify, "read audit", "Follow its chain", response=Verdict, query=("head",)),
        ]

    async def keys(self, request: web.Request) -> web.StreamResponse:
        wanted = page(request)
        found = await self._keys.page(wanted.after, wanted.limit)
        return listed(request, wanted, [_view(each) for each in found], lambda each: each.id)

    async def add(self, request: web.Request) -> web.StreamResponse:
        try:
            wanted = msgspec.convert(await read_json(request), NewKey)
        except msgspec.ValidationError as error:
            raise BadInput(str(error), next_step="see /openapi.json") from error
        given = grant(wanted.role, wanted.scopes, self._scopes)
        made, text = await self._keys.add(wanted.name, given, wanted.expires, request[CALLER])
        return json_response(MadeKey(**msgspec.structs.asdict(_view(made)), key=text), status=201)

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        return json_response(_view(await self._keys.revoke(request.match_info["id"], request[CALLER])))

    async def audit(self, request: web.Request) -> web.StreamResponse:
        wanted = page(request)
        found = await self._log.entries(wanted.number, wanted.limit)
        head = str(await self._log.head())
        return listed(request, wanted, found, lambda each: str(each.seq), head=head, participant=self._participant)

    async def verify(self, request: web.Request) -> web.StreamResponse:
        pinned = head_of(request.query["head"]) if request.query.get("head") else None
        head, chain = await self._log.head(), Chain(self._participant, pinned)
        more = True
        while more and chain.fault is None:
            rows = await self._log.entries(chain.last.seq, _AT_ONCE)
            for entry in rows:
                if entry.seq <= head.seq or chain.last != head:  # what was written meanwhile is for the next time
                    chain.take(entry)
            await asyncio.sleep(0)  # others have their turn
            more = len(rows) == _AT_ONCE and chain.last != head
        fault = chain.end(head)
        return json_response(Verdict(fault is None, chain.last.seq, str(chain.last), fault))


def _route(method: str, path: str, handler: Handler, need: str, summary: str, **described: Any) -> Route:
    role, _, scope = need.partition(" ")
    return Route(method=method, path=path, handler=handler, auth="key", role=role, scope=scope, summary=summary, **described)


def _view(key: AccessKey) -> KeyView:
    return KeyView(
        id=key.id,
        name=key.name,
        role=key.grant.role,
        scopes=key.grant.scopes,
        made=key.made,
        made_by=key.made_by,
        expires=key.expires,
        revoked=key.revoked,
        used=key.used,
    )
