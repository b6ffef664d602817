"""What the provider's own ledger of trade relations decides: who sees, gets and keeps access, and that no caller's word adds to it (pilots.md 4.4)."""

from datetime import timedelta

import pytest

from connector.store.port import Relation
from connector.usage.running import NOT_PERMITTED
from kernel.cli import Refused
from kernel.clock import iso
from kernel.errors import BadInput, Conflict, NotFound
from policies.odrl import KZ
from tests.support.company import MEMBER
from tests.support.participant import participant
from tests.support.usage import NOW, contract, settled, transfer, use

CUSTOMER = {"leftOperand": f"{KZ}tradeRelation", "operator": "isAnyOf", "rightOperand": ["customer", "customer:cell-A"]}


async def enter(seller, buyer, **more):
    made = Relation(
        **(
            {"id": f"urn:r:{len(await seller.store.relations('', 99))}", "partner": buyer.did, "kind": "customer", "person": "Sato"}
            | more
        )
    )
    return await seller.rules.relations.add(made)


async def footprint(seller):
    return await seller.publish("footprint-one-up", parameters={"role": ["packMaker"]}, products=["cell-A"])


async def seen(seller, buyer):
    who = participant(buyer.did, claims=MEMBER)
    found, _ = await seller.rules.page(who, "", 10)
    return len(found)


async def test_the_footprint_is_offered_to_customers_of_the_providers_ledger_alone(pair):
    seller, buyer = pair
    offer = await footprint(seller)
    assert await seen(seller, buyer) == 0
    made = await enter(seller, buyer)
    assert await seen(seller, buyer) == 1
    process = await buyer.commands.negotiate(seller.did, offer.asset, offer.id, None)
    process = await buyer.until(process.id, "FINALIZED")
    await seller.until(process.peer_pid, "FINALIZED")
    running = await transfer(buyer, process.data["agreement"]["@id"])
    assert running.state == "STARTED"
    (kept,) = await seller.store.decisions("", 9, agreement=process.data["agreement"]["@id"])
    assert kept.record.facts[f"{KZ}productRelation"] == ["customer"], "the record says what it rested on"
    await seller.rules.relations.end(made.id, "Sato", "sold elsewhere")
    ended = await buyer.until(running.id, "TERMINATED")
    assert ended.data["ending"] == {"code": "policy", "reason": [NOT_PERMITTED]}
    assert await seen(seller, buyer) == 0
    with pytest.raises(NotFound):
        await buyer.commands.negotiate(seller.did, offer.asset, offer.id, None)


@pytest.mark.parametrize(
    "claimed", [{"tradeRelation": ["customer"], "productRelation": ["customer"]}, {f"{KZ}productRelation": "customer"}]
)
async def test_what_a_caller_says_of_itself_counts_for_nothing(pair, claimed):
    seller, buyer = pair
    await footprint(seller)
    credentials = {kind: tuple({**subject, **claimed} for subject in subjects) for kind, subjects in MEMBER.items()}
    who = participant(buyer.did, claims=MEMBER | credentials | {"TradeCredential": (claimed,)})
    assert (await seller.rules.page(who, "", 10))[0] == []


async def test_another_product_a_supplier_and_another_company_do_not_open_it(pair):
    seller, buyer = pair
    await footprint(seller)
    await enter(seller, buyer, kind="supplier")
    await enter(seller, buyer, product="cell-B")
    await enter(seller, buyer, partner="did:web:other.example")
    assert await seen(seller, buyer) == 0
    assert seller.rules.relations.of(buyer.did, NOW) == ("customer:cell-B", "supplier")


async def test_a_relation_for_a_product_opens_what_asks_for_that_product(pair):
    seller, buyer = pair
    await enter(seller, buyer, product="cell-A")
    key = await contract(*pair, permission=[use(CUSTOMER)])
    await transfer(buyer, key)


async def test_an_end_that_lies_ahead_is_an_instant_and_a_beginning_too(pair, clock):
    seller, buyer = pair
    end, begin = NOW + timedelta(days=5), NOW + timedelta(days=9)
    await enter(seller, buyer, until=iso(end))
    await enter(seller, buyer, since=iso(begin))
    key = await contract(*pair, permission=[use(CUSTOMER)])
    running = await transfer(buyer, key)
    await seller.until(running.peer_pid, "STARTED")
    await settled(seller, 1)
    clock.moment = end - timedelta(seconds=2)
    assert await seller.monitor.turn() == 2.0
    clock.moment = end
    await seller.monitor.turn()
    await buyer.until(running.id, "SUSPENDED")
    clock.moment = begin
    await buyer.commands.step("transfer", running.id, "resume", "")
    await buyer.until(running.id, "STARTED")


async def test_what_cannot_be_entered_or_ended(pair):
    seller, buyer = pair
    for wrong in (
        {"kind": "friend"},
        {"partner": "Buyer Ltd."},
        {"product": "cell A"},
        {"product": "cell\u3000A"},
        {"product": "<cell>"},
        {"product": "c" * 201},
        {"since": "2027-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"since": "tomorrow"},
    ):
        with pytest.raises(BadInput):
            await enter(seller, buyer, **wrong)
    assert await seller.store.relations("", 10) == []
    made = await enter(seller, buyer)
    await seller.rules.relations.end(made.id, "Sato", "")
    with pytest.raises(Conflict):
        await seller.rules.relations.end(made.id, "Sato", "")
    with pytest.raises(NotFound):
        await seller.rules.relations.end("urn:none", "Sato", "")


async def test_a_restart_knows_them_all(pair):
    seller, buyer = pair
    for number in range(3):
        await enter(seller, buyer, product=f"p{number}")
    fresh = type(seller.rules.relations)(seller.store, seller.clock)
    await fresh.fill()
    assert fresh.of(buyer.did, NOW) == ("customer:p0", "customer:p1", "customer:p2")


async def test_the_fact_is_kept_until_time_or_the_ledger_changes_it(pair):
    seller, buyer = pair
    known = seller.rules.relations
    end = NOW + timedelta(days=5)
    await enter(seller, buyer, product="p0", until=iso(end))
    last = end - timedelta(microseconds=1)
    assert known.of(buyer.did, NOW) is known.of(buyer.did, last)
    assert (known.of(buyer.did, end), known.towards(buyer.did, end, ["p0"])) == ((), ())
    assert (known.of(buyer.did, last), known.towards(buyer.did, last, ["p0"])) == (("customer:p0",), ("customer",))
    await enter(seller, buyer, product="p1")
    assert known.of(buyer.did, last) == ("customer:p0", "customer:p1")


async def test_relations_on_the_command_line(pair, kizuna):
    _, buyer = pair
    made = await kizuna("relation", "add", "did:web:oem.example", "--as", "customer", "--product", "cell-A", "--by", "Sato Hanako")
    assert (made["kind"], made["product"], made["person"]) == ("customer", "cell-A", "Sato Hanako")
    assert buyer.rules.relations.of("did:web:oem.example", buyer.clock.now()) == ("customer:cell-A",)
    assert isinstance(await kizuna("relation", "add", "did:web:oem.example", "--as", "friend", "--by", "Sato"), Refused)
    ended = await kizuna("relation", "end", made["id"], "--reason", "contract over", "--by", "Sato Hanako")
    assert (bool(ended["ended"]), ended["ended_by"]) == (True, "Sato Hanako")
    (listed,) = (await kizuna("relation", "list"))["items"]
    assert listed == ended
