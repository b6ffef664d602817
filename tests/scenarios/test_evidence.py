"""Each side keeps the other's signature, and a third party verifies the contract from a file; whatever is changed in it is found (issue: contract evidence)."""

import copy
import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from connector.contracts import bundle
from connector.contracts.bundle import SEAL
from connector.contracts.evidence import Witness, published, signs
from connector.processes import evidence
from identity.did.document import document, parse_document
from identity.keys import KeyStore
from identity.status import MINIMUM_BITS, BitString, list_subject
from identity.vc import StatusEntry, issue, parse_vc
from kernel import wire
from kernel.cli import application as command_line
from tests.support.company import Company, Directory
from tests.support.participant import participant

ISSUER, LIST = "did:web:authority.example", "https://authority.example/status/1"
NOW = datetime.now(UTC)


class Authority:
    """Issues membership credentials with a status, and the list."""

    def __init__(self, place, directory):
        keys = KeyStore(place, ISSUER)
        self.signer = keys.ensure("vc")
        directory.publish(document(ISSUER, keys.published(), []))
        self.set = ()
        self.version = self.asked = 0

    def credential(self, holder, index):
        entry = StatusEntry(url=LIST, index=index, purpose="revocation", id=f"{LIST}#{index}")
        text = issue(self.signer, id=f"urn:uuid:{index}", types=["MembershipCredential"], subject={"id": holder, "memberOf": "example"},
                     valid_from=NOW - timedelta(days=1), valid_until=NOW + timedelta(days=30), status=[entry])  # fmt: skip
        return parse_vc(text)

    def list(self):
        bits = BitString.empty(MINIMUM_BITS)
        for index in self.set:
            bits.set(index, 1)
        return issue(self.signer, id=LIST, types=["BitstringStatusListCredential"], subject=list_subject(LIST, "revocation", bits),
                     valid_from=NOW - timedelta(hours=1), valid_until=NOW + timedelta(days=1))  # fmt: skip

    def relied_on(self, credential):
        self.asked += 1
        return [(entry, self.list(), NOW) for entry in credential.status]


@pytest.fixture
async def world(tmp_path):
    """Two sides, what the authority has issued, and a finalised contract; agreement by its id."""
    directory = Directory()
    authority = Authority(tmp_path / "authority", directory)
    async with AsyncExitStack() as stack:
        names = [f"did:web:{name}.example" for name in ("seller", "buyer")]
        held = {did: (authority.credential(did, index),) for index, did in enumerate(names)}
        sides = [Company(tmp_path / name, name, directory, credentials=held, lists=authority) for name in ("seller", "buyer")]
        for each in sides:
            await stack.enter_async_context(each.running())
        seller, buyer = sides
        offer = await seller.publish()
        key = (await buyer.commands.negotiate(seller.did, offer.asset, offer.id, None)).id
        process = await buyer.until(key, "FINALIZED")
        await seller.until(process.peer_pid, "FINALIZED")
        yield seller, buyer, process.data["agreement"]["@id"], authority, directory


async def test_what_was_shown_is_collected_anew_only_when_a_credential_or_a_list_is_another(tmp_path):
    buyer, directory = "did:web:buyer.example", Directory()
    authority = Authority(tmp_path / "authority", directory)
    directory.publish(document(buyer, [], []))
    witness = Witness(directory, authority, lambda: {"id": "did:web:seller.example"})
    first, second = ((authority.credential(buyer, index),) for index in (0, 1))

    async def collected(credentials):
        """How often lists were asked for until now, and whether the record names these credentials."""
        proof = await witness.of(participant(buyer, credentials=credentials), "")
        texts = {each.digest: each.body.decode() for each in proof.documents}
        record = json.loads(texts[proof.record])
        assert [texts[each["credential"]] for each in record["credentials"]] == [each.raw for each in credentials]
        return authority.asked

    assert [await collected(each) for each in (first, first, second, second)] == [1, 1, 2, 2], "two credentials under one list"
    authority.version = 1
    assert [await collected(second) for _ in range(2)] == [3, 3]


def failing(found):
    return [each.what for each in bundle.verify(found) if each.ok is False]


async def test_each_side_keeps_the_others_signature_and_its_bundle_holds(world):
    seller, buyer, agreement, _, _ = world
    for side in (seller, buyer):
        found = bundle.read(wire.dumps(await side.contracts.evidence(agreement)))
        checks = bundle.verify(found)
        assert [each for each in checks if each.ok is not True] == []
        assert {"signature of the provider", "signature of the consumer", "signed by both", "journal", "seal"} <= {
            each.what for each in checks
        }
        assert any(each.what.startswith("status of credential") for each in checks)
        (shown,) = found["shown"]["credentials"]
        assert found["shown"]["holder"] == (buyer if side is seller else seller).did
        assert parse_vc(found["documents"][shown["credential"]]).subject["id"] == found["shown"]["holder"]


