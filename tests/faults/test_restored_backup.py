"""A connector comes back from a backup that is older than what its peers know (docs/backup.md): what the backup holds works, and what came after it ends with a reason.

The provider's file is copied while it serves, by the command of the page. Then a second contract is concluded, the provider is stopped and gets the copy back.
"""

import shutil
import sqlite3
import time
from contextlib import ExitStack

import pytest

from connector.contracts import bundle
from kernel import wire
from tests.faults.consortium import consortium, publish

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
PATIENCE = 40.0


class Story:
    """Both companies, and the two agreements: the first one is in the backup."""

    def __init__(self, place, stack):
        self.world = stack.enter_context(consortium(place / "w", {}))
        self.provider, self.consumer = (self.world.connectors[part] for part in ("provider", "consumer"))
        self.dataset = publish(self.world)["id"]
        self.kept = self.agree()
        self.copy = place / "backup"
        self.copy.mkdir()
        with sqlite3.connect(self.provider.directory / "data.sqlite") as database:  # while it serves
            database.execute("VACUUM INTO ?", (str(self.copy / "data.sqlite"),))
        self.lost = self.agree()
        self.provider.stop()
        for each in self.provider.directory.glob("data.sqlite*"):
            each.unlink()
        shutil.copy(self.copy / "data.sqlite", self.provider.directory)
        self.provider.start()
        self.provider.wait_ready()

    def agree(self):
        """A new agreement's id."""
        wanted = {"peer": self.world.did("provider"), "dataset": self.dataset}
        key = self.consumer.api.post("/v1/negotiations", wanted)["id"]
        return self.until(f"/v1/negotiations/{key}", "FINALIZED")["agreement"]["id"]

    def start(self, agreement):
        """A transfer under an agreement: its address."""
        return f"/v1/transfers/{self.consumer.api.post('/v1/transfers', {'agreement': agreement})['id']}"

    def until(self, address, *states):
        deadline = time.monotonic() + PATIENCE
        while (found := self.consumer.api.get(address))["state"] not in states:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    with ExitStack() as stack:
        yield Story(tmp_path_factory.mktemp("backup"), stack)


def test_an_agreement_of_the_backup_works_as_before(story):
    assert story.until(story.start(story.kept), "STARTED", "TERMINATED")["state"] == "STARTED"


def test_an_agreement_that_came_later_is_refused_with_a_reason_and_not_waited_for(story):
    found = story.until(story.start(story.lost), "STARTED", "TERMINATED")
    assert found["state"] == "TERMINATED", found
    assert "agreement" in str(found).lower()
    assert story.consumer.api.get("/v1/status")["outbox"] == {"waiting": 0, "parked": 0}


def test_the_terms_can_be_agreed_anew(story):
    again = story.agree()
    assert again not in {story.kept, story.lost}
    assert story.until(story.start(again), "STARTED", "TERMINATED")["state"] == "STARTED"


def test_what_the_other_side_has_of_the_lost_agreement_proves_it_still(story):
    found = story.consumer.api.get(f"/v1/agreements/{story.lost}/evidence")
    checks = {each.what: each.ok for each in bundle.verify(bundle.read(wire.dumps(found)))}
    assert checks["signed by both"] is True
    assert False not in checks.values()
