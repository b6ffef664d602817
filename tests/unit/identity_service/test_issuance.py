"""Issuance from request to delivery: decisions by rule and by person, offers, and a crash at every point: exactly one credential, one index each.

A real database, real keys and lists; the holder's credential service is a canned endpoint that remembers what it was sent.
"""

from datetime import timedelta

import pytest

from identity import did as dids
from identity.did import parse_document
from identity.keys import KeyStore
from identity.service.authority.admission import Admission, Attest
from identity.service.issuer import definitions
from identity.service.issuer.delivery import Delivery
from identity.service.issuer.messages import CONTEXT, CredentialRequestMessage, Wanted
from identity.service.issuer.requests import Requests
from identity.service.issuer.statuslists import StatusLists
from identity.service.store.issuance import Which
from identity.service.store.ledger import ledger, open_file
from identity.service.store.members import Member
from identity.service.transitions import OFFER, WIRE_STATUS
from identity.vc import parse_vc
from kernel import faults, wire
from kernel.errors import Conflict, Forbidden, NotFound, UnavailableError
from kernel.http import Reply
from tests.support.dcp_schemas import checked
from tests.unit.identity_service.conftest import DID

HOLDER = "did:web:a.example"
DEFINITIONS = """
[[credential]]
id = "membership"
type = "MembershipCredential"
claims = { holderIdentifier = "$memberNumber" }

[[credential]]
id = "mill"
type = "MillCredential"
statuses = ["revocation"]
rule = [{ field = "roles", contains = "mill" }, { field = "attested.iso9001", equals = "2026" }]
claims = { standard = "$attested.iso9001" }

[[credential]]
id = "auditor"
type = "AuditorCredential"
approval = "person"
"""


class HolderService:
    """The credential service of the holder, and the resolver that finds it."""

    def __init__(self):
        self.sent, self.status = [], 200

    async def request(self, method, url, *, headers, body):
        self.sent.append((url.rpartition("/")[2], wire.loads(body)))
        if self.status == 0:
            raise UnavailableError("nobody there")
        return Reply(self.status, {}, b"")

    async def resolve(self, did):
        service = dids.Service("#cs", "CredentialService", "https://a.example/cs")
        return parse_document(dids.document(did, [], [service]), did)


class Issuer:
    """The issuer's parts over one directory, as a start of the service makes them."""

    def __init__(self, directory, clock, holder):
        self.database = open_file(directory, DID)
        self.books = ledger(DID, self.database, clock)
        keys = KeyStore(directory / "keys", DID)
        self.definitions = definitions.read(DEFINITIONS)
        self.requests = Requests(self.books, self.definitions, "Space")
        self.lists = StatusLists(self.books, keys.ensure("vc"), "https://authority.example")
        self.admission = Admission(self.books, 30)
        self.delivery = Delivery(
            ledger=self.books, definitions=self.definitions, data_space="Space", lists=self.lists, credential_signer=keys.open("vc"),
            token_signer=keys.ensure("si"), resolver=holder, client=holder, give_up=timedelta(days=7),
            issuer_url="https://authority.example/issuer",
        )  # fmt: skip

    async def member(self, **changes):
        given = {"id": "m", "did": HOLDER, "name": "A", "corporate_number": "7123456789012", "state": "ACTIVE", "number": "M1",
                 "since": "2026-11-24", "changed": ""} | changes  # fmt: skip
        await self.database.write(lambda c: self.books.members.save(c, Member(**given)))

    async def ask(self, *wanted, pid="p1"):
        message = CredentialRequestMessage(
            context=[CONTEXT], type="CredentialRequestMessage", holder_pid=pid, credentials=[Wanted(each) for each in wanted]
        )
        return await self.database.write(lambda c: self.requests.accept(c, HOLDER, message, "grant"))

    async def deliver(self):
        for row in self.database.file.read(lambda c: self.books.issuances.due(c, self.books.now(), 100)):
            await self.delivery.deliver(row)

    def state(self, key):
        return self.database.file.read(lambda c: self.books.issuances.get(c, key)).state

    def credentials(self):
        return self.database.file.read(lambda c: self.books.issuances.find(c, Which(holder=HOLDER)))

    def entries(self, credential):
        return self.database.file.read(lambda c: self.books.statuses.entries(c, credential))


@pytest.fixture
def holder():
    return HolderService()


@pytest.fixture
async def issuer(tmp_path, clock, holder):
    found = Issuer(tmp_path, clock, holder)
    await found.member()
    yield found
    found.database.file.close()


async def test_a_request_that_the_record_supports_is_delivered_with_one_index_per_purpose(issuer, holder):
    made = await issuer.ask("membership")
    assert made.state == "APPROVED"
    await issuer.deliver()
    ((path, message),) = holder.sent
    assert (path, message["status"], message["issuerPid"]) == ("credentials", "ISSUED", made.id)
    (credential,) = issuer.credentials()
    parsed = parse_vc(message["credentials"][0]["payload"])
    assert parsed.id == credential.id, "the id that the holder sees is the one that the operator's actions take"
    assert {(each.purpose, each.index) for each in parsed.status} == {
        (e.purpose, e.position) for e in issuer.entries(credential.id)
    }
    assert issuer.state(made.id) == "DELIVERED"


