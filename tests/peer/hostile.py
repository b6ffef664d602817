"""A peer that behaves as its counterpart's offer or dataset says: it lies, repeats, goes silent, excuses itself, holds connections, or is away. Both roles, real HTTP, real tokens.

A behaviour is a coroutine over a `Talk`, one contract negotiation: it sends what it likes and looks at the answers. `provided` begin with a request of the connector
under test, `consumed` begin with a request of this peer.
"""

import asyncio
import json
import uuid
from contextlib import suppress

from aiohttp import ClientError, ClientSession, TCPConnector, web

from identity.did import Service
from identity.did.document import document
from identity.keys import KeyStore
from identity.wallet.sts import Sts
from tests.support.ports import free_port

PAUSE = 0.05  # seconds between the bytes that drip
CONTEXT = ["https://w3id.org/dspace/2025/1/context.jsonld"]
RULES = {"permission": [{"action": "use"}], "prohibition": [{"action": "distribute"}]}
SIGNATURE = "https://w3id.org/kizuna/agreement/1#signature"
HTML = "<html><body>Please sign in to the guest network</body></html>"
#  behaviour -> the answers that come before any good one: (status, headers, body)
EXCUSES = {
    "401": [(401, {}, "")] * 2,
    "409": [(409, {}, "")] * 2,
    "425": [(425, {}, "")] * 2,
    "429": [(429, {"Retry-After": "90"}, "")] * 2,
    "500": [(500, {}, HTML)] * 2,
    "503": [(503, {"Retry-After": "Tue, 24 Nov 2026 10:00:00 GMT"}, "")],
    "html": [(200, {"Content-Type": "text/html"}, HTML)] * 2,
    "cut": [(0, {}, "")] * 2,
    "404": [(404, {}, "")] * 2,  # not ready yet
    "always401": [(401, {}, "")] * 10_000,
    "always404": [(404, {}, "")] * 10_000,
    "always409": [(409, {}, "")] * 10_000,
    "always425": [(425, {}, "")] * 10_000,
    "always429": [(429, {"Retry-After": "3000"}, "")] * 10_000,
    "always500": [(500, {"Content-Type": "text/html"}, HTML)] * 10_000,
    "alwayshtml": [(200, {"Content-Type": "text/html"}, HTML)] * 10_000,
    "forbids": [(403, {}, "")] * 10_000,
    "refuses": [(400, {}, '{"@type": "ContractNegotiationError", "code": "no", "reason": ["we do not like you"]}')] * 10_000,
}


class Talk:
    """One contract negotiation on this side."""

    def __init__(self, peer, behaviour, *, to, theirs="", offer=None):
        self.peer, self.behaviour, self.to, self.theirs, self.offer = peer, behaviour, to, theirs, offer
        self.own = f"urn:uuid:{uuid.uuid4()}"
        self.excuses = list(EXCUSES.get(behaviour, ()))
        self.arrived = asyncio.Queue()
        self.taken = {}  # the first message of each type that was waited for; it stays known when the peer is stopped meanwhile
        self.answers = []  # (what, status) of everything that was sent
        self.role = "provider" if theirs else "consumer"

    def pids(self):
        mine, other = ("providerPid", "consumerPid") if self.role == "provider" else ("consumerPid", "providerPid")
        return {mine: self.own, other: self.theirs}

    def agreement(self, **changed):
        terms = {name: each for name, each in self.offer.items() if name in ("permission", "prohibition", "obligation", "profile")}
        return {
            "@id": f"urn:uuid:{uuid.uuid4()}", "@type": "Agreement", "target": self.offer["target"], "assigner": self.peer.did, "assignee": self.to.did,
            "timestamp": "2026-11-24T09:00:00Z", **terms, **changed,
        }  # fmt: skip

    async def send(self, type_, path, *, at="", **members):
        """(status, code) of the answer; `at` is another process of the other side."""
        value = {"@context": CONTEXT, "@type": type_, "@id": f"urn:uuid:{uuid.uuid4()}", **self.pids(), **members}
        status, body = await self.peer.post(self.to, f"/negotiations/{at or self.theirs}/{path}", value)
        self.answers.append((type_, status))
        return status, body.get("code", "") if isinstance(body, dict) else ""

    async def agree(self, **more):
        return await self.send("ContractAgreementMessage", "agreement", **({"agreement": self.agreement()} | more))

    async def verify(self, **more):
        return await self.send("ContractAgreementVerificationMessage", "agreement/verification", **more)

    async def event(self, name, **more):
        return await self.send("ContractNegotiationEventMessage", "events", eventType=name, **more)

    async def offering(self):
        return await self.send("ContractOfferMessage", "offers", offer=self.offer)

    async def ending(self):
        return await self.send("ContractNegotiationTerminationMessage", "termination", code="9", reason=["changed my mind"])

    async def wait(self, type_):
        """The first message of this type that is accepted here."""
        while type_ not in self.taken:
            found = await self.arrived.get()
            self.taken.setdefault(found["@type"], found)
        return self.taken[type_]

    async def known(self):
        """Until the other side has heard our pid: before, any pid would be taken for ours."""
        while (await self.peer.get(self.to, f"/negotiations/{self.theirs}")).get("providerPid") != self.own:
            await asyncio.sleep(0.02)

    async def insist(self, act, **more):
        """Send until it is taken: what an honest peer does after a 409."""
        for _ in range(50):
            status, _ = await act(**more)
            if status != 409:
                assert status < 300, (self.behaviour, status)
                return
            self.peer.active += 1
            await asyncio.sleep(0.02)
            self.peer.active -= 1
        raise AssertionError(f"{self.behaviour}: never taken")

    async def conclude(self, **more):
        """The honest rest of a negotiation, as provider or as consumer."""
        if self.role == "provider":
            await self.insist(self.agree, **more)
            await self.wait("ContractAgreementVerificationMessage")
            await self.insist(self.event, name="FINALIZED")
        else:
            await self.wait("ContractAgreementMessage")
            await self.insist(self.verify, **{"@id": f"urn:uuid:verified-{self.own}"})  # the same one after a stop
            await self.wait("ContractNegotiationEventMessage")


