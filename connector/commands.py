"""What the participant itself may do: publish, read catalogs, negotiate, transfer, pull. The management API and nothing else calls this.

Rules
- A command that concerns a process is one commit, tried again when the process moved meanwhile; it returns when that is durable. What then happens on
  the wire is the outbox's business: `wait` looks at the outcome.
- A payload is validated before anything is kept; a refused one leaves nothing.
- What a catalog says of a dataset (digest, size, schema) is kept with the negotiation, and what is received is checked against it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from catalog import dcat, describe
from catalog.dcat import Asset, OfferTerms
from connector.dsp import contexts
from connector.dsp.node import Node
from connector.optimistic import optimistic
from connector.peers import Peers
from connector.plane import addresses, files, pull
from connector.plane.tokens import DataTokens
from connector.processes import counter, negotiation, tables, transfer
from connector.processes.errors import AgreementRetired, AgreementUnknown, UnknownProcess
from connector.processes.model import Agreement, Commit, Decided, Kind, Process
from connector.reading import DEEPEST, LARGEST, CatalogReader
from connector.store.port import ReceivedObject, Store
from identity.access.trail import about
from kernel import wire
from kernel.clock import Clock, iso
from kernel.errors import BadInput, Conflict, NotFound
from policies.odrl import Frozen
from policies.profiles import Profile, bounds
from policies.profiles.bounds import Otherwise

_PAGE: Final = 500
_LARGEST_CHECKED: Final = 64 * 1024 * 1024
STEPS: Final = {
    ("transfer", "suspend"): tables.SUSPEND,
    ("transfer", "resume"): tables.START,
    ("transfer", "complete"): tables.COMPLETE,
    ("transfer", "terminate"): tables.END_TRANSFER,
    ("negotiation", "terminate"): tables.END_NEGOTIATION,
}


class PayloadInvalid(BadInput):
    """The payload violates its schema or the profile's rules."""

    code, status = "payload-invalid", 422