async def test_what_was_shown_is_a_document_that_is_kept_once(world):
    seller, buyer, first, _, _ = world
    one = (await buyer.store.agreement(first)).negotiation
    (offer,) = await seller.store.offers("", 2)
    two = (await buyer.commands.negotiate(seller.did, offer.asset, offer.id, None)).id
    await buyer.until(two, "FINALIZED")
    shown = [(await buyer.store.process(each)).data["shown"] for each in (one, two)]
    assert shown[0]["record"] == shown[1]["record"]
    assert shown[0]["at"] < shown[1]["at"]
    record = json.loads(await buyer.store.document(shown[0]["record"]))
    assert record["holder"] == seller.did
    found = await buyer.contracts.evidence(first)
    assert found["shown"] == {"holder": seller.did, "credentials": record["credentials"], "at": shown[0]["at"]}


def changed(found, path, value):
    made = copy.deepcopy(found)
    place = made
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value(place[path[-1]]) if callable(value) else value
    return made


def resealed(made, company):
    rest = {name: each for name, each in made.items() if name != "seal"}
    keys = company.contracts._exporter._sign
    return bundle.sealed(rest, keys, party=company.did, at=made["at"])


TAMPERED = {
    "agreement": (["agreement", "prohibition"], [{"action": "sell"}], "hash"),
    "hash": (["hash"], "sha256:00", "hash"),
    "party": (["parties", "consumer"], "did:web:thief.example", "parties"),
    "provider's signature": (["signatures", "provider"], lambda old: old[:-8] + "AAAAAAAA", "signature of the provider"),
    "consumer's signature by the provider": (["signatures", "consumer"], None, "signature of the consumer"),
    "a step in between": (["journal", 1, "after"], "FINALIZED", "journal"),
    "the end of the journal": (["journal"], lambda rows: rows[:-1], "journal"),
    "holder": (["shown", "holder"], "did:web:thief.example", "credential MembershipCredential"),
    "the time": (["shown", "at"], "2020-01-01T00:00:00Z", "credential MembershipCredential"),
    "a status left out": (["shown", "credentials", 0, "status"], [], "credential MembershipCredential"),
}


@pytest.mark.parametrize("part", TAMPERED)
@pytest.mark.parametrize("by_exporter", [False, True])
async def test_whatever_is_changed_is_found_even_when_the_exporter_seals_it_again(world, part, by_exporter):
    seller, _, agreement, _, _ = world
    found = await seller.contracts.evidence(agreement)
    path, value, what = TAMPERED[part]
    if part.startswith("consumer's"):
        value = found["signatures"]["provider"]
    made = changed(found, path, value)
    if by_exporter:
        assert what in failing(resealed(made, seller))
    else:
        assert {what, "seal"} <= set(failing(made))


async def test_a_changed_document_a_foreign_list_and_a_revoked_credential_are_found(world):
    seller, _, agreement, authority, _ = world
    found = await seller.contracts.evidence(agreement)
    for name, text in found["documents"].items():
        assert "documents" in failing(changed(found, ["documents", name], text.replace("a", "b", 1)))
    authority.set = (0, 1)
    kept = found["shown"]["credentials"][0]["status"][0]
    revoked = authority.list()
    name = bundle.digest(revoked.encode())
    made = changed(found, ["shown", "credentials", 0, "status", 0], {**kept, "list": name})
    made["documents"][name] = revoked
    assert failing(resealed(made, seller)) == ["status of credential MembershipCredential"]


async def test_a_key_that_is_swapped_in_the_bundle_is_found_against_the_document_one_trusts(world, tmp_path):
    seller, buyer, agreement, _, directory = world
    found = await seller.contracts.evidence(agreement)
    keys = KeyStore(tmp_path / "forged", buyer.did)
    forged = keys.ensure("contract")
    text = wire.dumps(document(buyer.did, keys.published(), [])).decode()
    said = evidence.statement(found["agreement"], found["hash"], party=buyer.did, role="consumer", at=found["at"])
    made = copy.deepcopy(found)
    made["signatures"]["consumer"] = signs(forged, evidence.TYPE)(said)
    made["identities"][buyer.did] = bundle.digest(text.encode())
    made["documents"][bundle.digest(text.encode())] = text
    made = resealed(made, seller)
    assert failing(made) == []  # nobody can tell from the file alone
    trusted = {buyer.did: directory.documents[buyer.did]}
    assert "signatures" in [each.what for each in bundle.verify(made, trusted) if each.ok is False]
    assert [each for each in bundle.verify(found, trusted) if each.ok is False] == []


