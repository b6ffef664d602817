"""The two sides: Eclipse EDC as provider and as consumer, and a connector of ours between them, all on loopback."""

import os
from pathlib import Path

import pytest_asyncio
from aiohttp import web

from connector.processes.decisions import AutoDecisions, Decision
from connector.settings import Peer
from kernel.web import Route, application, serve
from tests.interop.edc.runtime import LIB, Edc
from tests.support import plain
from tests.support.ports import free_ports

collect_ignore = [] if os.environ.get(LIB) else ["test_edc.py"]
SLOW = "slow:"  # processes about a dataset of this name wait: somebody ends them
PAYLOAD = bytes(range(256)) * 4096 + b"the end"  # 1 MiB and a bit
ASSETS = 120  # more than two of EDC's pages, and of ours


class Backend:
    """What stands behind EDC: its datasets' source, its consumers' sink, and the DID documents of its two participants."""

    def __init__(self) -> None:
        self.pushed: dict[str, bytes] = {}
        self.documents: dict[str, dict] = {}

    def did(self, name: str) -> str:
        return f"did:web:localhost%3A{self.port}:{name}"

    async def start(self) -> None:
        routes = [
            Route(method=method, path=path, handler=handler, auth="none", summary="")
            for method, path, handler in (
                ("GET", "/source", self._source), ("POST", "/sink/{key}", self._sink), ("PUT", "/sink/{key}", self._sink), ("GET", "/{name}/did.json", self._document),
            )
        ]  # fmt: skip
        self._listener = await serve(application(routes, limit=1 << 30), "127.0.0.1", 0)
        self.port, self.url = self._listener.port, f"http://localhost:{self._listener.port}"

    async def stop(self) -> None:
        await self._listener.close()

    async def _source(self, _request: web.Request) -> web.Response:
        return web.Response(body=PAYLOAD, content_type="application/octet-stream")

    async def _sink(self, request: web.Request) -> web.Response:
        self.pushed[request.match_info["key"]] = await request.read()
        return web.Response()

    async def _document(self, request: web.Request) -> web.Response:
        return web.json_response(self.documents[request.match_info["name"]])


class SomeWait:
    """The automatic decisions, but for datasets named `SLOW`: there, nothing follows by itself."""

    def __init__(self, names: dict[str, str]) -> None:
        self._auto, self._names = AutoDecisions(), names

    def negotiation(self, process, matter):
        dataset = process.data["dataset"]
        if process.state in ("REQUESTED", "AGREED") and self._names.get(dataset, dataset).startswith(SLOW):
            return Decision(note="somebody will end it")
        return self._auto.negotiation(process, matter)

    def transfer(self, process):
        return self._auto.transfer(process)


class Both:
    """Everything that a test needs."""

    provider: Edc
    consumer: Edc
    backend: Backend

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    @property
    def commands(self):
        return self.ours.commands

    @property
    def did(self) -> str:
        return self.ours.settings.did

    @property
    def dsp(self) -> str:
        return self.ours.settings.dsp_url

    async def publish(self, name: str, data: bytes = PAYLOAD, template: str = "public") -> str:
        """A dataset of ours with an offer; returns its id."""

        async def parts():
            yield data

        asset = await self.commands.add_asset(parts(), schema="", title={"en": name}, media_type="application/octet-stream")
        self.names[asset.id] = name
        await self.commands.add_offer(asset.id, template, {"dataSpace": "interop"} if template == "members" else {})
        return asset.id

    async def until(self, key: str, *states: str, seconds: float = 20):
        """A process of ours, once nothing of it is on its way and it is in one of the states."""
        return await plain.settled(self.commands, key, states, seconds)

    async def of_peer(self, pid: str) -> str:
        """Our id of the process whose other side has this one."""
        found = [each for kind in ("negotiation", "transfer") for each in await self.ours.store.processes(kind, "", 1000)]
        return next(each.id for each in found if each.peer_pid == pid)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(tmp_path_factory):
    place = Path(tmp_path_factory.mktemp("edc"))
    both = Both()
    both.backend = Backend()
    await both.backend.start()
    both.provider = Edc(place, "provider", both.backend.did("provider"), heap="512m")
    both.consumer = Edc(place, "consumer", both.backend.did("consumer"), heap="512m")
    runtimes = (both.provider, both.consumer)
    for each in runtimes:
        service = {"id": f"{each.participant}#dsp-public", "type": "DataService", "serviceEndpoint": each.dsp}
        both.backend.documents[each.name] = {"id": each.participant, "service": [service]}
        each.launch()
    peers = tuple(Peer(did=each.participant, mtls="off", dialect="edc") for each in runtimes)
    found = plain.make(place / "ours", tuple(free_ports(3)), peers)
    try:
        async with plain.serving(place / "ours", found, decisions=SomeWait(both.names)) as both.ours:
            for each in runtimes:
                await each.ready()
            await both.provider.offer("all", {"permission": [{"action": "use"}]})
            for number in range(ASSETS - 1):
                await both.provider.publish(f"asset-{number:03}", f"{both.backend.url}/source", name=f"Asset {number}")
            await both.provider.publish(f"{SLOW}asset", f"{both.backend.url}/source", name="slow")
            yield both
    finally:
        for each in runtimes:
            await each.stop()
        await both.backend.stop()
