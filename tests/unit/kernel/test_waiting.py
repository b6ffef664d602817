"""Waiting for an event, and for a turn."""

import asyncio
from collections import Counter

import pytest

from kernel.waiting import Places, Turns, until


async def test_a_wait_ends_with_the_event_or_with_its_time():
    event = asyncio.Event()
    assert not await until(event, 0)
    event.set()
    assert await until(event, None)


@pytest.mark.parametrize("turns", range(4))
async def test_a_cancellation_that_meets_the_event_is_not_lost(turns):
    """`asyncio.wait_for` takes one and returns all the same on Python 3.11, so that what was to be stopped goes on."""
    event = asyncio.Event()
    waiting = asyncio.create_task(until(event, 60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    event.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    if waiting.cancel():
        with pytest.raises(asyncio.CancelledError):
            await waiting
    else:
        assert waiting.result()


async def passing(turns, count):
    """(turn of the loop, caller) in the order in which they pass."""
    passed, turn = [], 0

    async def caller(number):
        await turns()
        passed.append((turn, number))

    async with asyncio.TaskGroup() as tasks:
        callers = [tasks.create_task(caller(each)) for each in range(count)]
        while not all(each.done() for each in callers):
            await asyncio.sleep(0)
            turn += 1
    return passed


async def test_few_pass_in_a_turn_of_the_loop_and_nobody_overtakes():
    passed = await passing(Turns(3), 10)
    assert [number for _, number in passed] == list(range(10))
    by_turn = Counter(turn for turn, _ in passed)
    assert max(by_turn.values()) == 3
    assert len(by_turn) == 4


async def test_who_comes_alone_does_not_wait():
    turns = Turns(1)
    for _ in range(3):
        asked = asyncio.create_task(turns())
        await asyncio.sleep(0)
        assert asked.done()
        await asyncio.sleep(0)


async def test_who_comes_later_does_not_overtake_those_who_wait():
    turns, passed = Turns(1), []

    async def caller(number):
        await turns()
        passed.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(6):
            tasks.create_task(caller(number))
            await asyncio.sleep(0)
    assert passed == list(range(6))


async def test_one_who_gives_up_takes_nobody_s_turn():
    turns, passed = Turns(1), []

    async def caller(number):
        await turns()
        passed.append(number)

    tasks = [asyncio.create_task(caller(each)) for each in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert passed == [0, 3]


async def taken(places, name, had):
    await places.take()
    had.append(name)


async def test_who_has_waited_longest_gets_the_place_that_is_given_back():
    places, had = Places(2), []
    tasks = [asyncio.create_task(taken(places, name, had)) for name in "abcd"]
    await asyncio.sleep(0)
    assert (had, places.free) == (["a", "b"], 0)
    places.give()
    late = asyncio.create_task(taken(places, "e", had))  # asks before the one that waits has run
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert had == ["a", "b", "c"]
    places.give()
    places.give()
    await asyncio.gather(*tasks, late)
    assert (had, places.free) == (["a", "b", "c", "d", "e"], 0)
    for _ in range(2):
        places.give()
    assert places.free == 2


@pytest.mark.parametrize("given", [False, True])
async def test_no_place_is_lost_with_who_gives_up(given):
    """While it waits, and when the place is its own already, of which it has not heard."""
    places, had = Places(1), []
    await places.take()
    first, second = (asyncio.create_task(taken(places, name, had)) for name in "ab")
    await asyncio.sleep(0)
    if given:
        places.give()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    if not given:
        places.give()
    await second
    assert (had, places.free) == (["b"], 0)
