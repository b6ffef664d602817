"""What a real peer (Eclipse EDC 0.15.1) sends is accepted and answered correctly. Its mock identity sends a JSON text as Authorization; the authenticator for
that lives here and enters through the composition: no setting of the product accepts an unsigned caller."""

import asyncio
import json

import pytest
from aiohttp.test_utils import TestClient

from connector import errors
from connector.dsp import routes
from connector.processes import exchange, tables
from connector.processes.exchange import Change
from connector.processes.model import OutboxRow, Process
from kernel.errors import Unauthorized
from kernel.web import application
from tests.support.node import BASE, ME, NOW, Memory, Shelf, agreement, node
from tests.support.participant import participant
from tests.support.shared import shared_data
from tests.support.web import TestServer

OPERATORS_PATH = "/protocol/2025-1"


async def mock_identity(caller, fresh):
    try:
        return participant(json.loads(caller.authorization[0])["clientId"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise Unauthorized("authentication failed") from error


def captured(name):
    found = json.loads(next(shared_data("edc-messages").glob(f"{name}-*.json")).read_text())
    return found["path"].replace(OPERATORS_PATH, "/dsp/2025-1"), found["request"], found


async def send(memory, name, **changed):
    path, value, found = captured(name)
    for old, new in changed.items():
        path = path.replace(value.get(old, "\0"), new)
        value[old] = new
    shop = Shelf({"@id": "asset-1", "@type": "Dataset"})
    made = node(memory, authenticate=mock_identity, catalog=shop)
    async with TestClient(TestServer(application(routes.routes(made), errors=errors.response))) as client:
        answer = await client.post(path, data=json.dumps(value), headers={"Authorization": found["reqHeaders"]["Authorization"]})
        body = await answer.read()
    assert 200 <= answer.status < 300, body
    return json.loads(body) if body else {}, value


def ours(memory, kind, role, peer, *, own, theirs, state, pending="", **data):
    process = Process(
        id=own, participant=ME, kind=kind, role=role, peer=peer, peer_pid=theirs, callback=BASE, state=state, version=1, data=data
    )
    if pending:
        row = OutboxRow(id="r", process=own, act="dsp", message=pending)
        process = exchange.propose(tables.TABLES[kind], Change(process=process), row, now=NOW).process
    memory.found[own] = process


@pytest.fixture
def memory():
    return Memory()


async def test_catalog_request(memory):
    answer, _ = await send(memory, "01")
    assert answer["@type"] == "Catalog"


async def test_contract_request(memory):
    answer, value = await send(memory, "02")
    assert (answer["@type"], answer["state"], answer["consumerPid"]) == ("ContractNegotiation", "REQUESTED", value["consumerPid"])


async def test_contract_agreement(memory):
    _, value, _ = captured("03")
    offer = {"@id": "o", "@type": "Offer", "target": "asset-1", "permission": [{"action": "use"}]}
    ours(memory, "negotiation", "consumer", "provider", own=value["consumerPid"], theirs=value["providerPid"], state="REQUESTED", offer=offer, asked=offer,
         offerId="o", dataset="asset-1")  # fmt: skip
    await send(memory, "03")
    process = memory.found[value["consumerPid"]]
    assert process.state == "AGREED"
    assert process.data["agreement"]["@id"] == value["agreement"]["@id"]
    # its mock identity names the parties "consumer" and "provider": not us, so the contract is ended and not verified
    assert process.pending.message == tables.END_NEGOTIATION


async def test_contract_agreement_verification(memory):
    _, value, _ = captured("04")
    found = {
        "@id": "a",
        "@type": "Agreement",
        "target": "asset-1",
        "assigner": ME,
        "assignee": "consumer",
        "permission": [{"action": "use"}],
    }
    ours(memory, "negotiation", "provider", "consumer", own=value["providerPid"], theirs=value["consumerPid"], state="AGREED", agreement=found,
         agreementHash="h", dataset="asset-1", offer={})  # fmt: skip
    await send(memory, "04")
    assert memory.found[value["providerPid"]].pending.message == tables.FINALIZE


async def test_finalised_event(memory):
    _, value, _ = captured("05")
    found = {
        "@id": "a",
        "@type": "Agreement",
        "target": "asset-1",
        "assigner": "provider",
        "assignee": ME,
        "permission": [{"action": "use"}],
    }
    ours(memory, "negotiation", "consumer", "provider", own=value["consumerPid"], theirs=value["providerPid"], state="VERIFIED", agreement=found,
         agreementHash="h", dataset="asset-1")  # fmt: skip
    await send(memory, "05")
    assert memory.found[value["consumerPid"]].state == "FINALIZED"
    assert list(memory.agreements) == ["a"]


@pytest.mark.parametrize("name", ["06", "08"])
async def test_transfer_request(memory, name):
    _, value, _ = captured(name)
    memory.agreements[value["agreementId"]] = agreement(value["agreementId"], "consumer", dataset="asset-1")
    answer, _ = await send(memory, name)
    assert (answer["@type"], answer["state"]) == ("TransferProcess", "REQUESTED")


@pytest.mark.parametrize("name", ["07", "09"])
async def test_transfer_start(memory, name):
    _, value, _ = captured(name)
    ours(memory, "transfer", "consumer", "provider", own=value["consumerPid"], theirs=value["providerPid"], state="REQUESTED", format="HttpData-PULL",
         agreementId="a", dataset="asset-1")  # fmt: skip
    await send(memory, name)
    process = memory.found[value["consumerPid"]]
    assert process.state == "STARTED"
    assert process.data.get("dataAddress") == value.get("dataAddress")


async def test_transfer_completion(memory):
    _, value, _ = captured("10")
    ours(memory, "transfer", "consumer", "provider", own=value["consumerPid"], theirs=value["providerPid"], state="STARTED", format="HttpData-PUSH",
         agreementId="a", dataset="asset-1")  # fmt: skip
    await send(memory, "10")
    assert memory.found[value["consumerPid"]].state == "COMPLETED"


async def test_transfer_termination(memory):
    _, value, _ = captured("11")
    ours(memory, "transfer", "provider", "consumer", own=value["providerPid"], theirs=value["consumerPid"], state="STARTED", format="HttpData-PULL",
         agreementId="a", dataset="asset-1")  # fmt: skip
    await send(memory, "11")
    assert memory.found[value["providerPid"]].state == "TERMINATED"


async def test_a_message_that_overtakes_our_own_answer_is_taken(memory):
    """This peer loses a negotiation in some thousands to that race; we take both steps at once."""
    _, value, _ = captured("03")
    offer = {"@id": "o", "@type": "Offer", "target": "asset-1", "permission": [{"action": "use"}]}
    ours(memory, "negotiation", "consumer", "provider", own=value["consumerPid"], theirs="", state="", pending=tables.REQUEST, offer=offer, asked=offer,
         offerId="o", dataset="asset-1")  # fmt: skip
    await send(memory, "03")
    process = memory.found[value["consumerPid"]]
    assert (process.state, process.peer_pid) == ("AGREED", value["providerPid"])
    assert [row.after for row in memory.journal[value["consumerPid"]]] == ["REQUESTED", "AGREED"]


async def test_requests_under_one_agreement_come_one_after_the_other(memory):
    """Each takes from the agreement's counters: side by side, all but one would be told to come again."""
    under_way, most, slow = 0, 0, memory.commit

    async def commit(made):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        await slow(made)
        under_way -= 1

    memory.commit = commit
    path, value, found = captured("06")
    memory.agreements[value["agreementId"]] = agreement(value["agreementId"], "consumer", dataset="asset-1")
    made = node(memory, authenticate=mock_identity)
    headers = {"Authorization": found["reqHeaders"]["Authorization"]}
    async with TestClient(TestServer(application(routes.routes(made), errors=errors.response))) as client:
        wanted = [value | {"@id": f"m{n}", "consumerPid": f"c{n}"} for n in range(8)]
        answers = await asyncio.gather(*(client.post(path, data=json.dumps(each), headers=headers) for each in wanted))
        assert {each.status for each in answers} == {201}
    assert most == 1
