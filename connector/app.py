"""Composition root of a connector: opens the data directory, wires the parts, serves.

    public listener   server certificate   DID document, versions, credential service, DSP and data for peers without mTLS
    member listener   member certificate   the same, for members; opens with the first enrolment
    management        loopback, keys       `connector.management`

Start: settings, keys, database (locked), certificates, listeners, workers, one `ready` line. Everything durable goes on where it stopped.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from aiohttp import web

from catalog import describe
from connector import errors, install, management, published, settings
from connector.channel import Channel
from connector.commands import Commands
from connector.contracts.bundle import SEAL
from connector.contracts.evidence import Exporter, Witness, signs
from connector.contracts.persons import Contracts
from connector.dsp import routes
from connector.dsp.node import Node
from connector.membership.authority import Authority
from connector.membership.joining import Joining
from connector.membership.standing import Standing
from connector.peers import Peers
from connector.plane import files
from connector.plane.endpoint import Endpoint
from connector.plane.gate import Gate
from connector.plane.push import push
from connector.plane.tokens import DataTokens
from connector.process_contexts import Contexts, new_id
from connector.processes import transfer
from connector.processes.decisions import AutoDecisions, Decisions
from connector.processes.evidence import TYPE
from connector.processes.model import Process
from connector.refusals import Refusals
from connector.rules import Rules
from connector.settings import Settings
from connector.store.opening import open_store
from connector.store.port import Store
from connector.usage.holdings import Holdings
from connector.usage.obligations import Obligations
from connector.usage.running import Running
from connector.usage.statements import TYPE as STATEMENT
from connector.usage.statements import Statements
from connector.worker.bundles import Bundles
from connector.worker.feed import Follower
from connector.worker.lingering import Lingering
from connector.worker.measures import Measures
from connector.worker.monitor import Monitor
from connector.worker.outbox import Outbox
from connector.worker.replicas import KEYS, MEMBERSHIP, OFFER, RELATION, Replicas
from connector.worker.timers import Timers
from connector.worker.trust import Trust
from identity.access.keyfile import KeyFile
from identity.access.oidc import provider
from identity.access.service import Access
from identity.keys import KeyRing, KeyStore, passphrase
from identity.resolve import Resolver
from identity.schemas import CredentialSchemas
from identity.statusread import StatusReader
from identity.tls.contexts import client_context, server_context
from identity.tls.revoked import RevocationLists
from identity.trust import ANY, IssuerRule, TrustPolicy
from identity.verify import PROFILES, Caller, Door, PeerRule, VerifiedParticipant, authenticate
from identity.wallet.clients import Clients
from identity.wallet.credentials import CredentialService
from identity.wallet.renewal import Renewal
from identity.wallet.sts import Sts
from identity.wallet.tokens import TokenEndpoint
from kernel import telemetry
from kernel.clock import Clock, SystemClock
from kernel.errors import UnavailableError
from kernel.http import GuardedClient, Outbound
from kernel.web import Listener, Route, application, client_certificate, serve
from policies.profiles import Profile, load

_ABANDONED = 3600.0  # seconds after which a part that nobody writes to is not another replica's
Opens = Callable[[], Awaitable[None]] | None
log = telemetry.get(__name__)


@dataclass(slots=True)
class Connector:
    """A wired connector."""

    directory: Path
    settings: Settings
    store: Store
    channel: Channel
    client: GuardedClient
    joining: Joining
    commands: Commands
    contracts: Contracts
    obligations: Obligations
    monitor: Monitor
    outbox: Outbox
    timers: Timers
    access: Access
    rules: Rules
    keys: KeyRing
    renewal: Renewal
    tokens: TokenEndpoint
    standing: Standing
    follower: Follower
    refusals: Refusals
    replicas: Replicas
    trust: Trust
    bundles: Bundles
    public: list[Route]
    working: list[asyncio.Task[None]] = field(default_factory=list)  # what runs until the end; none ends by itself
    member_listener: Listener | None = None
    opens: Opens = None  # who opens the listeners of several participants (`connector.host`)

    async def listen_for_members(self) -> None:
        """Take new certificates into use; open the member listener with the first one."""
        self.channel.reload()
        self.client.reload()
        if self.opens is not None:
            await self.opens()
        elif self.channel.member is not None and self.member_listener is None:
            app = application(self.public, errors=errors.response)
            found = self.settings
            self.member_listener = await serve(app, found.bind, found.member_port, self.channel.member)


def wire_up(
    directory: Path,
    found: Settings,
    store: Store,
    clock: Clock,
    *,
    decisions: Decisions | None = None,
    verify: Any = None,
    gate: Any = None,
    authorization: Callable[[str], str] | None = None,
) -> Connector:
    """Connect everything. The last four let a test stand in for policy and authentication (callers, data, ourselves); no setting does."""
    keys = KeyRing(KeyStore(directory / "keys", found.did, passphrase(found.passphrase_file)), clock)
    profile = load(found.profile)
    payloads = Path(found.payload_folder) if found.payload_folder else directory
    for folder in ("payloads", "inbox"):
        files.sweep(payloads / folder, untouched=_ABANDONED if found.database else 0.0)
    channel = Channel(directory / "tls")
    standing = Standing(found.authority, RevocationLists(clock), silence=found.feed_silence)
    client = GuardedClient(
        Outbound(allow=frozenset(found.allow_private), require_https=tls(found)), tls=channel.client, revoked=standing.revoked,
        pinned=channel.members, anonymous=channel.anonymous,
    )  # fmt: skip
    resolver = Resolver(client, clock, scheme=found.scheme)
    status = StatusReader(resolver, client, clock)
    signer, contract_key = keys.signer("si"), keys.signer("contract")
    own_document = partial(published.own_document, found, keys)
    sts = Sts(found.did, signer, clock, lambda: channel.thumbprint)
    rule = _rules(found, profile)
    door = Door(
        did=found.did,
        resolver=resolver,
        clock=clock,
        seen=store.seen,
        trust=TrustPolicy([], profile.claim_tables),
        status=status,
        schemas=CredentialSchemas(client, clock, bundled=profile.schemas.documents, hosts=frozenset(found.schema_hosts)),
        client=client,
        signer=signer,
        rules=rule,
        followed=standing.speaks_for,
        consortium=standing.lists.consortium,
        doubtful=standing.doubtful,
        readmits=standing.readmits,
        standing=standing,
    )
    gate = gate or Gate(door, standing)
    shown = profile.scopes + profile.optional_scopes
    peers = Peers(
        client, resolver, authorization or (lambda peer: f"Bearer {sts.token(peer, scopes=shown)}"), rule, standing,
        member=lambda: channel.thumbprint is not None,
    )  # fmt: skip

    def reached(peer: str) -> str:
        return _listener(found, rule(peer))

    skipped = frozenset(each.did for each in found.peers if each.unknown_contexts == "skip")
    slow = {each.did: each.ready_within for each in found.peers}
    edc = frozenset(each.did for each in found.peers if each.dialect == "edc")
    tokens = DataTokens(found.did, keys.signer("data"), clock, reached, lambda peer: "edc" if peer in edc else "dsp")
    rules = Rules(
        store, profile, clock, participant=found.did, name=found.name, endpoint=lambda did: reached(did) + settings.DSP_PATH, profiles_dropped_by=edc,
        accepts=found.accepts, nested=[describe.elsewhere(each.did, each.endpoint, {"en": each.title}) for each in found.catalogs],
    )  # fmt: skip
    contexts = Contexts(
        found,
        rules,
        tokens,
        clock,
        decisions or AutoDecisions(auto=found.auto_negotiation),
        signs(contract_key, TYPE),
        reached,
        edc,
    )

    def proven(caller: Caller, fresh: bool) -> Awaitable[VerifiedParticipant]:
        return authenticate(door, caller, fresh=fresh)

    holdings = Holdings(store, rules.usage, clock, payloads)
    statements = Statements(store, new_id, signs(contract_key, STATEMENT), resolver.resolve)
    obligations = Obligations(store, rules.usage, holdings, clock, statements)
    refusals, lingering = Refusals(clock), Lingering()
    node = Node(
        participant=found.did,
        base_url=contexts.callback,
        authenticate=refusals.watching(verify or proven),
        processes=store,
        catalog=rules,
        negotiation=contexts.for_negotiation,
        transfer=contexts.for_transfer,
        check_callback=peers.check_callback,
        now=lambda: clock.now().timestamp(),
        page_size=found.page_size,
        page_key=(directory / install.PAGE_KEY).read_bytes(),
        passes_over=skipped.__contains__,
        stated=obligations.taken,
        settled=lingering.settle,
        witness=Witness(resolver, status, own_document),
    )
    commands = Commands(
        directory=payloads,
        store=store,
        profile=profile,
        clock=clock,
        node=node,
        own_negotiation=contexts.own_negotiation,
        own_transfer=contexts.own_transfer,
        peers=peers,
        tokens=tokens,
        new_id=new_id,
        show=rules.put,
        max_payload=found.max_payload,
    )

    exporter = Exporter(store, found.did, signs(contract_key, SEAL), own_document, clock)
    contracts = Contracts(store, commands, peers, clock, contexts.own_negotiation, exporter)
    running = Running(store, rules.usage, rules.relations, commands, clock)
    monitor = Monitor(
        store=store, usage=rules.usage, running=running, contracts=contracts, obligations=obligations, clock=clock, on_overdue=found.on_overdue,
    )  # fmt: skip

    rules.relations.on_change(monitor.changed)

    async def proven_again(request: web.Request) -> VerifiedParticipant:
        caller = Caller(tuple(request.headers.getall("Authorization", [])), client_certificate(request))
        return await node.authenticate(caller, True)

    endpoint = Endpoint(
        payloads, tokens, process=store.process, asset=store.asset, proven=proven_again, renewed=running.renewed, spend=store.spend, take=commands.take,
        limit=found.max_payload, gate=gate,
    )  # fmt: skip
    renewal = Renewal(store, resolver, client, sts, clock, ready=_is_member(store), turn=partial(store.turn, "renewal"))
    wallet = CredentialService(
        door, sts, keys.signer("vp"), store, profiles=lambda did: rule(did).profile, woken=renewal.wake,
        trusts=lambda issuer: (ANY,) if issuer == found.authority else door.trust.types_of(issuer, clock.now()),
    )  # fmt: skip

    carry_push = _pushing(client, payloads, gate, peers, commands)
    follower, trust = _following(
        found, profile, door, standing, store=store, client=client, sts=sts, status=status,
        measures=Measures(store, commands, found.on_suspension, _losing(monitor, Gate(door, standing))), tls=directory / "tls",
    )  # fmt: skip
    connector: Connector

    async def enrolled() -> None:
        await follower.renew_crl()
        await connector.listen_for_members()

    bundles = Bundles(
        own=found.authority, trust=trust, lists=standing.lists, resolver=resolver, client=client, tls=directory / "tls", changed=enrolled,
    )  # fmt: skip
    connector = Connector(
        directory=directory,
        settings=found,
        store=store,
        channel=channel,
        client=client,
        joining=Joining(
            authority=found.authority,
            store=store,
            wallet=store,
            resolver=resolver,
            client=client,
            sts=sts,
            clock=clock,
            tls=directory / "tls",
            enrolled=enrolled,
            check_bundle=trust.check_bundle,
        ),
        commands=commands,
        contracts=contracts,
        obligations=obligations,
        monitor=monitor,
        outbox=Outbox(
            store,
            peers.send,
            carry_push,
            clock,
            new_id,
            parallel=found.parallel_sends,
            ready_within=lambda did: slow.get(did, 0),
            lingering=lingering,
        ),
        timers=Timers(store, clock, contracts.look, timedelta(days=found.keep_events)),
        access=Access(
            store.access,
            found.did,
            clock,
            KeyFile(directory / install.MANAGEMENT_KEY),
            provider(
                found.oidc, lambda rules: GuardedClient(rules, tls=lambda: client_context(directory / "tls/roots.pem")), clock
            ),
        ),
        rules=rules,
        keys=keys,
        renewal=renewal,
        tokens=TokenEndpoint(sts, Clients(found.sts_clients, clock)),
        standing=standing,
        refusals=refusals,
        follower=follower,
        replicas=_following_replicas(store, rules, enrolled, keys),
        trust=trust,
        bundles=bundles,
        public=published.below(found, [*published.routes(found, keys), *routes.routes(node), *wallet.routes(), *endpoint.routes()]),
    )
    return connector


def _following_replicas(store: Store, rules: Rules, enrolled: Callable[[], Awaitable[None]], keys: KeyRing) -> Replicas:
    """What is read again when another replica has changed it."""

    async def membership(_key: str) -> None:
        await enrolled()

    async def own_keys(_key: str) -> None:
        keys.reload()

    return Replicas(store, {OFFER: rules.follow, RELATION: rules.relations.follow, MEMBERSHIP: membership, KEYS: own_keys})


def _losing(monitor: Monitor, gate: Gate) -> Callable[[str], Awaitable[None]]:
    """What follows when a credential of a participant does not count any more."""

    async def credential_changed(did: str) -> None:
        await monitor.lost(did, await gate.lost(did))

    return credential_changed


def _pushing(
    client: GuardedClient, payloads: Path, gate: Gate, peers: Peers, commands: Commands
) -> Callable[[Process], Awaitable[None]]:
    """What carries out a push, and completes its transfer."""

    async def carry_push(process: Process) -> None:
        asset = await commands.store.asset(process.data["dataset"])
        if asset is None:
            raise UnavailableError(f"the dataset {process.data['dataset']} is gone", next_step="terminate the transfer")
        if not transfer.open_now(process):
            return
        if (why := gate.closed(process.peer)) is not None:
            raise UnavailableError(f"the authority keeps the consumer out: {why}", next_step="it is pushed when that ends")
        await push(client, payloads, asset, process.data["dataAddress"], expect_did=peers.pin(process.peer))
        await commands.step("transfer", process.id, "complete", "")

    return carry_push


def _following(
    found: Settings,
    profile: Profile,
    door: Door,
    standing: Standing,
    *,
    store: Store,
    client: GuardedClient,
    sts: Sts,
    status: StatusReader,
    measures: Measures,
    tls: Path,
) -> tuple[Follower, Trust]:
    """What keeps us up to date with our authority: its event feed and its trust list."""
    resolver, clock = door.resolver, door.clock
    authority = Authority(found.authority, found.authority_key, resolver=resolver, store=store, standing=standing)
    trust = Trust(
        authority=authority,
        own=[IssuerRule(each.did, frozenset(each.types)) for each in found.issuers],
        fallback=IssuerRule(found.authority, frozenset(profile.credential_types)),
        tables=profile.claim_tables,
        store=store,
        standing=standing,
        resolver=resolver,
        client=client,
        clock=clock,
        door=door,
    )
    follower = Follower(
        authority=authority,
        store=store,
        client=client,
        sts=sts,
        clock=clock,
        standing=standing,
        measures=measures,
        tls=tls,
        status_changed=status.invalidate,
        trust_changed=trust.changed,
    )
    return follower, trust


def _rules(found: Settings, profile: Profile) -> Any:
    special = {each.did: each for each in found.peers}

    @lru_cache(maxsize=1024)
    def rule(did: str) -> PeerRule:
        peer = special.get(did)
        if peer is None:
            return PeerRule(did, "required", profile.scopes, profile.optional_scopes)
        asked = tuple(each if ":" in each else f"org.eclipse.dspace.dcp.vc.type:{each}:read" for each in peer.scopes)
        optional = () if asked else profile.optional_scopes
        return PeerRule(did, peer.mtls, asked or profile.scopes, optional, PROFILES[peer.verifier])

    return rule


def _is_member(store: Store) -> Callable[[], Awaitable[bool]]:
    async def active() -> bool:
        return (await store.membership()).state == "ACTIVE"

    return active


def tls(found: Settings) -> bool:
    return found.scheme == "https"


def _listener(found: Settings, rule: PeerRule) -> str:
    return found.member_url if rule.mtls == "required" else found.public_url


@asynccontextmanager
async def serving(
    directory: Path,
    clock: Clock | None = None,
    found: Settings | None = None,
    *,
    opens: Opens = None,
    store: Store | None = None,
    **stand_ins: Any,
) -> AsyncIterator[Connector]:
    """Open the directory, listen, work; everything is closed on leaving. `found` are its settings, `store` keeps its data, unless a test brings its own.

    With `opens` somebody else opens its public and its member listener (`connector.host`).
    """
    found = found or settings.load(directory)
    store = store or await open_store(directory, found)
    try:
        connector = wire_up(directory, found, store, clock or SystemClock(), **stand_ins)
        await connector.rules.fill()
        await connector.rules.relations.fill()
    except BaseException:
        await store.close()
        raise
    listeners = []
    tasks: list[asyncio.Task[None]] = []
    try:
        connector.opens = opens
        await connector.follower.load()
        await connector.trust.load()
        if opens is None:
            app = application(connector.public, errors=errors.response)
            listeners.append(await serve(app, found.bind, found.public_port, connector.channel.public if tls(found) else None))
        await connector.listen_for_members()
        listeners.append(await _serve_management(connector))
        workers = (
            connector.outbox, connector.joining, connector.timers, connector.renewal, connector.follower, connector.replicas, connector.monitor,
            connector.trust, connector.bundles,
        )  # fmt: skip
        tasks = [asyncio.create_task(each.run()) for each in workers]
        connector.working.extend(tasks)
        yield connector
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listener in filter(None, [*listeners, connector.member_listener]):
            await listener.close()
        await connector.client.close()
        await connector.access.close()
        await store.close()


async def _serve_management(connector: Connector) -> Listener:
    found, table = connector.settings, management.routes(connector)
    app = application(table, middlewares=[connector.access.guard(table)], limit=found.max_payload)
    tls = None
    if found.management_certificate:
        tls = server_context(Path(found.management_certificate), Path(found.management_key))
    return await serve(app, found.management_bind, found.management_port, tls)
