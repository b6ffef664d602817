"""What persons decide about contracts, as routes of the management API: rows of the one table in `connector.management.routes`.

Each row names the role and scope that its caller needs. Every act carries the name of the person who decided.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from msgspec import Struct

from connector.contracts.persons import Comparison, Contracts
from connector.management import views
from connector.processes.model import Agreement, Process
from identity.access.trail import about
from kernel.web import json_response

Read = Callable[[web.Request, Any], Awaitable[Any]]
Show = Callable[[web.Request, Process], Awaitable[web.Response]]
_OPERATE: Final = "operate negotiations"


class Answer(Struct, frozen=True, forbid_unknown_fields=True):
    """A person's answer; the reason is told to the peer where the answer ends a negotiation."""

    person: str
    reason: str = ""


class Counter(Struct, frozen=True, forbid_unknown_fields=True):
    """Other terms: `values` by left operand change the terms on the table, `terms` replace them."""

    person: str
    values: dict[str, str | list[str]] = {}
    terms: dict[str, Any] | None = None


class OfferContract(Struct, frozen=True, forbid_unknown_fields=True):
    """An offer of ours to make to a consumer, with other terms if any are given."""

    person: str
    peer: str
    offer: str
    values: dict[str, str | list[str]] = {}
    terms: dict[str, Any] | None = None


class RenewalOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """To renew an agreement by itself this many days before its end; 0 takes the order back."""

    person: str
    days: int


class ContractRoutes:
    """Handlers over the contracts of a participant; `read` decodes a body, `show` answers with a process."""

    def __init__(self, contracts: Contracts, read: Read, show: Show) -> None:
        self._contracts, self._read, self._show = contracts, read, show

    def rows(self) -> list[tuple[str, str, Any, str, str, Any, Any]]:
        """Method, path, handler, role and scope, summary, request, response."""
        one, view = "/v1/negotiations/{id}", views.ProcessView
        return [
            ("POST", "/v1/negotiations/offers", self.offer, _OPERATE, "Offer a contract to a consumer", OfferContract, view),
            (
                "GET",
                f"{one}/differences",
                self.differences,
                "read negotiations",
                "Asked and offered terms compared",
                None,
                Comparison,
            ),
            ("POST", f"{one}/counter", self.counter, _OPERATE, "Answer with other terms", Counter, view),
            ("POST", f"{one}/accept", self.accept, _OPERATE, "Accept the provider's offer", Answer, view),
            ("POST", f"{one}/approve", self.approve, _OPERATE, "Approve what waits for a person", Answer, view),
            ("POST", f"{one}/refuse", self.refuse, _OPERATE, "Refuse what waits for a person", Answer, view),
            (
                "GET",
                "/v1/agreements/{id}/evidence",
                self.evidence,
                "read agreements",
                "What proves it, for a third party that verifies it offline",
                None,
                None,
            ),
            (
                "POST",
                "/v1/agreements/{id}/retire",
                self.retire,
                "operate agreements",
                "No new transfers; running ones end",
                Answer,
                None,
            ),
            (
                "POST",
                "/v1/agreements/{id}/renewal",
                self.renewal,
                "operate agreements",
                "Renew it before its end",
                RenewalOrder,
                None,
            ),
        ]

    async def offer(self, request: web.Request) -> web.Response:
        wanted: OfferContract = await self._read(request, OfferContract)
        made = await self._contracts.offer(wanted.peer, wanted.offer, wanted.values, wanted.terms, wanted.person)
        about(made.id)
        return await self._show(request, made)

    async def differences(self, request: web.Request) -> web.Response:
        return json_response(await self._contracts.compare(request.match_info["id"]))

    async def counter(self, request: web.Request) -> web.Response:
        wanted: Counter = await self._read(request, Counter)
        made = await self._contracts.counter(request.match_info["id"], wanted.values, wanted.terms, wanted.person)
        return await self._show(request, made)

    async def accept(self, request: web.Request) -> web.Response:
        wanted: Answer = await self._read(request, Answer)
        return await self._show(request, await self._contracts.accept(request.match_info["id"], wanted.person))

    async def approve(self, request: web.Request) -> web.Response:
        wanted: Answer = await self._read(request, Answer)
        return await self._show(request, await self._contracts.approve(request.match_info["id"], wanted.person))

    async def refuse(self, request: web.Request) -> web.Response:
        wanted: Answer = await self._read(request, Answer)
        return await self._show(request, await self._contracts.refuse(request.match_info["id"], wanted.person, wanted.reason))

    async def evidence(self, request: web.Request) -> web.Response:
        return json_response(await self._contracts.evidence(request.match_info["id"]))

    async def retire(self, request: web.Request) -> web.Response:
        wanted: Answer = await self._read(request, Answer)
        return _agreement(await self._contracts.retire(request.match_info["id"], wanted.person, wanted.reason))

    async def renewal(self, request: web.Request) -> web.Response:
        wanted: RenewalOrder = await self._read(request, RenewalOrder)
        return _agreement(await self._contracts.order_renewal(request.match_info["id"], wanted.person, wanted.days))


def _agreement(found: Agreement) -> web.Response:
    return json_response(views.agreement_view(found))
