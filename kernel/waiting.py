"""Waiting that ends in time and can be broken off, waiting for a turn, and for a place."""

import asyncio
from collections import deque
from contextlib import suppress


async def until(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait for an event, at most that long; whether it is set. Not `asyncio.wait_for`, which loses a cancellation that meets the event."""
    if event.is_set():
        return True
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


class Turns:
    """Lets so many pass in a turn of the event loop, the others in the turns after it, in their order: `await turns()`.

    Without it all that arrives together is worked on together and answered together, and whoever waits for the answers has nothing to do until then: two connectors under
    load stood still for a fifth of the time, the one or the other. So the first answers leave while the next requests are worked on.
    """

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __call__(self) -> None:
        loop = asyncio.get_running_loop()
        if self._left == self._most:
            loop.call_soon(self._following, loop)
        if self._left:
            self._left -= 1
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _following(self, loop: asyncio.AbstractEventLoop) -> None:
        self._left = self._most
        while self._waiting and self._left:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._left -= 1
        if self._left < self._most:
            loop.call_soon(self._following, loop)


class Places:
    """So many at once: `free` of them can be had now; whoever waits gets one in the order of asking. What a semaphore does, for a tenth of its calls where nobody has to wait."""

    def __init__(self, most: int) -> None:
        self.free = most
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """One, as soon as there is one; `give` gives it back."""
        if self.free:
            self.free -= 1
            return
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(given)
        try:
            await given
        except asyncio.CancelledError:
            if not given.cancelled():  # it was given meanwhile
                self.give()
            raise

    def give(self) -> None:
        """To who has waited longest; none is free while somebody waits."""
        while self._waiting:
            given = self._waiting.popleft()
            if not given.done():
                given.set_result(None)
                return
        self.free += 1