class Hostile:
    """One participant of this kind, with any number of negotiations."""

    def __init__(self, place, name, directory, clock):
        self.did, self.port = f"did:web:{name}.example", free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        keys = KeyStore(place, self.did)
        self.sts = Sts(self.did, keys.ensure("si"), clock)
        directory.publish(document(self.did, keys.published(), [Service(f"{self.did}#dsp", "DataService", self.base)]))
        self.talks, self.tasks, self.counterpart = {}, [], None
        self.failed, self.active = [], 0  # what went wrong; calls and pauses under way
        self.holding, self.mended = 0, False  # connections of others; whether no more are held

    async def start(self):
        app = web.Application()
        app.router.add_post("/negotiations/{path:.*}", self._receive)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=1024).start()
        self.http = ClientSession(connector=TCPConnector(limit=64))

    async def stop(self):
        for each in self.tasks:
            each.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        await self.http.close()
        await self._runner.cleanup()

    async def post(self, to, path, value):
        return await self._call("POST", to, path, json=value)

    async def get(self, to, path):
        return (await self._call("GET", to, path))[1]

    async def _call(self, method, to, path, **more):
        headers = {"Authorization": f"Bearer {self.sts.token(to.did)}"}
        self.active += 1
        try:
            async with self.http.request(method, to.base + path, headers=headers, **more) as answer:
                text = await answer.text()
        finally:
            self.active -= 1
        return answer.status, json.loads(text) if text else {}

    async def _receive(self, request):
        value = await request.json()
        path = request.match_info["path"]
        talk = self._first(value) if path == "request" and "callbackAddress" in value else self.talks.get(path.partition("/")[0])
        if talk is None:
            return web.json_response({"@context": CONTEXT, "@type": "ContractNegotiationError"}, status=404)
        if talk.behaviour in HOLDS and not self.mended:
            self.holding += 1
            try:
                return await HOLDS[talk.behaviour](request)
            finally:
                self.holding -= 1
        if talk.excuses:
            status, headers, body = talk.excuses.pop(0)
            if not status:
                request.transport.close()
                return web.Response()
            return web.Response(status=status, headers=headers, text=body)
        if path == "request":
            acknowledged = {"@context": CONTEXT, "@type": "ContractNegotiation", **talk.pids(), "state": "REQUESTED"}
            if not talk.arrived.qsize() and not getattr(talk, "begun", False):
                talk.begun = True
                self.run(talk, PROVIDED.get(talk.behaviour, honest))
            return web.json_response(acknowledged, status=201)
        await talk.arrived.put(value)
        return web.Response()

    def _first(self, value):
        key = value["consumerPid"]
        if key not in self.talks:
            behaviour = value["offer"]["@id"].partition(":")[0]
            talk = Talk(self, behaviour, to=self.counterpart, theirs=key, offer=value["offer"])
            self.talks[key] = self.talks[talk.own] = talk
        return self.talks[key]

    def run(self, talk, behave):
        async def guarded():
            try:
                await behave(talk)
            except (AssertionError, OSError, ValueError, LookupError, ClientError) as error:
                self.failed.append(f"{talk.behaviour}: {error!r}")

        self.tasks.append(asyncio.create_task(guarded()))

    async def ask(self, behaviour, to, offer):
        """Begin a negotiation as consumer; the talk, whose behaviour then runs."""
        talk = Talk(self, behaviour, to=to, offer=offer)
        self.talks[talk.own] = talk
        status, body = await self.request(talk)
        assert status == 201, (behaviour, status, body)
        talk.theirs = body["providerPid"]
        self.run(talk, CONSUMED[behaviour])
        return talk

    async def request(self, talk, **changed):
        value = {
            "@context": CONTEXT, "@type": "ContractRequestMessage", "@id": f"urn:uuid:first-{talk.own}", "consumerPid": talk.own, "callbackAddress": self.base,
            "offer": talk.offer, **changed,
        }  # fmt: skip
        return await self.post(talk.to, "/negotiations/request", value)


