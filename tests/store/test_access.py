"""Management keys and the audit log on every backend: a row and its effect are one, the chain has no gap, the log is append-only."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest

from catalog.dcat import Asset
from connector.processes.errors import VersionConflict
from connector.processes.model import Commit, Process
from connector.store.postgres import PostgresStore
from identity.access.audit import Chain, Head
from identity.access.door import FILE
from identity.access.keys import Keys
from identity.access.principal import Grant
from identity.access.trail import Trail, about
from kernel.errors import Conflict, KizunaError, Unauthorized
from tests.support.stores import LEASE

ME, PEER = "did:web:me.example", "did:web:peer.example"


class Clock:
    def now(self):
        return datetime(2026, 11, 24, 9, tzinfo=UTC)


def asset(key):
    return Asset(id=key, participant=ME, profile="p", schema="", title={"en": "t"}, size=1, sha256="0", source="s", created="")


def process(key, version=1):
    return Process(id=key, participant=ME, kind="negotiation", role="provider", peer=PEER, state="REQUESTED", version=version)


async def outcomes(store):
    chain = Chain(ME)
    rows = await store.access.entries(0, 1000)
    for row in rows:
        chain.take(row)
    assert chain.end(await store.access.head()) is None
    return [(row.object, row.outcome) for row in rows]


async def test_a_row_comes_with_its_effect_whatever_the_effect_is(store):
    trail = Trail(store.access, Clock())
    async with trail.recording(FILE, "POST /v1/assets", ""):
        about("a")
        await store.add_asset(asset("a"))
    async with trail.recording(FILE, "POST /v1/negotiations", ""):
        about("p")
        await store.commit(Commit(process=process("p"), expected=0))
    async with trail.recording(FILE, "POST /v1/negotiations/{id}/terminate", "p"):
        await store.commit(Commit(process=process("p", 2), expected=1))
    async with trail.recording(FILE, "POST /v1/outbox/{id}/release", "nothing"):
        pass
    await store.add_asset(asset("b"))
    assert await outcomes(store) == [("a", "done"), ("p", "done"), ("p", "done"), ("nothing", "done")]
    assert (await store.asset("a")).id == "a"


async def test_what_was_not_written_is_not_recorded_as_done(store):
    trail = Trail(store.access, Clock())
    await store.commit(Commit(process=process("p"), expected=0))
    await store.add_asset(asset("a"))
    with pytest.raises(VersionConflict):
        async with trail.recording(FILE, "x", "p"):
            await store.commit(Commit(process=process("p", 8), expected=7))
    with pytest.raises(VersionConflict):
        async with trail.recording(FILE, "x", "p"):
            await store.commit(Commit(process=process("p"), expected=0))
    assert await outcomes(store) == [("p", "version-conflict"), ("p", "version-conflict")]


async def test_a_command_that_is_tried_again_has_one_row(store):
    trail = Trail(store.access, Clock())
    await store.commit(Commit(process=process("p"), expected=0))
    async with trail.recording(FILE, "x", "p"):
        with pytest.raises(VersionConflict):
            await store.commit(Commit(process=process("p", 8), expected=7))
        await store.commit(Commit(process=process("p", 2), expected=1))
    assert await outcomes(store) == [("p", "done")]


async def test_events_at_the_same_time_make_one_chain(store):
    trail = Trail(store.access, Clock())

    async def one(number):
        async with trail.recording(FILE, "x", str(number)):
            if number % 2:
                await store.add_asset(asset(f"a{number}"))
            else:
                await store.commit(Commit(process=process(f"p{number}"), expected=0))

    await asyncio.gather(*map(one, range(40)))
    assert sorted(int(key) for key, _ in await outcomes(store)) == list(range(40))


async def test_keys_are_made_found_revoked_once_and_still_there_after_a_restart(store, reopen):
    keys, trail = Keys(store.access, Clock()), Trail(store.access, Clock())
    made, text = await keys.add("one", Grant("operate", ("assets",)), "", FILE)
    assert (await keys.principal(text)).grants == (Grant("operate", ("assets",)),)
    assert (await store.access.key(made.id)).used
    with pytest.raises(Conflict):
        async with trail.recording(FILE, "x", made.id):
            await keys.revoke(made.id, FILE)
            await keys.revoke(made.id, FILE)
    assert await outcomes(store) == [(made.id, "done"), (made.id, "conflict")]
    with pytest.raises(Unauthorized):
        await keys.principal(text)
    again = await reopen()
    (found,) = await again.access.keys("", 10)
    assert (found.id, bool(found.revoked), bool(found.used)) == (made.id, True, True)
    assert (await again.access.head()).seq == 2


async def test_keys_are_paged_by_id(store):
    keys = Keys(store.access, Clock())
    made = sorted([(await keys.add(str(n), Grant("read"), "", FILE))[0].id for n in range(7)])
    assert [each.id for each in await keys.page("", 3)] == made[:3]
    assert [each.id for each in await keys.page(made[2], 9)] == made[3:]


async def test_an_empty_log_has_no_head(store):
    assert await store.access.head() == Head()
    assert await store.access.entries(0, 10) == []


@pytest.mark.parametrize("sql", ["UPDATE audit SET who = 'x'", "DELETE FROM audit"])
async def test_the_database_refuses_to_change_the_log(store, sql):
    async with Trail(store.access, Clock()).recording(FILE, "x", "y"):
        await store.add_asset(asset("a"))
    with pytest.raises((KizunaError, asyncpg.RaiseError)):
        await store._write((sql, ()))
    assert await outcomes(store) == [("y", "done")]


async def test_two_replicas_write_one_chain(tables):
    replicas = [await PostgresStore.open(tables, ME, LEASE) for _ in range(2)]
    trails = [Trail(each.access, Clock()) for each in replicas]

    async def one(number):
        store, trail = replicas[number % 2], trails[number % 2]
        async with trail.recording(FILE, "x", str(number)):
            if number % 3:
                await store.add_asset(asset(f"a{number}"))
            else:
                await store.commit(Commit(process=process(f"p{number}"), expected=0))

    try:
        await asyncio.gather(*map(one, range(60)))
        assert sorted(int(key) for key, _ in await outcomes(replicas[0])) == list(range(60))
    finally:
        for each in replicas:
            await each.close()
