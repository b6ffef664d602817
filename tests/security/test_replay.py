"""A used token, whatever the way it comes back: identity.md 6, group 15, at the connector's door over its real stores.

On PostgreSQL the two workers are two stores on one database, as two replicas have it; on SQLite they share the one that owns the file.
"""

import asyncio

import pytest

from connector.dsp.node import spent
from connector.store.port import Store
from connector.store.postgres import PostgresStore
from connector.store.sqlite import SqliteStore, open_database
from identity.door import Presentations
from identity.verify import Door, TokenUse, authenticate
from kernel.errors import Unauthorized
from tests.support.stores import LEASE, ME, backend, migrated, reopen, tables
from tests.unit.identity_core.world import World

__all__ = ["backend", "migrated", "reopen", "tables"]
USED = "the token was used before"


class Worker:
    """One worker of a connector: a door of its own before the store that it shares with others."""

    def __init__(self, world: World, store: Store) -> None:
        names = ("did", "resolver", "clock", "trust", "status", "schemas", "client", "signer", "rules")
        self.door = Door(**{name: getattr(world.door, name) for name in names}, seen=store.seen, presentations=Presentations())
        self.store = store

    async def serve(self, world: World, token: str) -> str:
        """`in`, or the reason: the two steps that every request takes, with nothing between them that would order two workers."""
        try:
            who = await authenticate(self.door, world.member.caller(token), fresh=True)
            await asyncio.sleep(0)
            await self.store.spend(spent(who.token))
        except Unauthorized as error:
            return str(error.facts.get("reason", error.code))
        return "in"


@pytest.fixture
async def workers(request, backend, tmp_path, world: World):
    """Two workers over one database."""
    if backend == "postgres":
        url = request.getfixturevalue("tables")
        stores = [await PostgresStore.open(url, ME, LEASE) for _ in range(2)]
    else:
        stores = [SqliteStore(open_database(tmp_path / "data.sqlite"), ME)]
    yield Worker(world, stores[0]), Worker(world, stores[-1])
    for each in stores:
        await each.close()


async def test_g15_fifty_at_once_over_two_workers(world: World, workers) -> None:
    token = world.member.token(jti="once")
    found = await asyncio.gather(*(workers[number % 2].serve(world, token) for number in range(50)))
    assert found.count("in") == 1
    assert set(found) - {"in"} <= {"jti", USED}
    assert await workers[0].serve(world, world.member.token(jti="twice")) == "in"
    assert await workers[1].serve(world, world.member.token(jti="twice")) == "jti"


async def test_g15_after_a_restart(world: World, reopen) -> None:
    token = world.member.token(jti="once")
    for expected in ("in", "jti", "jti"):
        assert await Worker(world, await reopen()).serve(world, token) == expected


async def test_g15_it_is_the_database_that_decides(world: World, workers) -> None:
    """Also a worker that did not see the first use in time is stopped, by the unique key and not by the look before."""
    first, late = workers
    token = world.member.token(jti="once")

    async def unseen(_token: TokenUse) -> bool:
        return False

    late.door.seen = unseen
    assert await first.serve(world, token) == "in"
    assert await late.serve(world, token) == USED


async def test_g15_the_token_of_another_issuer_under_the_same_jti(world: World, workers) -> None:
    other = world.party("did:web:other.example")
    other.held.append(world.issuer.issue(other.did))
    assert await workers[0].serve(world, world.member.token(jti="once")) == "in"
    who = await authenticate(workers[1].door, other.caller(jti="once"), fresh=True)
    assert who.did == other.did
