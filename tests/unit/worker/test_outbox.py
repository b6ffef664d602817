"""The outbox worker (peers.md F08, F09): what each class of answer leads to, order, time, and that nothing is given up."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from connector.dsp.messages import Acknowledgement
from connector.dsp.outbound import Answer
from connector.processes import exchange, tables
from connector.processes.exchange import Change
from connector.processes.model import OutboxRow, Process
from connector.worker.lanes import FIRST
from connector.worker.lingering import Lingering
from connector.worker.outbox import Outbox
from connector.worker.reactions import BY_STATUS, CAP, REACTIONS, delay, reaction
from kernel.clock import SystemClock, iso, parse_iso
from kernel.http import Unreachable

ME, PEER = "did:web:me.example", "did:web:peer.example"
BEGIN = datetime(2026, 11, 24, 9, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.moment = BEGIN

    def now(self):
        return self.moment


async def waiting(store, key="urn:uuid:1", state="REQUESTED", message=tables.AGREE, role="", peer=PEER):
    """A process with one pending step, a provider's unless it is a new one."""
    role = role or ("provider" if state else "consumer")
    process = Process(
        id=key,
        participant=ME,
        kind="negotiation",
        role=role,
        peer=peer,
        peer_pid=key if state else "",
        callback="https://p",
        state=state,
        created=iso(BEGIN),
    )
    row = OutboxRow(id=f"row-{key}", process=key, act="dsp", message=message, path="/x", body=b"{}")
    change = exchange.propose(tables.NEGOTIATION, Change(process=process), row, now=iso(BEGIN))
    await store.commit(exchange.commit(change, 0))


async def withdraw(store):
    """What a crossing message does to our pending step."""
    process = await store.process("urn:uuid:1")
    change = exchange.withdrawn(tables.NEGOTIATION, process, process.pending.row, reason="test", now=iso(BEGIN))
    await store.commit(exchange.commit(change, process.version))


async def until(condition):
    async with asyncio.timeout(20):  # the disk sets the pace
        while not await condition():
            await asyncio.sleep(0)


def empty(store):
    """A condition: nothing is left to send."""

    async def holds():
        return not await store.outbox()

    return holds


def tried(store, times):
    """A condition: the first row has been tried so often."""

    async def holds():
        rows = await store.outbox()
        return bool(rows) and rows[0].attempts == times

    return holds


def either(first, second):
    """A condition: one of two holds."""

    async def holds():
        return await first() or await second()

    return holds


def agreed(store, key):
    """A condition: the process has come to AGREED."""

    async def holds():
        return (await store.process(key)).state == "AGREED"

    return holds


