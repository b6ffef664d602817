"""identity.service.worker: the loop itself."""

import asyncio

import pytest

from identity.service.worker import Worker


@pytest.mark.parametrize("ticks", range(6))
async def test_a_cancellation_that_meets_a_commit_is_not_lost(ticks):
    class Passes(Worker):
        async def _guarded_pass(self):
            return 60.0

    worker = Passes(None, None, [])
    task = asyncio.create_task(worker.run())
    for _ in range(3):
        await asyncio.sleep(0)
    worker.wake.set()
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=2)
    assert done, "the worker goes on for ever"
