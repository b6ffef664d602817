"""Attacks on issuer and CA: identity.md 6, groups 47 (requests for certificates) and 49 to 52, over HTTP with real tokens and a real database."""

import secrets
from datetime import timedelta

import pytest
from aiohttp.test_utils import TestClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from identity import did as dids
from identity.service.ca.crl import RevocationList
from identity.service.ca.enrolment import Enrolment
from identity.service.ca.revocation import CertificateRevocation
from identity.service.ca.routes import CaRoutes
from identity.service.callers import Callers
from identity.service.issuer import definitions
from identity.service.issuer.delivery import Delivery
from identity.service.issuer.requests import Requests
from identity.service.issuer.routes import IssuerRoutes
from identity.service.issuer.statuslists import StatusLists
from identity.service.store.issuance import Due
from identity.service.store.ledger import ledger, open_file
from identity.service.store.members import Member
from identity.tls import ca
from identity.vc import DCP_CONTEXT, parse_vc
from identity.verify import TokenDoor, authenticate
from kernel import faults, wire
from kernel.clock import iso
from kernel.errors import Forbidden, Unauthorized
from kernel.http import Reply
from kernel.web import application
from tests.support.web import TestServer
from tests.unit.identity_core.world import ALL, Party, StatusHost, World, signer

DEFINITIONS = """
[[credential]]
id = "membership"
type = "MembershipCredential"
claims = { memberOf = "$dataSpace" }
[[credential]]
id = "role"
type = "RoleCredential"
claims = { role = "$roles" }
"""


class Consortium:
    """The issuer and CA of the world's issuer, with a register."""

    def __init__(self, directory) -> None:
        self.world = world = World()
        self.database = open_file(directory, world.issuer.did)
        self.books = ledger(world.issuer.did, self.database, world.clock)
        self.authority = ca.create(directory / "ca", name="Test", crl_url="https://issuer.example/crl", now=world.clock.now())
        found = definitions.read(DEFINITIONS)

        async def seen(token):
            return self.database.file.read(lambda c: self.books.journal.spent(c, token.issuer, token.jti))

        door = TokenDoor(did=world.issuer.did, resolver=world.resolver, clock=world.clock, seen=seen)
        callers = Callers(door, self.books)
        self.requests = Requests(self.books, found, "consortium")
        self.lists = StatusLists(self.books, world.issuer.key, world.issuer.base)
        self.enrolment = Enrolment(self.books, self.authority, timedelta(hours=24), 10)
        self.delivery = Delivery(
            ledger=self.books, definitions=found, data_space="consortium", lists=self.lists, credential_signer=world.issuer.key,
            token_signer=world.issuer.key, resolver=world.resolver, client=world.web, give_up=timedelta(days=7),
        )  # fmt: skip
        issuer = IssuerRoutes(
            base_url=world.issuer.base, callers=callers, requests=self.requests, lists=self.lists, status_max_age=60
        )
        crl = RevocationList(self.books, self.authority)
        self.routes = [
            *issuer.routes(),
            *CaRoutes(
                callers=callers, enrolment=self.enrolment, crl=crl, revocation=CertificateRevocation(self.books, crl.publish)
            ).routes(),
        ]
        self.delivered: list[dict] = []
        world.web.answers[f"{world.member.base}/cs/credentials"] = self._taken

    def _taken(self, _method, _headers, body) -> Reply:
        self.delivered.append(wire.loads(body))
        return Reply(200, {}, b"{}")

    async def member(self, party: Party, state: str = "ACTIVE", roles: tuple[str, ...] = ()) -> None:
        row = Member(id=party.did, did=party.did, name="x", corporate_number="7123456789012", hosts=("member.example",), roles=roles,
                     state=state, number=party.did, since="2026-11-24", changed=iso(self.world.clock.now()))  # fmt: skip
        await self.database.write(lambda c: self.books.members.save(c, row))

    async def ask(self, party: Party, *wanted: str, pid: str = "pid-1", **changes):
        body = {
            "@context": [DCP_CONTEXT],
            "type": "CredentialRequestMessage",
            "holderPid": pid,
            "credentials": [{"id": each} for each in wanted],
        }
        return await self.client.post("/issuer/credentials", json=body, headers=self.bearer(party, **changes))

    def bearer(self, party: Party, **changes) -> dict[str, str]:
        token = party.token(aud=self.world.issuer.did, cnf=None, **changes)
        return {"Authorization": f"Bearer {token}"}

    async def status(self, party: Party, location: str):
        path = location.removeprefix(self.world.issuer.base)
        return await self.client.get(path, headers=self.bearer(party))

    async def csr(self, party: Party, csr: str, **changes):
        return await self.client.post("/ca/v1/certificates", json={"csr": csr}, headers=self.bearer(party, **changes))

    def due(self) -> list[Due]:
        return self.database.file.read(lambda c: self.books.issuances.due(c, iso(self.world.clock.now()), 10))

    def issued(self) -> list[str]:
        rows = self.database.file.read(lambda c: c.execute("SELECT id FROM credential").fetchall())
        return [each[0] for each in rows]

    def positions(self) -> list[tuple]:
        return self.database.file.read(lambda c: c.execute("SELECT list, position FROM status_entry").fetchall())


