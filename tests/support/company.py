"""Whole connectors on plain HTTP in one process: the product's store, rules, wire, commands, contracts and outbox. Only two things stand in: who calls is what
its token says (signed for real, not looked up), and DID documents are handed around in a dictionary."""

import asyncio
import uuid
from contextlib import asynccontextmanager

import aiohttp

from connector import errors
from connector.commands import Commands
from connector.contracts.bundle import SEAL
from connector.contracts.evidence import Exporter, Witness, signs
from connector.contracts.persons import Contracts
from connector.dsp import outbound, routes
from connector.dsp.node import Node
from connector.membership.standing import Standing
from connector.peers import Peers
from connector.plane.tokens import DataTokens
from connector.processes import negotiation, transfer
from connector.processes.decisions import AutoDecisions
from connector.processes.evidence import TYPE
from connector.rules import OwnRules, Rules
from connector.store.sqlite import SqliteStore, open_database
from connector.usage.holdings import Holdings
from connector.usage.obligations import Obligations
from connector.usage.running import Running
from connector.usage.statements import TYPE as STATEMENT
from connector.usage.statements import Statements
from connector.worker.lingering import Lingering
from connector.worker.monitor import Monitor
from connector.worker.outbox import Outbox
from identity import jose
from identity.did import Service
from identity.did.document import document, parse_document
from identity.keys import KeyStore
from identity.tls.revoked import RevocationLists
from identity.verify import PeerRule
from identity.wallet.sts import Sts
from kernel.clock import SystemClock, iso
from kernel.errors import Unauthorized
from kernel.http import GuardedClient, Outbound
from kernel.waiting import until
from kernel.web import application, serve
from policies.profiles import load
from tests.support.participant import participant
from tests.support.ports import free_port

MEMBER = {
    "MembershipCredential": ({"id": "x", "memberOf": "example"},),
    "RoleCredential": ({"id": "x", "role": ["packMaker"]},),
}


class Directory:
    """DID documents of everybody, in place of the network."""

    def __init__(self):
        self.documents = {}

    def publish(self, found):
        self.documents[found["id"]] = parse_document(found, found["id"])

    async def resolve(self, did):
        return self.documents[did]

    refresh = resolve


class NoLists:
    """No credential has a status here."""

    version = 0

    def relied_on(self, credential):
        return ()


