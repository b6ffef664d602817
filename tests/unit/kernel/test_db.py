"""kernel.db: one durable commit for many, each work alone in its fate, one owner of the file, a full disk survived."""

import asyncio
import sqlite3
import threading
from contextlib import ExitStack, contextmanager

import pytest

from kernel import db, faults
from kernel.errors import InUse, NewerData, StorageFull, UnavailableError

HEAD = "0002"


def upgrade(path):
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE alembic_version (version_num TEXT);
        INSERT INTO alembic_version VALUES ('0002');
        CREATE TABLE thing (name TEXT PRIMARY KEY, parent TEXT REFERENCES thing(name) DEFERRABLE INITIALLY DEFERRED, data BLOB);
        """
    )
    connection.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data.sqlite"


@pytest.fixture
def database(path):
    found = db.Database.open(path, head=HEAD, upgrade=upgrade)
    yield found
    found.close()


@pytest.fixture
def commits(monkeypatch):
    """The names of the points that the writer passed."""
    found = []
    monkeypatch.setattr(faults, "hook", found.append)
    return found


def add(name, parent=None, data=b""):
    return lambda connection: connection.execute("INSERT INTO thing VALUES (?, ?, ?)", (name, parent, data)).rowcount


def names(connection):
    return [row[0] for row in connection.execute("SELECT name FROM thing ORDER BY name")]


def outside(path):
    """What another connection sees: only what is committed."""
    connection = sqlite3.connect(path)
    try:
        return names(connection)
    finally:
        connection.close()


@contextmanager
def held_up():
    """The next commit does not reach the disk meanwhile; gives what waits until it is about to."""
    entered, gate, before = threading.Event(), threading.Event(), faults.hook

    def hold(name):
        if before is not None:
            before(name)
        if name == "database:before-commit":
            entered.set()
            assert gate.wait(10)

    faults.hook = hold
    try:
        yield lambda: asyncio.to_thread(entered.wait, 10)
    finally:
        faults.hook = before
        gate.set()


async def together(database, *works):
    """The outcomes of works that are certain to share a transaction: they come while another commit is on its way to the disk, in several turns of the loop."""
    with held_up() as about_to:
        held = asyncio.create_task(database.write(names))
        await about_to()
        asked = []
        for work in works:
            asked.append(asyncio.ensure_future(database.write(work)))
            await asyncio.sleep(0)
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    await held
    return outcomes


async def test_many_writes_share_one_commit(database, commits):
    assert await together(database, *(add(f"{n:03}") for n in range(100))) == [1] * 100
    assert commits.count("database:before-commit") == 2
    assert len(database.read(names)) == 100


async def test_what_one_turn_of_the_loop_asks_for_shares_one_commit(database, commits):
    assert await asyncio.gather(*(database.write(add(f"{n:03}")) for n in range(100))) == [1] * 100
    assert commits.count("database:before-commit") == 1


async def test_what_is_asked_for_in_the_turns_after_a_commit_shares_the_next(database, commits):
    with held_up() as about_to:
        first = asyncio.create_task(database.write(add("a")))
        await about_to()
        asked = [asyncio.create_task(database.write(add("b")))]
        await asyncio.sleep(0)
    await first
    for name in "cde":
        asked.append(asyncio.create_task(database.write(add(name))))
        await asyncio.sleep(0)
    assert await asyncio.gather(*asked) == [1] * len(asked)
    assert len(asked) == 4
    assert commits.count("database:before-commit") == 2


async def test_the_loop_goes_on_while_the_disk_is_waited_for(database, path):
    with held_up() as about_to:
        slow = asyncio.create_task(database.write(add("a")))
        await about_to()
        assert not slow.done()
        assert database.read(names) == []
    assert await slow == 1
    assert outside(path) == ["a"]


async def test_a_group_is_bounded(database, commits):
    await together(database, *(add(f"{n:03}") for n in range(db.GROUP + 1)))
    assert commits.count("database:before-commit") == 3


async def test_works_of_a_group_run_in_their_order_and_see_those_before(database):
    assert await together(database, add("a"), names, add("b"), names) == [1, ["a"], 1, ["a", "b"]]


async def test_a_failing_work_is_rolled_back_alone_and_its_neighbours_stay(database, path):
    def half(connection):
        add("half")(connection)
        raise KeyError("own error")

    before, failed, after = await together(database, add("a"), half, add("b"))
    assert (before, after) == (1, 1)
    assert isinstance(failed, KeyError)
    assert outside(path) == ["a", "b"]


async def test_a_broken_constraint_is_the_error_of_its_work_alone(database, path):
    _, failed, after = await together(database, add("a"), add("a"), add("b"))
    assert isinstance(failed, sqlite3.IntegrityError)
    assert after == 1
    assert outside(path) == ["a", "b"]


@pytest.fixture
async def guards(database):
    """How many savepoints the writer has made so far."""
    said = []
    await database.write(lambda connection: connection.set_trace_callback(said.append))
    return lambda: sum(each.startswith("SAVEPOINT") for each in said)


async def test_writes_that_succeed_or_fail_before_they_change_anything_need_no_savepoint(database, path, guards, commits):
    def refused(connection):
        connection.execute("UPDATE thing SET data = x'' WHERE name = 'nobody'")
        raise KeyError("own error")

    _, failed, twice, after = await together(database, add("a"), refused, add("a"), add("b"))
    assert isinstance(failed, KeyError)
    assert isinstance(twice, sqlite3.IntegrityError)
    assert after == 1
    assert outside(path) == ["a", "b"]
    assert guards() == 0
    assert commits.count("database:before-commit") == 2


async def test_a_group_in_which_one_fails_half_way_runs_again_and_each_is_heard_once(database, path, guards):
    runs = []

    def counted(name):
        def work(connection):
            runs.append(name)
            return add(name)(connection) and names(connection)

        return work

    def half(connection):
        counted("half")(connection)
        add("a")(connection)

    before, failed, after = await together(database, counted("a"), half, counted("b"))
    assert (before, after) == (["a"], ["a", "b"])
    assert isinstance(failed, sqlite3.IntegrityError)
    assert runs == ["a", "half", "a", "half", "b"]
    assert guards() == 3
    assert outside(path) == ["a", "b"]


async def test_a_failing_commit_reaches_every_caller_and_nothing_is_kept(database, path):
    outcomes = await together(database, add("a"), add("orphan", parent="nobody"), add("b"))
    assert [type(each) for each in outcomes] == [sqlite3.IntegrityError] * 3
    assert outside(path) == []
    assert await database.write(add("later")) == 1
    assert outside(path) == ["later"]


async def test_a_work_that_ends_the_transaction_fails_its_group_and_the_database_goes_on(database, path):
    def rude(connection):
        connection.execute("ROLLBACK")
        raise ValueError("after all")

    outcomes = await together(database, add("a"), rude, add("b"))
    assert [type(each) for each in outcomes] == [ValueError] * 3
    assert outside(path) == []
    assert await database.write(add("later")) == 1


async def test_a_write_that_returned_is_seen_by_another_connection(database, path):
    for name in ("a", "b", "c"):
        await database.write(add(name))
        assert outside(path)[-1] == name
        assert database.read(names)[-1] == name


async def test_what_is_not_committed_is_seen_by_nobody(database, path):
    def look(connection):
        add("a")(connection)
        return outside(path), database.read(names)

    assert await database.write(look) == ([], [])
    assert outside(path) == ["a"]


async def test_commits_are_synced_to_disk_and_foreign_keys_are_held(database):
    def pragmas(connection):
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")]

    assert await database.write(pragmas) == ["wal", 2, 1]


async def test_the_log_before_the_file_is_bounded(database, path):
    for number in range(20):
        await database.write(add(f"{number:02}", data=b"x" * 2_000_000))
    assert path.with_name(f"{path.name}-wal").stat().st_size < 24_000_000
    assert path.stat().st_size > 20_000_000


async def test_a_reader_cannot_write(database):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        database.read(add("a"))


async def test_a_caller_that_gives_up_does_not_undo_its_write(database, path):
    with held_up() as about_to:
        task = asyncio.create_task(database.write(add("a")))
        await about_to()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await database.write(add("b"))
    assert outside(path) == ["a", "b"]


def squeeze(connection):
    """Leave the file two more pages."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    return connection.execute(f"PRAGMA max_page_count={pages + 2}").fetchone()


