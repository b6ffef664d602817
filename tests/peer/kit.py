"""A peer that plays a case step by step: it serves both sides of DSP 2025-1, sends what the case says, and waits for what the connector must send.

A case is a text of steps: `>m` send m and expect 2xx; `!m` send m and expect a refusal for the right reason; `<m` wait for m; `=S` the connector's process
must be in state S; `*` let the connector begin.
"""

import asyncio
import json
import uuid

from aiohttp import ClientSession, web

CONTEXT = ["https://w3id.org/dspace/2025/1/context.jsonld"]
NEGOTIATION = {  # step -> (path, @type, further members)
    "request": ("request", "ContractRequestMessage", {}),
    "offer": ("offers", "ContractOfferMessage", {}),
    "accepted": ("events", "ContractNegotiationEventMessage", {"eventType": "ACCEPTED"}),
    "agreement": ("agreement", "ContractAgreementMessage", {}),
    "verification": ("agreement/verification", "ContractAgreementVerificationMessage", {}),
    "finalized": ("events", "ContractNegotiationEventMessage", {"eventType": "FINALIZED"}),
    "terminate": ("termination", "ContractNegotiationTerminationMessage", {"code": "1", "reason": ["test"]}),
}
TRANSFER = {
    "request": ("request", "TransferRequestMessage", {}),
    "start": ("start", "TransferStartMessage", {}),
    "suspend": ("suspension", "TransferSuspensionMessage", {"code": "1", "reason": ["test"]}),
    "complete": ("completion", "TransferCompletionMessage", {}),
    "terminate": ("termination", "TransferTerminationMessage", {"code": "1", "reason": ["test"]}),
}


class Kit:
    """One running peer; a case at a time."""

    def __init__(self, connector: str, trigger: str) -> None:
        self.connector, self.trigger = connector, trigger
        self.arrived: asyncio.Queue = asyncio.Queue()
        self.validators = {}
        self.base = ""

    async def __aenter__(self):
        app = web.Application()
        app.router.add_post("/{path:.*}", self._receive)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.http = ClientSession()
        return self

    async def __aexit__(self, *_):
        await self.http.close()
        await self._runner.cleanup()

    async def _receive(self, request):
        value = await request.json()
        path = request.match_info["path"]
        await self.arrived.put((path, value))
        if path.endswith("/request") and path.count("/") == 1:
            kind = "ContractNegotiation" if path.startswith("negotiations") else "TransferProcess"
            self.theirs = value["consumerPid"]
            body = {"@context": CONTEXT, "@type": kind, "consumerPid": self.theirs, "providerPid": self.own, "state": "REQUESTED"}
            return web.json_response(body, status=201)
        return web.Response(status=200)

    async def play(self, kind, role, sample, steps, *, offer_id="", agreement_id=""):
        """Play a case; `role` is the connector's. Raises AssertionError at the step that goes wrong."""
        self.kind, self.role, self.sample = kind, role, sample
        self.own, self.theirs = str(uuid.uuid4()), ""
        self.offer_id = offer_id or f"offer{sample}"
        self.table = NEGOTIATION if kind == "negotiations" else TRANSFER
        while not self.arrived.empty():
            self.arrived.get_nowait()
        for step in steps.split():
            try:
                await self._step(step)
            except (AssertionError, TimeoutError) as error:
                raise AssertionError(f"{sample} at {step} of {steps!r}: {error!r}") from error

    async def _step(self, step):
        match step[0]:
            case "*":
                await self._begin()
            case "<":
                await self._await(step[1:])
            case "=":
                assert await self._state() == step[1:]
            case ">":
                status, body = await self._send(step[1:])
                assert 200 <= status < 300, body
            case "!":
                status, body = await self._send(step[1:])
                assert status == 400, (status, body)
                assert json.loads(body)["code"] == "illegal-transition", body
                assert json.loads(body)["@type"].endswith("Error")

    async def _begin(self):
        said = {"providerId": "TCK_PARTICIPANT", "connectorAddress": self.base}
        said |= (
            {"offerId": self.offer_id, "datasetId": self.sample}
            if self.kind == "negotiations"
            else {"agreementId": self.sample, "format": "HttpData-PULL"}
        )
        async with self.http.post(f"{self.trigger}/{self.kind}", json=said) as answer:
            assert answer.status == 200

    async def _await(self, name):
        path, value = await asyncio.wait_for(self.arrived.get(), 8)
        tail, type_, members = self.table[name]
        assert value["@type"] == type_, value
        assert path.endswith(tail)
        assert all(value.get(key) == wanted for key, wanted in members.items() if key == "eventType")
        if not (name == "request" and "callbackAddress" in value):
            mine, other = ("consumerPid", "providerPid") if self.role == "provider" else ("providerPid", "consumerPid")
            assert (value[mine], value[other]) == (self.own, self.theirs)
        if self.validators:
            self.validators[type_].validate(value)

    async def _state(self):
        async with self.http.get(f"{self.connector}/{self.kind}/{self.theirs}") as answer:
            assert answer.status == 200
            return (await answer.json())["state"]

    async def _send(self, name):
        tail, type_, members = self.table[name]
        pids = (
            {"consumerPid": self.own, "providerPid": self.theirs}
            if self.role == "provider"
            else {"providerPid": self.own, "consumerPid": self.theirs}
        )
        value = {"@context": CONTEXT, "@type": type_, "@id": str(uuid.uuid4()), **pids, **members}
        offer = {"@id": self.offer_id, "@type": "Offer", "target": self.sample, "permission": [{"action": "use"}]}
        first = name == "request" and not self.theirs
        if name in ("request", "offer") and self.kind == "negotiations":
            value["offer"] = offer
        if name == "agreement":
            value["agreement"] = offer | {"@id": str(uuid.uuid4()), "@type": "Agreement", "assigner": "TCK_PARTICIPANT", "assignee": "did:web:connector.example",
                                          "timestamp": "2026-11-24T09:00:00Z"}  # fmt: skip
        if first:
            del value["providerPid"]
            value["callbackAddress"] = self.base
            value |= {"agreementId": self.sample, "format": "HttpData-PULL"} if self.kind == "transfers" else {}
        url = f"{self.connector}/{self.kind}/{tail}" if first else f"{self.connector}/{self.kind}/{self.theirs}/{tail}"
        async with self.http.post(url, json=value) as answer:
            body = await answer.text()
        if first and answer.status < 300:
            self.theirs = json.loads(body)["providerPid"]
        return answer.status, body