class Peer:
    """Answers from a list, the last one for ever."""

    def __init__(self, *answers, retry_after="", says=None, foreign=False):
        self.answers, self.seen, self.retry_after, self.says, self.foreign = list(answers), [], retry_after, says, foreign

    async def send(self, process, row):
        self.seen.append((process.id, row.id, bytes(row.body)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        ours = (
            {"provider_pid": process.id} if process.role == "provider" else {"consumer_pid": process.id, "provider_pid": "theirs"}
        )
        return Answer(answer, Acknowledgement(**(self.says or ours)), self.retry_after, "excerpt", self.foreign)


async def no_push(_process):
    raise AssertionError("nothing to push")


async def run(store, peer, clock, condition, push=no_push, ready_within=0):
    outbox = Outbox(
        store,
        peer.send,
        push,
        clock,
        lambda: "urn:uuid:new",
        parallel=4,
        ready_within=lambda _: ready_within,
        lingering=Lingering(0.02),
    )
    task = asyncio.create_task(outbox.run())
    try:
        await until(condition)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return outbox


async def test_a_delivered_message_moves_the_state_and_leaves_the_outbox(store):
    await waiting(store)
    await run(store, Peer(200), Clock(), empty(store))
    process = await store.process("urn:uuid:1")
    assert (process.state, process.pending) == ("AGREED", None)
    assert [row.after for row in await store.journal("urn:uuid:1")] == ["AGREED"]


async def test_the_pid_of_the_peer_is_learned_from_its_answer(store):
    await waiting(store, state="", message=tables.REQUEST)
    await run(store, Peer(201), Clock(), empty(store))
    assert (await store.process("urn:uuid:1")).peer_pid == "theirs"


@pytest.mark.parametrize("status", [409, 425, 429, 500, 503])
async def test_come_again_is_tried_again_with_the_same_body(store, status):
    await waiting(store)
    clock, peer = Clock(), Peer(status, 200)
    await run(store, peer, clock, tried(store, 1))
    assert (await store.process("urn:uuid:1")).state == "REQUESTED"
    clock.moment += timedelta(hours=2)
    await run(store, peer, clock, empty(store))
    assert peer.seen[0] == peer.seen[1]


async def test_retry_after_is_honoured(store):
    await waiting(store)
    await run(store, Peer(429, retry_after="77"), Clock(), tried(store, 1))
    assert (await store.outbox())[0].row.due == iso(BEGIN + timedelta(seconds=77))


async def test_retry_after_may_be_a_date(store):
    await waiting(store)
    date = "Tue, 24 Nov 2026 09:02:00 GMT"
    clock = Clock()
    await run(store, Peer(503, retry_after=date), clock, tried(store, 1))
    (row,) = await store.outbox()
    assert row.row.due == iso(BEGIN + timedelta(minutes=2))


@pytest.mark.parametrize(
    ("peer", "why"),
    [
        (Peer(200, foreign=True), "no protocol message"),
        (Peer(200, says={"provider_pid": "urn:uuid:another"}), "about another process"),
        (Peer(200, says={"consumer_pid": "another of theirs"}), "another process of the peer"),
    ],
)
async def test_a_good_status_that_is_no_answer_to_the_message_delivers_nothing(store, peer, why):
    await waiting(store)
    await run(store, peer, Clock(), tried(store, 1))
    assert (await store.process("urn:uuid:1")).state == "REQUESTED"
    assert why in (await store.outbox())[0].reason


async def test_a_first_message_whose_answer_names_no_process_is_not_delivered(store):
    await waiting(store, state="", message=tables.REQUEST)
    await run(store, Peer(200, says={"consumer_pid": "urn:uuid:1"}), Clock(), tried(store, 1))
    assert "does not name the process" in (await store.outbox())[0].reason


async def test_a_refused_token_is_tried_again_once_and_then_parked_for_the_operator(store):
    await waiting(store)
    clock, peer = Clock(), Peer(401)
    for attempt in range(1, BY_STATUS[401].tries + 1):
        await run(store, peer, clock, tried(store, attempt))
        clock.moment += timedelta(minutes=1)
    (row,) = await store.outbox()
    assert row.parked
    assert "does not accept our token" in row.reason


async def test_a_refused_message_is_recorded_and_the_process_waits(store):
    await waiting(store)
    await run(store, Peer(400), Clock(), empty(store))
    process = await store.process("urn:uuid:1")
    assert process.state == "REQUESTED"
    assert "refused" in process.note


async def test_a_first_message_that_meets_404_ends_the_process(store):
    await waiting(store, state="", message=tables.REQUEST)
    await run(store, Peer(404), Clock(), empty(store))
    assert (await store.process("urn:uuid:1")).state == "TERMINATED"


@pytest.mark.parametrize("message", [tables.REQUEST, tables.OFFER])
async def test_a_first_message_to_a_peer_that_may_take_its_time_is_sent_again_until_it_is_ready(store, message):
    role, other = ("consumer", "provider") if message == tables.REQUEST else ("provider", "consumer")
    await waiting(store, state="", message=message, role=role)
    clock, peer = Clock(), Peer(404, 404, 404, 201, says={f"{role}_pid": "urn:uuid:1", f"{other}_pid": "theirs"})
    for attempt in range(1, 4):
        await run(store, peer, clock, tried(store, attempt), ready_within=60)
        (row,) = await store.outbox()
        assert (row.parked, row.reason) == (False, "the peer does not know us yet (404)")
        clock.moment = parse_iso(row.row.due)
    await run(store, peer, clock, empty(store), ready_within=60)
    assert len({body for _, _, body in peer.seen}) == 1
    assert (await store.process("urn:uuid:1")).state in ("REQUESTED", "OFFERED")


async def test_the_patience_with_a_peer_that_is_not_ready_has_an_end(store):
    await waiting(store, state="", message=tables.REQUEST)
    clock, peer, attempts = Clock(), Peer(404), 0
    while await store.outbox():
        attempts += 1
        assert attempts < 20
        await run(store, peer, clock, either(empty(store), tried(store, attempts)), ready_within=60)
        clock.moment = parse_iso(rows[0].row.due) if (rows := await store.outbox()) else clock.moment
    process = await store.process("urn:uuid:1")
    assert process.state == "TERMINATED"
    assert "does not know the process, or hides it from us (404)" in process.note
    assert timedelta(seconds=60) <= clock.moment - BEGIN < timedelta(seconds=75)


async def test_the_patience_is_for_first_messages_and_for_404_alone(store):
    await waiting(store, state="", message=tables.REQUEST)
    await run(store, Peer(403), Clock(), empty(store), ready_within=60)
    assert (await store.process("urn:uuid:1")).state == "TERMINATED"
    await waiting(store, "urn:uuid:2")
    clock = Clock()
    for attempt in range(1, BY_STATUS[404].tries + 1):
        await run(store, Peer(404), clock, tried(store, attempt), ready_within=86_400)
        clock.moment += timedelta(minutes=1)
    assert (await store.outbox())[0].parked


async def test_a_refused_termination_is_taken_all_the_same(store):
    await waiting(store, message=tables.END_NEGOTIATION)
    await run(store, Peer(400), Clock(), empty(store))
    assert (await store.process("urn:uuid:1")).state == "TERMINATED"


async def test_a_peer_that_is_away_for_a_week_loses_nothing(store):
    await waiting(store)
    clock = Clock()
    peer = Peer(Unreachable("no route"))
    attempts = 0
    while clock.moment < BEGIN + timedelta(days=7):
        attempts += 1
        await run(store, peer, clock, tried(store, attempts))
        clock.moment += timedelta(hours=1, minutes=20)
    assert attempts > 100
    peer.answers = [200]
    await run(store, peer, clock, empty(store))
    assert (await store.process("urn:uuid:1")).state == "AGREED"


async def test_a_slow_peer_holds_nobody_up(store):
    await waiting(store, "urn:uuid:1")
    await waiting(store, "urn:uuid:2")
    gate = asyncio.Event()

    class Slow(Peer):
        async def send(self, process, row):
            if process.id == "urn:uuid:1":
                await gate.wait()
            return await super().send(process, row)

    await run(store, Slow(200), Clock(), agreed(store, "urn:uuid:2"))
    assert (await store.process("urn:uuid:1")).state == "REQUESTED"


async def test_the_attempt_of_a_withdrawn_row_is_broken_off(store):
    await waiting(store)
    began, broken = asyncio.Event(), asyncio.Event()

    class Hanging(Peer):
        async def send(self, process, row):
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                broken.set()

    peer = Hanging(200)
    outbox = Outbox(store, peer.send, no_push, Clock(), lambda: "x")
    task = asyncio.create_task(outbox.run())
    async with asyncio.timeout(20):
        await began.wait()
        await withdraw(store)
        await broken.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Mixed(Peer):
    """Peers of which some take the connection and never answer; `slow` ones answer after a while."""

    def __init__(self, silent=(), slow=()):
        super().__init__(200)
        self.silent, self.slow, self.held, self.most = set(silent), set(slow), 0, 0

    async def send(self, process, row):
        self.held += 1
        self.most = max(self.most, self.held)
        try:
            if process.peer in self.silent:
                await asyncio.Event().wait()
            if process.peer in self.slow:
                await asyncio.sleep(0.6)
            return await super().send(process, row)
        finally:
            self.held -= 1


@asynccontextmanager
async def working(store, peer, patience=0.05):
    outbox = Outbox(store, peer.send, no_push, SystemClock(), lambda: "urn:uuid:new", patience=patience, lingering=Lingering(0.02))
    task = asyncio.create_task(outbox.run())
    try:
        yield outbox
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def settled(store, *keys):
    """A condition: all these processes have come to AGREED."""

    async def holds():
        return all([(await store.process(key)).state == "AGREED" for key in keys])

    return holds


@pytest.mark.parametrize(("peers", "each"), [(1, 200), (4, 16), (70, 1), (70, 4)])
async def test_peers_that_never_answer_hold_nobody_up(store, peers, each):
    silent = [f"did:web:silent{number}.example" for number in range(peers)]
    for who in silent:
        for number in range(each):
            await waiting(store, f"urn:uuid:{who}-{number}", peer=who)
    healthy = [f"urn:uuid:h{number}" for number in range(20)]
    peer = Mixed(silent)
    async with working(store, peer) as outbox:
        if peers * each > FIRST:
            await until(partial(holds, peer, min(peers, 16)))
        for key in healthy:
            await waiting(store, key, peer=f"did:web:{key[-2:]}.example")
        await until(settled(store, *healthy))
        assert peer.most <= 3 * 64
        assert max(Counter(process for process, *_ in peer.seen).values()) == 1
        assert len(outbox._busy) >= min(peers, 16)


async def holds(peer, count):
    return peer.held >= count


async def test_attempts_that_wait_without_a_slot_are_broken_off_before_they_are_too_many(store):
    silent = [f"did:web:silent{number}.example" for number in range(12)]
    for who in silent:
        for number in range(3):
            await waiting(store, f"urn:uuid:{who}-{number}", peer=who)
    peer = Mixed(silent)
    outbox = Outbox(store, peer.send, no_push, SystemClock(), lambda: "x", parallel=4, patience=0.02)
    task = asyncio.create_task(outbox.run())

    async def broken_off():
        return any("many others are waited for" in each.reason for each in await store.outbox())

    await until(broken_off)
    await waiting(store, "urn:uuid:1")
    await until(settled(store, "urn:uuid:1"))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert peer.most <= 3 * 4
    assert len(await store.outbox()) == 36


async def test_a_silent_peer_is_asked_by_one_message_at_a_time_until_it_answers(store):
    clock = Clock()
    keys = [f"urn:uuid:{number}" for number in range(12)]
    for key in keys:
        await waiting(store, key)
    peer = Peer(Unreachable("no answer"))
    held, most = 0, 0

    async def send(process, row):
        nonlocal held, most
        held += 1
        most = max(most, held) if len(peer.seen) > FIRST else most
        await asyncio.sleep(0.01)
        held -= 1
        return await Peer.send(peer, process, row)

    outbox = Outbox(store, send, no_push, clock, lambda: "x", patience=5)
    task = asyncio.create_task(outbox.run())

    async def all_tried():
        return all(each.attempts for each in await store.outbox())

    await until(all_tried)
    assert most == 1
    peer.answers = [200]
    clock.moment += timedelta(hours=2)
    outbox.wake()
    await until(settled(store, *keys))
    assert most > 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_slow_peer_is_no_silent_one(store):
    keys = [f"urn:uuid:{number}" for number in range(30)]
    for key in keys:
        await waiting(store, key)
    peer = Mixed(slow=[PEER])
    async with working(store, peer, 0.5):
        await until(settled(store, *keys))
    assert len(peer.seen) == len(keys)
    assert peer.most > FIRST


def test_every_status_has_a_reaction_and_the_table_is_without_overlap():
    statuses = [status for each in REACTIONS for status in each.statuses]
    assert len(statuses) == len(set(statuses))
    for status in range(100, 600):
        assert reaction(status, first_message=False).action in ("deliver", "refuse", "retry", "park")


def test_the_pause_grows_to_an_hour_and_no_further():
    found = reaction(503, first_message=False)
    pauses = [delay(found, attempt, "", 0.5) for attempt in range(40)]
    assert pauses == sorted(pauses)
    assert max(pauses) <= CAP * 1.2
    assert delay(found, 0, "999999", 0.5) == CAP
