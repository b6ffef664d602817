"""The identity service's store, on both databases: schema and migrations agree, every table has its participant, nothing is given or spent twice."""

import asyncio
import functools
import sqlite3
import subprocess
import sys

import pytest

from identity.service.store.admission import Invitation
from identity.service.store.certificates import HOLD, Crl
from identity.service.store.certificates import Issued as Certificate
from identity.service.store.issuance import Issuance, Issued
from identity.service.store.ledger import FILE, ledger, open_file
from identity.service.store.members import Member
from kernel.errors import InUse, NewerData, NotFound, Unauthorized
from tests.support.books import books, clock, database, identity_migrated, identity_tables, two
from tests.unit.identity_service.conftest import DID

__all__ = ["books", "clock", "database", "identity_migrated", "identity_tables", "two"]
NOW = "2026-11-24T09:00:00.000Z"
LATER = "2026-11-25T09:00:00.000Z"


def member(name="a", **changes):
    base = {
        "id": f"id-{name}",
        "did": f"did:web:{name}.example",
        "name": name,
        "corporate_number": "7123456789012",
        "state": "ACTIVE",
        "changed": NOW,
    }
    return Member(**(base | changes))


def credential(key, of="a", form="vc20-bssl/jwt"):
    return Issued(
        id=key,
        issuance=f"i-{key}",
        member=f"id-{of}",
        holder=f"did:web:{of}.example",
        definition="membership",
        type="MembershipCredential",
        format=form,
        subject={"id": "x"},
        valid_from=NOW,
        valid_until=LATER,
    )


def differences(connection):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from identity.service.store.schema import Table

    return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Table.metadata)


def test_the_migrations_make_exactly_the_declared_schema(tmp_path):
    from sqlalchemy import create_engine, pool

    from identity.service.store.schema import Table

    open_file(tmp_path, DID).file.close()
    engine = create_engine(f"sqlite:///{tmp_path / FILE}", poolclass=pool.NullPool)
    with engine.connect() as connection:
        assert not differences(connection)
    engine.dispose()
    assert len(Table.metadata.tables) == 17
    for table in Table.metadata.tables.values():
        assert [column.name for column in table.primary_key.columns][0] == "participant", table.name


async def test_they_make_it_on_postgresql_too(identity_tables):
    import asyncpg
    from sqlalchemy import pool
    from sqlalchemy.ext.asyncio import create_async_engine

    connect = functools.partial(asyncpg.connect, identity_tables)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        assert not await connection.run_sync(differences)
    await engine.dispose()


