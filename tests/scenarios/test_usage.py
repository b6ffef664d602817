"""Where policies act: duties and counters begin with the agreement, transfers are decided by them, and what time changes is done at that instant (issue: policies)."""

import asyncio
import uuid
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from kernel import faults
from policies.duties import states
from policies.duties.counters import COUNT
from policies.odrl import broken, replay
from tests.support.company import Company, Directory

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.moment = NOW

    def now(self):
        return self.moment


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def pair(tmp_path, clock):
    directory = Directory()
    async with AsyncExitStack() as stack:
        sides = [Company(tmp_path / name, name, directory, clock=clock) for name in ("seller", "buyer")]
        for each in sides:
            await stack.enter_async_context(each.running())
        yield sides


def atom(left, operator, right):
    return {"leftOperand": left, "operator": operator, "rightOperand": str(right)}


def use(*constraints, **more):
    return {"action": "use", **({"constraint": list(constraints)} if constraints else {})} | more


async def contract(seller, buyer, **rules):
    """The id of an agreement whose policy has these rules."""
    made = await seller.publish()
    key = f"urn:uuid:{uuid.uuid4()}"
    offer = replace(made, id=key, contract={"@id": key, "@type": "Offer", "permission": [use()], **rules})
    await seller.store.add_offer(offer)
    seller.rules.put(offer, await seller.store.asset(offer.asset))
    process = await buyer.commands.negotiate(seller.did, offer.asset, offer.id, None)
    process = await buyer.until(process.id, "FINALIZED")
    await seller.until(process.peer_pid, "FINALIZED")
    return process.data["agreement"]["@id"]


def asking(buyer, agreement):
    return {
        "@context": ["https://w3id.org/dspace/2025/1/context.jsonld"], "@type": "TransferRequestMessage", "agreementId": agreement,
        "consumerPid": f"urn:uuid:{uuid.uuid4()}", "format": "HttpData-PULL", "callbackAddress": buyer.base,
    }  # fmt: skip


async def transfer(buyer, agreement, *states, seconds=10):
    process = await buyer.commands.request_transfer(agreement, "HttpData-PULL")
    return await buyer.until(process.id, *states or ("STARTED",), seconds=seconds)


async def test_duties_and_counters_begin_with_the_agreement_on_both_sides_alike(pair):
    delete = {"action": "delete", "constraint": [atom("elapsedTime", "lteq", "P30D")]}
    key = await contract(*pair, permission=[use(atom("count", "lteq", 2))], obligation=[delete])
    ours, theirs = [await each.store.ledger(key) for each in pair]
    assert ours.duties == theirs.duties
    assert ours.counters == theirs.counters
    assert [(each.action.rpartition("/")[2], each.due) for each in ours.duties] == [("delete", "2026-12-24T09:00:00.000Z")]
    assert [(each.operand, each.limit, each.used) for each in ours.counters] == [(COUNT, "2", "0")]


async def test_a_count_is_taken_once_for_each_transfer_and_then_it_is_over(pair):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(atom("count", "lteq", 2))])
    await transfer(buyer, key)
    second = await transfer(buyer, key)
    third = await transfer(buyer, key, "TERMINATED")
    assert "403" in third.note
    assert "2 of 2" not in third.note, "what is left is not the peer's business"
    (counter,) = (await seller.store.ledger(key)).counters
    assert (counter.used, counter.version) == ("2", 2)
    await buyer.commands.step("transfer", second.id, "suspend", "")
    await buyer.until(second.id, "SUSPENDED")
    await buyer.commands.step("transfer", second.id, "resume", "")
    await buyer.until(second.id, "STARTED")
    assert (await seller.store.ledger(key)).counters == (counter,), "to go on takes nothing"


async def test_two_at_once_cannot_both_take_the_last_one(pair):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(atom("count", "lteq", 1))])
    both = await asyncio.gather(*(transfer(buyer, key, "STARTED", "TERMINATED") for _ in range(2)))
    assert sorted(each.state for each in both) == ["STARTED", "TERMINATED"]
    assert [each.used for each in (await seller.store.ledger(key)).counters] == ["1"]


async def test_a_repeated_request_takes_once(pair):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(atom("count", "lteq", 5))])
    ask = asking(buyer, key)
    answers = [await buyer.post("/transfers/request", ask, to=seller) for _ in range(3)]
    assert [status for status, _ in answers] == [201, 201, 201]
    assert len({body["providerPid"] for _, body in answers}) == 1
    assert [each.used for each in (await seller.store.ledger(key)).counters] == ["1"]


@pytest.mark.parametrize("point", ["inbound:before-commit", "inbound:after-commit"])
async def test_a_fault_around_the_commit_leaves_one_taken(pair, monkeypatch, point):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(atom("count", "lteq", 5))])
    ask, broke = asking(buyer, key), []

    def break_once(name):
        if name == point and not broke:
            broke.append(name)
            raise OSError("the power is gone")

    monkeypatch.setattr(faults, "hook", break_once)
    first, _ = await buyer.post("/transfers/request", ask, to=seller)
    second, _ = await buyer.post("/transfers/request", ask, to=seller)
    assert (first, second, broke) == (500, 201, [point])
    assert [each.used for each in (await seller.store.ledger(key)).counters] == ["1"]
    assert len(await seller.store.decisions("", 10, agreement=key)) == 1


async def test_elapsed_time_runs_from_the_agreement(pair, clock):
    _, buyer = pair
    key = await contract(*pair, permission=[use(atom("elapsedTime", "lteq", "P10D"))])
    await transfer(buyer, key)
    clock.moment += timedelta(days=11)
    refused = await transfer(buyer, key, "TERMINATED")
    assert "403" in refused.note


async def test_a_duty_that_comes_first_stands_in_the_way_until_it_is_fulfilled(pair):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(duty=[{"action": "inform"}])])
    refused = await transfer(buyer, key, "TERMINATED")
    assert "403" in refused.note
    (entry,) = (await seller.store.ledger(key)).duties
    await seller.store.save_duties([replace(entry, state="fulfilled", version=1)])
    await transfer(buyer, key)


async def test_an_overdue_duty_refuses_though_nobody_has_written_it_down(pair, clock):
    seller, buyer = pair
    pay = {"action": "compensate", "constraint": [atom("delayPeriod", "lteq", "P5D")]}
    key = await contract(*pair, permission=[use(duty=[pay])])
    await transfer(buyer, key)
    clock.moment += timedelta(days=6)
    await transfer(buyer, key, "TERMINATED")
    assert set(states((await seller.store.ledger(key)).duties).values()) == {"active"}


async def test_decisions_are_kept_as_a_chain_that_can_be_replayed(pair):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(atom("count", "lteq", 3))])
    for _ in range(3):
        await transfer(buyer, key)
    found = await seller.store.decisions("", 10, agreement=key)
    assert [each.seq for each in found] == [1, 2, 3]
    assert broken(each.record for each in found) is None
    policy = (await seller.store.agreement(key)).policy
    assert [replay(each.record, policy, seller.profile.operands) for each in found] == [[], [], []]
    assert [each.record.facts[COUNT] for each in found] == ["1", "2", "3"]
