"""Waiting that ends in time, and that can be broken off."""

import asyncio
from contextlib import suppress


async def until(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait for an event, at most that long; whether it is set. Not `asyncio.wait_for`, which loses a cancellation that meets the event."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
