"""Delivered messages that linger until the peer's next one settles them (`connector.worker.lingering`)."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from connector.processes import exchange, tables
from connector.processes.exchange import Change, Incoming
from connector.processes.model import OutboxRow
from connector.worker.lingering import Lingering
from connector.worker.outbox import Outbox
from kernel.clock import iso
from tests.unit.worker.test_outbox import BEGIN, ME, PEER, Clock, Peer, empty, no_push, until, waiting

KEY = "urn:uuid:1"
LONG = 10.0  # shorter than the leases of these stores


@asynccontextmanager
async def working(store, peer, seconds=LONG, clock=None):
    lingering = Lingering(seconds)
    outbox = Outbox(store, peer.send, no_push, clock or Clock(), lambda: "urn:uuid:new", lingering=lingering)
    task = asyncio.create_task(outbox.run())
    try:
        yield outbox, lingering
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def lingers(lingering):
    async def holds():
        return KEY in lingering

    return holds


def told(commits, count):
    async def holds():
        return len(commits) == count

    return holds


async def states(store):
    return [row.after for row in await store.journal(KEY)]


async def verified(store):
    """The consumer verifies our agreement, and we finalise."""
    process = await store.process(KEY)
    incoming = Incoming(message=tables.VERIFY, sender="consumer", peer=PEER, message_id="m", digest="d", peer_pid=KEY)
    taken = exchange.receive(tables.NEGOTIATION, process, incoming, known=None, now=iso(BEGIN))
    row = OutboxRow(id="row-next", process=KEY, act="dsp", message=tables.FINALIZE, path="/x", body=b"{}")
    change = exchange.propose(tables.NEGOTIATION, taken, row, now=iso(BEGIN))
    await store.commit(exchange.commit(change, process.version))


async def test_the_next_message_of_the_peer_settles_it_with_its_own_commit(store):
    peer, commits = Peer(200), []
    await waiting(store)
    store.on_gone(lambda commit: commits.append([row.after for row in commit.journal]))
    async with working(store, peer) as (outbox, lingering):
        await until(lingers(lingering))
        assert (await store.process(KEY)).pending.to == "AGREED"
        assert not outbox._running
        assert outbox._lanes.free() == 64
        await verified(store)
        assert KEY not in lingering
        await until(told(commits, 2))
    assert [row for _, row, _ in peer.seen] == ["row-urn:uuid:1", "row-next"]
    assert commits == [["AGREED", "VERIFIED"], ["FINALIZED"]]


async def test_without_one_it_is_settled_after_a_while_with_the_time_of_the_answer(store):
    await waiting(store)
    clock = Clock()
    async with working(store, Peer(200), 0.3, clock) as (_, lingering):
        await until(lingers(lingering))
        clock.moment += timedelta(seconds=5)
        await until(empty(store))
    (row,) = await store.journal(KEY)
    assert (row.after, row.at) == ("AGREED", iso(BEGIN))


async def test_many_are_settled_one_by_one(store):
    keys = [f"urn:uuid:{number}" for number in range(20)]
    for key in keys:
        await waiting(store, key)
    async with working(store, Peer(200), 0.05):
        await until(empty(store))
    assert [(await store.process(key)).state for key in keys] == ["AGREED"] * 20


@pytest.mark.parametrize(
    ("by", "pids", "settles"),
    [
        ("", (), True),
        (tables.VERIFY, (KEY, KEY), False),
        (tables.VERIFY, ("another",), True),
        (tables.END_NEGOTIATION, (KEY, KEY), True),
        (tables.REQUEST, (KEY, KEY), True),
    ],
)
async def test_whoever_looks_or_acts_finds_it_settled_unless_the_message_proves_it(store, by, pids, settles):
    await waiting(store)
    async with working(store, Peer(200)) as (_, lingering):
        await until(lingers(lingering))
        await lingering.settle(KEY, by, pids)
        assert await states(store) == (["AGREED"] if settles else [])
        assert (KEY in lingering) is not settles
        assert bool(await store.outbox()) is not settles


async def test_what_our_own_termination_withdraws_is_taken_before_it(store):
    await waiting(store)
    peer = Peer(200)
    async with working(store, peer) as (_, lingering):
        await until(lingers(lingering))
        process = await store.process(KEY)
        row = OutboxRow(id="row-end", process=KEY, act="dsp", message=tables.END_NEGOTIATION, path="/x", body=b"{}")
        change = exchange.propose(tables.NEGOTIATION, Change(process=process), row, now=iso(BEGIN))
        await store.commit(exchange.commit(change, process.version))
        await until(empty(store))
    assert await states(store) == ["AGREED", "TERMINATED"]


@pytest.mark.parametrize(("state", "message"), [("VERIFIED", tables.FINALIZE), ("REQUESTED", tables.END_NEGOTIATION)])
async def test_a_last_message_is_settled_at_once(store, state, message):
    await waiting(store, state=state, message=message)
    async with working(store, Peer(200)) as (_, lingering):
        await until(empty(store))
        assert KEY not in lingering
    assert (await store.process(KEY)).state in ("FINALIZED", "TERMINATED")


async def test_an_answer_after_the_proof_writes_nothing(store):
    await waiting(store)
    began, gate = asyncio.Event(), asyncio.Event()

    class Late(Peer):
        async def send(self, process, row):
            began.set()
            if row.id != "row-next":
                await asyncio.shield(gate.wait())
            return await super().send(process, row)

    commits = []
    async with working(store, Late(200)) as (outbox, _):
        await began.wait()
        outbox._cut = _nothing  # the answer comes before the attempt is broken off
        store.on_gone(lambda commit: commits.append([row.after for row in commit.journal]))
        await verified(store)
        gate.set()
        await until(told(commits, 2))
    assert commits == [["AGREED", "VERIFIED"], ["FINALIZED"]]


async def _nothing():
    pass


async def test_what_lingers_at_the_end_of_the_worker_is_sent_again_at_its_next_start(store):
    await waiting(store)
    peer = Peer(200)
    async with working(store, peer) as (_, lingering):
        await until(lingers(lingering))
    assert KEY not in lingering
    (row,) = await store.outbox()
    assert (row.row.process, row.attempts) == (KEY, 0)


async def test_nothing_lingers_beyond_its_lease(store, backend):
    await waiting(store)
    if backend == "sqlite":
        pytest.skip("no leases")
    async with working(store, Peer(200), 3600):
        await until(empty(store))
    assert await states(store) == ["AGREED"]
    assert (await store.process(KEY)).participant == ME
