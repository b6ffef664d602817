"""What all tests share: figures that a test wants to be seen are printed at the end (also with several workers)."""

import uuid

import pytest
from hypothesis import HealthCheck, settings

from tests.services.__main__ import running
from tests.services.postgres import Cluster, binaries

# how long an example took says something about the machine and what else runs on it, nothing about the code
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture
def figure(record_property):
    """Print a line in the summary: `figure("485,000 states walked")`."""
    return lambda text: record_property("figure", text)


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server: that of `./run services up` where it runs, else one for this session."""
    if binaries() is None:
        pytest.skip("no PostgreSQL server on this machine: `./run services up` installs one")
    cluster = running()
    if cluster is not None:
        yield cluster
        return
    cluster = Cluster.create()
    yield cluster
    cluster.remove()


@pytest.fixture
def database(postgres):
    """The URL of an empty database of this test's own."""
    name = f"t{uuid.uuid4().hex}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


def pytest_collection_modifyitems(items):
    """The longest tests first, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: "faults" not in item.path.parts)


def pytest_terminal_summary(terminalreporter):
    lines = [
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in getattr(report, "user_properties", ())
        if name == "figure"
    ]
    if lines:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)