async def test_a_seal_of_a_stranger_is_none(world, tmp_path):
    seller, _, agreement, _, _ = world
    found = await seller.contracts.evidence(agreement)
    stranger = KeyStore(tmp_path / "stranger", "did:web:stranger.example").ensure("contract")
    rest = {name: each for name, each in found.items() if name != "seal"}
    assert failing(bundle.sealed(rest, signs(stranger, SEAL), party="did:web:stranger.example", at=found["at"])) == ["seal"]
    assert failing(bundle.sealed(rest, signs(stranger, SEAL), party=seller.did, at=found["at"])) == ["seal"]


async def test_a_peer_that_signs_nothing_is_dealt_with_and_the_bundle_says_so(tmp_path):
    directory = Directory()
    async with AsyncExitStack() as stack:
        seller = await stack.enter_async_context(Company(tmp_path / "s", "seller", directory).running())
        buyer = await stack.enter_async_context(Company(tmp_path / "b", "buyer", directory, signed=False).running())
        offer = await seller.publish()
        process = await buyer.until((await buyer.commands.negotiate(seller.did, offer.asset, offer.id, None)).id, "FINALIZED")
        await seller.until(process.peer_pid, "FINALIZED")
        checks = {each.what: each.ok for each in bundle.verify(await seller.contracts.evidence(process.data["agreement"]["@id"]))}
        assert (checks["signature of the provider"], checks["signature of the consumer"], checks["signed by both"]) == (
            True,
            None,
            None,
        )
        assert False not in checks.values()


def swapped(said, **members):
    return lambda claims: said({**claims, **members})


@pytest.mark.parametrize(
    "members", [{"hash": "sha256:00"}, {"role": "consumer"}, {"iss": "did:web:other.example"}, {"agreement": "x"}]
)
async def test_an_agreement_with_a_signature_over_something_else_is_refused(tmp_path, members):
    directory = Directory()
    async with AsyncExitStack() as stack:
        seller = await stack.enter_async_context(Company(tmp_path / "s", "seller", directory).running())
        buyer = await stack.enter_async_context(Company(tmp_path / "b", "buyer", directory).running())
        seller.sign = swapped(seller.sign, **members)
        offer = await seller.publish()
        key = (await buyer.commands.negotiate(seller.did, offer.asset, offer.id, None)).id
        theirs = await buyer.counterpart(seller, key)
        await seller.refused_signature(theirs.id)
        assert (await buyer.store.process(key)).state == "REQUESTED"
        assert await buyer.store.agreements("", 10) == []


async def test_the_file_is_verified_on_the_command_line_without_a_connector(world, tmp_path):
    seller, buyer, agreement, _, _ = world
    found = await seller.contracts.evidence(agreement)
    file, document_file = tmp_path / "evidence.json", tmp_path / "did.json"
    file.write_bytes(wire.dumps(found))
    document_file.write_bytes(wire.dumps(buyer.published))
    done = CliRunner().invoke(command_line(), ["agreement", "verify", str(file), "--did-document", str(document_file), "--json"])
    assert done.exit_code == 0, done.output
    assert {each["holds"] for each in json.loads(done.stdout)} == {"yes"}
    file.write_bytes(wire.dumps(changed(found, ["agreement", "target"], "another")))
    assert CliRunner().invoke(command_line(), ["agreement", "verify", str(file)]).exit_code == 1


async def test_documents_are_stored_once(world):
    seller, buyer, _, _, _ = world
    before = seller.store._db.read(lambda c: c.execute("SELECT count(*) FROM document").fetchone()[0])
    offer = await seller.publish(title="y")
    process = await buyer.until((await buyer.commands.negotiate(seller.did, offer.asset, offer.id, None)).id, "FINALIZED")
    await seller.until(process.peer_pid, "FINALIZED")
    signed_lists = 3  # each call reads a list that is signed anew here
    assert seller.store._db.read(lambda c: c.execute("SELECT count(*) FROM document").fetchone()[0]) - before <= signed_lists


def test_the_signature_goes_through_the_official_schemas():
    from tests.unit.dsp.official import validator

    value = {
        "@context": ["https://w3id.org/dspace/2025/1/context.jsonld"], "@type": "ContractAgreementVerificationMessage", "providerPid": "p",
        "consumerPid": "c", evidence.SIGNATURE: "a.b.c",
    }  # fmt: skip
    validator("negotiation/contract-agreement-verification-message").validate(value)


def test_a_did_document_survives_being_kept(tmp_path):
    keys = KeyStore(tmp_path / "k", "did:web:x.example")
    keys.ensure("si")
    keys.ensure("contract")
    read = parse_document(document("did:web:x.example", keys.published(), []), "did:web:x.example")
    assert parse_document(published(read), "did:web:x.example") == read
