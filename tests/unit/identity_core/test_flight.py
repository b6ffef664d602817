"""Calls that are joined, and calls that must not be."""

import asyncio

from identity.flight import SingleFlight


async def test_calls_under_way_are_joined():
    flights, begun = SingleFlight(), []

    async def work():
        begun.append(1)
        await asyncio.sleep(0)
        return len(begun)

    assert await asyncio.gather(*(flights.run("k", work) for _ in range(5))) == [1] * 5
    assert await flights.run("k", work) == 2


async def test_a_call_that_has_ended_is_not_joined():
    """Who asks for what is newer than now would be given an older answer, however often it asks, in the moment before the call is forgotten."""
    flights, ended = SingleFlight(), asyncio.Event()

    async def first():
        ended.set()
        return "old"

    async def second():
        return "new"

    async def late():
        await ended.wait()
        return await flights.run("k", second)

    waiting = asyncio.create_task(late())
    await asyncio.sleep(0)
    assert await flights.run("k", first) == "old"
    assert await waiting == "new"
    assert await flights.run("k", second) == "new"
