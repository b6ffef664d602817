"""What the DCP kit tests, put together from the product's parts: a credential service with its token service, a verifier, an issuer.

Plain HTTP on loopback, and did:web over http: only here, in test code; no setting of the product reaches it. Every refusal is kept with its reason.
"""

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from unittest import mock

from yarl import URL

from connector.dsp.node import spent
from connector.store.sqlite import SqliteStore, open_database
from deploy.demo.world import write_certificate
from identity.did import Service, document
from identity.keys import KeyStore
from identity.profiles import PROFILES
from identity.resolve import Resolver
from identity.schemas import CredentialSchemas
from identity.service import app as identity_service
from identity.service import setup
from identity.service.settings import Settings
from identity.service.store.members import Member
from identity.statusread import StatusReader
from identity.tls.web import WebCa
from identity.trust import IssuerRule, TrustPolicy
from identity.verify import Caller, Door, PeerRule, TokenDoor, authenticate
from identity.wallet.clients import Client, Clients, new_secret
from identity.wallet.credentials import PATH, CredentialService
from identity.wallet.port import CredentialRequest
from identity.wallet.sts import Sts
from identity.wallet.tokens import TokenEndpoint
from kernel.clock import SystemClock
from kernel.http import GuardedClient, Outbound
from kernel.web import Route, application, json_response, problem, serve

ROLES = ("credential-service", "verifier", "issuer")
SCOPE = "org.eclipse.dspace.dcp.vc.type:MembershipCredential:read"
TYPES = ("MembershipCredential", "SensitiveDataCredential")
HOLDER_PID, CLIENT = "conformance-holder-pid", "dcp-kit"
LOOPBACK = frozenset({"localhost", "127.0.0.1"})
# The kit reads one status entry per credential.
DEFINITIONS = "".join(
    f"""
[[credential]]
id = "{each}-1"
type = "{each}"
format = "vc11-sl2021/jwt"
days = 30
statuses = ["revocation"]
[credential.claims]
memberOf = "$dataSpace"
"""
    for each in TYPES
)


def did_of(url: str, name: str = "") -> str:
    """did:web of a server on this machine; the kit's parts are `holder`, `issuer`, `verifier` and `thirdparty`."""
    found = URL(url)
    return f"did:web:{found.host}%3A{found.port}" + (f":{name}" if name else "")


class UnderTest:
    """One role on 127.0.0.1, reached as localhost. `refusals` holds the errors that were answered, the last one last."""

    def __init__(self, place: Path, port: int, kit: str) -> None:
        self.place, self.port, self.kit = place, port, kit
        self.url, self.did = f"http://localhost:{port}", f"did:web:localhost%3A{port}"
        self.clock = SystemClock()
        self.client = _client()
        self.resolver = Resolver(self.client, self.clock, scheme="http")
        self.refusals = []
        self.properties = {"callback.address": kit}

    def _noted(self, request, error):
        self.refusals.append(error)
        return problem(request, error)

    @asynccontextmanager
    async def serving(self):
        listener = await serve(application(await self.routes(), errors=self._noted), "127.0.0.1", self.port)
        try:
            yield self
        finally:
            await listener.close()
            await self.close()

    def _published(self, keys, *services):
        entries = [Service(f"{self.did}#{kind}", kind, endpoint) for kind, endpoint in services]
        value = document(self.did, keys.published(), entries)

        async def show(_request):
            return json_response(value, content_type="application/did+json")

        return Route(method="GET", path="/.well-known/did.json", handler=show, auth="none", summary="DID document")

    def _wallet(self):
        """Keys and the store of a participant: the connector's."""
        keys = KeyStore(self.place / "keys", self.did)
        for purpose in ("si", "vp"):
            keys.generate(purpose)
        self.store = SqliteStore(open_database(self.place / "data.sqlite"), self.did)
        return keys

    async def close(self):
        await self.client.close()
        await self.store.close()


class HolderUnderTest(UnderTest):
    """Credential service and token service of a connector."""

    package = "presentation.cs,issuance.cs"

    async def routes(self):
        keys = self._wallet()
        secret, kept = new_secret()
        self.sts = Sts(self.did, keys.open("si"), self.clock)
        door = TokenDoor(did=self.did, resolver=self.resolver, clock=self.clock, seen=self.store.seen)
        issuer = did_of(self.kit, "issuer")
        service = CredentialService(door, self.sts, keys.open("vp"), self.store, profiles=_kit)
        request = CredentialRequest(
            id=HOLDER_PID, issuer=issuer, definitions=tuple(f"{each}-1" for each in TYPES), state="REQUESTED"
        )
        await self.store.save_request(request)
        self.properties |= {
            "did.holder": self.did,
            "sts.url": f"{self.url}/sts",
            "sts.client.id": CLIENT,
            "sts.client.secret": secret,
            "credentials.correlation.id": HOLDER_PID,
        }
        tokens = TokenEndpoint(self.sts, Clients([Client(CLIENT, kept)], self.clock))
        return [self._published(keys, ("CredentialService", self.url + PATH)), *service.routes(), *tokens.routes()]