def test_a_serving_process_does_not_load_the_schema():
    code = (
        "import sys; import identity.service.store.ledger;"
        "sys.exit(bool({'sqlmodel', 'sqlalchemy', 'alembic', 'pydantic', 'typer'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_file_of_a_newer_version_is_refused(tmp_path):
    open_file(tmp_path, DID).file.close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(NewerData):
        open_file(tmp_path, DID)


def test_one_process_owns_the_file(tmp_path):
    first = open_file(tmp_path, DID)
    with pytest.raises(InUse):
        open_file(tmp_path, DID)
    first.file.close()


async def test_members_are_found_by_id_and_by_did_and_only_their_own(books, database, clock):
    await database.write(lambda c: books.members.save(c, member(roles=("x",), hosts=("a.example",))))
    found = await database.read(lambda c: books.members.get(c, "did:web:a.example"))
    assert found == await database.read(lambda c: books.members.get(c, "id-a"))
    assert (found.roles, found.hosts) == (("x",), ("a.example",))
    other = ledger("did:web:other.example", database, clock)
    with pytest.raises(NotFound):
        await database.read(lambda c: other.members.get(c, "id-a"))
    assert await database.read(other.members.all) == []


async def test_member_numbers_are_never_given_twice(books, database):
    def admit(connection, name):
        number = books.members.next_number(connection)
        books.members.save(connection, member(name, number=number))
        return number

    numbers = [await database.write(lambda c, n=n: admit(c, n)) for n in "abc"]
    assert numbers == ["M000001", "M000002", "M000003"]


async def test_a_new_invitation_voids_the_unused_code(books, database):
    def invite(connection, key):
        books.admissions.invite(connection, Invitation(id=key, member="m", code_digest=key, created=NOW, expires=LATER))

    await database.write(lambda c: invite(c, "one"))
    await database.write(lambda c: invite(c, "two"))
    assert await database.read(lambda c: books.admissions.by_code(c, "one")) is None
    assert (await database.read(lambda c: books.admissions.by_code(c, "two"))).id == "two"


async def test_15_a_token_is_spent_once_of_fifty_at_the_same_time(books):
    done = []
    results = await asyncio.gather(
        *(books.authorised("did:web:a.example", "jti-1", LATER, lambda _: done.append(1)) for _ in range(50)),
        return_exceptions=True,
    )
    assert sum(not isinstance(found, Unauthorized) for found in results) == 1
    assert done == [1]


async def test_15_the_same_jti_of_another_issuer_is_another_token_and_a_refusal_keeps_the_token_spent(books, database):
    assert await books.authorised("did:web:a.example", "j", LATER, lambda _: 1) == 1
    assert await books.authorised("did:web:b.example", "j", LATER, lambda _: 2) == 2

    def refuse(connection):
        books.members.save(connection, member())
        raise NotFound("no")

    with pytest.raises(NotFound):
        await books.authorised("did:web:a.example", "k", LATER, refuse)
    assert await database.read(books.members.all) == []
    with pytest.raises(Unauthorized):
        await books.authorised("did:web:a.example", "k", LATER, lambda _: 3)
    assert await database.read(lambda c: books.journal.spent(c, "did:web:a.example", "k"))
    await database.write(lambda c: books.journal.forget(c, "2026-11-25T09:00:00.001Z"))
    assert not await database.read(lambda c: books.journal.spent(c, "did:web:a.example", "k"))


async def test_status_positions_are_unique_and_a_list_is_left_half_full(database, clock):
    small = ledger("did:web:s.example", database, clock, list_length=64)

    def allocate(connection):
        return [small.statuses.allocate(connection, f"c{i}", "vc20-bssl/jwt", "revocation") for i in range(100)]

    entries = await database.write(allocate)
    assert len({(entry.list, entry.position) for entry in entries}) == 100
    lists = [entry.list for entry in entries]
    assert max(lists.count(key) for key in set(lists)) == 32
    first = [entry.position for entry in entries[:32]]
    assert first != sorted(first)  # random: 1 in 32! to fail by chance


async def test_settling_a_member_touches_its_credentials_and_one_purpose_only(books, database):
    def fill(connection):
        books.members.save(connection, member())
        books.members.save(connection, member("b"))
        for key, of in (("c1", "a"), ("c2", "a"), ("c3", "b")):
            books.issuances.allocate(connection, credential(key, of))
            for purpose in ("revocation", "suspension"):
                books.statuses.allocate(connection, key, "vc20-bssl/jwt", purpose)

    async def settle(state):
        await database.write(lambda c: books.members.save(c, member(state=state)))
        await database.write(lambda c: books.statuses.settle(c, member="id-a"))

    await database.write(fill)
    await settle("SUSPENDED")
    lists = {row.purpose: row for row in await database.read(lambda c: books.statuses.unsigned(c, NOW))}
    expected = {
        entry.position
        for key in ("c1", "c2")
        for entry in await database.read(lambda c, k=key: books.statuses.entries(c, k))
        if entry.purpose == "suspension"
    }
    assert set(await database.read(lambda c: books.statuses.marked(c, lists["suspension"].id))) == expected
    assert await database.read(lambda c: books.statuses.marked(c, lists["revocation"].id)) == []
    assert (lists["suspension"].version, lists["revocation"].version) == (2, 1)
    await settle("SUSPENDED")
    assert (await database.read(lambda c: books.statuses.get(c, lists["suspension"].id))).version == 2
    await settle("ACTIVE")
    assert await database.read(lambda c: books.statuses.marked(c, lists["suspension"].id)) == []


async def test_51_a_signature_is_stored_once(books, database):
    await database.write(lambda c: books.issuances.allocate(c, credential("c1")))
    await database.write(lambda c: books.issuances.sign(c, [("c1", "first")]))
    await database.write(lambda c: books.issuances.sign(c, [("c1", "second")]))
    assert [one.jwt for one in await database.read(lambda c: books.issuances.credentials(c, "i-c1"))] == ["first"]


async def test_deliveries_of_a_suspended_member_wait(books, database):
    process = Issuance(
        id="i1", member="id-a", holder="did:web:a.example", holder_pid="p", definitions=("m",), state="APPROVED",
        created=NOW, changed=NOW,
    )  # fmt: skip

    def fill(connection):
        books.members.save(connection, member())
        books.issuances.add(connection, process)
        books.issuances.enqueue(connection, "i1", NOW)

    await database.write(fill)
    assert [row.issuance for row in await database.read(lambda c: books.issuances.due(c, NOW, 10))] == ["i1"]
    assert await database.read(lambda c: books.issuances.get(c, "i1")) == process
    await database.write(lambda c: books.members.save(c, member(state="SUSPENDED")))
    assert await database.read(lambda c: books.issuances.due(c, NOW, 10)) == []
    assert await database.read(lambda c: books.issuances.waiting(c, 10)) == []
    await database.write(lambda c: books.members.save(c, member()))
    await database.write(lambda c: books.issuances.postpone(c, "i1", LATER, "unreachable", "me"))
    assert await database.read(lambda c: books.issuances.due(c, NOW, 10)) == []
    assert await database.read(lambda c: books.issuances.waiting(c, 10)) == [("i1", LATER)]
    (seen,) = await database.read(lambda c: books.issuances.overview(c, "", 100))
    assert (seen.attempts, seen.error) == (1, "unreachable")


def certificate(serial, **changes):
    base = {
        "serial": serial, "member": "id-a", "did": "did:web:a.example", "thumbprint": f"t{serial}", "key_digest": "k",
        "issued": NOW, "expires": LATER,
    }  # fmt: skip
    return Certificate(**(base | changes))


async def test_a_hold_is_lifted_and_a_final_revocation_is_not(books, database):
    def run(work):
        return database.write(lambda c: work(c))

    await run(lambda c: books.certificates.add(c, certificate("01")))
    await run(lambda c: books.certificates.add(c, certificate("02", expires=NOW)))
    await run(lambda c: books.certificates.revoke_member(c, "id-a", NOW, HOLD))
    assert await database.read(lambda c: books.certificates.revoked(c, NOW)) == [("01", NOW, HOLD)]
    assert (await database.read(books.certificates.crl)).version == 2
    await run(lambda c: books.certificates.lift_hold(c, "id-a"))
    assert await database.read(lambda c: books.certificates.revoked(c, NOW)) == []
    await run(lambda c: books.certificates.revoke_member(c, "id-a", NOW, HOLD))
    await run(lambda c: books.certificates.revoke_member(c, "id-a", NOW, "privilegeWithdrawn"))
    await run(lambda c: books.certificates.lift_hold(c, "id-a"))
    assert await database.read(lambda c: books.certificates.revoked(c, NOW)) == [("01", NOW, "privilegeWithdrawn")]


async def test_a_crl_with_a_smaller_number_is_ignored(books, database):
    await database.write(lambda c: books.certificates.publish(c, Crl(number=2, signed_version=1, der=b"two")))
    await database.write(lambda c: books.certificates.publish(c, Crl(number=1, signed_version=1, der=b"one")))
    found = await database.read(books.certificates.crl)
    assert (found.number, found.der, found.current) == (2, b"two", True)


async def test_events_are_numbered_without_gaps(books, database):
    for kind in ("invited", "applied", "approved"):
        await database.write(lambda c, k=kind: books.journal.record(c, k, "id-a", "did:web:a.example", NOW))
    found = await database.read(lambda c: books.journal.events(c, 1))
    assert [(event.seq, event.kind) for event in found] == [(2, "applied"), (3, "approved")]


async def test_a_delivery_is_leased_to_one_process_until_the_lease_ends_or_the_process(books, database):
    def fill(connection):
        books.members.save(connection, member())
        for key in ("i1", "i2"):
            books.issuances.add(
                connection,
                Issuance(id=key, member="id-a", holder="did:web:a.example", holder_pid=key, definitions=(), state="APPROVED",
                         created=NOW, changed=NOW),
            )  # fmt: skip
            books.issuances.enqueue(connection, key, NOW)

    def claim(owner, now=NOW):
        return database.write(lambda c: {row.issuance for row in books.issuances.claim(c, now, LATER, owner, 10)})

    await database.write(fill)
    assert await claim(database.replica) == {"i1", "i2"}
    assert await claim("another") == set()
    assert {due for _, due in await database.read(lambda c: books.issuances.waiting(c, 10))} == {LATER}
    await database.write(lambda c: books.issuances.release(c, "i1", database.replica))
    assert await claim("gone") == {"i1"}
    assert await claim(database.replica) == {"i1"}, "the lease of a process that has ended is void"
    await database.write(lambda c: books.issuances.postpone(c, "i1", LATER, "late", "gone"))
    assert await claim(database.replica, LATER) == {"i1", "i2"}, "who has lost its lease postpones nothing, and leases end"


async def test_writers_of_two_processes_take_turns(two):
    async def admit(ledger, name):
        def work(connection):
            number = ledger.members.next_number(connection)
            ledger.members.save(connection, member(name, number=number))
            ledger.journal.record(connection, "approved", name, f"did:web:{name}.example", NOW)
            return number

        return await ledger.database.write(work)

    numbers = await asyncio.gather(*(admit(two[count % 2], f"m{count}") for count in range(40)))
    assert sorted(numbers) == [f"M{count:06d}" for count in range(1, 41)]
    events = await two[0].database.read(lambda c: two[0].journal.events(c, 0))
    assert [event.seq for event in events] == list(range(1, 41))


async def test_a_token_is_spent_once_in_two_processes(two):
    results = await asyncio.gather(
        *(two[count % 2].authorised("did:web:a.example", "jti-1", LATER, lambda _: 1) for count in range(20)),
        return_exceptions=True,
    )
    assert sum(not isinstance(found, Unauthorized) for found in results) == 1


async def test_a_write_in_one_process_wakes_the_other_and_a_read_is_a_snapshot(two):
    woken = asyncio.Event()
    two[1].database.on_commit(woken.set)
    await two[0].database.write(lambda c: two[0].members.save(c, member()))
    async with asyncio.timeout(10):
        await woken.wait()
    loop = asyncio.get_running_loop()

    def look(connection):
        before = two[1].members.all(connection)
        change = two[0].database.write(lambda c: two[0].members.save(c, member("b")))
        asyncio.run_coroutine_threadsafe(change, loop).result(10)
        return before, two[1].members.all(connection)

    before, after = await two[1].database.read(look)
    assert before == after
    assert len(await two[1].database.read(two[1].members.all)) == 2


async def test_a_turn_is_had_by_one_process_at_a_time(two):
    order = []

    async def take(ledger, name):
        async with ledger.database.turn("list"):
            order.append(f"{name} in")
            await asyncio.sleep(0)
            await ledger.database.read(ledger.journal.head)
            order.append(f"{name} out")

    await asyncio.gather(take(two[0], "a"), take(two[1], "b"))
    assert order in (["a in", "a out", "b in", "b out"], ["b in", "b out", "a in", "a out"])
