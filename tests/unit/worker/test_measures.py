"""What happens to running processes of a member that is suspended, reinstated, revoked."""

import pytest

from connector.processes.model import Commit, Pending, Process
from connector.store.sqlite import SqliteStore, open_database
from connector.worker.measures import REVOKED, SUSPENDED, Measures
from kernel.errors import Conflict

ME, BAD, GOOD = "did:web:me.example", "did:web:bad.example", "did:web:good.example"


class Steps:
    """Commands that are only remembered; a step may be refused."""

    def __init__(self):
        self.taken, self.refuse = [], set()

    async def step(self, kind, key, name, reason):
        self.taken.append((kind, key, name, reason))
        if key in self.refuse:
            raise Conflict("another step is on its way")


@pytest.fixture
async def store(tmp_path):
    made = SqliteStore(open_database(tmp_path / "data.sqlite"), ME)
    for key, kind, state, peer in (
        ("n", "negotiation", "REQUESTED", BAD),
        ("t1", "transfer", "STARTED", BAD),
        ("t2", "transfer", "SUSPENDED", BAD),
        ("t3", "transfer", "COMPLETED", BAD),
        ("t4", "transfer", "REQUESTED", BAD),
        ("other", "transfer", "STARTED", GOOD),
    ):
        process = Process(id=key, participant=ME, kind=kind, role="provider", peer=peer, peer_pid=key, state=state, version=1)
        await made.commit(Commit(process=process, expected=0))
    yield made
    await made.close()


async def test_suspension_suspends_running_transfers(store):
    steps = Steps()
    await Measures(store, steps, "suspend").suspended(BAD)
    assert steps.taken == [("transfer", "t1", "suspend", SUSPENDED)]


async def test_suspension_may_terminate_instead(store):
    steps = Steps()
    await Measures(store, steps, "terminate").suspended(BAD)
    assert [(key, name) for _, key, name, _ in steps.taken] == [("t1", "terminate"), ("t2", "terminate"), ("t4", "terminate")]


async def test_revocation_terminates_everything_that_is_open(store):
    steps = Steps()
    steps.refuse = {"n"}
    await Measures(store, steps, "suspend").revoked(BAD)
    assert {(kind, key) for kind, key, _, _ in steps.taken} == {
        ("negotiation", "n"),
        *(("transfer", t) for t in ("t1", "t2", "t4")),
    }
    assert {(name, reason) for *_, name, reason in steps.taken} == {("terminate", REVOKED)}


async def test_reinstatement_resumes_what_was_suspended_for_that_and_nothing_else(store):
    steps = Steps()
    measures = Measures(store, steps, "suspend")
    assert await measures.reinstated(BAD)
    assert steps.taken == [], "t2 was suspended for another reason"
    ours = Process(id="t5", participant=ME, kind="transfer", role="provider", peer=BAD, peer_pid="t5", state="SUSPENDED",
                   version=1, note=SUSPENDED)  # fmt: skip
    late = Process(id="t6", participant=ME, kind="transfer", role="provider", peer=BAD, peer_pid="t6", state="STARTED", version=1,
                   pending=Pending("TransferSuspensionMessage", "SUSPENDED", "r", sets={"note": SUSPENDED}))  # fmt: skip
    for each in (ours, late):
        await store.commit(Commit(process=each, expected=0))
    assert not await measures.reinstated(BAD), "t6 is still on its way"
    assert steps.taken == [("transfer", "t5", "resume", "")]
