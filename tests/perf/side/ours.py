"""Our side: a provider and a consumer, as users run them (DCP tokens, mTLS, durable SQLite, an identity service beside them), or `plain`: without tokens and
TLS, like for like with a peer that has neither. The store is durable in both."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlencode

import orjson
from msgspec import structs

from connector.channel import Channel
from connector.settings import FILE, Peer
from deploy.demo import topology
from deploy.demo.ports import reserve
from deploy.demo.processes import Node
from deploy.demo.world import World
from identity.keys import KeyStore
from identity.wallet.sts import Sts
from kernel.clock import SystemClock
from policies.profiles import load
from tests.perf.side.process import Spent
from tests.perf.side.reader import Reader
from tests.perf.side.stock import fill
from tests.support import plain
from tests.support.management import Management

PARTS = ("provider", "consumer")
AT_ONCE = 50
CATALOG = "/dsp/2025-1/catalog/request"


class Party:
    """One connector through its management API."""

    def __init__(self, node: Node, did: str) -> None:
        self.node, self.did = node, did
        key = (node.directory / "management.key").read_text().strip()
        self.management = Management({"Authorization": f"Bearer {key}"})

    @property
    def pid(self) -> int:
        return self.node._process.pid

    async def call(self, method: str, path: str, body: object = None) -> dict:
        answer = await self.management.call(method, self.node._management + path, body)
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.body[:500]}")
        return orjson.loads(answer.body)

    async def upload(self, title: str, data: bytes) -> str:
        """A dataset; its id."""
        query = urlencode({"title": title, "mediaType": "application/octet-stream"})
        return (await self.call("POST", f"/v1/assets?{query}", data))["id"]

    async def newest(self, path: str, count: int) -> list[dict]:
        """The last `count` processes."""
        return (await self.call("GET", f"{path}?limit={count}"))["items"]


class Ours:
    """Both parties, running."""

    by_link = False  # how a catalog in pages of another size is read
    lost = 0  # processes that we ended; `_many` does not return with one

    def __init__(self, provider: Party, consumer: Party, others: list[Node]) -> None:
        self.provider, self.consumer, self._others = provider, consumer, others
        self.dataset = self.offer = ""
        self.terms: dict = {}

    @property
    def pids(self) -> list[int]:
        return [self.provider.pid, self.consumer.pid]

    async def publish(self) -> None:
        """One dataset with the offer that everybody negotiates."""
        self.dataset = await self.provider.upload("data", b"x" * 1000)
        offer = await self.provider.call("POST", "/v1/offers", {"asset": self.dataset, "template": "public"})
        self.offer, self.terms = offer["id"], offer["contract"]

    async def negotiate(self, count: int) -> tuple[float, Spent]:
        """`count` negotiations, all asked for at once: (seconds from the first request to the last FINALIZED, what both spent)."""
        asked = {"peer": self.provider.did, "dataset": self.dataset, "offer": self.offer, "terms": self.terms}
        return await self._many("/v1/negotiations", asked, count, "FINALIZED")

    async def negotiate_one(self) -> float:
        """Seconds of a negotiation alone, from the request to FINALIZED."""
        asked = {"peer": self.provider.did, "dataset": self.dataset, "offer": self.offer, "terms": self.terms}
        began = time.perf_counter()
        made = await self.consumer.call("POST", "/v1/negotiations?wait=30", asked)
        taken = time.perf_counter() - began
        assert made["state"] == "FINALIZED", made
        self.agreement = made["agreement"]["id"]
        return taken

    async def transfer(self, count: int) -> tuple[float, Spent]:
        """The same for pull transfers to STARTED, all under one agreement."""
        return await self._many("/v1/transfers", {"agreement": self.agreement, "format": "HttpData-PULL"}, count, "STARTED")

    async def _many(self, path: str, body: dict, count: int, state: str) -> tuple[float, Spent]:
        began = time.time()
        gate = asyncio.Semaphore(AT_ONCE)

        async def ask() -> str:
            async with gate:
                return (await self.consumer.call("POST", path, body))["id"]

        with Spent(self.pids) as spent:
            ids = await asyncio.gather(*(ask() for _ in range(count)))
            found = await self._ended(path, ids, state)
        last = max(datetime.fromisoformat(each["updated"]).timestamp() for each in found)
        return last - began, spent

    async def _ended(self, path: str, ids: list[str], state: str) -> list[dict]:
        """All of them in this state. A list of hundreds takes the consumer's time, which is measured: it is asked for once, and who is late then by itself."""
        while (await self.consumer.call("GET", f"{path}/{ids[-1]}"))["state"] != state:
            await asyncio.sleep(0.1)
        found = {each["id"]: each for each in await self.consumer.newest(path, len(ids))}
        assert found.keys() == set(ids)
        for key in ids:
            while found[key]["state"] != state:
                await asyncio.sleep(0.05)
                found[key] = await self.consumer.call("GET", f"{path}/{key}")
        return list(found.values())

    def reader(self) -> Reader:
        """The consumer's own way to the provider's catalog, without its management API in between: token, TLS and all."""
        directory, peer = self.consumer.node.directory, self.provider.did
        base = int(self.provider.node._management.rpartition(":")[2]) - 2
        if isinstance(self.consumer.node, PlainNode):
            mine = plain.mock_authorization(self.consumer.did)
            return Reader(f"http://localhost:{base}{CATALOG}", lambda: mine)
        channel = Channel(directory / "tls")
        signer = KeyStore(directory / "keys", self.consumer.did).open("si")
        sts = Sts(self.consumer.did, signer, SystemClock(), lambda: channel.thumbprint)
        scopes = load("base").scopes + load("base").optional_scopes
        return Reader(
            f"https://localhost:{base + 1}{CATALOG}", lambda: f"Bearer {sts.token(peer, scopes=scopes)}", channel.client()
        )

    async def stop(self) -> None:
        for party in (self.provider, self.consumer):
            await party.management.close()
        for node in [self.consumer.node, self.provider.node, *self._others]:
            node.stop()


