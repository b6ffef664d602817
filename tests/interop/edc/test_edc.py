"""Beside Eclipse EDC 0.15.1, in both directions: catalog, contract, termination by each side, pull and push with bytes compared, suspension and resumption.

Run by `./run interop edc`, which fetches EDC; without it this file is not collected. What ends or suspends something waits until EDC itself is where we are: it saves a
state only after the other side has taken its message, over whatever it has accepted, with a 200, in between. EDC identifies itself by an unsigned text (`tests/support/plain.py`).
"""

import asyncio

import aiohttp
import pytest

from connector.plane import addresses
from tests.interop.edc.conftest import ASSETS, PAYLOAD, SLOW

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]
NEGOTIATIONS, TRANSFERS = "contractnegotiations", "transferprocesses"
DONE, ENDED = ("COMPLETED", "DEPROVISIONED"), ("TERMINATED", "DEPROVISIONED")


# EDC provides, we consume ------------------------------------------------------------------------------------------------


async def contract_with_edc(both, asset="asset-000"):
    made = await both.commands.negotiate(both.provider.participant, asset, "", None)
    return await both.until(made.id, "FINALIZED")


async def transfer_from_edc(both, kind):
    contract = await contract_with_edc(both)
    made = await both.commands.request_transfer(contract.data["agreement"]["@id"], kind)
    return made.id


async def started_by_edc(both, key):
    """The transfer, once it is started here and there."""
    process = await both.until(key, "STARTED")
    await both.provider.until(TRANSFERS, process.peer_pid, "STARTED")
    return process


async def test_we_read_its_whole_catalog_by_its_pages(both):
    found = await both.commands.catalog(both.provider.participant)
    assert sorted(each["@id"] for each in found["dataset"]) == [*(f"asset-{n:03}" for n in range(ASSETS - 1)), f"{SLOW}asset"]


async def test_we_negotiate_with_it_to_finalized(both):
    process = await contract_with_edc(both)
    theirs = await both.provider.until(NEGOTIATIONS, process.peer_pid, "FINALIZED")
    assert theirs["counterPartyId"] == both.did
    agreement = await both.ours.store.agreement(process.data["agreement"]["@id"])
    assert (agreement.policy["assigner"], agreement.policy["assignee"]) == (both.provider.participant, both.did)
    assert agreement.policy["target"] == "asset-000"


async def test_we_end_a_negotiation_that_it_provides(both):
    made = await both.commands.negotiate(both.provider.participant, f"{SLOW}asset", "", None)
    process = await both.until(made.id, "AGREED")
    await both.provider.until(NEGOTIATIONS, process.peer_pid, "AGREED")
    await both.commands.step("negotiation", process.id, "terminate", "changed our mind")
    await both.until(process.id, "TERMINATED")
    await both.provider.until(NEGOTIATIONS, process.peer_pid, "TERMINATED")


async def test_it_ends_a_negotiation_that_it_provides(both):
    made = await both.commands.negotiate(both.provider.participant, f"{SLOW}asset", "", None)
    process = await both.until(made.id, "AGREED")
    await both.provider.until(NEGOTIATIONS, process.peer_pid, "AGREED")
    await both.provider.step(NEGOTIATIONS, process.peer_pid, "terminate", "no more")
    ended = await both.until(process.id, "TERMINATED")
    assert "no more" in ended.note


async def test_we_pull_from_it_suspend_and_resume(both):
    key = await transfer_from_edc(both, "HttpData-PULL")
    process = await started_by_edc(both, key)
    assert addresses.of_edc(process.data["dataAddress"])
    got = await both.commands.pull(key, 0)
    assert (both.ours.directory / got["file"]).read_bytes() == PAYLOAD
    await both.commands.step("transfer", key, "suspend", "night")
    await both.until(key, "SUSPENDED")
    await both.provider.until(TRANSFERS, process.peer_pid, "SUSPENDED")
    await both.commands.step("transfer", key, "resume", "")
    await both.provider.until(TRANSFERS, process.peer_pid, "STARTED")
    await both.until(key, "STARTED")
    await both.commands.step("transfer", key, "complete", "")
    await both.until(key, "COMPLETED")
    await both.provider.until(TRANSFERS, process.peer_pid, *DONE)


