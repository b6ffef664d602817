"""The peer's side: two runtimes of Eclipse EDC as they come (in memory, mock identity, plain HTTP), with default or tuned state machines."""

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from kernel.web import Route, application, serve
from tests.interop.edc.runtime import Edc, EdcError, authorization
from tests.perf.side.process import Spent
from tests.perf.side.reader import Reader

AT_ONCE = 50
STALLED = 40  # seconds without any event
MOST_LOST = 0.02


class EdcSide:
    """Both runtimes, and the listener that their events go to."""

    by_link = True  # how a catalog in pages of another size is read

    def __init__(self, provider: Edc, consumer: Edc) -> None:
        self.provider, self.consumer = provider, consumer
        self._ended: dict[str, tuple[str, float]] = {}
        self._moved = asyncio.Event()
        self.lost = 0

    @property
    def pids(self) -> list[int]:
        return [self.provider.pid, self.consumer.pid]

    async def listen(self) -> None:
        routes = [
            Route(method=method, path=path, handler=handler, auth="none", summary="")
            for method, path, handler in (("POST", "/events", self._event), ("GET", "/source", self._source))
        ]
        self._listener = await serve(application(routes), "127.0.0.1", 0)
        self.url = f"http://localhost:{self._listener.port}"

    async def _event(self, request: web.Request) -> web.Response:
        event = await request.json()
        payload = event["payload"]
        self._ended[payload.get("contractNegotiationId") or payload["transferProcessId"]] = (event["type"], time.perf_counter())
        self._moved.set()
        return web.Response()

    async def _source(self, _request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 1000)

    async def publish(self) -> None:
        """One asset with the offer that everybody negotiates."""
        await self.provider.publish("asset", f"{self.url}/source", name="data")
        await self.provider.offer("all", {"permission": [{"action": "use"}]})
        (dataset,) = await self.consumer.catalog(self.provider.participant, self.provider.dsp)
        policy = next(value for name, value in dataset.items() if name.rpartition(":")[2] == "hasPolicy")
        policy = policy[0] if isinstance(policy, list) else policy
        self._policy = {"@id": policy["@id"], "permission": [{"action": "use"}]}

    async def negotiate(self, count: int) -> tuple[float, Spent]:
        """`count` negotiations, all asked for at once: (seconds from the first request to the last FINALIZED, what both spent)."""
        return await self._many(self._ask_contract, count)

    async def negotiate_one(self) -> float:
        """Seconds of a negotiation alone, from the request to FINALIZED."""
        seconds, _ = await self._many(self._ask_contract, 1)
        (key,) = self._keys
        self.agreement = (await self.consumer.call("GET", f"/contractnegotiations/{key}"))["contractAgreementId"]
        return seconds

    async def transfer(self, count: int) -> tuple[float, Spent]:
        """The same for pull transfers to STARTED, all under one agreement."""
        return await self._many(self._ask_transfer, count)

    async def _ask_contract(self) -> str:
        return await self.consumer.negotiate(
            self.provider.participant, self.provider.dsp, self._policy, "asset", callback=f"{self.url}/events"
        )

    async def _ask_transfer(self) -> str:
        return await self.consumer.transfer(
            self.provider.participant, self.provider.dsp, self.agreement, "HttpData-PULL", callback=f"{self.url}/events"
        )

    async def _many(self, ask, count: int) -> tuple[float, Spent]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def gated() -> str:
            async with gate:
                return await ask()

        self._ended.clear()
        began = time.perf_counter()
        with Spent(self.pids) as spent:
            self._keys = await asyncio.gather(*(gated() for _ in range(count)))
            await self._all_ended()
        done = [self._ended[key] for key in self._keys if key in self._ended]
        self.lost += count - len(done) + sum("Terminated" in kind for kind, _ in done)
        return max(when for _, when in done) - began, spent

    async def _all_ended(self) -> None:
        """Return when the last event has come. A few that are lost, with nothing moving any more, count as done, to the peer's advantage; raises `EdcError` for more."""
        missing = set(self._keys) - self._ended.keys()
        try:
            while missing:
                self._moved.clear()
                async with asyncio.timeout(STALLED):
                    await self._moved.wait()
                missing -= self._ended.keys()
        except TimeoutError:
            if len(missing) > len(self._keys) * MOST_LOST:
                raise EdcError(f"{len(missing)} of {len(self._keys)} have not ended, and nothing moves for {STALLED} s") from None

    async def stock(self, count: int) -> None:
        """`count` assets under one contract definition."""
        gate = asyncio.Semaphore(16)

        async def add(number: int) -> None:
            async with gate:
                text = {
                    "name": f"Dataset {number}",
                    "contenttype": "application/octet-stream",
                    "description": "A dataset among many, for measuring",
                }
                await self.provider.publish(f"asset-{number:07}", f"{self.url}/source", **text)

        await asyncio.gather(*(add(number) for number in range(count)))

    def reader(self) -> Reader:
        """A consumer at the provider's protocol endpoint."""
        return Reader(f"{self.provider.dsp}/catalog/request", lambda: authorization("consumer"))

    async def stop(self) -> None:
        await asyncio.gather(self.provider.stop(), self.consumer.stop())
        await self._listener.close()


@asynccontextmanager
async def running(place: Path, *, tuned: bool):
    """Two runtimes, warm, with one offer."""
    side = EdcSide(Edc(place, "provider", "provider", tuned=tuned), Edc(place, "consumer", "consumer", tuned=tuned))
    await side.listen()
    try:
        for each in (side.provider, side.consumer):
            each.launch()
        for each in (side.provider, side.consumer):
            await each.ready()
        await side.publish()
        await side.negotiate_one()
        yield side
    finally:
        await side.stop()
