"""One policy over many datasets, each for the buyers of its own product: what the trade ledger says of that product decides who sees, gets and keeps access."""

import uuid
from datetime import timedelta

import pytest
from msgspec.structs import replace

from catalog import describe
from connector.processes.errors import PolicyRefused
from connector.rules import Rules
from connector.usage.running import NOT_PERMITTED
from kernel import wire
from kernel.cli import Refused
from kernel.clock import iso
from kernel.errors import BadInput, NotFound, Unauthorized
from policies.odrl import KZ
from tests.scenarios.usage.test_relations import enter
from tests.support.company import MEMBER
from tests.support.participant import participant
from tests.support.usage import NOW, atom, contract, eventually, finalized, settled, transfer, use

BUYER = atom(f"{KZ}productRelation", "eq", "customer")


async def footprints(seller, *products):
    """A dataset for each product, all under the same terms."""
    return [
        await seller.publish("footprint-one-up", title=each, parameters={"role": ["packMaker"]}, products=[each])
        for each in products
    ]


async def seen(seller, buyer):
    """The datasets of the catalog as it comes over the wire, with their products."""
    found = await buyer.commands.catalog(seller.did)
    return {each["@id"]: describe.products(each) for each in found.get("dataset", ())}


async def begun(seller, buyer, watched=1, **relation):
    """A transfer of the buyer of cell-A, and the seller's side of it, once the monitor watches so many instants."""
    await enter(seller, buyer, product="cell-A", **relation)
    agreement = await contract(seller, buyer, products=["cell-A"], permission=[use(BUYER)])
    running = await transfer(buyer, agreement)
    process = await seller.until(running.peer_pid, "STARTED")
    await settled(seller, watched)
    return running, process


async def test_each_dataset_goes_to_the_buyer_of_its_product_under_one_policy(pair):
    seller, buyer = pair
    first, second = await footprints(seller, "cell-A", "cell-B")
    assert await seen(seller, buyer) == {}
    made = await enter(seller, buyer, product="cell-A")
    assert await seen(seller, buyer) == {first.asset: ["cell-A"]}
    assert (await buyer.commands.dataset(seller.did, first.asset))["https://schema.org/productID"] == ["cell-A"]
    with pytest.raises(NotFound):
        await buyer.commands.dataset(seller.did, second.asset)
    agreement = await finalized(seller, buyer, first)
    running = await transfer(buyer, agreement)
    (kept,) = await seller.store.decisions("", 9, agreement=agreement)
    assert kept.record.facts[f"{KZ}productRelation"] == ["customer"], "the record says what it rested on"
    await seller.rules.relations.end(made.id, "Sato", "sold elsewhere")
    ended = await buyer.until(running.id, "TERMINATED")
    assert ended.data["ending"] == {"code": "policy", "reason": [NOT_PERMITTED]}
    assert await seen(seller, buyer) == {}


async def test_guessed_ids_and_known_terms_do_not_help_the_buyer_of_another_product(pair):
    seller, buyer = pair
    _, second = await footprints(seller, "cell-A", "cell-B")
    await enter(seller, buyer, product="cell-A")
    process = await buyer.commands.negotiate(seller.did, second.asset, second.id, second.contract)
    await buyer.until(process.id, "TERMINATED")
    assert await seller.store.agreements("", 9) == []


async def test_the_contract_policy_asks_for_the_product_where_everybody_sees_the_offer(pair):
    seller, buyer = pair
    made = await seller.publish(products=["cell-A"])
    key = f"urn:uuid:{uuid.uuid4()}"
    offer = replace(made, id=key, contract={"@id": key, "@type": "Offer", "permission": [use(BUYER)]})
    await seller.store.add_offer(offer)
    seller.rules.put(offer, await seller.store.asset(offer.asset))
    await enter(seller, buyer, product="cell-B")
    refused = await buyer.commands.negotiate(seller.did, offer.asset, key, None)
    await buyer.until(refused.id, "TERMINATED")
    await enter(seller, buyer, product="cell-A")
    await finalized(seller, buyer, offer)


async def test_a_transfer_begins_and_goes_on_only_while_the_product_is_bought(pair):
    seller, buyer = pair
    made = await enter(seller, buyer, product="cell-A")
    agreement = await contract(*pair, products=["cell-A"], permission=[use(BUYER)])
    await seller.rules.relations.end(made.id, "Sato", "")
    await enter(seller, buyer, product="cell-B")
    refused = await transfer(buyer, agreement, "TERMINATED")
    assert (await seller.store.process_of_peer(buyer.did, "transfer", refused.id)) is None
    await enter(seller, buyer, product="cell-A")
    await transfer(buyer, agreement)


