"""One call at a time per key: whoever asks while it is under way waits for its result (used by `resolve` and `statusread`).

The work runs in a task of its own, so that a caller who gives up does not take the answer away from the others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Joins concurrent calls with equal keys; keeps nothing once they have ended."""

    __slots__ = ("_running",)

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[V]] = {}

    async def run(self, key: K, work: Callable[[], Awaitable[V]]) -> V:
        """The result of the call under way, or of `work`; its error reaches everybody who waits."""
        task = self._running.get(key)
        if task is None or task.done():  # ended, and not forgotten yet: its answer is from before this call
            task = asyncio.create_task(_finished(work))
            self._running[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def _forget(self, key: K, done: asyncio.Task[V]) -> None:
        if self._running.get(key) is done:
            del self._running[key]
        if not done.cancelled():
            done.exception()  # read once, so that an error whose askers have all gone is not reported as lost


async def _finished(work: Callable[[], Awaitable[V]]) -> V:
    return await work()
