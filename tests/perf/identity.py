"""How fast callers are verified, status is read, and a revocation is out: real keys, real TLS on loopback, real databases.

One process plays the verifier, the issuer's host and the holders with their wallets, so every exchange pays for both sides.
"""

import asyncio
import random
import secrets
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import msgspec
from aiohttp import web

from connector.store.sqlite import SqliteStore, open_database
from identity import did as dids
from identity import status, vc
from identity.door import Presentations
from identity.jose import Signer, token_for
from identity.leaf import read_leaf
from identity.resolve import Resolver
from identity.schemas import CredentialSchemas
from identity.service.authority.standing import REVOKE
from identity.statusread import StatusReader
from identity.tls.contexts import client_context, server_context
from identity.tls.web import WebCa
from identity.trust import IssuerRule, TrustPolicy
from identity.verify import Caller, Door, PeerRule, TokenDoor, TokenUse, authenticate
from identity.wallet.credentials import PATH, CredentialService, held
from identity.wallet.port import CredentialRequest
from identity.wallet.sts import Sts
from kernel.clock import SystemClock
from kernel.http import GuardedClient, Outbound
from kernel.web import Route, application, serve
from tests.perf.measure import Measure, at_least, at_most
from tests.support.consortium import consortium
from tests.support.ports import free_port
from tests.unit.identity_core.world import ALL, MEMBERSHIP, certificate, signer

HOLDERS = 16
ENTRIES = 1_000_000
CLOCK = SystemClock()