async def test_a_full_disk_is_storage_full_and_the_database_goes_on(database, path):
    await database.write(add("a"))
    await database.write(squeeze)
    with pytest.raises(StorageFull) as caught:
        await database.write(add("big", data=b"x" * 1_000_000))
    assert caught.value.status == 507
    assert caught.value.next_step
    assert outside(path) == database.read(names) == ["a"]
    assert await database.write(add("b")) == 1
    await database.write(lambda connection: connection.execute("PRAGMA max_page_count=1000000").fetchone())
    assert await database.write(add("big", data=b"x" * 1_000_000)) == 1
    assert outside(path) == ["a", "b", "big"]


async def test_a_full_disk_tells_no_neighbour_of_a_success_that_is_not_there(database, path):
    await database.write(squeeze)
    works = {"a": add("a"), "big": add("big", data=b"x" * 1_000_000), "b": add("b")}
    outcomes = dict(zip(works, await together(database, *works.values()), strict=True))
    assert isinstance(outcomes["big"], StorageFull)
    assert all(each == 1 or isinstance(each, StorageFull) for each in outcomes.values())
    assert outside(path) == sorted(name for name, each in outcomes.items() if each == 1)
    assert await database.write(add("later")) == 1


def test_only_a_full_or_failing_disk_is_translated():
    full, failing, other = sqlite3.OperationalError("full"), sqlite3.OperationalError("io"), sqlite3.IntegrityError("unique")
    full.sqlite_errorcode, failing.sqlite_errorcode = sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_FSYNC
    other.sqlite_errorcode = sqlite3.SQLITE_CONSTRAINT_UNIQUE
    assert isinstance(db.translated(full), StorageFull)
    assert isinstance(db.translated(failing), StorageFull)
    assert db.translated(other) is other


