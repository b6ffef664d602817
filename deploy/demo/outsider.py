"""The peer from outside: its own DID and keys, a credential of an issuer that the consortium recognises, no certificate of its CA.

It is made of the same parts as a connector's wallet: it serves its DID document and credential service, and makes its calls with Self-Issued ID tokens,
over plain HTTPS without a client certificate.
"""

import asyncio
import threading
import uuid
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from connector.dsp import messages
from identity.did import Service, document, embedded_document
from identity.did.multibase import base58
from identity.jose import Signer
from identity.keys import FileSigner, KeyStore
from identity.resolve import Resolver
from identity.tls import contexts
from identity.vc import issue, parse_vc
from identity.verify import TokenDoor, TokenUse
from identity.wallet.credentials import PATH, CredentialService, held
from identity.wallet.port import CredentialRequest, Held
from identity.wallet.sts import Sts
from kernel import wire
from kernel.clock import SystemClock
from kernel.http import GuardedClient, Outbound, Reply
from kernel.web import Listener, Route, application, json_response, serve

T = TypeVar("T")
CREDENTIAL = "PartnerCredential"
SCOPE = f"org.eclipse.dspace.dcp.vc.type:{CREDENTIAL}:read"
_ED25519 = b"\xed\x01"


class Wallet:
    """One credential, in memory: this peer ends with the story."""

    def __init__(self) -> None:
        self.credentials: list[Held] = []

    async def held(self) -> list[Held]:
        return self.credentials

    async def request(self, key: str) -> CredentialRequest | None:  # noqa: ARG002  it asks nobody for credentials
        return None

    async def open_requests(self) -> list[CredentialRequest]:
        return []

    async def save_offered(self, requests: list[CredentialRequest], token: TokenUse) -> None:
        """Nobody offers it anything."""

    async def save_request(self, request: CredentialRequest, token: TokenUse | None = None) -> None:
        """Nothing is asked for."""

    async def store(self, request: CredentialRequest, credentials: list[Held], token: TokenUse) -> None:
        """Nothing is delivered."""

    async def seen(self, token: TokenUse) -> bool:  # noqa: ARG002  it remembers none
        """Whether a token was used before."""
        return False

    async def spend(self, token: TokenUse) -> None:
        """Its tokens are used within the story only."""


class Outsider:
    """The peer, in a thread of its own."""

    def __init__(self, directory: Path, port: int, roots: Path) -> None:
        self.did, self._port, self._directory = f"did:web:localhost%3A{port}", port, directory
        self._clock, self._wallet = SystemClock(), Wallet()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="outsider", daemon=True)
        self._client = GuardedClient(Outbound(allow=frozenset({"localhost"})), tls=lambda: contexts.client_context(roots))
        self._certificate: tuple[Path, Path] | None = None
        self._listener: Listener | None = None
        keys = KeyStore(directory / "keys", self.did)
        self._keys = keys
        self._sts = Sts(self.did, keys.generate("si"), self._clock)
        self._presenter: Signer = keys.generate("vp")
        self.issuer_did, self._issuer = _issuer(directory / "issuer")

    @classmethod
    def create(cls, directory: Path, port: int, roots: Path) -> "Outsider":
        """Keys and DID; nothing runs yet."""
        return cls(directory, port, roots)

    def make(self, certificate: tuple[Path, Path]) -> None:
        """Take a server certificate and a credential of the recognised issuer."""
        self._certificate = certificate
        now = self._clock.now()
        jwt = issue(
            self._issuer,
            id=f"urn:uuid:{uuid.uuid4()}",
            types=[CREDENTIAL],
            subject={"id": self.did, "partnerOf": "a neighbouring data space"},
            valid_from=now - timedelta(minutes=1),
            valid_until=now + timedelta(days=1),
            issuer=self.issuer_did,
        )
        self._wallet.credentials.append(held(parse_vc(jwt)))

    def start(self) -> None:
        """Serve the DID document and the credential service."""
        self._thread.start()
        self._run(self._serve())

    def stop(self) -> None:
        """End serving."""
        if not self._thread.is_alive():
            self._loop.close()
            return
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    def catalog(self, provider: str) -> tuple[set[str], set[str]]:
        """Ids of the datasets that the provider shows it, and the addresses that it is to use."""
        reply = self._run(self._call(provider, "/catalog/request", messages.encode("CatalogRequestMessage")))
        found = wire.loads(reply.body, limit=1 << 24) if reply.status == 200 else {}
        shown = {each["endpointURL"] for each in found.get("service", [])}
        return {each["@id"] for each in found.get("dataset", [])}, shown

    def negotiate(self, provider: str, dataset: str, offer: dict[str, Any]) -> int:
        """The status that a contract request for members' data gets."""
        asked = {"@id": offer["id"], "@type": "Offer", "target": dataset, "permission": [{"action": "use"}]}
        callback = f"https://localhost:{self._port}/dsp"
        body = messages.encode(
            "ContractRequestMessage", **{"@id": f"urn:uuid:{uuid.uuid4()}", "consumerPid": f"urn:uuid:{uuid.uuid4()}"},
            offer=asked, callbackAddress=callback,
        )  # fmt: skip
        return self._run(self._call(provider, "/negotiations/request", body)).status

    def address(self, provider: str) -> str:
        """Where the provider takes calls of peers without a member certificate, by its DID document."""
        return self._run(self._base(provider))

    async def _base(self, provider: str) -> str:
        found = await Resolver(self._client, self._clock).resolve(provider)
        return next(each.endpoint for each in found.services if each.id == f"{provider}#dsp-public")

    async def _call(self, provider: str, path: str, body: bytes) -> Reply:
        base = await self._base(provider)
        headers = {"Authorization": f"Bearer {self._sts.token(provider, scopes=[SCOPE])}", "Content-Type": "application/json"}
        return await self._client.request("POST", base + path, headers=headers, body=body, max_bytes=1 << 24)

    async def _serve(self) -> None:
        resolver = Resolver(self._client, self._clock)
        door = TokenDoor(did=self.did, resolver=resolver, clock=self._clock, seen=self._wallet.seen)
        services = [
            Service(f"{self.did}#cs", "CredentialService", f"https://localhost:{self._port}{PATH}"),
            Service(f"{self.did}#dsp", "DataService", f"https://localhost:{self._port}/dsp"),
        ]
        published = document(self.did, self._keys.published(), services)

        async def did_document(_request: web.Request) -> web.Response:
            return json_response(published)

        routes = [
            Route(method="GET", path="/.well-known/did.json", handler=did_document, auth="none", summary="DID document"),
            *CredentialService(door, self._sts, self._presenter, self._wallet).routes(),
        ]
        if self._certificate is None:
            raise RuntimeError("make comes before start")
        self._listener = await serve(application(routes), "127.0.0.1", self._port, contexts.server_context(*self._certificate))

    async def _close(self) -> None:
        if self._listener is not None:
            await self._listener.close()
        await self._client.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)


def _issuer(directory: Path) -> tuple[str, Signer]:
    """A recognised issuer that needs no host: a did:key, and a signer under it."""
    made = KeyStore(directory, "did:key:new").generate("vc", alg="EdDSA")
    name = "z" + base58(_ED25519 + wire.unb64url(made.public_jwk()["x"]))
    did = f"did:key:{name}"
    embedded_document(did)
    return did, FileSigner(f"{did}#{name}", "EdDSA", made._key)  # noqa: SLF001  the same key under its own DID
