"""Eclipse EDC as a process: started from its jars with the configuration beside this file, and spoken to by its management API (v3).

Its mock identity (`iam-mock`) shows and takes a JSON text as Authorization, without any signature; `participant` is the DID that we know it by.
"""

import asyncio
import json
import os
import time
from pathlib import Path

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.interop.jvm import Jvm, JvmError
from tests.support.management import Management
from tests.support.ports import free_ports

HERE = Path(__file__).parent
LIB = "KIZUNA_EDC_LIB"  # environment variable: the folder that `install` prints
PORTS = ("main", "control", "management", "protocol", "version", "public")
PROTOCOL = "dataspace-protocol-http:2025-1"
EDC = "https://w3id.org/edc/v0.0.1/ns/"
CONTEXT = {"@vocab": EDC, "odrl": "http://www.w3.org/ns/odrl/2/"}
EdcError = JvmError


def new_ports() -> dict[str, int]:
    """Free ports by the name of what listens there."""
    return dict(zip(PORTS, free_ports(len(PORTS)), strict=True))


def dsp_of(ports: dict[str, int]) -> str:
    return f"http://localhost:{ports['protocol']}/protocol/2025-1"


def authorization(client: str) -> str:
    """What the mock identity sends and takes."""
    return json.dumps({"region": "eu", "audience": "any", "clientId": client})


