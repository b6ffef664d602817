"""A separate data plane draws uses ahead of time and gives the rest back: whatever breaks off when, nothing is granted twice (DESIGN 4)."""

import asyncio
import random

import pytest

from connector.processes.errors import AgreementRetired, PolicyRefused, UnknownProcess, VersionConflict
from kernel import faults
from kernel.errors import BadInput, Conflict, NotFound
from tests.support.usage import atom, contract, transfer, use


async def counting(pair, limit):
    """A running transfer under an agreement that counts."""
    seller, buyer = pair
    key = await contract(*pair, permission=[use(atom("count", "lteq", limit))])
    running = await transfer(buyer, key)
    await seller.until(running.peer_pid, "STARTED")
    return key, running.peer_pid


async def used(company, agreement):
    (counter,) = (await company.store.ledger(agreement)).counters
    return int(counter.used)


async def test_uses_are_drawn_and_the_rest_comes_back(pair):
    seller, _ = pair
    key, pid = await counting(pair, 10)
    plane = seller.rules.allotments
    first = await plane.draw("a1", pid, "plane-1", 4)
    assert (first.amount, await used(seller, key)) == (4, 5), "the transfer's own start is one"
    second = await plane.draw("a2", pid, "plane-2", 100)
    assert (second.amount, await used(seller, key)) == (5, 10), "what is left"
    with pytest.raises(PolicyRefused):
        await plane.draw("a3", pid, "plane-1", 1)
    await plane.give_back("a1", 1)
    assert await used(seller, key) == 7
    assert (await plane.draw("a4", pid, "plane-1", 9)).amount == 3
    records = await seller.store.decisions("", 9, agreement=key)
    assert [each.record.facts["http://www.w3.org/ns/odrl/2/count"] for each in records] == ["1", "5", "10", "10"]


async def test_asking_again_gives_the_same_and_takes_nothing(pair):
    seller, _ = pair
    key, pid = await counting(pair, 10)
    plane = seller.rules.allotments
    drawn = [await plane.draw("a1", pid, "plane-1", 4) for _ in range(3)]
    assert (drawn[0] == drawn[2], await used(seller, key)) == (True, 5)
    with pytest.raises(Conflict):
        await plane.draw("a1", pid, "plane-2", 4)
    back = [await plane.give_back("a1", 2) for _ in range(3)]
    assert (back[0] == back[2], await used(seller, key)) == (True, 3)
    with pytest.raises(Conflict):
        await plane.give_back("a1", 4)


async def test_what_cannot_be_drawn_or_given_back(pair):
    seller, buyer = pair
    key, pid = await counting(pair, 10)
    plane = seller.rules.allotments
    for amount in (0, -1, 1_000_001):
        with pytest.raises(BadInput):
            await plane.draw("a", pid, "p", amount)
    with pytest.raises(UnknownProcess):
        await plane.draw("a", "urn:none", "p", 1)
    with pytest.raises(UnknownProcess):
        await buyer.rules.allotments.draw("a", (await seller.store.process(pid)).peer_pid, "p", 1)
    with pytest.raises(NotFound):
        await plane.give_back("none", 1)
    await plane.draw("a", pid, "p", 3)
    for count in (-1, 4):
        with pytest.raises(BadInput):
            await plane.give_back("a", count)
    agreement = await seller.store.agreement(key)
    await seller.contracts.retire(key, "Sato", "over")
    with pytest.raises((AgreementRetired, Conflict)):
        await plane.draw("b", pid, "p", 1)
    await plane.give_back("a", 0)
    assert (await used(seller, key), agreement.retired) == (1, None), "the rest comes back after the end, too"


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_breaks_off_when_no_use_is_granted_twice(pair, monkeypatch, seed):
    """Planes draw, use, die and give back at once, and the process breaks off around commits: used and reserved together never pass the limit."""
    seller, _ = pair
    dice, limit = random.Random(seed), 40
    key, pid = await counting(pair, limit)
    plane, granted, may = seller.rules.allotments, {}, {}

    def breaking(name):
        if name.startswith("allotment:") and dice.random() < 0.3:
            raise OSError("the power is gone")

    monkeypatch.setattr(faults, "hook", breaking)

    async def again(act):
        while True:
            try:
                return await act()
            except (OSError, VersionConflict):
                continue

    async def life(number):
        for turn in range(4):
            name = f"{number}-{turn}"
            try:
                found = await again(lambda name=name: plane.draw(name, pid, f"plane-{number}", dice.randint(1, 6)))
            except PolicyRefused:
                return
            may[name], granted[name] = found.amount, dice.randint(0, found.amount)
            assert 1 + sum(granted.values()) <= limit
            if dice.random() < 0.6:  # the others die with what they have
                await again(lambda name=name: plane.give_back(name, granted[name]))
                may[name] = granted[name]
            await asyncio.sleep(0)

    await asyncio.gather(*(life(number) for number in range(6)))
    assert await used(seller, key) == 1 + sum(may.values()) <= limit