class VerifierUnderTest(UnderTest):
    """The door of a connector. What triggers it is a route of its own, since the kit's body is no DSP message."""

    package = "presentation.verifier"

    async def routes(self):
        keys = self._wallet()
        self.door = Door(
            did=self.did,
            resolver=self.resolver,
            clock=self.clock,
            seen=self.store.seen,
            trust=TrustPolicy([IssuerRule(did_of(self.kit, "issuer"), frozenset(TYPES))]),
            status=StatusReader(self.resolver, self.client, self.clock),
            client=self.client,
            signer=keys.open("si"),
            rules=lambda did: PeerRule(did, "off", (SCOPE,), profile=_kit(did)),
            schemas=CredentialSchemas(self.client, self.clock),
        )
        self.properties |= {"did.verifier": self.did, "vpp.trigger.endpoint": f"{self.url}/trigger"}
        trigger = Route(method="POST", path="/trigger", handler=self.trigger, auth="token", summary="trigger of the kit")
        return [self._published(keys, ("CredentialService", self.url + PATH)), trigger]

    async def trigger(self, request):
        self.door.presentations = type(self.door.presentations)()  # every case shows something else
        who = await authenticate(self.door, Caller(tuple(request.headers.getall("Authorization", []))), fresh=True)
        await self.store.spend(spent(who.token))
        return json_response({"did": who.did, "claims": who.claims})


class IssuerUnderTest(UnderTest):
    """The identity service, as `open_service` makes it, with the kit's holder as a member."""

    package = "issuance.issuer"

    async def routes(self):
        directory = self.place / "identity"
        certificate, key = write_certificate(self.place / "server", WebCa.create().issue(["localhost"]))
        (self.place / "definitions.toml").write_text(DEFINITIONS, encoding="utf-8")
        settings = Settings(
            name="kit",
            data_space="kit.example",
            port=self.port,
            management_port=1 + self.port % 65535,
            allow_private=tuple(LOOPBACK),
        )
        setup.initialise(
            directory, settings, certificate=certificate, key=key, credential_definitions=self.place / "definitions.toml",
            roots=None, clock=self.clock,
        )  # fmt: skip
        with (
            mock.patch.object(identity_service, "Resolver", partial(Resolver, scheme="http")),
            mock.patch.object(identity_service, "GuardedClient", return_value=_client()),
        ):
            self.service = await identity_service.open_service(directory, self.clock)
        self.books = self.service.worker.ledger
        await self._admit(did_of(self.kit, "holder"))
        self.service.database.on_commit(self.service.worker.wake.set)
        await self.service.publish()
        self.worker = asyncio.create_task(self.service.worker.run())
        self.properties |= {"did.issuer": self.did, "credentials.correlation.id": HOLDER_PID}
        return [self._plain(each) for each in self.service.public]

    async def _admit(self, did):
        now = self.books.now()
        member = Member(
            id="kit-holder", number="M0001", name="Kit", corporate_number="4012300045678", did=did, state="ACTIVE", since=now[:10], changed=now
        )  # fmt: skip
        await self.books.database.write(lambda c: self.books.members.save(c, member))

    def _plain(self, route):
        """The service says https of itself; the kit knows http only. A holderPid that comes again is a new request to the kit."""

        async def handler(request):
            if route.path.endswith("/credentials"):
                await self._forget()
            answer = await route.handler(request)
            if "Location" in answer.headers:
                answer.headers["Location"] = self._http(answer.headers["Location"])
            if route.path.endswith("did.json"):
                answer.text = self._http(answer.text)
            return answer

        return Route(method=route.method, path=route.path, handler=handler, auth=route.auth, summary=route.summary)

    def _http(self, text):
        return text.replace(f"https://localhost:{self.port}", self.url)

    async def _forget(self):
        def work(connection):
            connection.execute("UPDATE issuance SET holder_pid = holder_pid || id WHERE state <> 'APPROVED'")

        await self.books.database.write(work)

    async def close(self):
        self.worker.cancel()
        await asyncio.gather(self.worker, return_exceptions=True)
        await self.service.client.close()
        await self.client.close()
        await self.service.database.close()


def _kit(_did):
    return PROFILES["dcp-tck"]


def _client():
    return GuardedClient(Outbound(allow=LOOPBACK, require_https=False), tls=lambda: False)


def under_test(role: str, place: Path, port: int, kit: str) -> UnderTest:
    """The named role, not serving yet."""
    kinds = {"credential-service": HolderUnderTest, "verifier": VerifierUnderTest, "issuer": IssuerUnderTest}
    return kinds[role](place, port, kit)


def properties(found: UnderTest) -> str:
    """The outside kit's configuration for a role that is serving."""
    kit = URL(found.kit)
    known = found.properties | {
        "host": "0.0.0.0" if kit.host == "0.0.0.0" else "localhost",
        "port": str(kit.port),
        "test.package": ",".join(f"org.eclipse.dataspacetck.dcp.verification.{each}" for each in found.package.split(",")),
        "revocation.type": "bitstringstatuslist",
    }
    return "".join(f"dataspacetck.{name}={value}\n" for name, value in sorted(known.items()))