class Commands:
    """Commands of one participant."""

    def __init__(
        self,
        *,
        directory: Path,
        store: Store,
        profile: Profile,
        clock: Clock,
        node: Node,
        own_negotiation: Callable[[], negotiation.Context],
        own_transfer: Callable[[], transfer.Context],
        peers: Peers,
        tokens: DataTokens,
        new_id: Callable[[], str],
        show: Callable[[OfferTerms, Asset], None],
        max_payload: int,
    ) -> None:
        self.store, self._directory, self._profile, self._clock = store, directory, profile, clock
        self._node, self._own_negotiation, self._own_transfer = node, own_negotiation, own_transfer
        self._reader = CatalogReader(peers)
        self._peers, self._tokens, self._new_id, self._show, self._max = peers, tokens, new_id, show, max_payload
        self._waiting: set[asyncio.Event] = set()
        store.on_commit(self._wake)

    # publishing ------------------------------------------------------------------------------------------------------

    async def add_asset(
        self, parts: AsyncIterator[bytes], *, schema: str, title: dict[str, str], media_type: str, products: Sequence[str] = ()
    ) -> Asset:
        """Validate and publish a payload; raises `PayloadInvalid` with path and reason of every violation. `products`: what it is about."""
        if not title.get("en"):
            raise BadInput("a title is needed", next_step="--title")
        named = dcat.products(products)
        spool = await files.spooled(parts, self._directory / "payloads", self._max)
        try:
            self._check(schema, spool)
            written = spool.keep(spool.sha256)
        finally:
            spool.drop()
        asset = Asset(
            id=self._new_id(),
            participant=self._node.participant,
            profile=self._profile.id,
            schema=schema,
            title={language: text for language, text in title.items() if text},
            media_type=media_type,
            size=written.size,
            sha256=written.sha256,
            source=f"payloads/{written.sha256}",
            created=self._now(),
            products=named,
        )
        about(asset.id)
        await self.store.add_asset(asset)
        return asset

    async def add_offer(
        self,
        asset: str,
        template: str,
        parameters: dict[str, Any],
        *,
        approval: str = "",
        open_to: Mapping[str, bounds.Bound] = MappingProxyType({}),
        otherwise: Otherwise = "wait",
    ) -> OfferTerms:
        """Make an offer from a template; raises what the profile refuses. `open_to`: what the other side may set otherwise."""
        found = await self.store.asset(asset)
        if found is None:
            raise NotFound(f"no dataset {asset}", next_step="see `kizuna asset list`")
        access, contract = self._profile.offer(template, **parameters)
        for policy in (access, contract):
            self._names_product(found, policy)
        made = self._profile.template(template)
        bounds.check(made, open_to)
        offer = OfferTerms(
            id=str(contract["@id"]), asset=asset, template=template, access=access, contract=contract, parameters=parameters,
            inherited=made.inherited, access_inherited=made.access_inherited, approval=approval.strip(), bounds=dict(open_to), otherwise=otherwise,
        )  # fmt: skip
        about(offer.id)
        await self.store.add_offer(offer)
        self._show(offer, found)
        return offer

    def _names_product(self, asset: Asset, policy: dict[str, Any]) -> None:
        """Refuse terms that permit nothing to anybody for want of a product."""
        if not asset.products and self._profile.needs_product(self._profile.policy(policy)):
            raise BadInput(
                f"the terms are for who buys or supplies the dataset's product, and {asset.id} names none: nobody would see it",
                next_step="publish it with its product: `kizuna asset add --product`",
            )

    def _check(self, schema: str, spool: files.Spool) -> None:
        if not schema:
            return
        if spool.size > _LARGEST_CHECKED:
            raise PayloadInvalid(f"a document of {spool.size} bytes cannot be validated", next_step="publish it without a schema")
        value = wire.loads(spool.path.read_bytes(), limit=_LARGEST_CHECKED, depth=DEEPEST)
        violations = self._profile.validate(schema, value)
        if violations:
            shown = "; ".join(f"{each.path or '/'}: {each.reason}" for each in violations[:5])
            raise PayloadInvalid(f"{len(violations)} violation(s) of {schema}: {shown}", next_step="correct the payload")

    def signable(self, terms: dict[str, Any]) -> Frozen:
        """Terms that a person gives, with what they inherit written out: what is signed stands by itself; raises `PolicyError`."""
        return self._profile.signable(terms)

    # catalogs --------------------------------------------------------------------------------------------------------

    async def catalog(self, peer: str) -> dict[str, Any]:
        """The whole catalog of a participant: all pages, and nested catalogs (`connector.reading`)."""
        return await self._reader.read(peer)

    async def dataset(self, peer: str, key: str) -> dict[str, Any]:
        """One dataset of a participant's catalog."""
        base = await self._peers.base(peer)
        reply = await self._peers.call("GET", f"{base}/catalog/datasets/{quote(key, safe=':')}", peer, None, max_bytes=LARGEST)
        found = wire.loads(reply.body, limit=LARGEST, depth=DEEPEST)
        if not isinstance(found, dict):
            raise BadInput(f"{peer} answers with something that is no dataset")
        return contexts.described(found)

    # contracts and transfers -----------------------------------------------------------------------------------------

    async def negotiate(
        self,
        peer: str,
        dataset: str,
        offer: str,
        terms: dict[str, Any] | None,
        *,
        values: Mapping[str, str | Sequence[str]] = MappingProxyType({}),
        open_to: Mapping[str, bounds.Bound] = MappingProxyType({}),
        otherwise: Otherwise = "wait",
        approval: str = "",
    ) -> Process:
        """Ask for a contract under an offer of the peer's catalog, or under `terms` said to be its; `values` by left operand change these terms.

        `open_to`: what the provider may set otherwise in an offer that we then accept; `otherwise`: what an offer beyond that gets; `approval`: who has to
        approve all the same.
        """
        self._peers.insist(peer)
        described: dict[str, Any] = {}
        inherited: dict[str, str] = {}
        if terms is None:
            found = await self.dataset(peer, dataset)
            offers = [each for each in found.get("hasPolicy") or () if not offer or each["@id"] == offer]
            if not offers:
                raise NotFound(f"{peer} has no such offer for {dataset}", next_step="see `kizuna catalog show`")
            chosen, described = offers[0], describe.facts(found)
        else:
            own = self.signable(terms)
            chosen, inherited = {**own.policy, "@id": offer}, own.parents
        asked = {**(self.changed(chosen, values) if values else chosen), "@type": "Offer", "target": dataset}
        leeway = self._leeway(asked, open_to, otherwise, approval)
        base = await self._peers.base(peer)
        context = self._own_negotiation()
        commit = negotiation.request(peer, base, asked, context, described=described, leeway=leeway, inherited=inherited)
        about(commit.process.id)
        await self.store.commit(commit)
        return commit.process

    def changed(self, terms: Mapping[str, Any], values: Mapping[str, str | Sequence[str]]) -> dict[str, Any]:
        """Terms with other values, by left operand or by parameter of a template; raises `BadInput`."""
        return counter.changed(terms, values, bounds.operands(self._profile.templates.values()))

    def _leeway(
        self, asked: dict[str, Any], open_to: Mapping[str, bounds.Bound], otherwise: Otherwise, approval: str
    ) -> dict[str, Any] | None:
        """What a request leaves open, by the template that says its terms; raises `BadInput` where none does."""
        if not open_to and otherwise == "wait" and not approval:
            return None
        found = {name: values for name, each in self._profile.templates.items() if (values := bounds.read(each, asked)) is not None}
        if not found:
            raise BadInput(
                "no template of the profile says these terms, so nothing in them can be left open",
                next_step="ask without bounds, and answer the provider's offer yourself: `kizuna negotiation counter`",
            )
        fitting = (name for name in found if open_to.keys() <= self._profile.templates[name].parameters.keys())
        name = next(fitting, next(iter(found)))
        bounds.check(self._profile.templates[name], open_to)
        made: dict[str, Any] = msgspec.to_builtins(bounds.Leeway(name, found[name], open_to, otherwise, approval))
        return made

    async def made_from(self, template: str, after: str, limit: int) -> list[Agreement]:
        """Agreements as provider whose offer was made from a template, newest first: where it is used, also when its offers have changed since."""
        found: list[Agreement] = []
        while len(found) < limit and (page := await self.store.agreements(after, _PAGE)):
            for each in page:
                contract = await self.store.process(each.negotiation) if each.role == "provider" else None
                offer = await self.store.offer(contract.data.get("offerId", "")) if contract is not None else None
                if offer is not None and offer.template == template:
                    found.append(each)
            after = page[-1].id
        return found[:limit]

    async def request_transfer(self, agreement: str, format_: str) -> Process:
        """Ask for the dataset of an agreement."""
        found = await self.store.agreement(agreement)
        if found is None or found.role != "consumer":
            raise AgreementUnknown(f"no agreement {agreement} as consumer", next_step="see `kizuna agreement list`")
        self._peers.insist(found.peer)
        if found.retired is not None:
            raise AgreementRetired(f"{found.retired.person} retired it on {found.retired.at}", next_step="negotiate a new one")
        key = self._new_id()
        shell = Process(id=key, participant=found.participant, kind="transfer", role="consumer", peer=found.peer, state="")
        address = self._tokens.inbox(shell) if format_ == transfer.PUSH else None
        base = await self._peers.base(found.peer)
        commit = transfer.request(found, base, format_, key=key, data_address=address, context=self._own_transfer())
        about(commit.process.id)
        await self.store.commit(commit)
        return commit.process

    @optimistic("the process keeps moving")
    async def step(
        self, kind: Kind, key: str, name: str, reason: str, *, code: str = "", person: str = "", decided: Decided | None = None
    ) -> Process:
        """Our own step in a process: suspend, resume, complete, terminate; `person` is who decided it, or `decided` by which decision."""
        message = STEPS[kind, name]
        process = await self.process(kind, key)
        commit = self._command(process, message, reason=reason, code=code, person=person)
        await self.store.commit(replace(commit, decided=decided))
        return commit.process

    def _command(self, process: Process, message: str, *, reason: str, code: str, person: str) -> Commit:
        if process.kind == "negotiation":
            return negotiation.command(process, message, self._own_negotiation(), reason=reason, code=code, person=person)
        return transfer.command(process, message, self._own_transfer(), reason=reason, code=code, person=person)

    async def process(self, kind: Kind, key: str) -> Process:
        """A process of ours; raises `UnknownProcess`."""
        await self._node.settled(key)
        found = await self.store.process(key)
        if found is None or found.kind != kind:
            raise UnknownProcess(f"no {kind} {key}", next_step=f"see `kizuna {kind} list`")
        return found

    # data ------------------------------------------------------------------------------------------------------------

    async def pull(self, key: str, rate: float) -> dict[str, Any]:
        """Fetch, verify, validate and keep the data of a started pull transfer."""
        process = await self.process("transfer", key)
        address = process.data.get("dataAddress")
        if process.role != "consumer" or process.data["format"] != transfer.PULL or not transfer.open_now(process) or not address:
            raise Conflict(
                f"nothing to pull: the transfer is {process.state}", next_step="start a HttpData-PULL transfer as consumer"
            )
        self._peers.insist(process.peer)
        tokens = pull.Tokens(
            address, self._peers.client, lambda: self._peers.authorization(process.peer), self._peers.pin(process.peer)
        )
        pulled = await pull.pull(
            self._peers.client,
            addresses.endpoint(address),
            tokens,
            self._directory / "inbox",
            limit=self._max,
            sha256=(await self._described(process)).get("sha256", ""),
            rate=rate,
            expect_did=self._peers.pin(process.peer),
            going=lambda: self._still_open(key),
        )
        received = await self.keep(process, pulled.spool)
        return {"bytes": received.size, "sha256": received.sha256, "schema": received.schema, "file": received.file,
                "tokens": pulled.tokens}  # fmt: skip

    async def _still_open(self, key: str) -> None:
        process = await self.process("transfer", key)
        self._peers.insist(process.peer)
        if not transfer.open_now(process):
            raise Conflict(f"the transfer is {process.state}: the pull ends", next_step="pull again when it is started")

    async def access(self, key: str) -> dict[str, str]:
        """Address and current token of a started pull transfer, for a program of our own that fetches the data itself."""
        process = await self.process("transfer", key)
        address = process.data.get("dataAddress")
        if process.role != "consumer" or not transfer.open_now(process) or not address:
            raise Conflict(f"no access: the transfer is {process.state}", next_step="start a HttpData-PULL transfer as consumer")
        tokens = pull.Tokens(
            address, self._peers.client, lambda: self._peers.authorization(process.peer), self._peers.pin(process.peer)
        )
        await tokens.renew()
        return {"endpoint": addresses.endpoint(address), "authorization": tokens.header}

    async def take(self, process: Process, spool: files.Spool) -> None:
        """Keep a pushed dataset; a repeat changes nothing."""
        known = await self.store.received(process.id)
        if known and known[0].sha256 == spool.sha256:
            return
        await self.keep(process, spool)

    async def keep(self, process: Process, spool: files.Spool) -> ReceivedObject:
        """Verify against what was announced, validate, store; on error nothing is left."""
        try:
            described = await self._described(process)
            if described.get("sha256") and described["sha256"] != spool.sha256:
                raise BadInput("the bytes are not the ones announced in the catalog", next_step="tell the provider")
            schema = self._known_schema(described.get("schema", ""))
            self._check(schema, spool)
            written = spool.keep(files.safe_name(process.id))
        finally:
            spool.drop()
        found = ReceivedObject(
            transfer=process.id,
            agreement=process.data["agreementId"],
            dataset=process.data["dataset"],
            peer=process.peer,
            sha256=written.sha256,
            size=written.size,
            file=f"inbox/{written.path.name}",
            schema=schema,
            at=self._now(),
        )
        await self.store.add_received(found)
        return found

    async def _described(self, process: Process) -> dict[str, Any]:
        agreement = await self.store.agreement(process.data["agreementId"])
        contract = await self.store.process(agreement.negotiation) if agreement else None
        return dict(contract.data.get("described") or {}) if contract else {}

    def _known_schema(self, name: str) -> str:
        profile, _, schema = name.partition("#schema/")
        return schema if profile == self._profile.id and schema in self._profile.schema_ids else ""

    # waiting ---------------------------------------------------------------------------------------------------------

    async def wait(self, settled: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Return when `settled` holds, at the latest after `seconds`; looks again after every commit."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            async with asyncio.timeout(seconds):
                while not await settled():
                    await event.wait()
                    event.clear()
        except TimeoutError:
            return
        finally:
            self._waiting.discard(event)

    def _wake(self) -> None:
        for event in self._waiting:
            event.set()

    async def is_settled(self, key: str, *states: str) -> bool:
        """Whether a process is in one of these states, has ended, or waits for somebody."""
        process = await self.store.process(key)
        if process is None:
            return True
        ended = process.state in tables.TABLES[process.kind].final and process.pending is None
        parked = any(row.parked for row in await self.store.outbox(key))
        return ended or parked or process.waiting is not None or (process.state in states and process.pending is None)

    def _now(self) -> str:
        return iso(self._clock.now())
