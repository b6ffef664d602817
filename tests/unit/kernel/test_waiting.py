"""Waiting for an event."""

import asyncio

import pytest

from kernel.waiting import until


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
