"""EDC's IdentityHub and its control plane with DCP as processes, spoken to by their APIs.

What the published artifacts (0.15.1) do not allow as they are
- The hub has no first caller of its identity API, and knows the scope alias of DCP 1.0 not: `hub/src`.
- The control plane asks for no scope, and the extension that draws tokens from a remote service (`decentralized-claims-sts-remote-client`) is not published,
  only its library: `plane/src`.
- `issuerservice-bom` is not published: the consortium of these tests is ours.
- Neither serves TLS by itself, so both sides meet on plain HTTP, with did:web over http (`edc.iam.did.web.use.https=false`; `tests/support/plain.py`).
- There is no member certificate: the peer's rule says `mtls = "off"`.
"""

import base64
import json
import os
import secrets
from pathlib import Path

import aiohttp

from tests.interop.edc.runtime import Edc, key_pair
from tests.interop.jvm import Jvm, JvmError
from tests.support.management import Management
from tests.support.ports import free_ports

HERE = Path(__file__).parent
BUILD = "KIZUNA_EDC_DCP"  # environment variable: the folder that `install` prints
HUB_PORTS = ("main", "identity", "credentials", "did", "sts", "version")
SUPER_USER = "super-user"


def classes(part: str) -> list[str]:
    """The class path of `hub` or `plane`."""
    build = os.environ.get(BUILD, "")
    if not build:
        raise JvmError(f"{BUILD} does not name the folder with the jars: ./run interop edc-dcp sets it")
    return [f"{build}/{part}/classes", f"{build}/{part}/lib/*"]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Hub(Jvm):
    """One IdentityHub: DID documents, keys, credentials and token service of several participants."""

    def __init__(self, place: Path) -> None:
        self.ports = dict(zip(HUB_PORTS, free_ports(len(HUB_PORTS)), strict=True))
        self._key = f"{encoded(SUPER_USER)}.{secrets.token_urlsafe(32)}"
        text = (HERE / "hub.properties").read_text()
        super().__init__(place, "hub", classes("hub"), text.format(key=self._key, **self.ports))
        self._session: aiohttp.ClientSession | None = None

    def did(self, name: str) -> str:
        return f"did:web:localhost%3A{self.ports['did']}:{name}"

    @property
    def sts(self) -> str:
        return f"http://localhost:{self.ports['sts']}/api/sts/token"

    async def ready(self) -> None:
        await super().ready()
        self._session = aiohttp.ClientSession(headers={"x-api-key": self._key})

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()
        await super().stop()

    async def call(self, method: str, path: str, body: object = None) -> object:
        url = f"http://localhost:{self.ports['identity']}/api/identity/v1alpha{path}"
        async with self._session.request(method, url, json=body) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise JvmError(f"hub: {method} {path}: {answer.status} {text[:500]}")
            return json.loads(text) if text.strip() else None

    async def participant(self, name: str, dsp: str, *, algorithm: dict[str, str]) -> tuple[str, str]:
        """A new participant with a key and a published DID document; (client id, client secret) of its token service."""
        did, credentials = (
            self.did(name),
            f"http://localhost:{self.ports['credentials']}/api/credentials/v1/participants/{encoded(name)}",
        )
        made = await self.call("POST", "/participants", {
            "participantContextId": name, "did": did, "active": True, "roles": [],
            "keys": [{"keyId": f"{did}#key-1", "privateKeyAlias": f"{name}-key-1", "keyGeneratorParams": algorithm}],
            "serviceEndpoints": [
                {"type": "CredentialService", "id": f"{did}#cs", "serviceEndpoint": credentials},
                {"type": "DataService", "id": f"{did}#dsp-public", "serviceEndpoint": dsp},
            ],
        })  # fmt: skip
        return made["clientId"], made["clientSecret"]

    async def store(self, name: str, jwt: str, body: dict) -> None:
        """Put a credential into a participant's wallet; `body` is the same as JSON, as its API wants it beside the signed form."""
        await self.call("POST", f"/participants/{encoded(name)}/credentials", {
            "id": body["id"], "participantContextId": name,
            "verifiableCredentialContainer": {"rawVc": jwt, "format": "VC1_0_JWT", "credential": body},
        })  # fmt: skip

    async def held(self, name: str) -> list[str]:
        """Ids of a participant's credentials."""
        return [each["id"] for each in await self.call("GET", f"/participants/{encoded(name)}/credentials")]

    async def drop(self, name: str, credential: str) -> None:
        await self.call("DELETE", f"/participants/{encoded(name)}/credentials/{credential}")


class Plane(Edc):
    """Control plane and data plane of a participant of the hub."""

    def __init__(self, place: Path, name: str, hub: Hub, issuer: str, client: tuple[str, str], ports: dict[str, int]) -> None:
        self.participant, self.ports = hub.did(name), ports
        private, public = key_pair()
        text = (HERE / "plane.properties").read_text().format(
            participant=name, did=self.participant, issuer=issuer, sts_url=hub.sts, sts_client=client[0], sts_secret=client[1],
            private_key=private, public_key=public, **ports,
        )  # fmt: skip
        Jvm.__init__(self, place, name, classes("plane"), text)
        self._api = Management()
