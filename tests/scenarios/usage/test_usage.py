"""Where policies act: duties and counters begin with the agreement, transfers are decided by them, and what time changes is done at that instant (issue: policies)."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from connector.processes.errors import PolicyRefused
from connector.processes.model import Commit, Decided, Process
from connector.usage.decide import Stated
from connector.usage.running import NOT_PERMITTED
from connector.worker.monitor import Monitor
from kernel import faults
from kernel.cli import Refused
from kernel.errors import BadInput, Conflict, Forbidden, NotFound
from policies.duties import opened, states
from policies.duties.counters import COUNT
from policies.odrl import KZ, ODRL, broken, evaluate, record, replay
from tests.support.usage import (
    NOW,
    asking,
    atom,
    contract,
    duty_of,
    eventually,
    received,
    received_without_transfer,
    settled,
    transfer,
    use,
)


async def test_duties_and_counters_begin_with_the_agreement_on_both_sides_alike(pair):
    delete = {"action": "delete", "constraint": [atom("elapsedTime", "lteq", "P30D")]}
    key = await contract(*pair, permission=[use(atom("count", "lteq", 2))], obligation=[delete])
    ours, theirs = [await each.store.ledger(key) for each in pair]
    assert ours.duties == theirs.duties
    assert ours.counters == theirs.counters
    assert [(each.action.rpartition("/")[2], each.due) for each in ours.duties] == [("delete", "2026-12-24T09:00:00.000Z")]
    assert [(each.operand, each.limit, each.used) for each in ours.counters] == [(COUNT, "2", "0")]


async def test_a_count_is_taken_once_for_each_transfer_and_then_it_is_over(pair):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(atom("count", "lteq", 2))])
    await transfer(buyer, key)
    second = await transfer(buyer, key)
    third = await transfer(buyer, key, "TERMINATED")
    assert "403" in third.note
    assert "2 of 2" not in third.note, "what is left is not the peer's business"
    (counter,) = (await seller.store.ledger(key)).counters
    assert (counter.used, counter.version) == ("2", 2)
    await buyer.commands.step("transfer", second.id, "suspend", "")
    await buyer.until(second.id, "SUSPENDED")
    await buyer.commands.step("transfer", second.id, "resume", "")
    await buyer.until(second.id, "STARTED")
    assert (await seller.store.ledger(key)).counters == (counter,), "to go on takes nothing"


async def test_two_at_once_cannot_both_take_the_last_one(pair):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(atom("count", "lteq", 1))])
    both = await asyncio.gather(*(transfer(buyer, key, "STARTED", "TERMINATED") for _ in range(2)))
    assert sorted(each.state for each in both) == ["STARTED", "TERMINATED"]
    assert [each.used for each in (await seller.store.ledger(key)).counters] == ["1"]


async def test_of_many_at_once_as_many_are_let_in_as_are_left_and_the_chain_is_whole(pair):
    """They are decided in a row before the first is durable."""
    seller, buyer = pair
    key = await contract(*pair, permission=[use(atom("count", "lteq", 20))])
    every = await asyncio.gather(*(transfer(buyer, key, "STARTED", "TERMINATED") for _ in range(30)))
    assert sorted(each.state for each in every) == ["STARTED"] * 20 + ["TERMINATED"] * 10
    assert [(each.used, each.version) for each in (await seller.store.ledger(key)).counters] == [("20", 20)]
    kept = await seller.store.decisions("", 100, agreement=key)
    assert broken(each.record for each in kept) is None
    assert {each.transfer for each in kept} == {each.peer_pid for each in every if each.state == "STARTED"}


async def test_a_repeated_request_takes_once(pair):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(atom("count", "lteq", 5))])
    ask = asking(buyer, key)
    answers = [await buyer.post("/transfers/request", ask, to=seller) for _ in range(3)]
    assert [status for status, _ in answers] == [201, 201, 201]
    assert len({body["providerPid"] for _, body in answers}) == 1
    assert [each.used for each in (await seller.store.ledger(key)).counters] == ["1"]


@pytest.mark.parametrize("point", ["inbound:before-commit", "inbound:after-commit"])
async def test_a_fault_around_the_commit_leaves_one_taken(pair, monkeypatch, point):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(atom("count", "lteq", 5))])
    ask, broke = asking(buyer, key), []

    def break_once(name):
        if name == point and not broke:
            broke.append(name)
            raise OSError("the power is gone")

    monkeypatch.setattr(faults, "hook", break_once)
    first, _ = await buyer.post("/transfers/request", ask, to=seller)
    second, _ = await buyer.post("/transfers/request", ask, to=seller)
    assert (first, second, broke) == (500, 201, [point])
    assert [each.used for each in (await seller.store.ledger(key)).counters] == ["1"]
    assert len(await seller.store.decisions("", 10, agreement=key)) == 1


async def test_elapsed_time_runs_from_the_agreement(pair, clock):
    _, buyer = pair
    key = await contract(*pair, permission=[use(atom("elapsedTime", "lteq", "P10D"))])
    await transfer(buyer, key)
    clock.moment += timedelta(days=11)
    refused = await transfer(buyer, key, "TERMINATED")
    assert "403" in refused.note


async def test_a_duty_that_comes_first_stands_in_the_way_until_it_is_fulfilled(pair):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(duty=[{"action": "inform"}])])
    refused = await transfer(buyer, key, "TERMINATED")
    assert "403" in refused.note
    (entry,) = (await seller.store.ledger(key)).duties
    await seller.store.save_duties([replace(entry, state="fulfilled", version=1)])
    await transfer(buyer, key)


async def test_an_overdue_duty_refuses_though_nobody_has_written_it_down(pair, clock):
    seller, buyer = pair
    pay = {"action": "compensate", "constraint": [atom("delayPeriod", "lteq", "P5D")]}
    key = await contract(*pair, permission=[use(duty=[pay])])
    running = await transfer(buyer, key)
    await seller.until(running.peer_pid, "STARTED")
    await settled(seller, 1)
    clock.moment += timedelta(days=6)
    await transfer(buyer, key, "TERMINATED")
    assert set(states((await seller.store.ledger(key)).duties).values()) == {"active"}, "the monitor sleeps by another clock"


async def test_decisions_are_kept_as_a_chain_that_can_be_replayed(pair):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(atom("count", "lteq", 3))])
    for _ in range(3):
        await transfer(buyer, key)
    found = await seller.store.decisions("", 10, agreement=key)
    assert [each.seq for each in found] == [1, 2, 3]
    assert broken(each.record for each in found) is None
    policy = (await seller.store.agreement(key)).policy
    assert [replay(each.record, policy, seller.profile.operands) for each in found] == [[], [], []]
    assert [each.record.facts[COUNT] for each in found] == ["1", "2", "3"]


# what time changes ---------------------------------------------------------------------------------------------------


async def test_a_running_transfer_ends_at_the_instant_at_which_the_policy_does(pair, clock):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(atom("dateTime", "lt", "2026-12-01T00:00:00Z"))])
    running = await transfer(buyer, key)
    await seller.until(running.peer_pid, "STARTED")
    await settled(seller, 1)
    clock.moment = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
    assert await seller.monitor.turn() == 1.0
    assert (await seller.store.process(running.peer_pid)).pending is None
    clock.moment = datetime(2026, 12, 1, tzinfo=UTC)
    assert await seller.monitor.turn() is None
    ended = await buyer.until(running.id, "TERMINATED")
    assert ended.data["ending"] == {"code": "policy", "reason": [NOT_PERMITTED]}
    ours = await seller.until(running.peer_pid, "TERMINATED")
    assert ours.note == NOT_PERMITTED
    last = (await seller.store.decided(ours.id)).record
    assert (last.phase, last.permitted) == ("monitoring", False)
    assert broken(each.record for each in await seller.store.decisions("", 10, agreement=key)) is None


async def test_a_start_costs_a_look_at_that_transfer_alone_however_many_run(pair, monkeypatch):
    """Or a hundred transfers under one agreement would be decided five thousand times. A counter, which a start moves, is for all of them."""
    seller, buyer = pair
    plain = await contract(*pair, permission=[use(atom("dateTime", "lt", "2026-12-01T00:00:00Z"))])
    counts = await contract(*pair, permission=[use(atom("count", "lteq", 9))])
    await settled(seller)
    decided, real = [], seller.monitor._running.decide

    async def noted(agreement, ledger, process, **more):
        decided.append((agreement.id, process.id))
        return await real(agreement, ledger, process, **more)

    monkeypatch.setattr(seller.monitor._running, "decide", noted)
    for agreement, looks in ((plain, [1, 1, 1]), (counts, [1, 2, 3])):
        for expected in looks:
            process = await transfer(buyer, agreement)
            await seller.until(process.peer_pid, "STARTED")
            async with asyncio.timeout(10):
                while len(decided) < expected:
                    await asyncio.sleep(0.01)
            await settled(seller)
            assert len(decided) == expected
            assert {each for each, _ in decided} == {agreement}
            assert process.peer_pid in {each for _, each in decided}
            decided.clear()


async def test_outside_of_its_hours_a_transfer_is_suspended_not_ended(pair, clock):
    seller, buyer = pair
    days = [
        {"and": [atom("dateTime", "gteq", f"2026-11-{d}T00:00:00Z"), atom("dateTime", "lt", f"2026-11-{d}T12:00:00Z")]}
        for d in (24, 25)
    ]
    key = await contract(*pair, permission=[use({"or": days})])
    running = await transfer(buyer, key)
    await seller.until(running.peer_pid, "STARTED")
    await settled(seller, 1)
    clock.moment = datetime(2026, 11, 24, 12, tzinfo=UTC)
    await seller.monitor.turn()
    await buyer.until(running.id, "SUSPENDED")


async def test_a_lost_credential_suspends_what_relied_on_it_and_a_new_one_lets_it_go_on(pair):
    seller, buyer = pair
    role = {"leftOperand": f"{KZ}role", "operator": "isAnyOf", "rightOperand": ["packMaker"]}
    needs, free = await contract(*pair, permission=[use(role)]), await contract(*pair)
    relying, other = await transfer(buyer, needs), await transfer(buyer, free)
    for each in (relying, other):
        await seller.until(each.peer_pid, "STARTED")
    await settled(seller)
    await seller.monitor.lost(buyer.did, {"RoleCredential"})
    await buyer.until(relying.id, "SUSPENDED")
    assert (await seller.store.process(other.peer_pid)).state == "STARTED"
    await buyer.commands.step("transfer", relying.id, "resume", "")
    await buyer.until(relying.id, "STARTED")


async def test_an_overdue_duty_ends_the_agreement_where_the_setting_says_so(pair, clock):
    seller, buyer = pair
    inform = {"action": "inform", "constraint": [atom("elapsedTime", "lteq", "P10D")]}
    key = await contract(*pair, obligation=[inform])
    running = await transfer(buyer, key)
    await seller.until(running.peer_pid, "STARTED")
    await settled(seller, 1)
    clock.moment += timedelta(days=11)
    await seller.monitor.turn()
    await buyer.until(running.id, "TERMINATED")
    (entry,) = (await seller.store.ledger(key)).duties
    assert entry.state == "overdue"
    assert "inform" in (await seller.store.agreement(key)).retired.reason
    refused = await transfer(buyer, key, "TERMINATED")
    assert "403" in refused.note


async def test_nothing_wakes_the_monitor_while_nothing_changes_and_a_start_reads_it_all(pair, clock, tmp_path):
    seller, _ = pair
    inform = {"action": "inform", "constraint": [atom("elapsedTime", "lteq", "P10D")]}
    entries = [
        entry for n in range(1200) for entry in opened(f"urn:uuid:{n}", seller.profile.policy({"@type": "Agreement", "assigner": "a:a", "assignee": "b:b", "permission": [use()], "obligation": [inform]}), NOW)
    ]  # fmt: skip
    for n in range(0, 1200, 300):
        await seller.store.save_duties(entries[n : n + 300])
    waits = []

    async def wait(event, seconds):
        waits.append(seconds)
        await event.wait()

    fresh = Monitor(
        store=seller.store, usage=seller.rules.usage, running=None, contracts=None, obligations=None, clock=clock, wait=wait
    )
    task = asyncio.create_task(fresh.run())
    async with asyncio.timeout(20):
        while not waits:
            await asyncio.sleep(0.01)
    assert len(fresh) == 1200
    assert waits == [timedelta(days=10).total_seconds()]
    for _ in range(50):  # commits about something else
        await seller.store.save_membership(await seller.store.membership())
    await asyncio.sleep(0.05)
    assert len(waits) == 1, "it has slept through"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# consumer side -------------------------------------------------------------------------------------------------------


async def test_data_are_deleted_before_the_duty_is_due_and_the_provider_gets_the_evidence(pair, clock):
    seller, buyer = pair
    delete = {"action": "delete", "constraint": [atom("elapsedTime", "lteq", "P30D")]}
    key = await contract(*pair, obligation=[delete])
    held = await received(buyer, key)
    file = buyer.place / held.file
    await settled(buyer, 1)
    clock.moment += timedelta(days=29, hours=22)
    await buyer.monitor.turn()
    assert file.exists()
    clock.moment += timedelta(hours=1)
    await buyer.monitor.turn()
    assert not file.exists()
    (mine,) = (await buyer.store.ledger(key)).duties
    assert (mine.state, [each.kind for each in mine.evidence]) == ("fulfilled", ["E2"])
    theirs = await eventually(lambda: duty_of(seller, key), lambda each: each.state != "active")
    assert (theirs.state, theirs.evidence[0].by, theirs.evidence[0].digest) == ("fulfilled", buyer.did, held.sha256)
    clock.moment += timedelta(days=30)
    await seller.monitor.turn()
    assert (await duty_of(seller, key)).state == "fulfilled"
    with pytest.raises(NotFound):
        await buyer.holdings.read(held.transfer, Stated(("cfp.rollup:1",)))


async def test_what_must_be_kept_is_not_deleted_by_a_person_or_by_a_duty(pair, clock):
    _, buyer = pair
    keep = {"action": "archive", "constraint": [atom("elapsedTime", "gteq", "P90D")]}
    delete = {"action": "delete", "constraint": [atom("elapsedTime", "lteq", "P30D")]}
    key = await contract(*pair, obligation=[keep, delete])
    held = await received(buyer, key)
    with pytest.raises(Conflict, match="must be kept until 2027-02-22"):
        await buyer.holdings.discard(held.transfer)
    clock.moment += timedelta(days=31)
    await buyer.monitor.turn()
    assert (buyer.place / held.file).exists()
    assert sorted(each.state for each in (await buyer.store.ledger(key)).duties) == ["active", "overdue"]
    clock.moment += timedelta(days=60)
    await buyer.holdings.discard(held.transfer)
    assert not (buyer.place / held.file).exists()


async def test_data_in_our_store_are_read_for_the_agreed_purpose_and_recipient_only(pair):
    _, buyer = pair
    purpose = {"leftOperand": "purpose", "operator": "isAnyOf", "rightOperand": ["cfp.rollup:1"]}
    recipient = {"leftOperand": "recipient", "operator": "isAnyOf", "rightOperand": ["did:web:auditor.example"]}
    key = await contract(*pair, permission=[use(purpose, recipient)])
    held = await received_without_transfer(buyer, key)
    found, path = await buyer.holdings.read(held.transfer, Stated(["cfp.rollup:1"], ["did:web:auditor.example"]))
    assert path.read_bytes() == b"{}"
    assert found == held
    for purposes, recipients in (
        ([], ["did:web:auditor.example"]),
        (["marketing"], ["did:web:auditor.example"]),
        (["cfp.rollup:1"], []),
        (["cfp.rollup:1"], ["did:web:x.example"]),
    ):
        with pytest.raises(PolicyRefused, match="the agreement does not permit it"):
            await buyer.holdings.read(held.transfer, Stated(purposes, recipients))


async def test_nobody_gets_bytes_or_a_token_without_a_purpose_that_the_agreement_permits(pair, kizuna, tmp_path):
    _, buyer = pair
    purpose = {"leftOperand": "purpose", "operator": "isAnyOf", "rightOperand": ["cfp.rollup:1"]}
    key = await contract(*pair, permission=[use(purpose)])
    running = await transfer(buyer, key)
    target, api = tmp_path / "out.json", f"/v1/transfers/{running.id}/access"
    for words in ((), ("--purpose", "marketing"), ("--purpose", "")):
        refused = await kizuna("transfer", "pull", running.id, "--output", str(target), *words)
        assert "does not permit" in refused.detail
    for body in ({}, {"purposes": []}, {"purposes": ["marketing"]}):
        with pytest.raises(Refused, match="does not permit"):
            await kizuna.post(api, body)
    assert not target.exists()
    assert await buyer.store.decisions("", 9, agreement=key) == [], "nothing was handed out"
    held = await received_without_transfer(buyer, key)
    await buyer.holdings.read(held.transfer, Stated(["cfp.rollup:1"]))
    (kept,) = await buyer.store.decisions("", 9, agreement=key)
    assert (kept.transfer, kept.record.phase, kept.record.permitted) == (held.transfer, "consumer", True)
    assert kept.record.facts["http://www.w3.org/ns/odrl/2/purpose"] == ["cfp.rollup:1"]
    policy = (await buyer.store.agreement(key)).policy
    assert replay(kept.record, policy, buyer.profile.operands) == []


async def test_evidence_and_waivers_reach_the_other_side_signed(pair):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(duty=[{"action": "inform"}])])
    await transfer(buyer, key, "TERMINATED")
    entry = await duty_of(buyer, key)
    with pytest.raises(Forbidden, match="cannot waive"):
        await buyer.obligations.waive(entry.id, "Sato Hanako", "no wish")
    for kind in ("E2", "E3"):
        with pytest.raises(BadInput):
            await buyer.obligations.fulfil(entry.id, kind, "trust me", "", "Sato Hanako")
    await buyer.obligations.fulfil(entry.id, "E1", "reported on 24 November", "", "Sato Hanako")
    theirs = await eventually(lambda: duty_of(seller, key), lambda each: each.state == "fulfilled")
    assert theirs.evidence[0].kind == "E1"
    await transfer(buyer, key)
    other = await contract(*pair, permission=[use(duty=[{"action": "inform"}])])
    await seller.obligations.waive((await duty_of(seller, other)).id, "Mori Ken", "not needed")
    await eventually(lambda: duty_of(buyer, other), lambda each: each.state == "waived")
    await transfer(buyer, other)


async def test_statements_that_are_forged_foreign_or_about_something_else_are_refused(pair):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(duty=[{"action": "inform"}])])
    entry, agreement = await duty_of(buyer, key), await buyer.store.agreement(key)
    process = await buyer.store.process(agreement.negotiation)
    path = f"/negotiations/{process.peer_pid}/duties"
    good = {
        "iss": buyer.did,
        "duty": entry.id,
        "agreement": key,
        "at": "2026-11-24T09:00:00.000Z",
        "kind": "E1",
        "statement": "done",
    }
    sign = buyer.statements.sign
    wrong = {
        "nothing": ({}, 400),
        "foreign": ({"statement": seller.statements.sign(good)}, 400),
        "about another agreement": ({"statement": sign(good | {"agreement": "urn:uuid:other"})}, 404),
        "no such duty": ({"statement": sign(good | {"duty": "x"})}, 404),
        "a waiver by who owes it": ({"statement": sign(good | {"waived": "please"})}, 403),
        "an attestation of oneself": ({"statement": sign(good | {"kind": "E3"})}, 400),
        "no class": ({"statement": sign(good | {"kind": "E9"})}, 400),
    }
    for name, (body, status) in wrong.items():
        assert (await buyer.post(path, body, to=seller))[0] == status, name
    assert (await duty_of(seller, key)).state == "active"
    statement = {"statement": sign(good)}
    assert [(await buyer.post(path, statement, to=seller))[0] for _ in range(2)] == [200, 200]
    assert len((await duty_of(seller, key)).evidence) == 1


# the same on the command line -----------------------------------------------------------------------------------------


async def test_duties_counters_decisions_and_received_data_on_the_command_line(pair, kizuna, tmp_path):
    seller, buyer = pair
    purpose = {"leftOperand": "purpose", "operator": "isAnyOf", "rightOperand": ["cfp.rollup:1"]}
    key = await contract(*pair, permission=[use(purpose, atom("count", "lteq", 5))], obligation=[{"action": "inform"}])
    held = await received_without_transfer(buyer, key)
    (duty,) = (await kizuna("duty", "list", "--agreement", key))["items"]
    assert (duty["state"], duty["owed"], duty["action"]) == ("active", buyer.did, ODRL + "inform")
    assert " inform " in await kizuna.text("duty", "list", "--agreement", key)
    assert ODRL not in await kizuna.text("duty", "list") + await kizuna.text("counter", "list"), "people read short names"
    done = await kizuna("duty", "fulfil", duty["id"], "--evidence", "E1", "--statement", "sent the report", "--by", "Sato")
    assert done["state"] == "fulfilled"
    await eventually(lambda: duty_of(seller, key), lambda each: each.state == "fulfilled")
    assert isinstance(await kizuna("duty", "waive", duty["id"], "--reason", "x", "--by", "Sato"), Refused)
    other = await contract(*pair, obligation=[{"action": "inform"}])
    said = ("--statement", "sent", "--by", "Sato")
    assert "inform\n" in await kizuna.text("duty", "fulfil", (await duty_of(buyer, other)).id, "--evidence", "E1", *said)
    (counter,) = (await kizuna("counter", "list"))["items"]
    assert (counter["limit"], counter["used"]) == ("5", "0")
    target = tmp_path / "out.json"
    refused = await kizuna("received", "get", held.transfer, "--purpose", "marketing", "--output", str(target))
    assert "does not permit" in refused.detail
    assert not target.exists()
    got = await kizuna("received", "get", held.transfer, "--purpose", "cfp.rollup:1", "--output", str(target))
    assert (got["sha256"], target.read_bytes()) == (held.sha256, b"{}")
    assert (await kizuna("received", "delete", held.transfer))["deleted"]
    assert isinstance(await kizuna("received", "get", held.transfer, "--purpose", "cfp.rollup:1", "--output", str(target)), Refused)
    ledger = await buyer.store.ledger(key)
    decision = Decided(
        agreement=key,
        seq=ledger.decided + 1,
        record=record(
            evaluate(buyer.rules.usage.policy(await buyer.store.agreement(key)), await question(buyer, key)),
            (await buyer.store.agreement(key)).policy,
            ledger.last,
        ),
    )
    await buyer.store.commit(
        Commit(
            process=Process(
                id="urn:uuid:t",
                participant=buyer.did,
                kind="transfer",
                role="consumer",
                peer=seller.did,
                state="STARTED",
                version=1,
            ),
            expected=0,
            decided=decision,
        )
    )
    handed_out, shown = (await kizuna("decision", "list", "--agreement", key))["items"]
    assert (handed_out["transfer"], handed_out["record"]["phase"]) == (held.transfer, "consumer")
    assert (await kizuna("decision", "replay", shown["id"]))["differences"] == []


async def question(company, agreement):
    found = await company.store.agreement(agreement)
    return company.rules.usage.request(found, await company.store.ledger(agreement), {}, "transfer")