class Edc(Jvm):
    """One runtime, control plane and data plane together."""

    def __init__(self, place: Path, name: str, participant: str, *, tuned: bool = False, heap: str = "2g") -> None:
        libraries = os.environ.get(LIB, "")
        if not libraries:
            raise EdcError(f"{LIB} does not name the folder with EDC's jars: ./run interop edc sets it")
        self.participant, self.ports = participant, new_ports()
        text = (HERE / "edc.properties").read_text() + ((HERE / "tuned.properties").read_text() if tuned else "")
        private, public = key_pair()
        text = text.format(participant=participant, private_key=private, public_key=public, **self.ports)
        super().__init__(place, name, [f"{libraries}/*"], text, heap=heap)
        self._api = Management()

    @property
    def dsp(self) -> str:
        """Base address of its protocol endpoints."""
        return dsp_of(self.ports)

    async def stop(self) -> None:
        await self._api.close()
        await super().stop()

    async def call(self, method: str, path: str, body: dict | None = None) -> object:
        """One call of its management API; raises `EdcError` for a refusal."""
        url = f"http://localhost:{self.ports['management']}/management/v3{path}"
        sent = {"@context": CONTEXT, **body} if body is not None else None
        answer = await self._api.call(method, url, sent)
        if answer.status >= 400:
            raise EdcError(f"{self.name}: {method} {path}: {answer.status} {answer.body[:500].decode(errors='replace')}")
        return orjson.loads(answer.body) if answer.body.strip() else None

    # provider --------------------------------------------------------------------------------------------------------

    async def publish(self, asset: str, source: str, **properties: str) -> None:
        """An asset whose bytes are behind the URL `source`."""
        address = {"@type": "DataAddress", "type": "HttpData", "baseUrl": source}
        await self.call("POST", "/assets", {"@id": asset, "@type": "Asset", "properties": properties, "dataAddress": address})

    async def offer(self, definition: str, policy: dict, assets: list[str] | None = None) -> None:
        """One contract definition with this policy, for these assets or for all."""
        set_ = {"@context": "http://www.w3.org/ns/odrl.jsonld", "@type": "Set", **policy}
        await self.call("POST", "/policydefinitions", {"@id": f"policy-{definition}", "@type": "PolicyDefinition", "policy": set_})
        chosen = [{"@type": "Criterion", "operandLeft": f"{EDC}id", "operator": "in", "operandRight": assets}] if assets else []
        await self.call("POST", "/contractdefinitions", {
            "@id": definition, "@type": "ContractDefinition", "accessPolicyId": f"policy-{definition}",
            "contractPolicyId": f"policy-{definition}", "assetsSelector": chosen,
        })  # fmt: skip

    # consumer --------------------------------------------------------------------------------------------------------

    async def catalog(self, peer: str, address: str, *, offset: int | None = None, limit: int | None = None) -> list[dict]:
        """Datasets of a participant; with offset and limit by EDC's own QuerySpec, as its crawler pages."""
        query = {"querySpec": {"@type": "QuerySpec", "offset": offset, "limit": limit}} if limit is not None else {}
        found = await self.call("POST", "/catalog/request", {
            "@type": "CatalogRequest", "counterPartyAddress": address, "counterPartyId": peer, "protocol": PROTOCOL, **query,
        })  # fmt: skip
        listed = found.get("dcat:dataset", found.get("dataset", []))
        return listed if isinstance(listed, list) else [listed]

    async def dataset(self, peer: str, address: str, asset: str) -> dict:
        """One dataset of a participant."""
        return await self.call("POST", "/catalog/dataset/request", {
            "@id": asset, "@type": "DatasetRequest", "counterPartyAddress": address, "counterPartyId": peer, "protocol": PROTOCOL,
        })  # fmt: skip

    async def negotiate(self, peer: str, address: str, policy: dict, asset: str, *, callback: str = "") -> str:
        """Ask for a contract under an offer as its catalog call showed it; returns our id of the negotiation."""
        asked = {**policy, "@context": "http://www.w3.org/ns/odrl.jsonld", "@type": "Offer", "assigner": peer, "target": asset}  # fmt: skip
        hooks = [
            {
                "@type": "CallbackAddress",
                "uri": callback,
                "events": ["contract.negotiation.finalized", "contract.negotiation.terminated"],
                "transactional": False,
            }
        ]
        made = await self.call("POST", "/contractnegotiations", {
            "@type": "ContractRequest", "counterPartyAddress": address, "counterPartyId": peer, "protocol": PROTOCOL, "policy": asked,
            "callbackAddresses": hooks if callback else [],
        })  # fmt: skip
        return made["@id"]

    async def transfer(
        self, peer: str, address: str, contract: str, kind: str, *, destination: str = "", callback: str = ""
    ) -> str:
        """Ask for the data of a contract agreement (its own id of it)."""
        to = (
            {"@type": "DataAddress", "type": "HttpData", "baseUrl": destination}
            if destination
            else {"@type": "DataAddress", "type": "HttpProxy"}
        )
        hooks = [
            {
                "@type": "CallbackAddress",
                "uri": callback,
                "events": ["transfer.process.started", "transfer.process.terminated"],
                "transactional": False,
            }
        ]
        made = await self.call("POST", "/transferprocesses", {
            "@type": "TransferRequest", "counterPartyAddress": address, "counterPartyId": peer, "protocol": PROTOCOL, "contractId": contract,
            "transferType": kind, "dataDestination": to, "callbackAddresses": hooks if callback else [],
        })  # fmt: skip
        return made["@id"]

    async def step(self, kind: str, key: str, name: str, reason: str = "") -> None:
        """Its own step in a process: terminate, suspend, resume."""
        type_ = {"contractnegotiations": "TerminateNegotiation", "transferprocesses": f"{name.title()}Transfer"}[kind]
        await self.call("POST", f"/{kind}/{key}/{name}", {"@id": key, "@type": type_, **({"reason": reason} if reason else {})})

    # both ------------------------------------------------------------------------------------------------------------

    async def found(self, kind: str, **wanted: str) -> list[dict]:
        """Processes (`contractnegotiations`, `transferprocesses`) with these values, e.g. by the pid of the other side."""
        criteria = [
            {"@type": "Criterion", "operandLeft": name, "operator": "=", "operandRight": value} for name, value in wanted.items()
        ]
        return await self.call("POST", f"/{kind}/request", {"@type": "QuerySpec", "filterExpression": criteria, "limit": 1000})

    async def until(self, kind: str, key: str, *states: str, seconds: float = 30) -> dict:
        """The process, once it is in one of the states; raises `EdcError` when it does not come."""
        deadline = time.monotonic() + seconds
        while True:
            process = await self.call("GET", f"/{kind}/{key}")
            if process["state"] in states:
                return process
            if process["state"] == "TERMINATED":
                deadline = 0.0
            if time.monotonic() > deadline:
                raise EdcError(f"{self.name}: {kind} {key} is {process['state']}, not {states}: {process.get('errorDetail', '')}")
            await asyncio.sleep(0.1)


def key_pair() -> tuple[str, str]:
    """A fresh P-256 pair as properties carry it: PEM on one line."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode().replace("\n", "\\n"), public.decode().replace("\n", "\\n")
