"""Routes of the management API; its OpenAPI document is made from this table (`GET /openapi.json`).

Every route names the role and the scope that its caller needs ("operate assets"; a role alone is for any scope); only `/health` and the document need none.
A route of the role `read` changes nothing, which is why it is not in the audit log. Lists are paged by key (`identity.access.pages`). `?wait=<seconds>` lets a
route return when the outcome is known, at the latest then.
"""

from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from connector.management import views
from connector.management.contracts import ContractRoutes
from connector.management.duties import DutyRoutes
from connector.management.events import EventRoutes, seconds
from connector.management.ledgers import LedgerRoutes
from connector.management.wallet import Wallet
from connector.processes import tables
from connector.processes.errors import AgreementUnknown
from connector.processes.model import Agreement, Kind, Process
from connector.refusals import Refusal
from connector.store.port import Due, Membership, ReceivedObject
from connector.usage.decide import Stated
from identity.access.door import CALLER
from identity.access.pages import PageOf, listed, page
from kernel.errors import BadInput, NotFound
from kernel.web import Route, json_response, openapi, read_json
from policies.profiles.bounds import Bound, Otherwise

VERSION: Final = "0.1.0"
_KEY: Final = "key"
_PAGED: Final = ("after", "limit")
T = TypeVar("T")


class Join(Struct, frozen=True, forbid_unknown_fields=True):
    """The code that the operator handed out."""

    invitation: str


class AwaitState(Struct, frozen=True, forbid_unknown_fields=True):
    """A membership state to wait for."""

    state: str


class NewOffer(Struct, frozen=True, forbid_unknown_fields=True):
    """An offer to make from a template of the profile.

    `approval`: who has to approve contracts under it; `bounds`: parameters that the other side may set otherwise; `otherwise`: what terms beyond that get.
    """

    asset: str
    template: str
    parameters: dict[str, Any] = {}
    approval: str = ""
    bounds: dict[str, Bound] = {}
    otherwise: Otherwise = "wait"


class OfPeer(Struct, frozen=True, forbid_unknown_fields=True):
    """A participant, by its DID."""

    peer: str


class Negotiate(Struct, frozen=True, forbid_unknown_fields=True):
    """A contract to ask for; with `terms` the catalog is not read, `values` by left operand change the terms.

    `bounds`: parameters that the provider may set otherwise in an offer that is then accepted; `otherwise`: what an offer beyond that gets; `approval`: who
    has to approve all the same.
    """

    peer: str
    dataset: str
    offer: str = ""
    terms: dict[str, Any] | None = None
    values: dict[str, str | list[str]] = {}
    bounds: dict[str, Bound] = {}
    otherwise: Otherwise = "wait"
    approval: str = ""


class NewTransfer(Struct, frozen=True, forbid_unknown_fields=True):
    """A transfer to ask for."""

    agreement: str
    format: str = "HttpData-PULL"


class Reason(Struct, frozen=True, forbid_unknown_fields=True):
    """Why, which the peer is told; and who decided it."""

    reason: str = ""
    code: str = ""
    person: str = ""


