"""Duties, counters, decisions and received data, as routes of the management API: rows of the one table in `connector.management.routes`.

Received data are handed out for a stated purpose only (`connector.usage.holdings`); whoever reads is in the audit log with it.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from msgspec import Struct

from connector.processes.model import Decided
from connector.store.port import ReceivedObject, Store
from connector.usage.decide import Stated
from connector.usage.obligations import Obligations
from identity.access.door import CALLER
from identity.access.pages import PageOf, listed, page
from kernel.errors import Conflict, NotFound
from kernel.web import Route, json_response
from policies.duties import Counter, Entry, Evidence
from policies.duties.ledger import EvidenceClass
from policies.odrl import PolicyError, Record

_READ: Final = "read agreements"
_OPERATE: Final = "operate agreements"
_PAGED: Final = ("after", "limit")


class DutyView(Struct, frozen=True, kw_only=True):
    """A duty of an agreement; `owed` is the DID of who owes it."""

    id: str
    agreement: str
    path: str
    action: str
    origin: str
    state: str
    owed: str
    triggered: str
    due: str
    until: str
    evidence: tuple[Evidence, ...]
    note: str


class DecisionView(Struct, frozen=True, kw_only=True):
    """A decision about a transfer; `id` is the hash of its record."""

    id: str
    agreement: str
    seq: int
    transfer: str
    record: Record


class ReplayView(Struct, frozen=True):
    """What came out differently when it was decided again; nothing: it is the same."""

    id: str
    differences: list[str]


class NewEvidence(Struct, frozen=True, forbid_unknown_fields=True):
    """Evidence that a duty was done: its class, what is said, and digests of what was acted on."""

    person: str
    kind: EvidenceClass = "E1"
    statement: str = ""
    digest: str = ""


class Waiver(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a duty is given up, and who decides it."""

    person: str
    reason: str


class ReadWanted(Struct, frozen=True, forbid_unknown_fields=True):
    """What received data are wanted for; without `output` the answer is the data."""

    purposes: list[str] = []
    recipients: list[str] = []
    output: str = ""


class DutyRoutes:
    """Handlers over the ledger of a participant; `read` decodes a body."""

    def __init__(self, store: Store, obligations: Obligations, read: Callable[[web.Request, Any], Awaitable[Any]]) -> None:
        self._store, self._obligations, self._read = store, obligations, read

    def routes(self, route: Callable[..., Route]) -> list[Route]:
        """The rows, made by the table's own `route`."""
        of = (*_PAGED, "agreement")
        one = "/v1/received/{id}"
        return [
            route("GET", "/v1/duties", self.duties, _READ, "Duties of agreements", response=PageOf[DutyView], query=of),
            route("POST", "/v1/duties/{id}/fulfil", self.fulfil, _OPERATE, "Give evidence of a duty", NewEvidence, DutyView),
            route("POST", "/v1/duties/{id}/waive", self.waive, _OPERATE, "Give up a duty owed to us", Waiver, DutyView),
            route(
                "GET", "/v1/counters", self.counters, _READ, "What was used of agreements", response=PageOf[Counter], query=_PAGED
            ),
            route(
                "GET", "/v1/decisions", self.decisions, _READ, "Decisions about transfers", response=PageOf[DecisionView], query=of
            ),
            route("GET", "/v1/decisions/{id}/replay", self.replay, _READ, "Decide again from a record", response=ReplayView),
            route("POST", f"{one}/read", self.read, "operate transfers", "Read received data for a purpose", ReadWanted),
            route("POST", f"{one}/delete", self.delete, "operate transfers", "Delete received data", response=ReceivedObject),
        ]

    async def duties(self, request: web.Request) -> web.Response:
        wanted, agreement = page(request), request.query.get("agreement", "")
        if agreement:
            every = sorted((await self._store.ledger(agreement)).duties, key=lambda each: each.id)
            found = [each for each in every if each.id > wanted.after][: wanted.limit]
        else:
            found = await self._store.duties(wanted.after, wanted.limit)
        return listed(request, wanted, [await self._shown(each) for each in found], lambda each: each.id)

    async def fulfil(self, request: web.Request) -> web.Response:
        given: NewEvidence = await self._read(request, NewEvidence)
        key = request.match_info["id"]
        return json_response(
            await self._shown(await self._obligations.fulfil(key, given.kind, given.statement, given.digest, given.person))
        )

    async def waive(self, request: web.Request) -> web.Response:
        given: Waiver = await self._read(request, Waiver)
        return json_response(await self._shown(await self._obligations.waive(request.match_info["id"], given.person, given.reason)))

    async def counters(self, request: web.Request) -> web.Response:
        wanted = page(request)
        return listed(request, wanted, await self._store.counters(wanted.after, wanted.limit), lambda each: each.id)

    async def decisions(self, request: web.Request) -> web.Response:
        wanted, agreement = page(request), request.query.get("agreement", "")
        found = await self._store.decisions(wanted.after, wanted.limit, agreement=agreement)
        return listed(request, wanted, [_decision(each) for each in found], lambda each: each.id)

    async def replay(self, request: web.Request) -> web.Response:
        key = request.match_info["id"]
        found = await self._store.decision(key)
        agreement = await self._store.agreement(found.agreement) if found is not None else None
        if found is None or agreement is None:
            raise NotFound(f"no decision {key}", next_step="see `kizuna decision list`")
        try:
            return json_response(ReplayView(key, self._obligations.usage.replay(agreement, found.record)))
        except PolicyError as error:
            raise Conflict(error.detail, next_step="replay it with the profile of that time") from error

    async def read(self, request: web.Request) -> web.StreamResponse:
        wanted: ReadWanted = await self._read(request, ReadWanted)
        if wanted.output:  # a file anywhere on this machine, written as the connector's user
            request[CALLER].check("admin", "transfers")
        key, stated = request.match_info["id"], Stated(wanted.purposes, wanted.recipients)
        if not wanted.output:
            _, file = await self._obligations.holdings.read(key, stated)
            return web.FileResponse(file, headers={"Content-Type": "application/octet-stream"})
        found = await self._obligations.holdings.hand_out(key, stated, Path(wanted.output))
        return json_response({"file": wanted.output, "bytes": found.size, "sha256": found.sha256})

    async def delete(self, request: web.Request) -> web.Response:
        return json_response(await self._obligations.holdings.discard(request.match_info["id"]))

    async def _shown(self, entry: Entry) -> DutyView:
        agreement = await self._store.agreement(entry.agreement)
        return DutyView(
            id=entry.id, agreement=entry.agreement, path=entry.path, action=entry.action, origin=entry.origin, state=entry.state,
            owed=self._obligations.usage.owing(agreement, entry.path) if agreement is not None else "", triggered=entry.triggered, due=entry.due,
            until=entry.until, evidence=entry.evidence, note=entry.note,
        )  # fmt: skip


def _decision(found: Decided) -> DecisionView:
    return DecisionView(
        id=found.record.hash, agreement=found.agreement, seq=found.seq, transfer=found.transfer, record=found.record
    )
