"""An overdue duty is seen on both sides: who it is owed to tells who owes it, once, signed (issue: policies)."""

import asyncio
from datetime import timedelta

import pytest

from tests.support.usage import atom, contract, duty_of, eventually, settled

INFORM = {"action": "inform", "constraint": [atom("elapsedTime", "lteq", "P10D")]}


@pytest.fixture
async def late(pair, clock):
    """An agreement whose duty of the buyer is overdue by both clocks, and nobody has looked yet."""
    key = await contract(*pair, obligation=[INFORM])
    for each in pair:
        await settled(each, 1)
    clock.moment += timedelta(days=11)
    return key


async def test_who_owes_it_is_told_once_and_both_lists_say_so(pair, late):
    seller, buyer = pair
    await seller.monitor.turn()
    ours = await duty_of(seller, late)
    assert (ours.state, ours.note) == ("overdue", f"{buyer.did} was told that it is overdue")
    theirs = await eventually(lambda: duty_of(buyer, late), lambda each: each.state == "overdue")
    assert theirs.note == f"{seller.did} has told that it is overdue"
    await eventually(lambda: seller.store.outbox(), lambda rows: not rows)
    await seller.monitor.turn()
    assert (await seller.store.outbox(), await duty_of(seller, late)) == ([], ours), "told once"


async def test_who_owes_it_tells_nobody(pair, late):
    seller, buyer = pair
    await buyer.monitor.turn()
    entry = await duty_of(buyer, late)
    assert (entry.state, entry.note) == ("overdue", "")
    assert (await duty_of(seller, late)).note == ""


async def test_a_reminder_is_believed_from_who_it_is_owed_to_when_our_own_clock_agrees(pair, late, clock):
    seller, buyer = pair
    agreement, entry = await buyer.store.agreement(late), await duty_of(buyer, late)
    process = await buyer.store.process(agreement.negotiation)
    said = {"duty": entry.id, "agreement": late, "at": "2026-12-05T09:00:00.000Z", "overdue": entry.due}
    to_buyer, to_seller = f"/negotiations/{process.id}/duties", f"/negotiations/{process.peer_pid}/duties"
    own = {"statement": buyer.statements.sign(said | {"iss": buyer.did})}
    assert (await buyer.post(to_seller, own, to=seller))[0] == 403, "who owes it does not remind of it"
    good = {"statement": seller.statements.sign(said | {"iss": seller.did})}
    clock.moment -= timedelta(days=5)
    assert (await seller.post(to_buyer, good, to=buyer))[0] == 409, "not overdue by our clock"
    assert (await duty_of(buyer, late)).note == ""
    clock.moment += timedelta(days=5)
    assert [(await seller.post(to_buyer, good, to=buyer))[0] for _ in range(2)] == [200, 200]
    await eventually(lambda: duty_of(buyer, late), lambda each: each.state == "overdue")
    assert (await duty_of(buyer, late)).version == 2, "the note, and what the own monitor then saw; a repeat changes nothing"


LADDER = INFORM | {"consequence": [{"action": "delete", "constraint": [atom("elapsedTime", "lteq", "P5D")]}]}


async def states(company, key):
    return [each.state for each in (await company.store.ledger(key)).duties]


async def unwatched(pair, clock, monkeypatch):
    """An agreement whose duty of the buyer is over by both clocks, and neither monitor looks any more."""
    key = await contract(*pair, obligation=[LADDER])
    for each in pair:
        await settled(each, 1)
        monkeypatch.setattr(each.monitor, "turn", lambda: asyncio.sleep(0))
    clock.moment += timedelta(days=11)
    return key, await duty_of(pair[0], key, 0)


async def test_late_evidence_begins_the_consequence_on_both_sides_before_any_monitor_has_looked(pair, clock, monkeypatch):
    seller, buyer = pair
    key, entry = await unwatched(pair, clock, monkeypatch)
    await buyer.obligations.fulfil(entry.id, "E1", "done after all", "", "Suzuki")
    assert await states(buyer, key) == ["late", "active"]
    await eventually(lambda: states(seller, key), lambda found: found == ["late", "active"])
    ours, theirs = [(await each.store.ledger(key)).duties[1] for each in pair]
    assert ours == theirs
    assert (ours.triggered, ours.due) == (entry.due, "2026-12-09T09:00:00.000Z")
    monkeypatch.undo()
    clock.moment += timedelta(days=5)
    await seller.monitor.turn()
    assert await states(seller, key) == ["late", "overdue"], "it is watched like any other"


async def test_a_waiver_after_the_time_leaves_the_consequence_owed_on_both_sides(pair, clock, monkeypatch):
    seller, buyer = pair
    key, entry = await unwatched(pair, clock, monkeypatch)
    await seller.obligations.waive(entry.id, "Sato", "it came by post")
    assert await states(seller, key) == ["waived", "active"]
    await eventually(lambda: states(buyer, key), lambda found: found == ["waived", "active"])


async def test_what_was_done_meanwhile_is_not_overdue_because_somebody_says_so(pair, clock):
    seller, buyer = pair
    key = await contract(*pair, obligation=[INFORM])
    entry = await duty_of(buyer, key)
    await buyer.obligations.fulfil(entry.id, "E1", "done", "", "Sato")
    clock.moment += timedelta(days=11)
    process = await buyer.store.process((await buyer.store.agreement(key)).negotiation)
    said = {"iss": seller.did, "duty": entry.id, "agreement": key, "at": "2026-12-05T09:00:00.000Z", "overdue": entry.due}
    status, _ = await seller.post(f"/negotiations/{process.id}/duties", {"statement": seller.statements.sign(said)}, to=buyer)
    assert (status, (await duty_of(buyer, key)).state) == (200, "fulfilled")
