"""What the management API shows: values with stable names, described in its OpenAPI document."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from catalog.dcat import Asset, OfferTerms
from connector.processes import exchange, machine, tables
from connector.processes.model import Agreement, JournalRow, OutboxRow, Process
from connector.store.port import Due
from policies.odrl.vocabulary import term
from policies.profiles import Bound


class JournalEntry(Struct, frozen=True, rename="camel"):
    """One transition."""

    before: str
    after: str
    message: str
    sender: str
    message_id: str
    at: str
    person: str


class WaitingView(Struct, frozen=True):
    """For whom a process waits, since when, why, and the message that an approval sends."""

    step: str
    who: str
    since: str
    why: str


class Undelivered(Struct, frozen=True, rename="camel"):
    """A message that is not delivered yet, and why."""

    id: str
    process: str
    peer: str
    message: str
    due: str
    attempts: int
    reason: str
    parked: bool


class AgreementBrief(Struct, frozen=True):
    """An agreement's id and hash."""

    id: str
    hash: str


class ProcessView(Struct, frozen=True, kw_only=True, rename="camel"):
    """A negotiation or transfer.

    `note` says why it waits or ended, `ending` holds code and reasons as the peer sent them, `terms` says the terms on the table in short lines,
    `leeway` what we left open.
    """

    id: str
    kind: str
    role: str
    peer: str
    peer_pid: str
    state: str
    pending: str
    waiting: WaitingView | None = None
    ending: dict[str, Any] | None = None
    note: str
    dataset: str
    format: str = ""
    offer: dict[str, Any] | None = None
    terms: list[str] = []
    leeway: dict[str, Any] | None = None
    agreement: AgreementBrief | None = None
    journal: list[JournalEntry] = []
    outbox: list[Undelivered] = []
    created: str
    updated: str


class AssetView(Struct, frozen=True, kw_only=True, rename="camel"):
    """A published dataset."""

    id: str
    schema: str
    title: dict[str, str]
    media_type: str
    size: int
    sha256: str
    created: str
    products: tuple[str, ...] = ()


class OfferView(Struct, frozen=True, kw_only=True):
    """An offer; `terms` says the contract policy in short lines.

    `inherited` says which policies were written into the contract policy, by digest, `access_inherited` which into the access policy.
    """

    id: str
    asset: str
    template: str
    inherited: dict[str, str]
    access_inherited: dict[str, str] = {}
    contract: dict[str, Any]
    terms: list[str]
    approval: str = ""
    bounds: dict[str, Bound] = {}
    otherwise: str = "wait"


def process_view(process: Process, waiting: Sequence[Due], journal: Sequence[JournalRow] | None = None) -> ProcessView:
    """A process for people and programs; `waiting` are its undelivered messages, which are shown together with its journal."""
    agreement = process.data.get("agreement") if process.kind == "negotiation" and process.state == "FINALIZED" else None
    return ProcessView(
        id=process.id,
        kind=process.kind,
        role=process.role,
        peer=process.peer,
        peer_pid=process.peer_pid,
        state=process.state or "NEW",
        pending=process.pending.message if process.pending else "",
        waiting=WaitingView(*(getattr(process.waiting, name) for name in WaitingView.__struct_fields__))
        if process.waiting
        else None,
        ending=process.data.get("ending"),
        note=process.note or next((each.reason for each in waiting if each.reason), "") or stands(process),
        dataset=process.data.get("dataset", ""),
        format=process.data.get("format", ""),
        offer=process.data.get("offer"),
        terms=terms(process.data["offer"]) if journal is not None and "offer" in process.data else [],
        leeway=process.data.get("leeway"),
        agreement=AgreementBrief(agreement["@id"], process.data["agreementHash"]) if agreement else None,
        journal=[JournalEntry(*(getattr(row, name) for name in row.__struct_fields__)) for row in journal or ()],
        outbox=[undelivered(each) for each in waiting] if journal is not None else [],
        created=process.created,
        updated=process.updated,
    )


def stands(process: Process) -> str:
    """What a process without a note waits for; empty where that is nobody."""
    if process.pending is not None:
        return f"sends {process.pending.message.rpartition(':')[2]}"
    if process.waiting is not None:
        return f"waits for {process.waiting.who}: {process.waiting.why}"
    return machine.awaited(tables.TABLES[process.kind], process.state, exchange.sender_to(process.role))


def unsent(process: Process) -> list[Due]:
    """The first message of a process that has just begun."""
    if process.pending is None:
        return []
    row = OutboxRow(id=process.pending.row, process=process.id, act="dsp", message=process.pending.message, due=process.created)
    return [Due(row=row, peer=process.peer, attempts=0, reason="", parked=False)]


def undelivered(due: Due) -> Undelivered:
    return Undelivered(due.row.id, due.row.process, due.peer, due.row.message, due.row.due, due.attempts, due.reason, due.parked)


def asset_view(asset: Asset) -> AssetView:
    return AssetView(
        id=asset.id,
        schema=asset.schema,
        title=asset.title,
        media_type=asset.media_type,
        size=asset.size,
        sha256=asset.sha256,
        created=asset.created,
        products=asset.products,
    )


def offer_view(offer: OfferTerms) -> OfferView:
    return OfferView(
        id=offer.id, asset=offer.asset, template=offer.template, inherited=dict(offer.inherited), access_inherited=dict(offer.access_inherited),
        contract=offer.contract, terms=terms(offer.contract), approval=offer.approval, bounds=dict(offer.bounds), otherwise=offer.otherwise,
    )  # fmt: skip


def agreement_view(agreement: Agreement) -> dict[str, Any]:
    shown = ("id", "role", "peer", "negotiation", "dataset", "policy", "hash", "inherited", "at", "retired", "renewal", "renews")
    return {name: getattr(agreement, name) for name in shown}


def terms(policy: dict[str, Any]) -> list[str]:
    """A policy in short lines: `permission use: role eq ...`."""
    return [
        f"{kind} {_short(rule['action'])}" + (f": {_constraints(rule['constraint'])}" if rule.get("constraint") else "")
        for kind in ("permission", "prohibition", "obligation")
        for rule in policy.get(kind) or ()
    ]


def _constraints(found: list[dict[str, Any]]) -> str:
    parts = []
    for each in found:
        logical = next((name for name in ("and", "or", "xone", "andSequence") if name in each), "")
        if logical:
            parts.append(f"{logical}({_constraints(each[logical])})")
        else:
            parts.append(f"{_short(each['leftOperand'])} {each['operator']} {_right(each['rightOperand'])}")
    return ", ".join(parts)


def _right(value: Any) -> str:
    listed = value if isinstance(value, list) else [value]
    return " ".join(
        _short(str(each.get("@value", each.get("@id", each))) if isinstance(each, dict) else str(each)) for each in listed
    )


def _short(text: str) -> str:
    return term(text).rpartition("#")[2] or text
