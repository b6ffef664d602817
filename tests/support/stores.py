"""Stores for tests: what asks for `store` or `reopen` runs on every backend; add one to `BACKENDS`. On PostgreSQL every test has a database of its own, copied from one that is migrated once."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from connector.store.postgres import MIGRATIONS, PostgresStore
from connector.store.sqlite import SqliteStore, open_database
from kernel.migrate import upgrade_server

ME = "did:web:me.example"
BACKENDS = ("sqlite", "postgres")
LEASE = 30.0


def fresh_tables(postgres, source):
    """The name of a database that has the tables of migrations (a folder), or the URL of a copy of one (its name); dropped at the end."""
    name = f"t{uuid.uuid4().hex}"
    if isinstance(source, str):
        yield postgres.create_database(name, source)
    else:
        url = postgres.create_database(name)
        with ThreadPoolExecutor() as threads:  # it runs a loop of its own
            threads.submit(upgrade_server, url, source).result()
        yield name
    postgres.drop_database(name)


@pytest.fixture(scope="session")
def migrated(postgres):
    """The name of a database that has all tables."""
    yield from fresh_tables(postgres, MIGRATIONS)


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture
def tables(migrated, postgres):
    """The URL of a database with all tables, of this test's own."""
    yield from fresh_tables(postgres, migrated)


@pytest.fixture
async def reopen(request, backend, tmp_path):
    """Opens the same store again: `store = await reopen()`."""
    url = request.getfixturevalue("tables") if backend == "postgres" else ""
    opened = []

    async def open_again():
        while opened:
            await opened.pop().close()
        if url:
            opened.append(await PostgresStore.open(url, ME, LEASE))
        else:
            opened.append(SqliteStore(open_database(tmp_path / "data.sqlite"), ME))
        return opened[-1]

    yield open_again
    for store in opened:
        await store.close()


@pytest.fixture
async def store(reopen):
    return await reopen()
