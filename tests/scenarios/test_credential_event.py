"""From the authority's event feed to the data: a credential that the operator suspends cuts a running pull that relied on it, in real processes; so does a suspended member."""

import threading
import time
from urllib.parse import quote

import pytest

from connector.usage.running import NOT_PERMITTED
from deploy.demo import report, topology
from deploy.demo.story import LONG_BYTES, Story, into
from deploy.demo.world import World
from kernel.errors import KizunaError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
PATIENCE = 20.0


class Quiet:
    def chapter(self, title):
        pass

    def step(self, row):
        pass

    end = step


@pytest.fixture
def story(tmp_path):
    world = World(tmp_path / "world", "battery", topology.load("battery"))
    try:
        world.make_identity()
        for part in world.connectors:
            world.make_connector(part)
        for node in world.nodes:
            node.start()
        for node in world.nodes:
            node.wait_ready()
        told = Story(world, report.Trail(Quiet()))
        for part in ("provider", "consumer"):
            told._join(part)
        yield told
    finally:
        for node in reversed(world.nodes):
            node.stop()


def pulling(story):
    """A transfer whose pull is under way, with the thread and the list of its outcome."""
    transfer = story._transfer(story._long_agreement(), "HttpData-PULL")
    outcome, path = [], f"/v1/transfers/{transfer['id']}/pull"
    thread = threading.Thread(
        target=into(outcome, lambda: story.consumer.post(path, {"rate": LONG_BYTES / 60}, timeout=120)), daemon=True
    )
    thread.start()
    time.sleep(1)
    assert thread.is_alive()
    return transfer, thread, outcome


def until(read, holds):
    """What is read once it holds, and the seconds that took."""
    began = time.monotonic()
    while not holds(found := read()):
        assert time.monotonic() - began < PATIENCE, found
        time.sleep(0.05)
    return found, time.monotonic() - began


def test_a_suspended_credential_and_then_a_suspended_member_cut_the_pull_under_way(story, figure):
    transfer, thread, outcome = pulling(story)
    held = {"holder": story.world.did("consumer"), "type": "RoleCredential"}
    changed = story.operator.post("/v1/credentials/suspend", held)["credentials"]
    assert len(changed) == 1
    found, seconds = until(
        lambda: story.provider.get(f"/v1/transfers/{transfer['peerPid']}"), lambda each: each["state"] == "SUSPENDED"
    )
    assert found["note"] == NOT_PERMITTED
    thread.join(PATIENCE)
    assert isinstance(outcome[0], KizunaError), "the pull has ended without the data"
    assert not any(each["transfer"] == transfer["id"] for each in story.consumer.get("/v1/received")["items"])
    figure(f"a suspended credential: the transfer that relied on it was suspended {seconds:.1f} s later, while it was pulled")

    story.operator.post("/v1/credentials/reinstate", held)
    story.consumer.post(f"/v1/transfers/{transfer['id']}/resume", {"person": "Sato"})
    until(lambda: story.consumer.get(f"/v1/transfers/{transfer['id']}"), lambda each: each["state"] == "STARTED")

    story.consumer.post(f"/v1/transfers/{transfer['id']}/terminate", {"person": "Sato"})

    transfer, thread, outcome = pulling(story)
    story.operator.post(f"/v1/members/{quote(story.world.did('consumer'), safe='')}/suspend", {})
    _, seconds = until(
        lambda: story.provider.get(f"/v1/transfers/{transfer['peerPid']}"),
        lambda each: each["pending"] or each["state"] == "SUSPENDED",
    )
    thread.join(PATIENCE)
    assert isinstance(outcome[0], KizunaError)
    figure(f"a suspended member: its transfer was closed {seconds:.1f} s later, while it was pulled")