def expect(found, *statuses):
    assert found[0] in statuses, found


# holding connections, as a server that is called ----------------------------------------------------------------------


async def mute(request):
    """Takes the message and never answers."""
    while request.transport is not None:
        await asyncio.sleep(PAUSE)
    return web.Response()


async def trickles(request):
    """A good status, and a body without an end."""
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(request)
    with suppress(OSError):
        while request.transport is not None:
            await answer.write(b" ")
            await asyncio.sleep(PAUSE)
    return answer


async def drips(request):
    """A head without an end."""
    request.transport.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while request.transport is not None:
        request.transport.write(b"x")
        await asyncio.sleep(PAUSE)
    return web.Response()


# the same as a client that calls --------------------------------------------------------------------------------------


async def dripping(talk, head):
    """A connection to the other side on which a request never comes to its end."""
    _, writer = await asyncio.open_connection("127.0.0.1", talk.to.port)
    writer.write(head.encode())
    try:
        with suppress(OSError):
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(PAUSE)
    finally:
        writer.close()


async def drips_its_head(talk):
    talk.peer.tasks.append(
        asyncio.create_task(dripping(talk, "POST /dsp/2025-1/negotiations/request HTTP/1.1\r\nHost: x\r\nX-Long: x"))
    )
    await talk.conclude()


async def drips_its_body(talk):
    token = talk.peer.sts.token(talk.to.did)
    head = f"POST /dsp/2025-1/negotiations/request HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 9999\r\n\r\n"
    talk.peer.tasks.append(asyncio.create_task(dripping(talk, head)))
    await talk.conclude()


# as provider ---------------------------------------------------------------------------------------------------------


async def honest(talk):
    await talk.conclude()


async def nothing(_talk):
    """Silence."""


async def other_text(talk):
    expect(await talk.agree(agreement=talk.agreement(prohibition=[{"action": "sell"}])), 200)


async def display_for_use(talk):
    expect(await talk.agree(agreement=talk.agreement(permission=[{"action": "display"}])), 200)


async def other_party(talk):
    expect(await talk.agree(agreement=talk.agreement(assignee="did:web:somebody.example")), 200)


async def other_target(talk):
    expect(await talk.agree(agreement=talk.agreement(target="urn:another")), 200)


async def wrong_signature(talk):
    expect(await talk.agree(**{SIGNATURE: "e30.e30.AAAA"}), 400)


async def other_pid(talk):
    act, own = talk.agree, talk.own
    if talk.role == "consumer":
        act = talk.verify
        await talk.wait("ContractAgreementMessage")
    else:
        await talk.known()
    talk.own = f"urn:uuid:{uuid.uuid4()}"
    expect(await act(), 404)
    talk.own = own
    await talk.conclude()


async def regression(talk):
    expect(await talk.event("FINALIZED"), 400)
    await talk.insist(talk.agree)
    await talk.wait("ContractAgreementVerificationMessage")
    expect(await talk.offering(), 400)
    expect(await talk.agree(), 400)
    await talk.insist(talk.event, name="FINALIZED")
    for act in (talk.offering, talk.agree, talk.ending):
        expect(await act(), 400)


