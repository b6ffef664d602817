"""What is paid counts: entered by the provider, in the policy's unit, in the transaction that grants (issue: policies)."""

import asyncio

import pytest

from connector.processes.errors import AgreementUnknown
from connector.store.port import Payment
from kernel.cli import Refused
from kernel.errors import BadInput, Conflict
from policies.duties.counters import PAID
from tests.support.usage import contract, settled, transfer, use


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
    return await seller.rules.payments.add(Payment(**values))


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
            crossed.append(await pay(seller, key, 1000))
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