class Host:
    """Everybody's host on loopback: DID documents, wallets, status lists, over TLS."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.directory = directory
        self.base = f"https://localhost:{self.port}"
        self.database = open_database(directory / "data.sqlite")
        self.lists: dict[str, bytes] = {}
        self.routes: list[Route] = []
        authority = WebCa.create()
        made = authority.issue(["localhost"])
        for name, pem in (("server.pem", made[0]), ("server.key", made[1]), ("roots.pem", authority.certificate_pem)):
            (directory / name).write_bytes(pem)
        self.client = GuardedClient(Outbound(allow=frozenset({"localhost"})), tls=lambda: client_context(directory / "roots.pem"))
        self.resolver = Resolver(self.client, CLOCK)
        self.issuer, self.verifier = self.party("issuer"), self.party("verifier")
        self._get("/status/{name}", self._list)
        self.door = Door(
            did=self.did(self.verifier),
            resolver=self.resolver,
            clock=CLOCK,
            seen=self.store(self.verifier).seen,
            trust=TrustPolicy([IssuerRule(self.did(self.issuer), frozenset({"MembershipCredential"}))]),
            status=StatusReader(self.resolver, self.client, CLOCK),
            schemas=CredentialSchemas(self.client, CLOCK),
            client=self.client,
            signer=self.verifier,
            rules=lambda did: PeerRule(did, "required", (MEMBERSHIP,)),
        )

    def did(self, key: Signer) -> str:
        return key.kid.partition("#")[0]

    def store(self, key: Signer) -> SqliteStore:
        return SqliteStore(self.database, self.did(key))

    def party(self, name: str) -> Signer:
        """A new participant whose document names a credential service."""
        key = signer(f"did:web:localhost%3A{self.port}:{name}")
        service = dids.Service("#cs", "CredentialService", f"{self.base}/{name}{PATH}")
        document = dids.document(self.did(key), [dids.Key(key.kid, key.public_jwk(), ALL)], [service])

        async def answer(_request: web.Request) -> web.Response:
            return web.json_response(document)

        self._get(f"/{name}/did.json", answer)
        return key

    async def holder(self, name: str, entry: vc.StatusEntry) -> "Holder":
        """A member with a wallet, which holds a membership credential."""
        key = self.party(name)
        did, store, sts = self.did(key), self.store(key), Sts(self.did(key), key, CLOCK)
        now = CLOCK.now()
        credential = vc.parse_vc(
            vc.issue(
                self.issuer, id=f"urn:uuid:{name}", types=["MembershipCredential"], subject={"id": did, "memberOf": "x"},
                valid_from=now - timedelta(minutes=1), valid_until=now + timedelta(days=90), status=[entry],
            )
        )  # fmt: skip
        request = CredentialRequest(id=name, issuer=self.did(self.issuer), definitions=("m",), state="ISSUED")
        await store.store(request, [held(credential)], TokenUse(did, name, now + timedelta(minutes=1)))
        door = TokenDoor(did=did, resolver=self.resolver, clock=CLOCK, seen=store.seen)
        wallet = CredentialService(door, sts, key, store)
        self.routes += [msgspec.structs.replace(each, path=f"/{name}{each.path}") for each in wallet.routes()]
        return Holder(key, sts, self.did(self.verifier))

    async def put(self, name: str, bits: status.BitString) -> str:
        url, now = f"{self.base}/status/{name}", CLOCK.now()
        self.lists[name] = vc.issue(
            self.issuer, id=url, types=[status.list_type(status.BITSTRING)], subject=status.list_subject(url, "revocation", bits),
            valid_from=now - timedelta(minutes=1), valid_until=now + timedelta(days=1),
        ).encode()  # fmt: skip
        return url

    def _get(self, path: str, handler: Callable[[web.Request], Awaitable[web.Response]]) -> None:
        self.routes.append(Route(method="GET", path=path, handler=handler, auth="none", summary=path))

    async def _list(self, request: web.Request) -> web.Response:
        body = self.lists[request.match_info["name"]]
        etag = f'"{hash(body)}"'
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304)
        return web.Response(body=body, content_type="application/vc+jwt", headers={"ETag": etag})


class Holder:
    """A member as a caller: a member certificate, and a new token for every call."""

    def __init__(self, key: Signer, sts: Sts, verifier: str) -> None:
        self.key, self.sts, self.verifier = key, sts, verifier
        self.did = key.kid.partition("#")[0]
        self.leaf = certificate(self.did)
        self.thumbprint = read_leaf(self.leaf).thumbprint

    def caller(self) -> Caller:
        access = self.sts.access_token(self.verifier, [MEMBERSHIP])
        token = token_for(
            self.key, self.verifier, now=CLOCK.now(), jti=secrets.token_hex(16), token=access, thumbprint=self.thumbprint
        )
        return Caller((f"Bearer {token}",), self.leaf)


async def measures() -> AsyncIterator[Measure]:
    """The figures of `./run bench identity`."""
    with tempfile.TemporaryDirectory(prefix="kizuna-bench-") as folder:
        host = Host(Path(folder))
        bits = status.BitString.empty(ENTRIES)
        chance = random.Random(5)
        for _ in range(ENTRIES // 20):
            bits.set(chance.randrange(ENTRIES // 2))  # the half that no member of ours has
        url = await host.put("1", bits)
        entries = [vc.StatusEntry(url=url, index=ENTRIES - 1 - number, purpose="revocation") for number in range(HOLDERS)]
        holders = [await host.holder(f"h{number}", entry) for number, entry in enumerate(entries)]
        tls = server_context(host.directory / "server.pem", host.directory / "server.key")
        listener = await serve(application(host.routes), "127.0.0.1", host.port, tls)
        try:
            yield await cached(host, holders)
            yield await exchanges(host, holders)
            for measure in await queries(host, holders[0]):
                yield measure
        finally:
            await host.client.close()
            await listener.close()
            host.database.close()
    yield await revocations()


async def cached(host: Host, holders: list[Holder]) -> Measure:
    """Callers whose presentation is known: token, channel, cached presentation, status from the list at hand. One core."""
    for each in holders:
        await authenticate(host.door, each.caller(), fresh=False)
    best = 0.0
    for _ in range(3):
        callers = [holders[number % HOLDERS].caller() for number in range(3_000)]
        began = time.process_time()
        for each in callers:
            await authenticate(host.door, each, fresh=False)
        best = max(best, len(callers) / (time.process_time() - began))
    return at_least("token verification, presentation cached", best, "1/s and core", 3_000)


async def exchanges(host: Host, holders: list[Holder]) -> Measure:
    """Callers whose presentation is not known: it is queried from their credential service, and all of it is verified."""

    async def again(holder: Holder) -> None:
        for _ in range(40):
            host.door.presentations = Presentations()
            await authenticate(host.door, holder.caller(), fresh=True)

    await asyncio.gather(*(again(each) for each in holders[:2]))
    began = time.perf_counter()
    await asyncio.gather(*(again(each) for each in holders))
    return at_least("presentation exchange on loopback", HOLDERS * 40 / (time.perf_counter() - began), "1/s", 150)


async def queries(host: Host, holder: Holder) -> list[Measure]:
    """One status query in a list of a million: with the list at hand, asked for again (304), and fetched whole."""
    shown = await authenticate(host.door, holder.caller(), fresh=True)
    credential, found = shown.credentials[0], []
    for name, age in (("list at hand", 900.0), ("list asked for again", 0.0)):
        found.append(at_most(f"status query in 1,000,000, {name}", await _median(host.door.status, credential, age), "ms", 5))

    async def whole() -> float:
        reader = StatusReader(host.resolver, host.client, CLOCK)
        return await _timed(reader, credential, 0.0)

    times = [await whole() for _ in range(50)]
    return [*found, at_most("status query in 1,000,000, list fetched whole", statistics.median(times), "ms", 5)]


async def _median(reader: StatusReader, credential: vc.Credential, age: float) -> float:
    return statistics.median([await _timed(reader, credential, age) for _ in range(50)])


async def _timed(reader: StatusReader, credential: vc.Credential, age: float) -> float:
    began = time.perf_counter()
    assert await reader.read(credential, max_age=age) == frozenset()
    return (time.perf_counter() - began) * 1_000


async def revocations() -> Measure:
    """A thousand members revoked in one go, until their status lists and the revocation list are signed."""
    with tempfile.TemporaryDirectory(prefix="kizuna-bench-") as folder:
        found = consortium(Path(folder), CLOCK)
        try:
            members = await found.add(1_000, credentials=2)
            await found.publish()
            began = time.perf_counter()
            await found.standing.change_all(members, REVOKE)
            took = time.perf_counter() - began
        finally:
            found.ledger.database.file.close()
    return at_most("1,000 members revoked, lists signed", took, "s", 5)
