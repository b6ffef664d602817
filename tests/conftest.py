"""What all tests share: figures that a test wants to be seen are printed at the end (also with several workers)."""

import os

import pytest


@pytest.fixture
def figure(record_property):
    """Print a line in the summary: `figure("485,000 states walked")`."""
    return lambda text: record_property("figure", text)


@pytest.fixture(scope="session")
def first_port() -> int:
    """Where this worker looks for free ports, apart from the other workers'."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return 19_000 + 3_000 * number


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
