"""Decisions under one agreement follow each other before the first is durable (`store.ahead`): in one row, without a gap, and as the file has them in the end."""

import asyncio
import random

import pytest
from msgspec.structs import replace

from connector.processes.errors import VersionConflict
from connector.processes.model import Commit, Decided, Payment, Process, TokenUse
from kernel.errors import KizunaError
from policies.duties import Counter, Entry
from policies.odrl.record import FIRST, Record

ME, AT, A = "did:web:me.example", "2026-11-24T09:00:00.000Z", "urn:a"
COUNTED = Counter(agreement=A, operand="urn:count", limit="1000")
DUTY = Entry(agreement=A, path="/obligation/0", action="urn:act", origin="obligation", state="active")
USED = TokenUse("did:web:b.example", "used", 9_999_999_999)


@pytest.fixture(params=["sqlite"])
def backend(request):
    """Replicas of a server do not look ahead."""
    return request.param


@pytest.fixture
async def begun(store):
    await store.commit(Commit(process=process("urn:n"), expected=0, counters=(COUNTED,), duties=(DUTY,), token=USED))
    return store


def process(key):
    return Process(id=key, participant=ME, kind="transfer", role="provider", peer="did:web:b.example", state="REQUESTED", version=1)


def granted(ledger, key, token=None):
    """A commit as a grant makes it of the ledger that it read."""
    record = Record(
        previous=ledger.last, engine="1", policy="p", registry="r", action="use", phase="transfer", now=AT, party="b", target="d", facts={},
        part_of={}, duties={}, since={}, remedied=False, permitted=True, held="1", unknown="0", hash=f"{key} after {ledger.last[:60]}",
    )  # fmt: skip
    decided = Decided(agreement=A, seq=ledger.decided + 1, transfer=key, record=record)
    counters = tuple(replace(each, used=str(int(each.used) + 1), version=each.version + 1) for each in ledger.counters)
    return Commit(process=process(key), expected=0, counters=counters, decided=decided, token=token)


async def as_kept(store):
    """The ledger, after it was found to be what the file has, and its chain whole."""
    kept = await super(type(store), store).ledger(A)
    assert await store.ahead(A) == await store.ledger(A) == kept
    previous = FIRST
    every = await store.decisions("", 10_000, agreement=A)
    for place, each in enumerate(every, 1):
        assert (each.seq, each.record.previous) == (place, previous)
        previous = each.record.hash
    assert (kept.decided, kept.last) == (len(every), previous)
    return kept


async def test_many_at_once_share_a_commit(begun):
    groups = []
    begun.on_commit(lambda: groups.append(1))

    async def grant(number):
        await begun.commit(granted(await begun.ahead(A), f"urn:{number}"))

    await asyncio.gather(*(grant(number) for number in range(100)))
    assert len(groups) == 1
    found = await as_kept(begun)
    assert (found.decided, found.counters) == (100, (replace(COUNTED, used="100", version=100),))


async def test_what_fails_takes_along_what_was_built_on_it(begun):
    first = granted(await begun.ahead(A), "urn:1", USED)
    failing = asyncio.create_task(begun.commit(first))
    await asyncio.sleep(0)
    ahead = await begun.ahead(A)
    assert (ahead.decided, ahead.counters[0].used) == (1, "1")
    assert (await begun.ledger(A)).counters == (COUNTED,), "it is not durable"
    second = asyncio.create_task(begun.commit(granted(ahead, "urn:2")))
    failed = await asyncio.gather(failing, second, return_exceptions=True)
    assert [type(each).__name__ for each in failed] == ["Unauthorized", "VersionConflict"]
    assert await begun.process("urn:2") is None
    assert (await as_kept(begun)).counters == (COUNTED,)
    await begun.commit(granted(await begun.ahead(A), "urn:2"))
    assert (await as_kept(begun)).decided == 1


async def test_what_was_read_while_a_write_was_under_way_counts_no_longer_than_that(begun):
    ended = asyncio.create_task(begun.save_duties([replace(DUTY, state="waived", version=1)]))
    await asyncio.sleep(0)
    assert [each.state for each in (await begun.ahead(A)).duties] == ["active"], "it is not durable yet"
    await ended
    assert [each.state for each in (await as_kept(begun)).duties] == ["waived"]


async def test_who_gives_up_leaves_nothing_wrong_behind(begun):
    for number in range(3):
        task = asyncio.create_task(begun.commit(granted(await begun.ahead(A), f"urn:{number}")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await begun.ahead(A)
        await begun.spend(TokenUse("i", str(number), 9_999_999_999))  # whatever was asked for before is done
        assert (await as_kept(begun)).decided == number * 2 + 1
        await begun.commit(granted(await begun.ahead(A), f"urn:x:{number}"))
        ahead = asyncio.create_task(begun.commit(granted(await begun.ahead(A), f"urn:y:{number}", USED)))
        await asyncio.sleep(0)
        assert (await begun.ahead(A)).decided == number * 2 + 3, "and the next ones are looked ahead to again"
        await asyncio.gather(ahead, return_exceptions=True)
        await as_kept(begun)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_at_once_the_chain_is_whole_and_each_use_counted_once(begun, seed):
    """Grants of which some fail and some are given up, payments, and duties, by chance in any order."""
    chance, done, duties = random.Random(seed), [], [DUTY]

    async def grant(number):
        token = USED if chance.random() < 0.1 else None
        for _ in range(200):
            try:
                await begun.commit(granted(await begun.ahead(A), f"urn:{number}", token))
            except VersionConflict:
                await asyncio.sleep(0)
            else:
                done.append(number)
                return
        raise AssertionError("it never gets through")

    async def pay(number):
        (counter,) = (await begun.ledger(A)).counters
        paid = Payment(id=f"urn:p:{number}", agreement=A, amount="0", unit="EUR", evidence="R", person="Sato", at=AT)
        await begun.add_payment(paid, replace(counter, version=counter.version + 1))

    async def owe(_number):
        duties.append(replace(DUTY, version=len(duties), due=AT))
        await begun.save_duties(duties[-1:])

    tasks = []
    for number in range(300):
        what = chance.choices([grant, pay, owe], [20, 1, 1])[0]
        tasks.append(asyncio.create_task(what(number)))
        for _ in range(chance.choice([0, 0, 0, 1, 5])):
            await asyncio.sleep(0)
        if chance.random() < 0.05:
            chance.choice(tasks).cancel()
        if chance.random() < 0.05:
            await asyncio.sleep(0.002)
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [each for each in ended if each is not None and not isinstance(each, KizunaError | asyncio.CancelledError)]
    await begun.spend(TokenUse("i", "last", 9_999_999_999))
    found = await as_kept(begun)
    assert set(done) <= {int(each.transfer[4:]) for each in await begun.decisions("", 10_000, agreement=A)}
    assert len(done) > 150
    assert int(found.counters[0].used) == found.decided
