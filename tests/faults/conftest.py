"""What the tests of faults share."""

import pytest

from tests.faults.forks import Forks


@pytest.fixture(scope="session")
def forks():
    """The origin of the connectors' processes."""
    found = Forks()
    yield found
    found.close()
