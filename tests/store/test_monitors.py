"""Two replicas on one PostgreSQL, each with its policy monitor: what one commits the other watches at once, and what both act on happens once (ADR 15, 18)."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest

from connector.store.port import Relation
from connector.store.postgres import PostgresStore
from connector.worker.replicas import RELATION, Replicas
from policies.odrl import broken
from tests.support.company import Company, Directory
from tests.support.usage import Clock, atom, contract, eventually, settled, transfer, use

END = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
async def three(tables, tmp_path):
    """A seller of two replicas, and a buyer; messages for the seller go to the second."""
    clock, directory = Clock(), Directory()
    async with AsyncExitStack() as stack:
        stores = [await PostgresStore.open(tables, "did:web:seller.example", 30.0) for _ in range(2)]
        sides = [Company(tmp_path / "seller", "seller", directory, clock=clock, store=store) for store in stores]
        sides.append(Company(tmp_path / "buyer", "buyer", directory, clock=clock))
        for each in sides:
            await stack.enter_async_context(each.running())
        yield *sides, clock


async def watching(company, count):
    async with asyncio.timeout(5):
        while len(company.monitor) != count or not company.asleep:
            await asyncio.sleep(0.01)


async def test_what_another_replica_commits_is_watched_at_once(three):
    first, second, buyer, clock = three
    key = await contract(second, buyer, permission=[use(atom("dateTime", "lt", END.isoformat()))])
    running = await transfer(buyer, key)
    await watching(first, 1)
    clock.moment = END
    await first.monitor.turn()
    await buyer.until(running.id, "TERMINATED")


async def test_two_monitors_that_act_on_the_same_act_once(three):
    first, second, buyer, clock = three
    keys = [await contract(second, buyer, permission=[use(atom("dateTime", "lt", END.isoformat()))]) for _ in range(3)]
    running = [await transfer(buyer, key) for key in keys]
    for each in (first, second):
        await watching(each, 3)
    clock.moment = END
    await asyncio.gather(first.monitor.turn(), second.monitor.turn())
    for each in running:
        await buyer.until(each.id, "TERMINATED")
    for key in keys:
        kept = await first.store.decisions("", 9, agreement=key)
        assert [each.record.permitted for each in kept] == [True, False]
        assert broken(each.record for each in kept) is None


async def test_an_overdue_duty_is_written_once_by_two_monitors(three):
    first, second, buyer, clock = three
    inform = {"action": "inform", "constraint": [atom("dateTime", "lt", END.isoformat())]}
    key = await contract(second, buyer, obligation=[inform])
    for each in (first, second):
        await watching(each, 1)
    clock.moment = END
    await asyncio.gather(first.monitor.turn(), second.monitor.turn())
    (entry,) = (await eventually(lambda: second.store.ledger(key), lambda found: found.duties[0].state == "overdue")).duties
    assert entry.version == 1


async def test_a_relation_that_one_replica_ends_is_ended_at_the_other(three):
    first, second, buyer, _ = three
    following = [
        asyncio.create_task(Replicas(each.store, {RELATION: each.rules.relations.follow}).run()) for each in (first, second)
    ]
    made = await first.rules.relations.add(Relation(id="urn:r", partner=buyer.did, kind="customer", person="Sato"))
    at_second = second.rules.relations
    now = first.clock.now()

    async def said():
        return at_second.of(buyer.did, now)

    await eventually(said, lambda found: found == ("customer",))
    customer = {"leftOperand": "https://w3id.org/kizuna/policy/1#tradeRelation", "operator": "eq", "rightOperand": "customer"}
    key = await contract(second, buyer, permission=[use(customer)])
    running = await transfer(buyer, key)
    await second.until(running.peer_pid, "STARTED")
    await settled(second)
    await first.rules.relations.end(made.id, "Sato", "over")
    await buyer.until(running.id, "TERMINATED")
    await eventually(said, lambda found: found == ())
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
