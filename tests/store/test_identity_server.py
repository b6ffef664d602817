"""What the identity service's processes need of a PostgreSQL server: a login each, connections that may end, and one audit log (ADR 0021)."""

import asyncio
import threading
import uuid

import pytest

from identity.access.audit import Chain, Event
from identity.service import app, setup
from identity.service.settings import ROLES, Settings
from identity.service.store.ledger import FILE, HEAD, MIGRATIONS, ledger
from identity.service.store.postgres import PostgresDatabase
from kernel.cli import ManagementClient
from kernel.clock import SystemClock
from kernel.errors import UnavailableError
from tests.store.test_identity_store import NOW, member
from tests.support.books import clock, identity_migrated, identity_tables, two
from tests.support.ports import free_ports
from tests.unit.identity_service.conftest import DID, files

__all__ = ["clock", "files", "identity_migrated", "identity_tables", "two"]
GRANTS = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}"


@pytest.fixture
def another_login(identity_tables, postgres):
    """The same database as seen by a login that owns nothing, with the grants of the README."""
    login, name = f"r{uuid.uuid4().hex[:12]}", identity_tables.partition("?")[0].rpartition("/")[2]
    postgres.query(name, f"CREATE ROLE {login} LOGIN; {GRANTS.format(login)}")
    yield identity_tables.replace("//kizuna@", f"//{login}@")
    postgres.query(name, f"DROP OWNED BY {login}; DROP ROLE {login}")


async def test_a_process_with_a_login_of_its_own_works_with_the_others(another_login, two, clock):
    theirs = await PostgresDatabase.open(another_login, DID, head=HEAD, migrations=MIGRATIONS)
    books, woken = ledger(DID, theirs, clock), asyncio.Event()
    two[0].database.on_commit(woken.set)
    try:
        await theirs.write(lambda c: books.members.save(c, member()))
        async with asyncio.timeout(10):
            await woken.wait()
        assert [each.id for each in await two[0].database.read(two[0].members.all)] == ["id-a"]

        def living(connection):
            known = connection.execute(
                f"SELECT owner, {theirs.alive} FROM (VALUES ('{two[0].database.replica}'), ('gone')) AS o (owner)"
            )
            return dict(known.fetchall())

        assert await theirs.read(living) == {two[0].database.replica: True, "gone": False}, (
            "leases of others are known by their login"
        )
        async with theirs.turn("list"):
            pass
    finally:
        await theirs.close()


async def test_connections_that_end_are_made_again_and_what_was_missed_is_looked_at(two, identity_tables, postgres):
    name = identity_tables.partition("?")[0].rpartition("/")[2]
    await two[0].database.write(lambda c: two[0].members.save(c, member()))
    woken = asyncio.Event()
    await asyncio.sleep(0.1)  # the notice of that write
    two[1].database.on_commit(woken.set)
    ended = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    assert int(await asyncio.to_thread(postgres.query, name, ended)) >= 4
    async with asyncio.timeout(20):
        await woken.wait()
    for books in two:
        assert len(await books.database.read(books.members.all)) == 1

    async def written():
        try:
            await two[0].database.write(lambda c: two[0].journal.record(c, "approved", "a", "did:web:a.example", NOW))
        except UnavailableError:
            return False
        return True

    async with asyncio.timeout(20):
        while not await written():
            await asyncio.sleep(0.05)
    assert [event.seq for event in await two[1].database.read(lambda c: two[1].journal.events(c, 0))] == [1]


async def test_a_work_that_fails_leaves_nothing_and_a_cancelled_one_is_carried_to_its_end(two):
    def fails(connection):
        two[0].members.save(connection, member())
        raise LookupError

    with pytest.raises(LookupError):
        await two[0].database.write(fails)
    assert await two[1].database.read(two[1].members.all) == []
    task = asyncio.create_task(two[0].database.write(lambda c: two[0].members.save(c, member("b"))))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await two[0].database.write(lambda c: None)  # after the one before it
    assert [each.id for each in await two[1].database.read(two[1].members.all)] == ["id-b"]


async def test_processes_continue_one_audit_log(two):
    def event(number):
        return Event(at=NOW, who="key", name="", role="admin", action="POST /x", object=str(number), outcome="done")

    await asyncio.gather(*(two[number % 2].database.access.append(event(number)) for number in range(12)))
    chain, rows = Chain(DID), await two[0].database.access.entries(0, 100)
    for row in rows:
        chain.take(row)
    assert len(rows) == 12
    assert chain.end(await two[1].database.access.head()) is None


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_a_process_that_stands_still_in_a_transaction_loses_it_and_the_others_go_on(two):
    """As one that was stopped (SIGSTOP, a paused machine): the server ends its transaction after ten seconds, and the turn with it."""
    begun, others = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def stands_still(connection):
        two[0].members.save(connection, member("late"))
        loop.call_soon_threadsafe(begun.set)
        others.wait(40)
        two[0].journal.record(connection, "approved", "late", "did:web:late.example", NOW)

    late = asyncio.create_task(two[0].database.write(stands_still))
    await begun.wait()
    try:
        async with asyncio.timeout(25):
            await two[1].database.write(lambda c: two[1].members.save(c, member("next")))
    finally:
        others.set()
    with pytest.raises(UnavailableError):
        await late
    assert [each.id for each in await two[1].database.read(two[1].members.all)] == ["id-next"]


async def test_one_process_may_have_all_roles_on_a_server(identity_tables, tmp_path, files):
    port, management = free_ports(2)
    settings = Settings(name="x", data_space="Space", port=port, management_port=management, database=identity_tables)
    setup.initialise(
        tmp_path / "service", settings, certificate=files / "server.pem", key=files / "server.key",
        credential_definitions=files / "definitions.toml", roots=None, clock=SystemClock(),
    )  # fmt: skip
    assert not (tmp_path / "service" / FILE).exists()
    async with app.serving(tmp_path / "service") as service:
        assert set(service.settings.roles) == set(ROLES)
        client = ManagementClient(
            f"http://127.0.0.1:{management}", setup.management_key(tmp_path / "service" / setup.MANAGEMENT_KEY)
        )
        wanted = {"did": "did:web:new.example", "name": "New", "corporateNumber": "7123456789012"}
        invited = await asyncio.to_thread(client.post, "/v1/invitations", wanted)
        assert (await asyncio.to_thread(client.get, f"/v1/members/{invited['member']}"))["state"] == "INVITED"
        assert (await asyncio.to_thread(client.get, "/v1/trust-list"))["sequence"] == 1
        assert (await asyncio.to_thread(client.get, "/v1/audit/verify"))["intact"]
