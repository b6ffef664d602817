"""The store suite runs on every backend: add one to `BACKENDS`."""

import pytest

from connector.store.sqlite import SqliteStore, open_database

ME = "did:web:me.example"


def _sqlite(path):
    return SqliteStore(open_database(path / "data.sqlite"), ME)


BACKENDS = {"sqlite": _sqlite}


@pytest.fixture(params=BACKENDS)
def reopen(request, tmp_path):
    """Opens the same store again: `store = reopen()`."""
    opened = []

    def open_again():
        if opened:
            opened.pop().close()
        opened.append(BACKENDS[request.param](tmp_path))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def store(reopen):
    return reopen()
