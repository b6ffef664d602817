"""The connector under test: the product's wire, processes, store and outbox, put together for the kit. What a person or a policy would decide comes from
scripts; the caller is always the kit; plain HTTP on loopback. Nothing of this can be reached by a setting of the product.
"""

import asyncio
import uuid
from contextlib import asynccontextmanager
from pathlib import Path

from catalog import describe
from catalog.dcat import Asset, OfferTerms
from connector import errors
from connector.dsp import outbound, routes
from connector.dsp.messages import Acknowledgement
from connector.dsp.node import Node
from connector.processes import negotiation, transfer
from connector.processes.decisions import Decision
from connector.processes.errors import ProcessError
from connector.processes.model import Agreement, Ledger
from connector.store.sqlite import SqliteStore, open_database
from connector.worker.lingering import Lingering
from connector.worker.outbox import Outbox
from kernel.clock import SystemClock, iso
from kernel.http import GuardedClient, Outbound
from kernel.web import Route, application, json_response, serve
from tests.conformance import scripts
from tests.support.participant import participant

ME, KIT = "did:web:connector.example", "TCK_PARTICIPANT"
PAUSE = 0.4  # a kit registers some of its handlers only after it has read our answer
LONG_PAUSE = 1.0  # the same for the outside kit, which must also have moved its own state, on a busy machine


class Nobody:
    """Decides nothing by itself: the scripts do."""

    def negotiation(self, process, matter):
        return Decision()

    def transfer(self, process):
        return Decision()


class Book:
    """Every offer is known and permitted, every agreement is in force."""

    def judge(self, offer_id, dataset, requested):
        return negotiation.Judgement(requested, True, ())

    def refusals(self, offer_id, dataset, terms):
        return ()

    def consent(self, process):
        return negotiation.Consent()

    def differences(self, asked, given):
        return ()

    def opened(self, agreement):
        return Ledger()

    def grant(self, key, *, again):
        found = Agreement(id=key, participant=ME, role="provider", peer=KIT, negotiation="", dataset=key, policy={}, hash="", at="")
        return transfer.Grant(agreement=found)


