"""What a replica does about the changes of another one: each kind, everything after a gap, and again when it could not be read."""

import asyncio

from connector.worker import replicas
from connector.worker.replicas import Replicas
from kernel.errors import UnavailableError


class Told:
    """Hands notices to who listens, and notes what was followed."""

    def __init__(self):
        self.done, self.fails = [], 0

    def on_notice(self, listener):
        self.notice = listener

    async def offer(self, key):
        if self.fails:
            self.fails -= 1
            raise UnavailableError("away")
        self.done.append(("offer", key))

    async def membership(self, key):
        self.done.append("membership")

    async def keys(self, key):
        self.done.append("keys")


async def run(told, notices, count):
    following = Replicas(told, {"offer": told.offer, "membership": told.membership, "keys": told.keys})
    for notice in notices:
        told.notice(*notice)
    task = asyncio.create_task(following.run())
    async with asyncio.timeout(10):
        while len(told.done) < count:
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_each_kind_has_its_own_consequence():
    told = Told()
    await run(told, [("offer", "o"), ("membership", ""), ("keys", "")], 3)
    assert told.done == [("offer", "o"), "membership", "keys"]


async def test_after_a_gap_everything_is_read_anew():
    told = Told()
    await run(told, [("", "")], 3)
    assert told.done == [("offer", ""), "membership", "keys"]


async def test_what_could_not_be_read_is_read_again(monkeypatch):
    monkeypatch.setattr(replicas, "PAUSE", 0.0)
    told = Told()
    told.fails = 2
    await run(told, [("offer", "o"), ("offer", "o")], 1)
    assert told.done == [("offer", "o")]