async def two_agreements(talk):
    found = await asyncio.gather(talk.agree(), talk.agree())
    assert sorted(status for status, _ in found) in ([200, 400], [200, 409]), found
    await talk.wait("ContractAgreementVerificationMessage")
    await talk.insist(talk.event, name="FINALIZED")


async def repeats(talk):
    if talk.role == "provider":
        said = {"agreement": talk.agreement(), "@id": "urn:uuid:the-same"}
        found = await asyncio.gather(*(talk.agree(**said) for _ in range(5)))
        assert {status for status, _ in found} == {200}, found
        await talk.wait("ContractAgreementVerificationMessage")
        found = await asyncio.gather(*(talk.event("FINALIZED", **{"@id": "urn:uuid:the-end"}) for _ in range(5)))
        assert 200 in {status for status, _ in found}
        await talk.insist(talk.event, name="FINALIZED", **{"@id": "urn:uuid:the-end"})
    else:
        first = await asyncio.gather(*(talk.peer.request(talk) for _ in range(4)))
        assert {body["providerPid"] for _, body in first} == {talk.theirs}
        await talk.wait("ContractAgreementMessage")
        found = await asyncio.gather(*(talk.verify(**{"@id": "urn:uuid:the-same"}) for _ in range(5)))
        assert {status for status, _ in found} == {200}, found
        await talk.wait("ContractNegotiationEventMessage")


async def foreign(talk):
    """A message of ours into somebody else's negotiation, and into another one of ours."""
    for other in talk.peer.victims():
        act = talk.agree if talk.role == "provider" else talk.verify
        expect(await act(at=other), 400, 404)
    await talk.conclude()


async def stops_after_agreement(talk):
    await talk.insist(talk.agree)
    await talk.wait("ContractAgreementVerificationMessage")


# as consumer ---------------------------------------------------------------------------------------------------------


async def accepts_illegally(talk):
    expect(await talk.event("ACCEPTED"), 400)
    expect(await talk.event("FINALIZED"), 400)
    await talk.conclude()


async def reuses_its_pid(talk):
    expect(await talk.peer.request(talk, offer=talk.offer | {"permission": [{"action": "use"}]}, **{"@id": "urn:uuid:x"}), 409)
    await talk.conclude()


async def goes_back(talk):
    await talk.conclude()
    expect(await talk.send("ContractRequestMessage", "request", offer=talk.offer), 400)
    expect(await talk.verify(), 400)
    expect(await talk.ending(), 400)


async def never_verifies(talk):
    await talk.wait("ContractAgreementMessage")


async def ends_it(talk):
    await talk.wait("ContractAgreementMessage")
    await talk.insist(talk.ending)


async def verifies_wrongly(talk):
    await talk.wait("ContractAgreementMessage")
    expect(await talk.verify(**{SIGNATURE: "e30.e30.AAAA"}), 400)


HOLDS = {"mute": mute, "trickles": trickles, "drips": drips}
FOR_A_WHILE = ("401", "404", "409", "425", "429", "500", "503", "html", "cut")
FOR_EVER = ("always401", "always404", "always409", "always425", "always429", "always500", "alwayshtml", "forbids")
PROVIDED = {
    "honest": honest, "silent": nothing, "othertext": other_text, "display": display_for_use, "otherparty": other_party, "othertarget": other_target,
    "wrongsignature": wrong_signature, "otherpid": other_pid, "regression": regression, "twoagreements": two_agreements, "repeats": repeats,
    "foreign": foreign, "stops": stops_after_agreement, "refuses": nothing, "away": honest,
    **dict.fromkeys(FOR_A_WHILE, honest), **dict.fromkeys(FOR_EVER, nothing),
}  # fmt: skip
CONSUMED = {
    "honest": honest, "illegal": accepts_illegally, "reuses": reuses_its_pid, "back": goes_back, "never": never_verifies, "ends": ends_it, "repeats": repeats,
    "foreign": foreign, "otherpid": other_pid, "wrongsignature": verifies_wrongly, "otherterms": nothing, "refuses": nothing, "away": honest,
    "dripshead": drips_its_head, "dripsbody": drips_its_body,
    **dict.fromkeys(FOR_A_WHILE, honest), **dict.fromkeys(FOR_EVER, nothing),
}  # fmt: skip