class PullWanted(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to put the data (empty: the inbox only), and bytes per second (0: as fast as it goes). With an `output`: what they are wanted for."""

    output: str = ""
    rate: float = 0
    purposes: list[str] = []
    recipients: list[str] = []


class AccessWanted(Struct, frozen=True, forbid_unknown_fields=True):
    """What the data are wanted for."""

    purposes: list[str] = []
    recipients: list[str] = []


class Management:
    """Handlers over a running connector."""

    def __init__(self, connector: Any) -> None:
        self._connector = connector
        self._commands, self._store = connector.commands, connector.store

    def routes(self) -> list[Route]:
        """The table."""
        table = [
            self._route("GET", "/health", self.health, "", "Whether the connector answers"),
            self._route("GET", "/v1/status", self.status, "read membership", "Who this connector is, its certificate, credentials and outbox"),
            self._route("GET", "/v1/state-machines", self.machines, "read", "The transition tables"),
            self._route("GET", "/v1/membership", self.membership, "read membership", "How far joining has come", response=Membership),
            self._route("POST", "/v1/membership", self.join, "admin membership", "Apply with an invitation", Join, Membership, query=("wait",)),
            self._route("POST", "/v1/membership/wait", self.await_state, "read membership", "Wait for a state", AwaitState, Membership, query=("wait",)),
            self._route("POST", "/v1/membership/certificate", self.rotate, "operate membership", "Enrol for a new member certificate"),
            self._route("GET", "/v1/assets", self.assets, "read assets", "Published datasets", response=PageOf[views.AssetView], query=_PAGED),
            self._route("POST", "/v1/assets", self.add_asset, "operate assets", "Validate and publish a payload (the request body)",
                        response=views.AssetView, query=("schema", "title", "titleJa", "mediaType", "product"), status=201),
            self._route("GET", "/v1/offers", self.offers, "read offers", "Offers", response=PageOf[views.OfferView], query=_PAGED),
            self._route("POST", "/v1/offers", self.add_offer, "operate offers", "Make an offer", NewOffer, views.OfferView, status=201),
            self._route("POST", "/v1/catalog", self.catalog, "read offers", "Read a participant's catalog", OfPeer),
            self._route("GET", "/v1/agreements", self.agreements, "read agreements", "Contract agreements", query=(*_PAGED, "template")),
            self._route("GET", "/v1/agreements/{id}", self.agreement, "read agreements", "One contract agreement"),
            self._route("POST", "/v1/negotiations", self.negotiate, "operate negotiations", "Ask for a contract", Negotiate, views.ProcessView, query=("wait",)),
            self._route("POST", "/v1/transfers", self.transfer, "operate transfers", "Ask for a transfer", NewTransfer, views.ProcessView, query=("wait",)),
            self._route("POST", "/v1/transfers/{id}/pull", self.pull, "operate transfers", "Fetch, verify and validate the data", PullWanted),
            self._route("POST", "/v1/transfers/{id}/access", self.access, "operate transfers", "Data address and token, for a program of our own and a purpose", AccessWanted),
            self._route("GET", "/v1/received", self.received, "read transfers", "Datasets received under agreements", response=PageOf[ReceivedObject], query=_PAGED),
            self._route("GET", "/v1/refusals", self.refusals, "read membership", "Callers refused lately, with every stage of their verification",
                        response=PageOf[Refusal], query=(*_PAGED, "peer")),
            self._route("GET", "/v1/outbox", self.outbox, "read negotiations", "Messages that are not delivered yet", response=PageOf[views.Undelivered], query=_PAGED),
            self._route("POST", "/v1/outbox/{id}/release", self.release, "operate negotiations", "Try a parked message again now"),
        ]  # fmt: skip
        for kind in ("negotiation", "transfer"):
            table += self._process_routes(kind)
        wallet = Wallet(self._connector.keys, self._connector.renewal, self._connector.tokens, self._tell)
        table += wallet.routes(self._route)
        rules, obligations = self._connector.rules, self._connector.obligations
        table += DutyRoutes(self._store, obligations, _body).routes(self._route)
        table += LedgerRoutes(self._store, rules.relations, obligations.payments, rules.allotments, _body).routes(self._route)
        table += EventRoutes(self._store).routes(self._route)
        decided = ContractRoutes(self._connector.contracts, _body, lambda request, process: self._shown(process, seconds(request)))
        table += [self._route(*row) for row in decided.rows()]
        table += self._connector.access.routes(table)
        table.append(self._route("GET", "/openapi.json", self._description(table), "", "This document"))
        return table

    def _process_routes(self, kind: Kind) -> list[Route]:
        base, view = f"/v1/{kind}s", views.ProcessView
        steps = ("terminate",) if kind == "negotiation" else ("suspend", "resume", "complete", "terminate")
        return [
            self._route("GET", base, self._listing(kind), f"read {kind}s", f"All {kind} processes, newest first", response=PageOf[views.ProcessView], query=(*_PAGED, "waiting")),
            self._route(
                "GET", f"{base}/{{id}}", self._showing(kind), f"read {kind}s", f"One {kind} with its journal", response=view,
                query=("wait",),
            ),
            *(
                self._route("POST", f"{base}/{{id}}/{step}", self._stepping(kind, step), f"operate {kind}s", f"{step} a {kind}", Reason, view)
                for step in steps
            ),
        ]  # fmt: skip

    def _route(
        self,
        method: str,
        path: str,
        handler: Any,
        need: str,
        summary: str,
        request: Any = None,
        response: Any = None,
        *,
        query: tuple[str, ...] = (),
        status: int = 200,
    ) -> Route:
        role, _, scope = need.partition(" ")
        return Route(
            method=method, path=path, handler=handler, auth=_KEY if need else "none", role=role, scope=scope, summary=summary,
            request=request, response=response, query=query, status=status,
        )  # fmt: skip

    def _description(self, table: list[Route]) -> Any:
        async def describe(_request: web.Request) -> web.Response:
            return json_response(openapi(table, "Kizuna connector management", VERSION))

        return describe

    # node ------------------------------------------------------------------------------------------------------------

    async def health(self, _request: web.Request) -> web.Response:
        return json_response({"status": "ok"})

    async def status(self, _request: web.Request) -> web.Response:
        connector, waiting = self._connector, await self._store.outbox()
        held = [{"id": each.id, "type": each.type, "issuer": each.issuer, "until": each.until} for each in await self._store.held()]
        return json_response(
            {
                "did": connector.settings.did,
                "name": connector.settings.name,
                "membership": await self._store.membership(),
                "certificate": connector.channel.described(),
                "credentials": held,
                "authority": self._authority(),
                "outbox": {"waiting": len(waiting), "parked": sum(each.parked for each in waiting)},
            }
        )

    def _authority(self) -> dict[str, Any]:
        standing = self._connector.standing
        found = standing.followed
        return {
            "heard": standing.live,
            "event": found.after,
            "keptOut": found.barred,
            "keys": found.keys,
            **self._connector.trust.described(),
        }

    async def machines(self, _request: web.Request) -> web.Response:
        rows = {
            name: [
                {part: getattr(row, part) for part in ("state", "message", "sender", "to", "guard", "effects", "clause")}
                for row in table.rows
            ]
            for name, table in tables.TABLES.items()
        }
        return json_response(rows)

    async def membership(self, _request: web.Request) -> web.Response:
        return json_response(await self._store.membership())

    async def join(self, request: web.Request) -> web.Response:
        wanted = await _body(request, Join)
        return json_response(await self._connector.joining.apply(wanted.invitation))

    async def await_state(self, request: web.Request) -> web.Response:
        wanted = await _body(request, AwaitState)
        await self._commands.wait(lambda: self._has_come_to(wanted.state), seconds(request))
        return json_response(await self._store.membership())

    async def _has_come_to(self, state: str) -> bool:
        return (await self._store.membership()).state in (state, "REFUSED")

    async def _tell(self, kind: str) -> None:
        await self._store.tell(kind)

    async def rotate(self, _request: web.Request) -> web.Response:
        await self._connector.joining.renew()
        return json_response(self._connector.channel.described())

    # what we publish, and what others do -----------------------------------------------------------------------------

    async def assets(self, request: web.Request) -> web.Response:
        wanted = page(request)
        found = await self._store.assets(wanted.after, wanted.limit)
        return listed(request, wanted, [views.asset_view(each) for each in found], _id)

    async def add_asset(self, request: web.Request) -> web.Response:
        query = request.query
        asset = await self._commands.add_asset(
            request.content.iter_chunked(262_144),
            schema=query.get("schema", ""),
            title={"en": query.get("title", ""), "ja": query.get("titleJa", "")},
            media_type=query.get("mediaType", "application/json"),
            products=query.getall("product", []),
        )
        return json_response(views.asset_view(asset), status=201)

    async def offers(self, request: web.Request) -> web.Response:
        wanted = page(request)
        found = await self._store.offers(wanted.after, wanted.limit)
        return listed(request, wanted, [views.offer_view(each) for each in found], _id)

    async def add_offer(self, request: web.Request) -> web.Response:
        wanted = await _body(request, NewOffer)
        offer = await self._commands.add_offer(
            wanted.asset,
            wanted.template,
            wanted.parameters,
            approval=wanted.approval,
            open_to=wanted.bounds,
            otherwise=wanted.otherwise,
        )
        return json_response(views.offer_view(offer), status=201)

    async def catalog(self, request: web.Request) -> web.Response:
        return json_response(await self._commands.catalog((await _body(request, OfPeer)).peer))

    # contracts and transfers -----------------------------------------------------------------------------------------

    async def agreements(self, request: web.Request) -> web.Response:
        wanted = page(request)
        if wanted.after:
            await self._agreement(wanted.after)
        template = request.query.get("template", "")
        reading = (
            self._commands.made_from(template, wanted.after, wanted.limit)
            if template
            else self._store.agreements(wanted.after, wanted.limit)
        )
        return listed(request, wanted, [views.agreement_view(each) for each in await reading], _id)

    async def agreement(self, request: web.Request) -> web.Response:
        found, usage = await self._agreement(request.match_info["id"]), self._connector.rules.usage
        bound = usage.stated(found.policy)
        return json_response(views.agreement_view(found) | {"purposes": bound.purposes, "recipients": bound.recipients})

    async def _agreement(self, key: str) -> Agreement:
        found: Agreement | None = await self._store.agreement(key)
        if found is None:
            raise AgreementUnknown(f"no agreement {key}", next_step="see `kizuna agreement list`")
        return found

    async def negotiate(self, request: web.Request) -> web.Response:
        wanted = await _body(request, Negotiate)
        process = await self._commands.negotiate(
            wanted.peer, wanted.dataset, wanted.offer, wanted.terms,
            values=wanted.values, open_to=wanted.bounds, otherwise=wanted.otherwise, approval=wanted.approval,
        )  # fmt: skip
        return await self._begun(process, seconds(request))

    async def transfer(self, request: web.Request) -> web.Response:
        wanted = await _body(request, NewTransfer)
        process = await self._commands.request_transfer(wanted.agreement, wanted.format)
        return await self._begun(process, seconds(request), "STARTED")

    async def pull(self, request: web.Request) -> web.Response:
        wanted = await _body(request, PullWanted)
        if wanted.output:  # a file anywhere on this machine, written as the connector's user
            request[CALLER].check("admin", "transfers")
        key, stated, holdings = (
            request.match_info["id"],
            Stated(wanted.purposes, wanted.recipients),
            self._connector.obligations.holdings,
        )
        process = await self._commands.process("transfer", key)
        if wanted.output:  # nothing is fetched that may not be handed out
            await holdings.judge(process.data["agreementId"], stated)
        found = await self._commands.pull(key, wanted.rate)
        if wanted.output:
            await holdings.hand_out(key, stated, Path(wanted.output))
            found["file"] = wanted.output
        return json_response(found)

    async def access(self, request: web.Request) -> web.Response:
        wanted: AccessWanted = await _body(request, AccessWanted)
        process = await self._commands.process("transfer", request.match_info["id"])
        agreement, stated, holdings = (
            process.data["agreementId"],
            Stated(wanted.purposes, wanted.recipients),
            self._connector.obligations.holdings,
        )
        await holdings.judge(agreement, stated)
        opened = await self._commands.access(process.id)
        await holdings.permit(agreement, process.id, stated)
        return json_response(opened)

    async def received(self, request: web.Request) -> web.Response:
        wanted = page(request)
        found: list[ReceivedObject] = await self._store.received_after(wanted.after, wanted.limit)
        return listed(request, wanted, found, lambda each: each.transfer)

    async def refusals(self, request: web.Request) -> web.Response:
        wanted = page(request)
        found = self._connector.refusals.page(wanted.number, wanted.limit, request.query.get("peer", ""))
        return listed(request, wanted, found, lambda each: str(each.number))

    async def outbox(self, request: web.Request) -> web.Response:
        wanted = page(request)
        found = await self._store.outbox_after(wanted.after, wanted.limit)
        return listed(request, wanted, [views.undelivered(each) for each in found], _id)

    async def release(self, request: web.Request) -> web.Response:
        if not await self._store.release(request.match_info["id"]):
            raise NotFound("no such message", next_step="see `kizuna outbox list`")
        return json_response({"released": request.match_info["id"]})

    def _listing(self, kind: Kind) -> Any:
        async def listing(request: web.Request) -> web.Response:
            wanted = page(request)
            if wanted.after:
                await self._commands.process(kind, wanted.after)
            found = await self._store.processes(kind, wanted.after, wanted.limit, waiting="waiting" in request.query)
            waiting: dict[str, list[Due]] = {each.id: [] for each in found}
            for row in await self._store.outbox(*waiting) if found else ():
                waiting[row.row.process].append(row)
            return listed(request, wanted, [views.process_view(each, waiting[each.id]) for each in found], _id)

        return listing

    def _showing(self, kind: Kind) -> Any:
        async def showing(request: web.Request) -> web.Response:
            return await self._shown(await self._commands.process(kind, request.match_info["id"]), seconds(request))

        return showing

    def _stepping(self, kind: Kind, name: str) -> Any:
        async def stepping(request: web.Request) -> web.Response:
            said, key = await _body(request, Reason), request.match_info["id"]
            moved = await self._commands.step(kind, key, name, said.reason, code=said.code, person=said.person)
            return await self._shown(moved, seconds(request))

        return stepping

    async def _begun(self, process: Process, wait: float, *states: str) -> web.Response:
        """A process that this request has made: nothing need be read to show it as it began."""
        if wait:
            return await self._shown(process, wait, *states)
        return json_response(views.process_view(process, views.unsent(process), ()))

    async def _shown(self, process: Process, wait: float, *states: str) -> web.Response:
        if wait:
            await self._commands.wait(lambda: self._commands.is_settled(process.id, *states), wait)
        current = await self._store.process(process.id) or process
        waiting, journal = await self._store.outbox(process.id), await self._store.journal(process.id)
        return json_response(views.process_view(current, waiting, journal))


def routes(connector: Any) -> list[Route]:
    """The management API of a running connector."""
    return Management(connector).routes()


async def _body(request: web.Request, cls: type[T]) -> T:
    try:
        return msgspec.convert(await read_json(request), cls)
    except msgspec.ValidationError as error:
        raise BadInput(str(error), next_step="see /openapi.json") from error


def _id(view: Any) -> str:
    return str(view["id"] if isinstance(view, dict) else view.id)
