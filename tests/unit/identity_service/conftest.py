"""A ledger on a real SQLite file with a clock that the test moves."""

from datetime import UTC, datetime, timedelta

import pytest

from identity.service.store.ledger import ledger, open_file
from identity.tls.web import WebCa

DEFINITIONS = '[[credential]]\nid = "membership"\ntype = "MembershipCredential"\n'
DID = "did:web:authority.example"


class Moved:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def advance(self, **by: float) -> None:
        self.moment += timedelta(**by)


@pytest.fixture
def clock() -> Moved:
    return Moved()


@pytest.fixture
def database(tmp_path):
    found = open_file(tmp_path, DID)
    yield found
    found.file.close()


@pytest.fixture
def books(database, clock):
    return ledger(DID, database, clock)


@pytest.fixture
def files(tmp_path):
    """What `identity init` is given: server certificate, its key, definitions."""
    certificate, key = WebCa.create().issue(["localhost"])
    for name, data in (("server.pem", certificate), ("server.key", key), ("definitions.toml", DEFINITIONS.encode())):
        (tmp_path / name).write_bytes(data)
    return tmp_path