async def test_a_data_token_is_renewed_only_while_the_product_is_bought(pair, clock):
    """The monitor sleeps here by the clock on the wall, so that the renewal comes first."""
    seller, buyer = pair
    end = NOW + timedelta(days=5)
    running, process = await begun(*pair, until=iso(end))
    who = participant(buyer.did, claims=MEMBER)
    process = await seller.running_transfers.renewed(process, who)
    clock.moment = end
    with pytest.raises(Unauthorized):
        await seller.running_transfers.renewed(process, who)
    await buyer.until(running.id, "SUSPENDED")


async def test_a_relation_for_another_product_ends_without_a_consequence(pair):
    seller, buyer = pair
    other = await enter(seller, buyer, product="cell-B")
    running, _ = await begun(*pair, watched=0)
    await seller.rules.relations.end(other.id, "Sato", "")
    await settled(seller)
    assert (await seller.store.process(running.peer_pid)).state == "STARTED"


async def test_an_end_that_lies_ahead_is_an_instant(pair, clock):
    seller, buyer = pair
    end = NOW + timedelta(days=5)
    running, _ = await begun(*pair, until=iso(end))
    clock.moment = end
    await seller.monitor.turn()
    await buyer.until(running.id, "TERMINATED")


async def test_uses_are_drawn_by_who_buys_the_product_alone(pair, clock):
    seller, _ = pair
    end = NOW + timedelta(days=5)
    running, _ = await begun(*pair, until=iso(end))
    assert (await seller.rules.allotments.draw("a-1", running.peer_pid, "plane", 3)).amount == 3
    clock.moment = end
    with pytest.raises(PolicyRefused):
        await seller.rules.allotments.draw("a-2", running.peer_pid, "plane", 3)


async def test_who_buys_everything_buys_the_product_and_one_of_several_is_enough(pair):
    seller, buyer = pair
    offer = await seller.publish("footprint-one-up", parameters={"role": ["packMaker"]}, products=["cell-B", "cell-A"])
    made = await enter(seller, buyer, product="cell-A")
    assert await seen(seller, buyer) == {offer.asset: ["cell-A", "cell-B"]}
    await seller.rules.relations.end(made.id, "Sato", "")
    await enter(seller, buyer)
    assert await seen(seller, buyer) == {offer.asset: ["cell-A", "cell-B"]}


async def test_a_dataset_without_a_product_is_not_offered_to_its_buyers(pair):
    """And where such an offer is there all the same, nobody sees or gets it."""
    seller, buyer = pair
    await enter(seller, buyer)
    with pytest.raises(BadInput, match="names none"):
        await seller.publish("footprint-one-up", parameters={"role": ["packMaker"]})
    made, (known,) = await seller.publish(), await footprints(seller, "cell-A")
    offer = replace(made, id=f"urn:uuid:{uuid.uuid4()}", access=known.access, contract=known.contract)
    await seller.store.add_offer(offer)
    seller.rules.put(offer, await seller.store.asset(made.asset))
    assert (await seen(seller, buyer)).keys() == {made.asset, known.asset}, "by the other offer"
    shown = await buyer.commands.dataset(seller.did, made.asset)
    assert [each["@id"] for each in shown["hasPolicy"]] == [made.id]
    process = await buyer.commands.negotiate(seller.did, offer.asset, offer.id, offer.contract)
    await buyer.until(process.id, "TERMINATED")


async def test_a_restart_knows_the_products(pair):
    seller, buyer = pair
    (offer,) = await footprints(seller, "cell-A")
    await enter(seller, buyer, product="cell-A")
    fresh = Rules(seller.store, seller.profile, seller.clock, participant=seller.did, name="x", endpoint=lambda _: seller.base)
    await fresh.fill()
    await fresh.relations.fill()
    (shown,), _ = await fresh.page(participant(buyer.did, claims=MEMBER), "", 10)
    assert offer.asset in wire.dumps(shown).decode()


async def test_products_on_the_command_line(pair, kizuna, tmp_path):
    _, buyer = pair
    file = tmp_path / "footprint.json"
    file.write_text("{}")
    publish = ("asset", "add", str(file), "--schema", "", "--title", "Footprint")
    made = await kizuna(*publish, "--product", "cell-B", "--product", "https://id.example/01/04012345123456", "--product", "cell-B")
    assert made["products"] == ["cell-B", "https://id.example/01/04012345123456"]
    assert isinstance(await kizuna(*publish, "--product", "cell B"), Refused)
    assert isinstance(await kizuna(*publish, "--product", ""), Refused)
    assert (await kizuna("asset", "list"))["items"] == [made]
    bare = await kizuna(*publish)
    refused = await kizuna("offer", "add", bare["id"], "--template", "footprint-one-up", "--set", "role=oem")
    assert isinstance(refused, Refused)
    assert "--product" in refused.next_step
    offered = await kizuna("offer", "add", made["id"], "--template", "footprint-one-up", "--set", "role=oem")
    assert offered["asset"] == made["id"]
    assert await eventually(lambda: buyer.store.offers_of(made["id"]), bool)