@pytest.fixture
async def issuer(tmp_path):
    found = Consortium(tmp_path)
    await found.member(found.world.member)
    async with TestClient(TestServer(application(found.routes))) as found.client:
        yield found
    found.database.file.close()


def request_for(*names: x509.GeneralName, subject: str = "", key=None, ca_true: bool = False) -> str:
    key = key or ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)] if subject else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if ca_true:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


async def test_g49_status_of_another_holders_request_is_the_404_of_an_unknown_one(issuer: Consortium) -> None:
    other = issuer.world.party("did:web:other.example")
    await issuer.member(other)
    made = await issuer.ask(issuer.world.member, "membership")
    location = made.headers["Location"]
    assert (await issuer.status(issuer.world.member, location)).status == 200
    foreign = await issuer.status(other, location)
    unknown = await issuer.status(other, f"{issuer.world.issuer.base}/issuer/requests/none")
    assert (foreign.status, await foreign.json()) == (404, await unknown.json())


async def test_g50_missing_attestation_is_refused_with_the_reason(issuer: Consortium) -> None:
    made = await issuer.ask(issuer.world.member, "membership", "role")
    assert made.status == 201
    assert (await made.json())["status"] == "REJECTED"
    await issuer.delivery.deliver(issuer.due()[0])
    assert (issuer.delivered[0]["status"], issuer.issued()) == ("REJECTED", [])
    assert "roles" in issuer.delivered[0]["rejectionReason"]


async def test_g50_the_same_holder_pid_is_the_same_request(issuer: Consortium) -> None:
    first = await issuer.ask(issuer.world.member, "membership")
    again = await issuer.ask(issuer.world.member, "membership")
    assert (again.status, again.headers["Location"]) == (201, first.headers["Location"])
    for row in issuer.due():
        await issuer.delivery.deliver(row)
    assert len(issuer.issued()) == 1
    assert (await issuer.ask(issuer.world.member, "role")).status == 409
    other = issuer.world.party("did:web:other.example")
    await issuer.member(other)
    assert (await issuer.ask(other, "membership")).headers["Location"] != first.headers["Location"]


@pytest.mark.parametrize("state", [None, "SUSPENDED", "REVOKED"])
async def test_g50_who_is_no_active_member_gets_nothing(issuer: Consortium, state: str | None) -> None:
    stranger = issuer.world.party("did:web:other.example")
    if state is not None:
        await issuer.member(stranger, state)
    assert (await issuer.ask(stranger, "membership")).status == 403
    assert (await issuer.csr(stranger, request_for())).status == 403
    assert issuer.issued() == []


@pytest.mark.parametrize("point", ["issuer.allocated", "issuer.signed", "issuer.sent"])
async def test_g51_crash_between_signing_and_delivery_leaves_one_credential_and_one_index(
    issuer: Consortium, monkeypatch, point: str
) -> None:
    await issuer.ask(issuer.world.member, "membership")

    def dies(name: str) -> None:
        if name == point:
            raise OSError(name)

    monkeypatch.setattr(faults, "hook", dies)
    with pytest.raises(OSError, match=point):
        await issuer.delivery.deliver(issuer.due()[0])
    monkeypatch.undo()
    await issuer.delivery.deliver(issuer.due()[0])
    assert len(issuer.issued()) == 1
    assert len(issuer.positions()) == len(set(issuer.positions())) == 2  # one for each purpose
    sent = {each["credentials"][0]["payload"] for each in issuer.delivered}
    assert len(sent) == 1
    assert parse_vc(sent.pop()).id == issuer.issued()[0]
    assert issuer.due() == []


async def test_g15_one_of_fifty_requests_with_one_token_wins(issuer: Consortium) -> None:
    import asyncio

    headers = issuer.bearer(issuer.world.member, jti="once")
    body = {"@context": [DCP_CONTEXT], "type": "CredentialRequestMessage", "holderPid": "p", "credentials": [{"id": "membership"}]}
    answers = await asyncio.gather(*(issuer.client.post("/issuer/credentials", json=body, headers=headers) for _ in range(50)))
    assert sorted(each.status for each in answers) == [201] + [401] * 49


async def test_g52_two_active_keys_and_a_rotated_one_that_is_still_listed() -> None:
    world = World()
    older = world.issuer.key
    newer = signer(world.issuer.did, "k2")
    keys = [dids.Key(each.kid, each.public_jwk(), ALL) for each in (older, newer)]
    world.issuer.document = dids.document(world.issuer.did, keys)
    for key in (older, newer):
        world.member.held[:] = [world.issuer.issue(world.member.did, signer=key)]
        world.clock.forward(301)
        assert await authenticate(world.door, world.member.caller(), fresh=True)