async def test_listeners_are_called_on_the_loop_once_after_a_group(database):
    heard = []
    database.on_commit(lambda: heard.append((threading.get_ident(), database.read(names))))
    await together(database, add("a"), add("b"), add("c"))
    assert heard == [(threading.get_ident(), []), (threading.get_ident(), ["a", "b", "c"])]


async def test_nobody_hears_of_quiet_writes_but_together_with_others(database):
    heard = []
    database.on_commit(lambda: heard.append(database.read(names)))
    await database.write(add("a"), quiet=True)
    with pytest.raises(sqlite3.IntegrityError):
        await database.write(add("a"), quiet=True)
    assert heard == []
    await asyncio.gather(database.write(add("b"), quiet=True), database.write(add("c")))
    assert heard[-1] == ["a", "b", "c"]
    assert not database._quiet


def test_a_second_owner_is_refused_and_told_what_to_do(database, path):
    with pytest.raises(InUse) as caught:
        db.Database.open(path, head=HEAD, upgrade=upgrade)
    assert caught.value.exit_code == 5
    assert caught.value.next_step


def test_the_lock_is_given_back_on_close(path):
    for _ in range(2):
        db.Database.open(path, head=HEAD, upgrade=upgrade).close()


def test_a_new_file_is_upgraded_and_one_at_head_is_left_alone(path):
    calls = []

    def counted(file):
        calls.append(file)
        upgrade(file)

    for _ in range(2):
        db.Database.open(path, head=HEAD, upgrade=counted).close()
    assert calls == [path]


def test_a_newer_revision_is_refused_and_the_file_is_not_changed(path):
    db.Database.open(path, head=HEAD, upgrade=upgrade).close()
    before = path.read_bytes()
    with pytest.raises(NewerData, match="0002") as caught:
        db.Database.open(path, head="0001", upgrade=lambda _: None)
    assert caught.value.exit_code == 4
    assert path.read_bytes() == before
    db.Database.open(path, head=HEAD, upgrade=upgrade).close()


def test_an_upgrade_that_fails_gives_the_lock_back(path):
    def broken(_):
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        db.Database.open(path, head=HEAD, upgrade=broken)
    db.Database.open(path, head=HEAD, upgrade=upgrade).close()


async def test_close_finishes_what_is_queued(path):
    database = db.Database.open(path, head=HEAD, upgrade=upgrade)
    writes = [asyncio.ensure_future(database.write(add(f"{n:02}"))) for n in range(50)]
    closing = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: closing.set_result(database.close()))
    await closing
    assert len(outside(path)) == 50
    assert await asyncio.gather(*writes) == [1] * 50


async def test_after_close_writes_are_refused_and_nothing_is_left(path):
    others = set(threading.enumerate())
    database = db.Database.open(path, head=HEAD, upgrade=upgrade)
    await database.write(add("a"))
    database.close()
    database.close()
    with pytest.raises(UnavailableError):
        await database.write(add("b"))
    assert not [thread for thread in set(threading.enumerate()) - others if thread.name == "database-commit"]
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]
    assert outside(path) == ["a"]


def test_a_loop_that_ended_does_not_stop_the_writer(path):
    database = db.Database.open(path, head=HEAD, upgrade=upgrade)

    async def leave(about_to):
        task = asyncio.create_task(database.write(add("a")))
        await about_to()
        other = asyncio.create_task(database.write(add("b")))
        await asyncio.sleep(0)
        task.cancel()
        other.cancel()

    with held_up() as about_to:
        asyncio.run(leave(about_to))
    assert asyncio.run(database.write(add("c"))) == 1
    database.close()
    assert outside(path) == ["a", "b", "c"]


def test_a_loop_that_begins_while_the_last_one_is_still_written_is_not_forgotten(path):
    database = db.Database.open(path, head=HEAD, upgrade=upgrade)

    async def leave(about_to):
        task = asyncio.create_task(database.write(add("a")))
        await about_to()
        task.cancel()

    async def following(gate):
        writing = asyncio.create_task(database.write(add("b")))
        await asyncio.sleep(0.01)
        gate.close()
        async with asyncio.timeout(10):
            return await writing

    gate = ExitStack()
    asyncio.run(leave(gate.enter_context(held_up())))
    assert asyncio.run(following(gate)) == 1
    database.close()
    assert outside(path) == ["a", "b"]