class Company:
    """One participant's connector."""

    def __init__(
        self,
        place,
        name,
        directory,
        *,
        clock=None,
        decisions=None,
        claims=MEMBER,
        page_size=50,
        signed=True,
        credentials=None,
        lists=None,
        on_overdue="notice",
        nested=(),
        profile="battery",
        store=None,
        ready_within=0,
        accepts=(),
        send_timeout=30.0,
    ):
        self.place, self.asleep = place, False
        self.addresses = {}  # where single peers (DIDs) reach us, if not at `base`
        self.did, self.port = f"did:web:{name}.example", free_port()
        self.base = f"http://127.0.0.1:{self.port}{routes.PATH}"
        place.mkdir(parents=True, exist_ok=True)
        (place / "payloads").mkdir(exist_ok=True)
        self.clock, self.directory, self.claims, self.page_size = clock or SystemClock(), directory, claims, page_size
        self.credentials, lists = credentials or {}, lists or NoLists()
        self.profile = load(profile)
        keys = KeyStore(place / "keys", self.did)
        signer, contract = keys.ensure("si"), keys.ensure("contract")
        self.sign = signs(contract, TYPE) if signed else None
        service = Service(f"{self.did}#dsp", "DataService", self.base)
        self.published = document(self.did, keys.published(), [service])
        directory.publish(self.published)
        self.store = store or SqliteStore(open_database(place / "data.sqlite"), self.did)
        self.client = GuardedClient(Outbound(allow=frozenset({"127.0.0.1"}), require_https=False), tls=lambda: False)
        self.rules = Rules(
            self.store, self.profile, self.clock, participant=self.did, name=name, endpoint=self._reached, nested=nested, accepts=accepts,
        )  # fmt: skip
        self.decisions = decisions or AutoDecisions()
        sts = Sts(self.did, signer, self.clock)
        self.peers = Peers(
            self.client,
            directory,
            lambda did: f"Bearer {sts.token(did)}",
            lambda did: PeerRule(did, "off", ("x:y:read",)),
            Standing("did:web:authority.example", RevocationLists(self.clock), silence=60),
            timeout=send_timeout,
        )
        tokens = DataTokens(self.did, keys.ensure("data"), self.clock, lambda _peer: f"http://127.0.0.1:{self.port}")
        self.tokens = tokens
        self.witness = Witness(directory, lists, lambda: self.published)
        self.holdings = Holdings(self.store, self.rules.usage, self.clock, place)
        self.statements = Statements(self.store, self._new_id, signs(contract, STATEMENT), directory.resolve)
        self.obligations = Obligations(self.store, self.rules.usage, self.holdings, self.clock, self.statements)
        self.lingering = Lingering(0.1)
        self.commands = Commands(
            directory=place, store=self.store, profile=self.profile, clock=self.clock, node=self.node(), own_negotiation=self._own, own_transfer=self._moving,
            peers=self.peers, tokens=tokens, new_id=self._new_id, show=self.rules.put, max_payload=1 << 30,
        )  # fmt: skip
        exporter = Exporter(self.store, self.did, signs(contract, SEAL), lambda: self.published, self.clock)
        self.contracts = Contracts(self.store, self.commands, self.peers, self.clock, self._own, exporter)
        self.running_transfers = Running(self.store, self.rules.usage, self.rules.relations, self.commands, self.clock)
        self.monitor = Monitor(
            store=self.store, usage=self.rules.usage, running=self.running_transfers, contracts=self.contracts, obligations=self.obligations, clock=self.clock,
            on_overdue=on_overdue, wait=self._sleep,
        )  # fmt: skip
        self.rules.relations.on_change(self.monitor.changed)
        self.outbox = Outbox(
            self.store,
            self.peers.send,
            self._push,
            self.clock,
            self._new_id,
            ready_within=lambda _: ready_within,
            lingering=self.lingering,
        )

    async def _sleep(self, event, seconds):
        self.asleep = not event.is_set()
        await until(event, seconds)
        self.asleep = False

    def _reached(self, did):
        return self.addresses.get(did, self.base)

    @staticmethod
    def _new_id():
        return f"urn:uuid:{uuid.uuid4()}"

    async def _push(self, process):
        """No data move here."""

    def _common(self, who):
        return {
            "participant": self.did, "now": iso(self.clock.now()), "new_id": self._new_id, "render": outbound.renderer(lambda _: self.base),
            "decisions": self.decisions,
        }  # fmt: skip

    async def _negotiating(self, who, offer):
        return negotiation.Context(**self._common(who), rulebook=await self.rules.for_request(who, offer), sign=self.sign)

    async def _transferring(self, who, agreement):
        return transfer.Context(
            **self._common(who), agreements=await self.rules.for_transfer(who, agreement), address=self.tokens.address
        )

    def _own(self):
        return negotiation.Context(**self._common(None), rulebook=OwnRules(self.rules.usage), sign=self.sign)

    def _moving(self):
        return transfer.Context(**self._common(None), agreements=OwnRules(self.rules.usage), address=self.tokens.address)

    async def authenticate(self, caller, fresh):
        try:
            token = jose.parse(caller.authorization[0].removeprefix("Bearer "))
            did = token.claims["iss"]
            return participant(did, jti=token.claims["jti"], claims=self.claims, credentials=self.credentials.get(did, ()))
        except (jose.BadToken, LookupError) as error:
            raise Unauthorized("authentication failed") from error

    def node(self):
        return Node(
            participant=self.did, base_url=self._reached, authenticate=self.authenticate, processes=self.store, catalog=self.rules,
            negotiation=self._negotiating, transfer=self._transferring, check_callback=self.peers.check_callback,
            now=lambda: self.clock.now().timestamp(), page_size=self.page_size, page_key=b"k" * 32,
            witness=self.witness, stated=self.obligations.taken, settled=self.lingering.settle,
        )  # fmt: skip

    async def publish(self, template="passport-one-up", *, title="x", parameters=None, products=(), **said):
        """A dataset with one offer."""

        async def bytes_of():
            yield b"{}"

        asset = await self.commands.add_asset(
            bytes_of(), schema="", title={"en": title}, media_type="application/json", products=products
        )
        values = {"role": ["packMaker"], "purpose": ["cfp.rollup:1"]} if parameters is None else parameters
        return await self.commands.add_offer(asset.id, template, values, **said)

    async def until(self, key, *states, seconds=10):
        """The process in one of the states with nothing pending, or as it is after `seconds`."""

        async def settled():
            found = await self.store.process(key)
            return found is not None and found.state in states and found.pending is None

        await self.commands.wait(settled, seconds)
        found = await self.store.process(key)
        assert found.state in states, (found.state, found.note, found.pending)
        return found

    async def refused_signature(self, key):
        """Once our process says that the peer has refused our signature."""

        async def said():
            return "wrong-signature" in (await self.store.process(key)).note

        await self.commands.wait(said, 5)
        assert await said()

    async def counterpart(self, other, key):
        """The peer's process of one of ours."""
        async with asyncio.timeout(5):
            while True:
                ours = await self.store.process(key)
                found = await other.store.process(ours.peer_pid) if ours.peer_pid else None
                if found is not None:
                    return found
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def running(self):
        """Serve and work."""
        await self.rules.fill()
        listener = await serve(application(routes.routes(self.node()), errors=errors.response), "127.0.0.1", self.port)
        tasks = [asyncio.create_task(each.run()) for each in (self.outbox, self.monitor)]
        try:
            yield self
        finally:
            died = any(task.done() for task in tasks)
            for task in tasks:
                task.cancel()
            endings = await asyncio.gather(*tasks, return_exceptions=True)
            await listener.close()
            await self.client.close()
            await self.store.close()
            assert not died, f"a worker has died: {endings!r}"

    async def post(self, path, value, *, to, headers=None):
        """A message of ours as a peer of the other side would send it by hand; (status, parsed body)."""
        head = {"Authorization": self.peers.authorization(to.did), **(headers or {})}
        async with aiohttp.ClientSession() as http, http.post(to.base + path, json=value, headers=head) as answer:
            return answer.status, await answer.json(content_type=None)
