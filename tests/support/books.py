"""The identity service's ledger for tests: what asks for `books` runs on every backend of `tests.support.stores`. On PostgreSQL every test has a database of its own."""

import asyncio

import pytest

from identity.service.store.ledger import HEAD, MIGRATIONS, ledger, open_database
from identity.service.store.postgres import PostgresDatabase
from tests.support.stores import fresh_tables
from tests.unit.identity_service.conftest import DID, Moved


@pytest.fixture(scope="session")
def identity_migrated(postgres):
    """The name of a database that has all tables."""
    yield from fresh_tables(postgres, MIGRATIONS)


@pytest.fixture
def identity_tables(identity_migrated, postgres):
    """The URL of a database with all tables, of this test's own."""
    yield from fresh_tables(postgres, identity_migrated)


@pytest.fixture
def clock():
    return Moved()


@pytest.fixture
async def database(request, backend, tmp_path):
    """Open, and closed at the end."""
    url = request.getfixturevalue("identity_tables") if backend == "postgres" else ""
    found = await open_database(tmp_path, DID, url)
    yield found
    await found.close()


@pytest.fixture
def books(database, clock):
    return ledger(DID, database, clock)


@pytest.fixture
async def two(identity_tables, clock):
    """Two processes' ledgers over one server."""
    opened = [await PostgresDatabase.open(identity_tables, DID, head=HEAD, migrations=MIGRATIONS) for _ in range(2)]
    yield [ledger(DID, each, clock) for each in opened]
    await asyncio.gather(*(each.close() for each in opened))