@pytest.mark.parametrize("whose", ["issuer", "list", "holder"])
async def test_g52_key_that_was_added_a_moment_ago_counts_at_once(whose: str) -> None:
    """Nobody waits for a cache to end: a kid that the cached document does not hold is looked for in a fresh one."""
    world = World()
    host = StatusHost(world.issuer, "1")
    world.member.held[:] = [world.issuer.issue(world.member.did, status=[host.entry(1)])]
    assert await authenticate(world.door, world.member.caller(), fresh=True)
    world.clock.forward(6)
    party = world.member if whose == "holder" else world.issuer
    newer = signer(party.did, "k2")
    party.document |= dids.document(party.did, [dids.Key(each.kid, each.public_jwk(), ALL) for each in (party.key, newer)]) | {
        "service": party.document["service"]
    }
    if whose == "issuer":
        world.member.held[:] = [world.issuer.issue(world.member.did, status=[host.entry(1)], signer=newer)]
    elif whose == "list":
        host.changes["signer"] = newer
        host.sign()
    else:
        world.member.shows(world.member.present(signer=newer))
    world.door.presentations.forget(world.member.did)
    assert await authenticate(world.door, world.member.caller(jti=secrets.token_hex(4)), fresh=True)


async def test_g52_revoked_key_is_dead_at_once_after_the_cache_and_takes_the_status_lists_with_it() -> None:
    world = World()
    host = StatusHost(world.issuer, "1")
    world.member.held[:] = [world.issuer.issue(world.member.did, status=[host.entry(1)])]
    assert await authenticate(world.door, world.member.caller(), fresh=True)
    newer = signer(world.issuer.did, "k2")
    world.issuer.document = dids.document(world.issuer.did, [dids.Key(newer.kid, newer.public_jwk(), ALL)])
    world.clock.forward(301)
    with pytest.raises(Unauthorized) as caught:
        await authenticate(world.door, world.member.caller(jti=secrets.token_hex(4)), fresh=True)
    assert (caught.value.facts["reason"], caught.value.facts["stage"]) == ("kid", "signature")
    world.member.held[:] = [world.issuer.issue(world.member.did, status=[host.entry(1)], signer=newer)]
    with pytest.raises(Unauthorized) as caught:
        await authenticate(world.door, world.member.caller(jti=secrets.token_hex(4)), fresh=True)
    assert (caught.value.facts["reason"], caught.value.facts["stage"]) == ("kid", "status")


async def test_g47_csr_that_asks_for_another_did_gets_the_callers_own(issuer: Consortium) -> None:
    thief, victim = issuer.world.member, "did:web:victim.example"
    names = (x509.UniformResourceIdentifier(victim), x509.DNSName("victim.example"))
    answer = await issuer.csr(thief, request_for(*names, subject=victim, ca_true=True))
    assert answer.status == 200
    made = x509.load_pem_x509_certificate((await answer.json())["certificate"].encode())
    found = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.UniformResourceIdentifier) == [thief.did]
    assert found.get_values_for_type(x509.DNSName) == ["member.example"]
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert victim not in made.subject.rfc4514_string()


async def test_g47_key_that_is_certified_for_another_did(issuer: Consortium) -> None:
    other = issuer.world.party("did:web:other.example")
    await issuer.member(other)
    csr = request_for(key=ec.generate_private_key(ec.SECP256R1()))
    assert (await issuer.csr(issuer.world.member, csr)).status == 200
    assert (await issuer.csr(other, csr)).status == 409


async def test_g47_renewal_after_a_suspension_or_with_anothers_or_a_revoked_certificate(issuer: Consortium) -> None:
    member = issuer.world.member
    first = await (await issuer.csr(member, request_for())).json()
    leaf = x509.load_pem_x509_certificate(first["certificate"].encode()).public_bytes(serialization.Encoding.DER)

    async def renew(did: str, der: bytes | None):
        return await issuer.database.write(lambda c: issuer.enrolment.renew(c, did, der, request_for().encode()))

    assert (await renew(member.did, leaf)).certificate != first["certificate"]
    for did, der in ((member.did, None), ("did:web:other.example", leaf), (member.did, member.leaf)):
        with pytest.raises(Unauthorized):
            await renew(did, der)
    await issuer.member(member, "SUSPENDED")
    with pytest.raises(Forbidden):
        await renew(member.did, leaf)


async def test_g47_certificate_header_of_an_untrusted_peer_is_not_read(issuer: Consortium) -> None:
    """RFC 9440 `Client-Cert` is for a proxy that was configured; there is none, so it is a header like any other."""
    member = issuer.world.member
    encoded = ":" + __import__("base64").b64encode(member.leaf).decode() + ":"
    headers = issuer.bearer(member) | {"Client-Cert": encoded, "X-SSL-Client-Cert": encoded, "X-Forwarded-Client-Cert": encoded}
    answer = await issuer.client.post("/ca/v1/certificates/renew", json={"csr": request_for()}, headers=headers)
    assert answer.status == 401
