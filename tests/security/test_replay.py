"""A used token, whatever the way it comes back: identity.md 6, group 15, at the connector's door over its real store."""

import asyncio
import sqlite3

from connector.dsp.node import spent
from connector.store.sqlite import SqliteStore, open_database
from identity.door import Presentations
from identity.verify import Door, authenticate
from kernel.errors import Unauthorized
from tests.unit.identity_core.world import World


class Worker:
    """One worker of a connector: a door of its own before the store that it shares with others."""

    def __init__(self, world: World, store: SqliteStore) -> None:
        given = {
            name: getattr(world.door, name)
            for name in ("did", "resolver", "clock", "trust", "status", "schemas", "client", "signer", "rules")
        }
        self.door = Door(**given, seen=store.seen, presentations=Presentations())
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


async def test_g15_fifty_at_once_over_two_workers(world: World, tmp_path) -> None:
    database = open_database(tmp_path / "data.sqlite")
    store = SqliteStore(database, world.verifier.did)
    workers = [Worker(world, store), Worker(world, store)]
    token = world.member.token(jti="once")
    found = await asyncio.gather(*(workers[number % 2].serve(world, token) for number in range(50)))
    assert found.count("in") == 1
    assert set(found) - {"in"} <= {"jti", "the token was used before"}
    assert await workers[0].serve(world, world.member.token(jti="twice")) == "in"
    database.close()


async def test_g15_after_a_restart(world: World, tmp_path) -> None:
    token = world.member.token(jti="once")
    for expected in ("in", "jti", "jti"):
        database = open_database(tmp_path / "data.sqlite")
        assert await Worker(world, SqliteStore(database, world.verifier.did)).serve(world, token) == expected
        database.close()


async def test_g15_it_is_the_database_that_decides(world: World, tmp_path) -> None:
    """Also a worker that did not see the first use in time is stopped, by the unique key and not by the look before."""
    database = open_database(tmp_path / "data.sqlite")
    store = SqliteStore(database, world.verifier.did)
    token = world.member.token(jti="once")
    late = Worker(world, store)

    async def unseen(_issuer: str, _jti: str) -> bool:
        return False

    late.door.seen = unseen
    assert await Worker(world, store).serve(world, token) == "in"
    assert await late.serve(world, token) == "the token was used before"
    rows = sqlite3.connect(tmp_path / "data.sqlite").execute("SELECT count(*) FROM spent WHERE jti = 'once'").fetchone()
    assert rows == (1,)
    database.close()


async def test_g15_the_token_of_another_issuer_under_the_same_jti(world: World, tmp_path) -> None:
    other = world.party("did:web:other.example")
    other.held.append(world.issuer.issue(other.did))
    database = open_database(tmp_path / "data.sqlite")
    worker = Worker(world, SqliteStore(database, world.verifier.did))
    assert await worker.serve(world, world.member.token(jti="once")) == "in"
    who = await authenticate(worker.door, other.caller(jti="once"), fresh=True)
    assert who.did == other.did
    database.close()