class PlainNode(Node):
    """A process of `serve`."""

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.perf.side.serve", str(self.directory)]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


@asynccontextmanager
async def running(
    place: Path, *, as_plain: bool = False, databases: Mapping[str, str] = MappingProxyType({}), assets: int = 0, **stock: int
):
    """Two connectors, members of one data space, with one offer; with `assets`, the provider has that many (`stock.fill`). `databases`: PostgreSQL URLs by party."""
    with ExitStack() as stack:
        nodes, dids = await asyncio.to_thread(_plain if as_plain else _members, place, databases, stack)
        if assets:
            await asyncio.to_thread(nodes["provider"].stop)
            await fill(nodes["provider"].directory, dids["provider"], assets, **stock)
            await asyncio.to_thread(_start, [nodes["provider"]], stack)
        side = Ours(*(Party(nodes[part], dids[part]) for part in PARTS), [node for key, node in nodes.items() if key not in PARTS])
        try:
            await side.publish()
            await side.negotiate_one()
            yield side
        finally:
            await side.stop()


def _plain(place: Path, databases: Mapping[str, str], stack: ExitStack) -> tuple[dict[str, Node], dict[str, str]]:
    base = reserve()
    dids = {part: f"did:web:localhost%3A{base + 4 * n}" for n, part in enumerate(PARTS)}
    nodes: dict[str, Node] = {}
    for number, part in enumerate(PARTS):
        port = base + 4 * number
        peers = tuple(Peer(did=did, mtls="off") for did in dids.values())
        plain.make(place / part, (port, port + 1, port + 2), peers)
        nodes[part] = PlainNode(part, place / part, (), f"http://127.0.0.1:{port + 2}")
    _keep_in(databases, nodes)
    _start(list(nodes.values()), stack)
    return nodes, dids


def _members(place: Path, databases: Mapping[str, str], stack: ExitStack) -> tuple[dict[str, Node], dict[str, str]]:
    space = structs.replace(topology.load("battery"), profile="base")
    world = World(place / "world", "battery", space)
    world.make_identity()
    for part in PARTS:
        world.make_connector(part, "")
    nodes = {part: world.connectors[part] for part in PARTS} | {"identity": world.identity}
    _keep_in(databases, nodes)
    _start(list(nodes.values()), stack)
    for part in PARTS:
        company, api = world.company(part), nodes[part].api
        invited = world.identity.api.post("/v1/invitations", {
            "did": world.did(part), "name": company.name, "corporateNumber": company.corporate_number, "roles": list(company.roles),
        })  # fmt: skip
        api.post("/v1/membership", {"invitation": invited["invitation"]}, wait=20)
        world.identity.api.post(f"/v1/members/{invited['member']}/approve", {})
        joined = api.post("/v1/membership/wait", {"state": "ACTIVE"}, wait=30)
        assert joined["state"] == "ACTIVE", joined
    return nodes, {part: world.did(part) for part in PARTS}


def _keep_in(databases: Mapping[str, str], nodes: dict[str, Node]) -> None:
    """Let these parties keep their processes there; none of them has run yet."""
    for part, url in databases.items():
        file = nodes[part].directory / FILE
        file.write_text(f'database = "{url}"\n' + file.read_text())


def _start(nodes: list[Node], stack: ExitStack) -> None:
    """All of them answer; they stop with the stack, also when one does not start."""
    for node in nodes:
        stack.callback(node.stop)
        node.start()
    for node in nodes:
        node.wait_ready()
