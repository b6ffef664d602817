"""A process dies at every commit, send and answer of a negotiation and of a pull transfer, in either role, and starts again.

For k = 1, 2, ... the connector under test ends at the k-th crash point (`os._exit`), is started anew, and the exchange must end with one agreement and one
journal row per transition on each side. The loop ends with the first k that is never reached. Real processes, real databases, real TLS. On
PostgreSQL each role takes every second point, the other role the rest: both run the same code, and what only replicas meet is in `test_replicas`. `./run nightly` takes
every point there, too.
"""

import os
import shutil
import time
from pathlib import Path

import pytest

from deploy.demo.processes import Node
from kernel.cli import Refused
from kernel.errors import KizunaError, UnavailableError
from tests.faults.consortium import consortium, publish
from tests.faults.forks import Forks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
NEGOTIATED = ["REQUESTED", "AGREED", "VERIFIED", "FINALIZED"]
TRANSFERRED = ["REQUESTED", "STARTED", "COMPLETED"]
PATIENCE = 40.0
PARTS = ("provider", "consumer")
MOST = 200
EVERY = "KIZUNA_EVERY_POINT" in os.environ
CRASHING = Path(__file__).with_name("crashing.py")


class Crashing(Node):
    """A connector that may die, and is started again."""

    limit = 0
    died = False
    database = ""
    forks: Forks

    def start(self) -> None:
        environment = {**os.environ, "KIZUNA_CONNECTOR_DATABASE": self.database}
        self._process = self.forks.start(
            CRASHING, str(self.limit), "--dir", str(self.directory), log=self.log_file, environment=environment
        )

    def revive(self) -> None:
        """Start it again if it has died."""
        if self._process is not None and self._process.poll() is not None:
            assert self._process.returncode == 137, self.log_file.read_text()[-2000:]
            self.died, self.limit = True, 0
            self.start()
            self.wait_ready()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def world(request, tmp_path_factory):
    """A consortium, two members, one dataset; the connectors stopped, their directories kept as they were.

    Gives as well what begins anew with the state of that moment: databases that are copied, or nothing where they lie in the directories.
    """
    place = tmp_path_factory.mktemp("crash")
    databases = Databases(request.getfixturevalue("postgres")) if request.param == "postgres" else None
    with consortium(place / "w", {part: databases.template(part) for part in PARTS} if databases else {}) as made:
        dataset = publish(made)
        for part in PARTS:
            made.connectors[part].stop()
            shutil.copytree(made.connectors[part].directory, place / part)
        yield made, place, dataset, databases


class Databases:
    """A database for each part, copied for every run from the state of the beginning."""

    def __init__(self, server):
        self.server, self._run = server, 0

    def template(self, part):
        return self.server.create_database(f"crash_{part}")

    def fresh(self, part):
        self._run += 1
        self.server.drop_database(f"crash_{part}_{self._run - len(PARTS)}")
        return self.server.create_database(f"crash_{part}_{self._run}", f"crash_{part}")


@pytest.mark.parametrize("role", ["provider", "consumer"])
def test_a_process_that_dies_at_every_point(world, forks, role, figure):
    made, place, dataset, databases = world
    reached = 0
    first, stride = (1 if role == "provider" else 2, 2) if databases and not EVERY else (1, 1)
    for k in range(first, MOST, stride):
        nodes = _fresh(made, place, databases, forks)
        nodes[role].limit = k
        try:
            died = _exchange(made, nodes, role, dataset)
        finally:
            for node in nodes.values():
                node.stop()
        if not died:
            break
        reached = k
    each = "each" if stride == 1 else "every second one"
    where = "PostgreSQL" if databases else "SQLite"
    figure(
        f"crash: the {role} on {where} died at {each} of {reached} points of a negotiation and a transfer, and both sides agreed in the end"
    )
    assert reached > 15, "the exchange has more crash points than that"
    assert k < MOST - stride


def _fresh(world, place, databases, forks):
    nodes = {}
    for part in ("provider", "consumer"):
        old = world.connectors[part]
        shutil.rmtree(old.directory, ignore_errors=True)
        shutil.copytree(place / part, old.directory)
        nodes[part] = Crashing(old.name, old.directory, (), old._management)
        nodes[part].forks = forks
        if databases:
            nodes[part].database = databases.fresh(part)
    return nodes


def _exchange(world, nodes, role, dataset) -> bool:
    """A negotiation and a pull, whatever happens; True when the process died on the way."""
    tested, deadline = nodes[role], time.monotonic() + PATIENCE
    for node in nodes.values():
        node.start()
    for node in nodes.values():
        _ready(node)
    consumer = nodes["consumer"]
    peer = world.did("provider")
    wanted = {"peer": peer, "dataset": dataset["id"]}
    negotiation = _until(deadline, tested, lambda: _made(consumer, "negotiations", wanted, "FINALIZED"))
    transfer = {"agreement": negotiation["agreement"]["id"], "format": "HttpData-PULL"}
    started = _until(deadline, tested, lambda: _made(consumer, "transfers", transfer, "STARTED", "COMPLETED"))
    _until(deadline, tested, lambda: consumer.api.post(f"/v1/transfers/{started['id']}/pull", {}, timeout=20)["sha256"])
    _until(deadline, tested, lambda: _completed(consumer, started["id"]))
    for node in nodes.values():
        _until(deadline, tested, lambda node=node: _checked(node))
    return tested.died


def _ready(node) -> None:
    try:
        node.wait_ready()
    except UnavailableError:
        node.revive()


def _until(deadline, tested, act):
    """What `act` gives, tried until it gives something; the process under test is revived whenever it is dead."""
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            found = act()
            if found:
                return found
        except (KizunaError, OSError) as error:
            last = error
        else:
            last = None
        tested.revive()
        time.sleep(0.05)
    raise AssertionError(f"no end within {PATIENCE} s: {last!r}; log: {tested.log_file.read_text()[-3000:]}")


def _made(node, kind, body, *states):
    """The one process of this kind in one of the states; it is asked for when there is none."""
    items = node.api.get(f"/v1/{kind}")["items"]
    assert len(items) <= 1, f"two {kind}: {items}"
    if not items:
        node.api.post(f"/v1/{kind}", body)
        return None
    found = node.api.get(f"/v1/{kind}/{items[0]['id']}", wait=0.3)
    assert found["state"] != "TERMINATED", found
    return found if found["state"] in states else None


def _completed(node, key):
    found = node.api.get(f"/v1/transfers/{key}")
    if found["state"] == "STARTED" and not found["pending"]:
        try:
            node.api.post(f"/v1/transfers/{key}/complete", {})
        except Refused:
            return None
    return node.api.get(f"/v1/transfers/{key}", wait=0.3)["state"] == "COMPLETED"


def _checked(node):
    """One agreement, one process of each kind, one journal row per transition, nothing left to do."""
    (negotiation,) = node.api.get("/v1/negotiations")["items"]
    (transfer,) = node.api.get("/v1/transfers")["items"]
    if node.api.get("/v1/outbox")["items"]:
        return False
    for key, kind, states in ((negotiation["id"], "negotiations", NEGOTIATED), (transfer["id"], "transfers", TRANSFERRED)):
        rows = [row["after"] for row in node.api.get(f"/v1/{kind}/{key}")["journal"]]
        if rows != states:
            assert len(rows) <= len(states), rows
            return False
    assert len(node.api.get("/v1/agreements")["items"]) == 1
    return True
