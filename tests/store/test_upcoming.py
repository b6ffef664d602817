"""What the embedded store knows of its outbox without the file: a claim from memory takes what a search of the file would take, whatever has happened before."""

import asyncio
import random
from collections import Counter

import pytest
from msgspec.structs import replace

from connector.processes.model import Commit, OutboxRow, Process
from connector.store.port import Rooms
from connector.store.sqlite import SqliteStore, open_database

ME = "did:web:me.example"
PEERS = ("did:web:a.example", "did:web:b.example", "did:web:c.example")


def moment(minute):
    return f"2026-11-24T09:{minute:02}:00.000Z"


class World:
    """A store, and in plain Python what should be in its outbox: rows as [due, place, row, lane], oldest first."""

    def __init__(self, path, seed, most):
        self.path, self.most, self.chance = path, most, random.Random(seed)
        self.rows, self.processes, self.made, self.minute = {}, {}, 0, 0
        self.store = self.open()

    def open(self):
        return SqliteStore(open_database(self.path), ME, self.most)

    def added(self, process):
        """New rows of a process, and their entry in the model."""
        found = []
        for _ in range(self.chance.choice((0, 1, 1, 2))):
            self.made += 1
            act, due = (
                self.chance.choice(("dsp", "dsp", "push")),
                self.chance.choice(("", process.created, moment(self.minute + 2))),
            )
            row = OutboxRow(id=f"row-{self.made}", process=process.id, act=act, message="m", body=b"%d" % self.made, due=due)
            self.rows[row.id] = [due, self.made, row, process.peer if act == "dsp" else f"push {process.peer}", 0]
            found.append(row)
        return tuple(found)

    def begin(self):
        key = f"urn:uuid:{len(self.processes)}"
        process = Process(
            id=key, participant=ME, kind="transfer", role="provider", peer=self.chance.choice(PEERS), peer_pid=key, state="REQUESTED",
            version=1, created=moment(self.minute),
        )  # fmt: skip
        self.processes[key] = process
        return self.store.commit(Commit(process=process, expected=0, outbox=self.added(process)))

    def step(self):
        """Rows of a process go, others come."""
        process = self.chance.choice(list(self.processes.values()))
        moved = self.processes[process.id] = replace(process, version=process.version + 1)
        gone = [key for key, found in self.rows.items() if found[2].process == process.id and self.chance.random() < 0.7]
        for key in gone:
            del self.rows[key]
        return self.store.commit(
            Commit(
                process=moved,
                expected=process.version,
                outbox=self.added(moved),
                confirmed=tuple(gone[:1]),
                withdrawn=tuple(gone[1:]),
            )
        )

    def change(self):
        """A row is postponed, released or dropped."""
        key = self.chance.choice(list(self.rows))
        what, found = self.chance.randrange(4), self.rows[key]
        if what == 0:
            del self.rows[key]
            return self.store.drop(key, 0)
        if what == 1:
            found[0] = ""
            return self.store.release(key)
        found[0], found[4] = moment(self.minute + self.chance.randrange(1, 9)), found[4] + 1
        return self.store.postpone(key, 0, found[0], "away", parked=False)

    def act(self):
        kinds = [self.begin, *[self.step] * bool(self.processes), *[self.change] * bool(self.rows)]
        return self.chance.choice(kinds)()

    def expected(self, limit, busy, rooms):
        """Ids with attempts that a claim takes, and when the next row is due that nobody is busy with."""
        taken, owners = [], set(busy)
        lanes = Counter()
        for due, _, row, lane, attempts in sorted(self.rows.values(), key=lambda each: each[:2]):
            if due > moment(self.minute) or len(taken) == limit:
                break
            if row.process not in owners and lanes[lane] < rooms.named.get(lane, rooms.other):
                owners.add(row.process)
                lanes[lane] += 1
                taken.append((row.id, row.body, due, lane, attempts))
        later = [due for due, _, row, *_ in self.rows.values() if due > moment(self.minute) and row.process not in busy]
        return taken, min(later, default=None)

    async def agrees(self):
        """Both ways to claim, by turns until nothing is left that may be taken."""
        busy = frozenset(self.chance.sample(list(self.processes), self.chance.randrange(len(self.processes) // 2 + 1)))
        every = (*PEERS, *(f"push {each}" for each in PEERS))
        rooms = Rooms({each: self.chance.randrange(3) for each in every if self.chance.random() < 0.5}, self.chance.randrange(1, 4))
        limit = self.chance.choice((1, 2, 50))
        wanted, later = self.expected(limit, busy, rooms)
        for way in (self.store.claim, self.store._searched):
            found, following = await self.drained(way, limit, busy, rooms)
            assert found == wanted, way
            assert len(found) == limit or following == later or (following and moment(self.minute) < following <= (later or "~"))

    async def drained(self, way, limit, busy, rooms):
        found, following = [], ""
        while following == "":
            lanes = Counter(each[3] for each in found)
            left = Rooms({each: rooms.named.get(each, rooms.other) - lanes[each] for each in {*rooms.named, *lanes}}, rooms.other)
            owners = {self.rows[each[0]][2].process for each in found}
            claims, following = await way(moment(self.minute), limit - len(found), busy | owners, left)
            places = [self.rows[each.row.id][:2] for each in claims]
            assert places == sorted(places)
            found += [(each.row.id, each.row.body, each.row.due, each.lane, each.attempts) for each in claims]
            if len(found) == limit:
                break
        return sorted(found, key=lambda each: self.rows[each[0]][:2]), following


@pytest.mark.parametrize(("most", "seed"), [(0, 1), (3, 2), (8, 3), (8, 4), (10_000, 5), (10_000, 6)])
async def test_a_claim_takes_what_a_search_of_the_file_finds(tmp_path, most, seed):
    world = World(tmp_path / "data.sqlite", seed, most)
    await world.begin()
    known = 0
    for turn in range(80):
        acts = [asyncio.ensure_future(world.act()) for _ in range(world.chance.randrange(1, 5))]
        if world.chance.random() < 0.3:  # a claim between them, which may read the file
            acts.insert(
                world.chance.randrange(len(acts)), asyncio.ensure_future(world.store.claim(moment(world.minute), 5, frozenset()))
            )
        if world.chance.random() < 0.2:  # a caller gives up, and its write is done all the same
            await asyncio.sleep(0)
            world.chance.choice(acts).cancel()
        await asyncio.gather(*acts, return_exceptions=True)
        await world.store._db.write(lambda _connection: None)
        world.minute += world.chance.random() < 0.2
        await world.agrees()
        known += world.store._upcoming.knows(moment(world.minute))
        lists = (world.store._upcoming._later, *world.store._upcoming._waiting.values(), *world.store._upcoming._aside.values())
        assert sum(map(len, lists)) == len(world.store._upcoming._known) <= most
        assert all(each == sorted(each, key=lambda entry: entry[:2]) for each in lists)
        if turn % 20 == 19:
            await world.store.close()
            world.store = world.open()
    await world.store.close()
    assert known == 80 if most > 1_000 else known < 80


async def test_a_failed_write_changes_nothing_that_is_known(tmp_path):
    world = World(tmp_path / "data.sqlite", 1, 100)
    while not world.rows:
        await world.begin()
    await world.agrees()
    process = next(iter(world.processes.values()))
    row = OutboxRow(id="never", process=process.id, act="dsp", message="m")
    with pytest.raises(Exception, match="moved meanwhile"):
        await world.store.commit(Commit(process=process, expected=7, outbox=(row,), confirmed=tuple(world.rows)))
    await world.agrees()
    await world.store.close()


def begun(number, *rows):
    """A new process with its rows: (id, due)."""
    key = f"urn:uuid:{number}"
    process = Process(
        id=key, participant=ME, kind="transfer", role="provider", peer=PEERS[0], peer_pid=key, state="REQUESTED", version=1,
        created=moment(0),
    )  # fmt: skip
    return Commit(
        process=process,
        expected=0,
        outbox=tuple(OutboxRow(id=row, process=key, act="dsp", message="m", due=due) for row, due in rows),
    )


async def claimed(store):
    found, following = await store.claim(moment(0), 9, frozenset())
    return [each.row.id for each in found], following


async def test_a_row_that_comes_from_behind_what_is_known_is_found(tmp_path):
    store = SqliteStore(open_database(tmp_path / "data.sqlite"), ME, 1)
    await store.commit(begun(1, ("a", moment(30)), ("b", moment(40))))
    assert await claimed(store) == ([], moment(30))
    assert store._upcoming.knows(moment(39))
    assert not store._upcoming.knows(moment(40))
    assert await store.release("b")
    assert await claimed(store) == (["b"], moment(30))
    await store.close()


async def test_what_is_read_while_a_write_is_given_up_is_not_taken_for_everything(tmp_path):
    store = SqliteStore(open_database(tmp_path / "data.sqlite"), ME)
    reading = asyncio.create_task(claimed(store))
    writing = asyncio.create_task(store.commit(begun(1, ("a", ""))))
    await asyncio.sleep(0)
    writing.cancel()
    assert (await reading)[0] == ["a"], "searched, since what was read may be too little"
    assert (await claimed(store))[0] == ["a"]
    await store.close()