async def test_it_suspends_and_resumes_what_it_provides(both):
    key = await transfer_from_edc(both, "HttpData-PULL")
    process = await started_by_edc(both, key)
    await both.provider.step(TRANSFERS, process.peer_pid, "suspend", "maintenance")
    await both.until(key, "SUSPENDED")
    await both.provider.until(TRANSFERS, process.peer_pid, "SUSPENDED")
    await both.provider.step(TRANSFERS, process.peer_pid, "resume")
    await both.until(key, "STARTED")
    got = await both.commands.pull(key, 0)
    assert (both.ours.directory / got["file"]).read_bytes() == PAYLOAD


async def test_a_transfer_that_it_ends_gives_no_more_data(both):
    key = await transfer_from_edc(both, "HttpData-PULL")
    process = await started_by_edc(both, key)
    await both.provider.step(TRANSFERS, process.peer_pid, "terminate", "over")
    await both.until(key, "TERMINATED")
    await both.provider.until(TRANSFERS, process.peer_pid, *ENDED)
    async with asyncio.timeout(30):  # its data plane hears of it by a call of its own, after we have
        while (status := await status_of(process.data["dataAddress"])) != 403:
            assert status == 200
            await asyncio.sleep(0.2)


async def status_of(address):
    """The status with which a data address answers."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(addresses.endpoint(address), headers=addresses.credentials(address)) as answer,
    ):
        return answer.status


async def test_we_end_a_transfer_that_it_provides(both):
    key = await transfer_from_edc(both, "HttpData-PULL")
    process = await started_by_edc(both, key)
    await both.commands.step("transfer", key, "terminate", "enough")
    await both.until(key, "TERMINATED")
    await both.provider.until(TRANSFERS, process.peer_pid, *ENDED)


async def test_it_pushes_into_our_inbox(both):
    key = await transfer_from_edc(both, "HttpData-PUSH")
    process = await both.until(key, "COMPLETED")
    (received,) = await both.ours.store.received(key)
    assert (both.ours.directory / received.file).read_bytes() == PAYLOAD
    await both.provider.until(TRANSFERS, process.peer_pid, *DONE)


# We provide, EDC consumes ------------------------------------------------------------------------------------------------


async def offered_to_edc(both, asset):
    dataset = await both.consumer.dataset(both.did, both.dsp, asset)
    return dataset["hasPolicy"][0]


async def negotiation_of_edc(both, name="data", template="public"):
    asset = await both.publish(name, template=template)
    policy = await offered_to_edc(both, asset)
    return asset, await both.consumer.negotiate(both.did, both.dsp, policy, asset)


async def transfer_of_edc(both, kind, **more):
    _, key = await negotiation_of_edc(both)
    contract = await both.consumer.until(NEGOTIATIONS, key, "FINALIZED")
    return await both.consumer.transfer(both.did, both.dsp, contract["contractAgreementId"], kind, **more)


async def test_it_reads_our_catalog_by_its_own_paging(both):
    published = {await both.publish(f"many {number}", f"{number}".encode()) for number in range(ASSETS)}
    seen, offset = [], 0
    while page := await both.consumer.catalog(both.did, both.dsp, offset=offset, limit=50):
        assert len(page) <= 50
        seen += [each["@id"] for each in page]
        offset += 50
    assert len(seen) == len(set(seen)) >= ASSETS
    assert published <= set(seen)


@pytest.mark.parametrize("template", ["public", "members"])
async def test_it_negotiates_with_us_to_finalized(both, template):
    asset, key = await negotiation_of_edc(both, template=template)
    await both.consumer.until(NEGOTIATIONS, key, "FINALIZED")
    process = await both.until(await both.of_peer(key), "FINALIZED")
    agreement = await both.ours.store.agreement(process.data["agreement"]["@id"])
    assert (agreement.policy["assignee"], agreement.dataset) == (both.consumer.participant, asset)


async def test_it_ends_a_negotiation_that_we_provide(both):
    _, key = await negotiation_of_edc(both, f"{SLOW}1")
    await both.consumer.until(NEGOTIATIONS, key, "REQUESTED")
    await both.consumer.step(NEGOTIATIONS, key, "terminate", "too dear")
    ended = await both.until(await both.of_peer(key), "TERMINATED")
    assert "too dear" in ended.note


async def test_we_end_a_negotiation_that_we_provide(both):
    _, key = await negotiation_of_edc(both, f"{SLOW}2")
    await both.consumer.until(NEGOTIATIONS, key, "REQUESTED")
    await both.commands.step("negotiation", await both.of_peer(key), "terminate", "not today")
    await both.consumer.until(NEGOTIATIONS, key, "TERMINATED")


async def access(both, key):
    """The address and the token that EDC keeps for a program behind it."""
    address = await both.consumer.call("GET", f"/edrs/{key}/dataaddress")
    found = {name.rpartition("/")[2]: value for name, value in address.items()}
    return [each[0]["@value"] if isinstance(each, list) else each for each in (found["endpoint"], found["authorization"])]


async def fetched(both, key):
    """What that program gets with them."""
    url, token = await access(both, key)
    async with aiohttp.ClientSession() as session, session.get(url, headers={"Authorization": token}) as answer:
        return answer.status, await answer.read()


async def test_it_pulls_from_us_suspends_and_resumes(both):
    key = await transfer_of_edc(both, "HttpData-PULL")
    await both.consumer.until(TRANSFERS, key, "STARTED")
    assert await fetched(both, key) == (200, PAYLOAD)
    ours = await both.of_peer(key)
    await both.consumer.step(TRANSFERS, key, "suspend", "night")
    await both.until(ours, "SUSPENDED")
    await both.consumer.until(TRANSFERS, key, "SUSPENDED")
    await both.consumer.step(TRANSFERS, key, "resume")
    await both.until(ours, "STARTED")
    await both.consumer.until(TRANSFERS, key, "STARTED")


async def test_we_suspend_and_resume_what_we_provide(both):
    key = await transfer_of_edc(both, "HttpData-PULL")
    await both.consumer.until(TRANSFERS, key, "STARTED")
    ours = await both.of_peer(key)
    before = await both.consumer.call("GET", f"/edrs/{key}/dataaddress")
    await both.commands.step("transfer", ours, "suspend", "maintenance")
    await both.until(ours, "SUSPENDED")
    await both.consumer.until(TRANSFERS, key, "SUSPENDED")
    await both.commands.step("transfer", ours, "resume", "")
    await both.until(ours, "STARTED")
    await both.consumer.until(TRANSFERS, key, "STARTED")
    assert await fetched(both, key) == (200, PAYLOAD)
    assert await both.consumer.call("GET", f"/edrs/{key}/dataaddress") != before


async def test_a_transfer_that_we_end_gives_no_more_data(both):
    key = await transfer_of_edc(both, "HttpData-PULL")
    await both.consumer.until(TRANSFERS, key, "STARTED")
    url, token = await access(both, key)
    await both.commands.step("transfer", await both.of_peer(key), "terminate", "over")
    await both.consumer.until(TRANSFERS, key, *ENDED)
    async with aiohttp.ClientSession() as session, session.get(url, headers={"Authorization": token}) as answer:
        assert answer.status == 401


async def test_we_push_into_its_sink(both):
    key = await transfer_of_edc(both, "HttpData-PUSH", destination=f"{both.backend.url}/sink/one")
    await both.consumer.until(TRANSFERS, key, *DONE)
    assert both.backend.pushed["one"] == PAYLOAD
    await both.until(await both.of_peer(key), "COMPLETED")
