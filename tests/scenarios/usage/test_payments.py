"""What is paid counts: entered by the provider, in the policy's unit, in the transaction that grants (issue: policies)."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from connector.processes.errors import AgreementUnknown
from connector.processes.model import Commit, Payment
from identity import jose
from kernel.cli import Refused
from kernel.errors import BadInput, Conflict, UnavailableError
from policies.duties.counters import PAID
from tests.support.usage import atom, contract, duty_of, eventually, settled, transfer, use


def paid(operator, amount, unit="EUR"):
    return {"leftOperand": "payAmount", "operator": operator, "rightOperand": str(amount), "unit": unit}


async def pay(seller, agreement, amount, unit="EUR", **more):
    number = len(await seller.store.payments("", 999))
    values = {
        "id": f"urn:p:{number}",
        "agreement": agreement,
        "amount": str(amount),
        "unit": unit,
        "evidence": "INV-7",
        "person": "Sato",
    } | more
    return await seller.obligations.payments.add(Payment(**values))


async def test_access_begins_when_the_amount_is_paid(pair):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(paid("gteq", 100))])
    assert "403" in (await transfer(buyer, key, "TERMINATED")).note
    await pay(seller, key, "60.50")
    assert "403" in (await transfer(buyer, key, "TERMINATED")).note
    after = await pay(seller, key, "39.50")
    assert (after.used, after.unit, after.version) == ("100.00", "EUR", 2)
    running = await transfer(buyer, key)
    last = (await seller.store.decided(running.peer_pid)).record
    assert last.facts[PAID] == {"value": "100.00", "unit": "EUR"}


async def test_access_ends_at_once_when_the_amount_is_reached(pair):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(paid("lt", 1000))])
    running = await transfer(buyer, key)
    await seller.until(running.peer_pid, "STARTED")
    await settled(seller)
    await pay(seller, key, 1000)
    await buyer.until(running.id, "TERMINATED")


async def test_a_payment_that_crosses_a_grant_makes_it_be_decided_again(pair, monkeypatch):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(paid("lt", 1000))])
    commit, crossed = seller.store.commit, []

    async def crossing(made):
        if made.counters and not crossed:
            crossed.append(1000)
            await pay(seller, key, *crossed)
        await commit(made)

    monkeypatch.setattr(seller.store, "commit", crossing)
    refused = await transfer(buyer, key, "TERMINATED")
    assert ("403" in refused.note, len(crossed)) == (True, 1)
    assert await seller.store.decisions("", 9, agreement=key) == []


async def test_two_payments_at_once_are_both_counted_and_a_negative_one_corrects(pair):
    seller, _ = pair
    key = await contract(*pair, permission=[use(paid("gteq", 100))])
    await asyncio.gather(*(pay(seller, key, 10, id=f"urn:x:{n}") for n in range(4)))
    assert (await pay(seller, key, -15)).used == "25"
    with pytest.raises(Conflict, match="only 25"):
        await pay(seller, key, -26)
    assert [each.amount for each in await seller.store.payments("", 9, agreement=key)][:1] == ["-15"]


@pytest.mark.parametrize(
    "wrong", [{"unit": "JPY"}, {"unit": ""}, {"amount": "ten"}, {"amount": "NaN"}, {"amount": "0"}, {"evidence": " "}]
)
async def test_another_unit_no_amount_and_no_evidence_are_refused(pair, wrong):
    seller, _ = pair
    key = await contract(*pair, permission=[use(paid("gteq", 100))])
    with pytest.raises(BadInput):
        await pay(seller, key, **({"amount": 5} | wrong))
    assert await seller.store.payments("", 9) == []
    assert [each.version for each in (await seller.store.ledger(key)).counters] == [0]


async def test_only_the_provider_enters_and_only_where_an_amount_is_asked_for(pair):
    seller, buyer = pair
    key, free = await contract(*pair, permission=[use(paid("gteq", 100))]), await contract(*pair)
    with pytest.raises(AgreementUnknown):
        await pay(buyer, key, 5)
    with pytest.raises(Conflict, match="asks for no amount"):
        await pay(seller, free, 5)


# the consumer is told, and duties to compensate are done by it ---------------------------------------------------------


def owed(amount, *constraints, unit="EUR", **more):
    return {"action": "compensate", "constraint": [paid("eq", amount, unit), *constraints], **more}


async def test_paying_first_opens_the_data_and_both_sides_see_it(pair):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(duty=[owed(100)])])
    assert "403" in (await transfer(buyer, key, "TERMINATED")).note
    await pay(seller, key, "60.50")
    theirs = await eventually(lambda: duty_of(buyer, key), lambda each: each.note)
    assert (theirs.state, theirs.note) == ("active", "60.50 of 100 EUR paid")
    await pay(seller, key, "39.50", evidence="INV-8")
    ours, theirs = await duty_of(seller, key), await eventually(lambda: duty_of(buyer, key), lambda each: each.state == "fulfilled")
    assert ours == theirs
    assert [(each.kind, each.by) for each in ours.evidence] == [("E1", seller.did)]
    claims = jose.parse(theirs.evidence[0].statement).claims
    assert (claims["amount"], claims["unit"], claims["evidence"], claims["agreement"]) == ("39.50", "EUR", "INV-8", key)
    assert "Sato" not in theirs.evidence[0].statement
    assert "person" not in claims
    known, kept = await seller.store.payments("", 9), await buyer.store.payments("", 9)
    assert kept == [replace(each, person="") for each in known]
    assert [each.used for each in (await buyer.store.ledger(key)).counters] == ["100.00"]
    await transfer(buyer, key)


async def test_a_correction_makes_it_owed_again_on_both_sides_and_ends_what_runs(pair):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(duty=[owed(100)])])
    await pay(seller, key, 100)
    running = await transfer(buyer, key)
    await seller.until(running.peer_pid, "STARTED")
    await pay(seller, key, -1, evidence="the bank took it back")
    assert ((await duty_of(seller, key)).state, (await duty_of(seller, key)).note) == ("active", "99 of 100 EUR paid")
    await buyer.until(running.id, "TERMINATED")
    await eventually(lambda: duty_of(buyer, key), lambda each: each.state == "active")


async def test_too_late_begins_the_consequence_and_the_word_of_the_creditor_undoes_a_false_one(pair, clock):
    seller, buyer = pair
    late = owed(
        100,
        atom("elapsedTime", "lteq", "P10D"),
        consequence=[{"action": "delete", "constraint": [atom("elapsedTime", "lteq", "P5D")]}],
    )
    key = await contract(*pair, obligation=[late])
    for each in pair:
        await settled(each, 1)
    clock.moment += timedelta(days=9)
    posted, real = [], buyer.obligations.payments.told

    async def away(agreement, claims, token):
        posted.append((agreement, claims, token))

    buyer.obligations.payments.told = away
    await pay(seller, key, 100)
    await eventually(lambda: asyncio.sleep(0, posted), len)
    clock.moment += timedelta(days=2)
    await buyer.monitor.turn()
    assert [each.state for each in (await buyer.store.ledger(key)).duties] == ["overdue", "active"]
    await real(*posted[0])
    assert (await buyer.store.ledger(key)).duties[0].state == "fulfilled"
    assert [(each.state, each.due) for each in (await buyer.store.ledger(key)).duties[1:]] == [("inactive", "")]
    other = await contract(*pair, obligation=[late])
    clock.moment += timedelta(days=11)
    await pay(seller, other, 100)
    assert [each.state for each in (await seller.store.ledger(other)).duties] == ["late", "active"]


async def test_a_peer_without_the_channel_is_not_told_and_our_side_shows_it(pair, monkeypatch):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(duty=[owed(100)])])
    process = await seller.store.process((await seller.store.agreement(key)).negotiation)
    unsigned = replace(process, version=process.version + 1, data={**process.data, "peerSignature": ""})
    await seller.store.commit(Commit(process=unsigned, expected=process.version))
    await pay(seller, key, 100)
    assert (await seller.store.outbox(), (await duty_of(seller, key)).state) == ([], "fulfilled")
    assert (await duty_of(buyer, key)).state == "active"
    await transfer(buyer, key)


async def test_what_only_the_provider_may_say_and_only_once(pair):
    seller, buyer = pair
    key, other = (
        await contract(*pair, permission=[use(duty=[owed(100)])]),
        await contract(*pair, permission=[use(duty=[owed(100)])]),
    )
    process = await buyer.store.process((await buyer.store.agreement(key)).negotiation)
    to_seller, to_buyer = f"/negotiations/{process.peer_pid}/duties", f"/negotiations/{process.id}/duties"
    said = {
        "iss": seller.did,
        "agreement": key,
        "at": "2026-11-24T09:00:00.000Z",
        "payment": "urn:p:x",
        "amount": "100",
        "unit": "EUR",
        "evidence": "R",
    }
    mine = {"statement": buyer.statements.sign(said | {"iss": buyer.did})}
    assert (await buyer.post(to_seller, mine, to=seller))[0] == 403, "the consumer cannot state that it has paid"
    wrong = {
        "another agreement": ({"agreement": other}, 404),
        "another unit": ({"unit": "JPY"}, 400),
        "no amount": ({"amount": "much"}, 400),
        "nothing that shows it": ({"evidence": ""}, 400),
        "no time": ({"at": "yesterday"}, 400),
        "below nothing": ({"amount": "-1"}, 409),
    }
    for name, (change, status) in wrong.items():
        assert (await seller.post(to_buyer, {"statement": seller.statements.sign(said | change)}, to=buyer))[0] == status, name
    assert ((await duty_of(buyer, key)).version, await buyer.store.payments("", 9)) == (0, [])
    good = {"statement": seller.statements.sign(said)}
    answers = await asyncio.gather(*(seller.post(to_buyer, good, to=buyer) for _ in range(3)))
    assert [status for status, _ in answers] == [200, 200, 200]
    assert [each.used for each in (await buyer.store.ledger(key)).counters] == ["100"]
    reused = {"statement": seller.statements.sign(said | {"amount": "7"})}
    assert (await seller.post(to_buyer, reused, to=buyer))[0] == 400
    assert [each.amount for each in await buyer.store.payments("", 9)] == ["100"]


async def test_a_fault_at_the_commit_leaves_nothing_half_done_on_either_side(pair, monkeypatch):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(duty=[owed(100)])])
    broke = []

    def once(real):
        async def broken(*given, **more):
            if real not in broke:
                broke.append(real)
                raise UnavailableError("the power is gone")
            return await real(*given, **more)

        return broken

    monkeypatch.setattr(seller.store, "commit", once(seller.store.commit))
    with pytest.raises(UnavailableError):
        await pay(seller, key, 100)
    assert (await seller.store.payments("", 9), (await duty_of(seller, key)).version, await seller.store.outbox()) == ([], 0, [])
    monkeypatch.setattr(buyer.store, "add_payment", once(buyer.store.add_payment))
    await pay(seller, key, 100)
    await eventually(lambda: asyncio.sleep(0, broke), lambda found: len(found) == 2)
    assert (await duty_of(buyer, key)).state == "active"
    await seller.store.release((await seller.store.outbox())[0].row.id)
    while (await duty_of(buyer, key)).state != "fulfilled":
        seller.clock.moment += timedelta(seconds=5)
        seller.outbox._awake.set()
        await asyncio.sleep(0.05)
    assert [each.used for each in (await buyer.store.ledger(key)).counters] == ["100"]


async def test_evidence_by_hand_at_the_same_time_is_not_lost(pair, monkeypatch):
    """As it is between two replicas, too: whoever comes second finds the version gone, and looks again."""
    seller, _ = pair
    key = await contract(*pair, permission=[use(duty=[owed(100), {"action": "inform"}])])
    inform = next(each for each in (await seller.store.ledger(key)).duties if each.action.endswith("inform"))
    compensate = next(each for each in (await seller.store.ledger(key)).duties if each.action.endswith("compensate"))
    await asyncio.gather(
        seller.obligations.fulfil(inform.id, "E3", "told us", "", "Mori"),
        *(pay(seller, key, 50, id=f"urn:x:{n}") for n in range(2)),
    )
    assert {each.state for each in (await seller.store.ledger(key)).duties} == {"fulfilled"}
    commit, crossed = seller.store.commit, []

    async def crossing(made):
        if made.payment is not None and not crossed:
            crossed.append(True)
            await seller.store.save_duties(
                [replace(await seller.store.duty(compensate.id), version=made.duties[0].version, note="noted")]
            )
        await commit(made)

    monkeypatch.setattr(seller.store, "commit", crossing)
    await pay(seller, key, -60)
    found = await seller.store.duty(compensate.id)
    assert (crossed, found.state, found.note, found.version) == ([True], "active", "40 of 100 EUR paid", 4)


async def test_payments_on_the_command_line(pair, kizuna):
    _, buyer = pair
    key = await contract(pair[1], pair[0], permission=[use(paid("gteq", 100, "JPY"))])
    made = await kizuna("payment", "add", key, "--amount", "120", "--unit", "JPY", "--evidence", "R-1", "--by", "Sato Hanako")
    assert (made["used"], made["unit"]) == ("120", "JPY")
    wrong = await kizuna("payment", "add", key, "--amount", "1", "--unit", "EUR", "--evidence", "R-2", "--by", "Sato Hanako")
    assert isinstance(wrong, Refused)
    assert "JPY" in wrong.detail
    (listed,) = (await kizuna("payment", "list", "--agreement", key))["items"]
    assert (listed["amount"], listed["evidence"], listed["person"]) == ("120", "R-1", "Sato Hanako")
    assert (await buyer.store.agreement(key)).role == "provider"
