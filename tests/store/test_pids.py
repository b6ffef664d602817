"""What the embedded store knows of peers' pids without its table: never too little, and not much."""

import asyncio
import random

import pytest

from connector.processes.model import Commit, Process
from connector.store import pids
from connector.store.pids import Pids
from connector.store.sqlite import SqliteStore, open_database

ME, PEER = "did:web:me.example", "did:web:peer.example"
WHOSE = (PEER, "negotiation")


def process(number, peer_pid, version=1):
    key, state = f"urn:uuid:{number}", "REQUESTED"
    return Process(
        id=key, participant=ME, kind="negotiation", role="provider", peer=PEER, peer_pid=peer_pid, state=state, version=version
    )


def test_only_what_comes_behind_the_last_pid_and_was_not_written_since_is_new():
    found = Pids()
    assert not found.new(WHOSE, "b"), "nothing is known before the file was asked"
    found.read(WHOSE, "b")
    assert [found.new(WHOSE, pid) for pid in ("", "a", "b", "c")] == [False, False, False, True]
    assert not found.new((PEER, "transfer"), "c")
    found.add(WHOSE, "c")
    assert [found.new(WHOSE, pid) for pid in ("c", "d")] == [False, True]
    found.doubt(WHOSE, "e")
    found.doubt(WHOSE, "d")
    assert [found.new(WHOSE, pid) for pid in ("e", "f")] == [False, True]


def test_what_is_kept_is_bounded_and_no_pid_that_was_written_is_ever_called_new(monkeypatch):
    monkeypatch.setattr(pids, "CAPACITY", 50)
    monkeypatch.setattr(pids, "_PEERS", 4)
    chance, found, written = random.Random(1), Pids(), {}
    for number in range(2_000):
        peer, pid = (f"did:web:p{chance.randrange(6)}", "transfer"), f"{number + chance.randrange(40):06}"
        if not found.asked(peer):
            found.read(peer, max(written.get(peer, ()), default=""))
        assert not found.new(peer, pid) or pid not in written.get(peer, ())
        found.add(peer, pid)
        written.setdefault(peer, []).append(pid)
        assert not any(found.new(each, old) for each, all_ in written.items() for old in chance.sample(all_, min(len(all_), 10)))
    assert (len(found._since), len(found._last)) == (50, 4)
    assert found.new(peer, "~")


@pytest.fixture
async def embedded(tmp_path):
    found = SqliteStore(open_database(tmp_path / "data.sqlite"), ME)
    yield found
    await found.close()


async def test_a_first_message_behind_all_others_of_its_peer_reads_nothing(embedded):
    """Also when a process takes its peer's pid only later, and when its commit was given up."""
    one, two, three = process(1, "b"), process(2, ""), process(3, "f")
    await embedded.commit(Commit(process=one, expected=0))
    ask = lambda pid: embedded.process_of_peer(PEER, "negotiation", pid)  # noqa: E731
    assert (await ask("b"), await ask("c")) == (one, None)
    await embedded.commit(Commit(process=two, expected=0))
    named = process(2, "d", version=2)
    await embedded.commit(Commit(process=named, expected=1))
    assert await ask("d") == named
    said = []
    embedded._db._reader.set_trace_callback(said.append)
    assert (await ask("c"), await ask("e"), said) == (None, None, [])
    assert (await ask("a"), len(said)) == (None, 1), "one before the last is the table's business"
    given_up = asyncio.create_task(embedded.commit(Commit(process=three, expected=0)))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    async with asyncio.timeout(10):
        while await ask("f") is None:
            await asyncio.sleep(0.001)
    assert await ask("f") == three