@pytest.mark.parametrize("given", ["nothing", "role", "attestation", "wrong"])
async def test_a_rule_that_does_not_hold_rejects_the_whole_with_the_reason(issuer, holder, given):
    await issuer.member(roles=("mill",) if given in ("role", "wrong") else ())
    if given in ("attestation", "wrong"):
        await issuer.admission.attest(HOLDER, Attest(name="iso9001", value="2026" if given == "attestation" else "2015"))
    made = await issuer.ask("membership", "mill")
    assert made.state == "REJECTED"
    await issuer.deliver()
    assert holder.sent[0][1]["status"] == "REJECTED"
    assert "MillCredential" in holder.sent[0][1]["rejectionReason"]
    assert issuer.credentials() == []


async def test_an_attestation_is_a_source_of_claims_and_can_be_taken_back(issuer):
    await issuer.member(roles=("mill",))
    assert await issuer.admission.attest(HOLDER, Attest(name="iso9001", value="2026")) == {"iso9001": "2026"}
    made = await issuer.ask("mill")
    await issuer.deliver()
    (credential,) = issuer.credentials()
    assert credential.subject["standard"] == "2026"
    assert [each.purpose for each in issuer.entries(credential.id)] == ["revocation"], "as the definition says"
    assert await issuer.admission.attest(HOLDER, Attest(name="iso9001")) == {}
    assert (await issuer.ask("mill", pid="p2")).state == "REJECTED"
    assert issuer.state(made.id) == "DELIVERED"


async def test_a_person_decides_where_the_definition_says_so(issuer, holder):
    made = await issuer.ask("auditor")
    await issuer.deliver()
    assert (issuer.state(made.id), holder.sent, WIRE_STATUS[made.state]) == ("SUBMITTED", [], "RECEIVED")
    approved = await issuer.requests.approve(made.id)
    assert approved.state == "APPROVED"
    await issuer.deliver()
    assert (issuer.state(made.id), holder.sent[0][1]["status"]) == ("DELIVERED", "ISSUED")
    with pytest.raises(Conflict):
        await issuer.requests.reject(made.id, "too late")
    other = await issuer.ask("auditor", pid="p2")
    await issuer.requests.reject(other.id, "no audit was seen")
    await issuer.deliver()
    assert holder.sent[1][1]["rejectionReason"] == "no audit was seen"
    with pytest.raises(NotFound):
        await issuer.requests.approve("unknown")


async def test_a_persons_yes_opens_no_door_that_the_membership_has_shut(issuer):
    made = await issuer.ask("auditor")
    await issuer.member(state="SUSPENDED")
    with pytest.raises(Conflict, match="SUSPENDED"):
        await issuer.requests.approve(made.id)
    assert issuer.state(made.id) == "SUBMITTED"


async def test_an_offer_is_delivered_and_is_no_request(issuer, holder):
    made = await issuer.requests.offer(HOLDER, ("membership", "auditor"))
    await issuer.deliver()
    ((path, message),) = holder.sent
    assert path == "offers"
    assert [each["id"] for each in message["credentials"]] == ["membership", "auditor"]
    checked(message, "issuance/credential-offer-message")
    assert (issuer.state(made.id), issuer.credentials()) == ("OFFERED", [])
    with pytest.raises(NotFound):
        issuer.database.file.read(lambda c: issuer.requests.status(c, HOLDER, made.id))
    await issuer.member(state="SUSPENDED")
    with pytest.raises(Forbidden):
        await issuer.requests.offer(HOLDER, ("membership",))


async def test_an_offer_that_cannot_be_delivered_is_given_up_in_the_end(issuer, holder, clock):
    holder.status = 0
    made = await issuer.requests.offer(HOLDER, ("membership",))
    await issuer.deliver()
    assert issuer.state(made.id) == OFFER.initial
    clock.moment += timedelta(days=8)
    await issuer.deliver()
    assert issuer.state(made.id) == "UNOFFERED"


class Died(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("point", ["issuer.allocated", "statuslist.signed", "issuer.signed", "issuer.sent"])
async def test_51_a_crash_at_any_point_leaves_exactly_one_credential_and_one_index_per_purpose(
    tmp_path, clock, holder, monkeypatch, point
):
    first = Issuer(tmp_path, clock, holder)
    await first.member()
    made = await first.ask("membership")

    def die(name):
        if name == point:
            raise Died

    monkeypatch.setattr(faults, "hook", die)
    with pytest.raises(Died):
        await first.deliver()
    monkeypatch.undo()
    first.database.file.close()
    second = Issuer(tmp_path, clock, holder)
    try:
        await second.deliver()
        (credential,) = second.credentials()
        assert second.state(made.id) == "DELIVERED"
        assert sorted(each.purpose for each in second.entries(credential.id)) == ["revocation", "suspension"]
        taken = second.database.file.read(
            lambda c: c.execute("SELECT count(*), count(DISTINCT credential) FROM status_entry").fetchone()
        )
        assert taken == (2, 1)
        payloads = {message["credentials"][0]["payload"] for _, message in holder.sent}
        assert payloads == {credential.jwt}, "sent again, it is the same credential to the byte"
    finally:
        second.database.file.close()


async def test_51_a_holder_that_does_not_answer_gets_the_same_credential_later(issuer, holder, clock):
    holder.status = 503
    made = await issuer.ask("membership")
    for _ in range(3):
        await issuer.deliver()
        clock.moment += timedelta(hours=2)
    holder.status = 200
    await issuer.deliver()
    assert len({message["credentials"][0]["payload"] for _, message in holder.sent}) == 1
    assert (len(holder.sent), issuer.state(made.id), len(issuer.credentials())) == (4, "DELIVERED", 1)