class UnderTest:
    """A connector that plays the scripts."""

    def __init__(self, place: Path, port: int, pause: float, *, one_by_one: bool) -> None:
        self.base = f"http://127.0.0.1:{port}/dsp/2025-1"
        self.port, self.pause, self.one_by_one, self.clock = port, pause, one_by_one, SystemClock()
        self.store = SqliteStore(open_database(place / "data.sqlite"), ME)
        self.client = GuardedClient(Outbound(allow=frozenset({"127.0.0.1", "localhost"}), require_https=False), tls=lambda: False)
        self.lingering = Lingering(0.02)  # a script goes on when its step is taken
        self.outbox = Outbox(self.store, self._send, self._push, self.clock, self._new_id, lingering=self.lingering)
        self._played, self._planned = {}, set()
        self._moved = asyncio.Event()
        self.store.on_commit(self._moved.set)

    @staticmethod
    def _new_id():
        return f"urn:uuid:{uuid.uuid4()}"

    async def _send(self, process, row):
        if await self._over(process):
            return outbound.Answer(200, Acknowledgement(), "", "")
        return await outbound.post(self.client, process.callback + row.path, row.body, "none", expect_did=None)

    async def _over(self, process):
        """Whether the kit is at another case by now. The outside kit plays them one by one and knows a message by its path alone, whichever process it belongs
        to: what it answered wrongly and we say again would be taken for a message of the next case.
        """
        if not self.one_by_one:
            return False
        latest = [*await self.store.processes("negotiation", "", 1), *await self.store.processes("transfer", "", 1)]
        return any(each.created > process.created for each in latest)

    async def _push(self, process):
        """The kit moves no data."""

    async def judged(self, who, offer):
        return self.context()

    async def invoked(self, who, agreement):
        return self.transfers()

    def context(self):
        common = {"participant": ME, "now": iso(self.clock.now()), "new_id": self._new_id, "decisions": Nobody()}
        return negotiation.Context(**common, render=outbound.renderer(lambda _: self.base), rulebook=Book())

    def transfers(self):
        address = {"@type": "DataAddress", "endpointType": "https://w3id.org/idsa/v4.1/HTTP", "endpoint": f"{self.base}/data"}
        common = {"participant": ME, "now": iso(self.clock.now()), "new_id": self._new_id, "decisions": Nobody()}
        return transfer.Context(
            **common, render=outbound.renderer(lambda _: self.base), agreements=Book(), address=lambda _process: address
        )

    async def authenticate(self, caller, fresh):
        return participant(KIT)

    async def any_callback(self, who, url):
        """The kit has no DID document."""

    # catalog

    async def page(self, who, after, limit):
        found = [self._dataset(key) for key in sorted(scripts.DATASETS) if key > after]
        return found[:limit], found[limit - 1]["@id"] if len(found) > limit else ""

    async def slice(self, who, offset, limit):
        return [self._dataset(key) for key in sorted(scripts.DATASETS)][offset : offset + limit]

    async def dataset(self, who, key):
        return self._dataset(key) if key in scripts.DATASETS else None

    def envelope(self, who, datasets):
        return describe.catalog(ME, datasets, endpoint=self.base)

    def _dataset(self, key):
        asset = Asset(
            id=key,
            participant=ME,
            profile="",
            schema="",
            title={"en": key},
            size=1,
            sha256="00",
            source="",
            created="2026-11-24T09:00:00Z",
        )
        offer = OfferTerms(id=scripts.offer_id(key), asset=key, access={}, contract={"permission": [{"action": "use"}]})
        return describe.dataset(asset, [offer], endpoint=self.base)

    # what it does by itself

    async def play(self):
        """Do the next entry of every script whose state has come."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._moved.clear()
                for kind, table, name in (
                    ("negotiation", scripts.NEGOTIATIONS, "dataset"),
                    ("transfer", scripts.TRANSFERS, "agreementId"),
                ):
                    for process in await self.store.processes(kind, "", 1000):
                        todo = table.get(process.data.get(name, ""), [])[self._played.get(process.id, 0) :]
                        if todo and process.pending is None and process.state == todo[0][0] and process.id not in self._planned:
                            self._planned.add(process.id)
                            tasks.create_task(self._step(kind, process.id, *todo[0]))
                await self._moved.wait()

    async def _step(self, kind, key, state, message):
        await asyncio.sleep(self.pause)
        process = await self.store.process(key)
        self._planned.discard(key)
        if await self._over(process):
            return
        if process.state != state or process.pending is not None:
            self._moved.set()
            return
        self._played[key] = self._played.get(key, 0) + 1
        try:
            if kind == "negotiation":
                offer = process.data["offer"] | {
                    "@id": self._new_id() if process.role == "consumer" else process.data["offer"]["@id"]
                }
                counter = offer if message in ("ContractOfferMessage", "ContractRequestMessage") else None
                commit = negotiation.command(process, message, self.context(), offer=counter)
            else:
                commit = transfer.command(process, message, self.transfers())
            await self.store.commit(commit)
        except ProcessError:
            self._moved.set()

    # triggers

    async def negotiate(self, request):
        said = await request.json()
        offer = {"@id": said["offerId"], "@type": "Offer", "target": said["datasetId"], "permission": [{"action": "use"}]}
        await self.store.commit(
            negotiation.request(said["providerId"], said["connectorAddress"].rstrip("/"), offer, self.context())
        )
        return json_response({})

    async def transfer(self, request):
        said = await request.json()
        found = Agreement(id=said["agreementId"], participant=ME, role="consumer", peer=said["providerId"], negotiation="", dataset=said["agreementId"],
                          policy={}, hash="", at="")  # fmt: skip
        commit = transfer.request(
            found,
            said["connectorAddress"].rstrip("/"),
            said["format"],
            key=self._new_id(),
            data_address=None,
            context=self.transfers(),
        )
        await self.store.commit(commit)
        return json_response({})

    def node(self):
        return Node(
            participant=ME, base_url=lambda _: self.base, authenticate=self.authenticate, processes=self.store, catalog=self, negotiation=self.judged,
            transfer=self.invoked, check_callback=self.any_callback, settled=self.lingering.settle, now=lambda: self.clock.now().timestamp(), page_size=100, page_key=b"k" * 32,
        )  # fmt: skip

    def routes(self):
        def trigger(path, handler):
            return Route(method="POST", path=path, handler=handler, auth="none", summary="trigger of the kit")

        return [*routes.routes(self.node()), trigger("/tck/negotiations", self.negotiate), trigger("/tck/transfers", self.transfer)]


@asynccontextmanager
async def serving(place: Path, port: int, *, pause: float = PAUSE, one_by_one: bool = False):
    """The connector under test, listening on 127.0.0.1."""
    found = UnderTest(place, port, pause, one_by_one=one_by_one)
    app = application(found.routes(), errors=errors.response)
    listener = await serve(app, "127.0.0.1", port)
    tasks = [asyncio.create_task(found.outbox.run()), asyncio.create_task(found.play())]
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.close()
        await found.client.close()
        await found.store.close()


def properties(port: int, kit: str) -> str:
    """The kit's configuration for this connector."""
    base = f"http://127.0.0.1:{port}"
    lines = [
        f"dataspacetck.dsp.connector.agent.id={ME}",
        f"dataspacetck.dsp.connector.http.url={base}/dsp/2025-1",
        f"dataspacetck.dsp.connector.http.base.url={base}",
        f"dataspacetck.dsp.connector.negotiation.initiate.url={base}/tck/negotiations",
        f"dataspacetck.dsp.connector.transfer.initiate.url={base}/tck/transfers",
        f"dataspacetck.callback.address={kit}",
        "dataspacetck.dsp.local.connector=false",
        "dataspacetck.dsp.default.wait=15",
        "CAT_01_01_DATASETID=CAT0101",
        "CAT_01_02_DATASETID=CAT0102",
        "CAT_01_03_DATASETID=CAT0103",
    ]
    for sample in scripts.NEGOTIATIONS:
        lines.append(f"{scripts.case_key(sample)}_DATASETID={sample}")
        if not sample.startswith("ACNC"):
            lines.append(f"{scripts.case_key(sample)}_OFFERID={scripts.offer_id(sample)}")
    for sample in scripts.TRANSFERS:
        lines += [f"{scripts.case_key(sample)}_AGREEMENTID={sample}", f"{scripts.case_key(sample)}_FORMAT={scripts.FORMAT}"]
    return "\n".join(lines) + "\n"
