"""The participant's own ledgers as routes of the management API: rows of the one table in `connector.management.routes`.

What stands here decides about others (`tradeRelation`, `payAmount`), so every entry carries the name of the person who made it.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from msgspec import Struct

from connector.process_contexts import new_id
from connector.processes.model import Allotted, Payment
from connector.store.port import Relation, Store
from connector.usage.allotments import Allotments
from connector.usage.payments import Payments
from connector.usage.relations import Relations
from identity.access.pages import PageOf, listed, page
from identity.access.trail import about
from kernel.web import Route, json_response
from policies.duties import Counter

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


class NewPayment(Struct, frozen=True, forbid_unknown_fields=True):
    """An amount that was paid under an agreement of ours as provider: a decimal number, its unit as the policy has it, and what shows it."""

    person: str
    agreement: str
    amount: str
    unit: str
    evidence: str


class NewAllotment(Struct, frozen=True, forbid_unknown_fields=True):
    """Uses that a data plane wants to grant by itself; `id` is its own, so that it can ask again."""

    id: str
    plane: str
    amount: int


class Rest(Struct, frozen=True, forbid_unknown_fields=True):
    """How many uses of an allotment were granted; the rest is given back."""

    used: int


class Ending(Struct, frozen=True, forbid_unknown_fields=True):
    """Who ends something, and why."""

    person: str
    reason: str = ""


class LedgerRoutes:
    """Handlers over the ledgers of a participant; `read` decodes a body."""

    def __init__(
        self,
        store: Store,
        relations: Relations,
        payments: Payments,
        allotments: Allotments,
        read: Callable[[web.Request, Any], Awaitable[Any]],
    ) -> None:
        self._store, self._relations, self._payments, self._allotments, self._read = store, relations, payments, allotments, read

    def routes(self, route: Callable[..., Route]) -> list[Route]:
        """The rows, made by the table's own `route`."""
        one, transfer = "/v1/relations/{id}", "/v1/transfers/{id}"
        operate, of = "operate transfers", (*_PAGED, "agreement")
        return [
            route("GET", "/v1/relations", self.relations, _READ, "Trade relations", response=PageOf[Relation], query=_PAGED),
            route(
                "POST", "/v1/relations", self.add_relation, _OPERATE, "Enter a trade relation", NewRelation, Relation, status=201
            ),
            route("POST", f"{one}/end", self.end_relation, _OPERATE, "End a trade relation now", Ending, Relation),
            route(
                "GET", "/v1/payments", self.payments, _READ, "What was paid under agreements", response=PageOf[Payment], query=of
            ),
            route("POST", "/v1/payments", self.add_payment, _OPERATE, "Enter a payment", NewPayment, Counter, status=201),
            route(
                "GET",
                "/v1/allotments",
                self.allotments,
                "read transfers",
                "Uses that data planes have drawn",
                response=PageOf[Allotted],
                query=_PAGED,
            ),
            route(
                "POST",
                f"{transfer}/allotments",
                self.draw,
                operate,
                "Draw uses for a separate data plane",
                NewAllotment,
                Allotted,
                status=201,
            ),
            route(
                "POST",
                "/v1/allotments/{id}/return",
                self.give_back,
                operate,
                "Give back what a data plane did not use",
                Rest,
                Allotted,
            ),
        ]

    async def relations(self, request: web.Request) -> web.Response:
        wanted = page(request)
        return listed(request, wanted, await self._store.relations(wanted.after, wanted.limit), lambda each: each.id)

    async def add_relation(self, request: web.Request) -> web.Response:
        given: NewRelation = await self._read(request, NewRelation)
        key = new_id()
        about(key)
        made = Relation(
            id=key, partner=given.partner, kind=given.kind, product=given.product, since=given.since, until=given.until, person=given.person
        )  # fmt: skip
        return json_response(await self._relations.add(made), status=201)

    async def payments(self, request: web.Request) -> web.Response:
        wanted, agreement = page(request), request.query.get("agreement", "")
        found = await self._store.payments(wanted.after, wanted.limit, agreement=agreement)
        return listed(request, wanted, found, lambda each: each.id)

    async def add_payment(self, request: web.Request) -> web.Response:
        given: NewPayment = await self._read(request, NewPayment)
        key = new_id()
        about(key)
        made = Payment(
            id=key, agreement=given.agreement, amount=given.amount, unit=given.unit, evidence=given.evidence, person=given.person
        )  # fmt: skip
        return json_response(await self._payments.add(made), status=201)

    async def allotments(self, request: web.Request) -> web.Response:
        wanted = page(request)
        return listed(request, wanted, await self._store.allotments(wanted.after, wanted.limit), lambda each: each.id)

    async def draw(self, request: web.Request) -> web.Response:
        given: NewAllotment = await self._read(request, NewAllotment)
        made = await self._allotments.draw(given.id, request.match_info["id"], given.plane, given.amount)
        return json_response(made, status=201)

    async def give_back(self, request: web.Request) -> web.Response:
        given: Rest = await self._read(request, Rest)
        return json_response(await self._allotments.give_back(request.match_info["id"], given.used))

    async def end_relation(self, request: web.Request) -> web.Response:
        given: Ending = await self._read(request, Ending)
        return json_response(await self._relations.end(request.match_info["id"], given.person, given.reason))
