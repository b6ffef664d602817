"""The participant's own ledgers as routes of the management API: rows of the one table in `connector.management.routes`.

What stands here decides about others (`tradeRelation`), so every entry carries the name of the person who made it.
"""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from msgspec import Struct

from connector.store.port import Relation, Store
from connector.usage.relations import Relations
from identity.access.pages import PageOf, listed, page
from identity.access.trail import about
from kernel.web import Route, json_response

_READ: Final = "read agreements"
_OPERATE: Final = "operate agreements"
_PAGED: Final = ("after", "limit")


class NewRelation(Struct, frozen=True, forbid_unknown_fields=True):
    """A trade relation: what the partner (a DID) is to us (`customer`, `supplier`), with which product, from when until when."""

    person: str
    partner: str
    kind: str
    product: str = ""
    since: str = ""
    until: str = ""


class Ending(Struct, frozen=True, forbid_unknown_fields=True):
    """Who ends something, and why."""

    person: str
    reason: str = ""


class LedgerRoutes:
    """Handlers over the ledgers of a participant; `read` decodes a body."""

    def __init__(self, store: Store, relations: Relations, read: Callable[[web.Request, Any], Awaitable[Any]]) -> None:
        self._store, self._relations, self._read = store, relations, read

    def routes(self, route: Callable[..., Route]) -> list[Route]:
        """The rows, made by the table's own `route`."""
        one = "/v1/relations/{id}"
        return [
            route("GET", "/v1/relations", self.relations, _READ, "Trade relations", response=PageOf[Relation], query=_PAGED),
            route(
                "POST", "/v1/relations", self.add_relation, _OPERATE, "Enter a trade relation", NewRelation, Relation, status=201
            ),
            route("POST", f"{one}/end", self.end_relation, _OPERATE, "End a trade relation now", Ending, Relation),
        ]

    async def relations(self, request: web.Request) -> web.Response:
        wanted = page(request)
        return listed(request, wanted, await self._store.relations(wanted.after, wanted.limit), lambda each: each.id)

    async def add_relation(self, request: web.Request) -> web.Response:
        given: NewRelation = await self._read(request, NewRelation)
        key = f"urn:uuid:{uuid.uuid4()}"
        about(key)
        made = Relation(
            id=key, partner=given.partner, kind=given.kind, product=given.product, since=given.since, until=given.until, person=given.person
        )  # fmt: skip
        return json_response(await self._relations.add(made), status=201)

    async def end_relation(self, request: web.Request) -> web.Response:
        given: Ending = await self._read(request, Ending)
        return json_response(await self._relations.end(request.match_info["id"], given.person, given.reason))
