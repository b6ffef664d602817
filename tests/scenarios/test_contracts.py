"""Two connectors over HTTP and what persons decide: approvals, counter-offers from either side, bounds, refusals, retirement, renewal (issue: decisions)."""

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import msgspec
import pytest
from typer.testing import CliRunner

from catalog import describe
from connector.management.routes import Management
from connector.processes import tables
from connector.processes.counter import changed
from connector.processes.decisions import AutoDecisions
from connector.processes.errors import AgreementRetired, NothingWaits
from connector.processes.model import Retirement
from identity.access.service import Access
from identity.wallet.tokens import TokenEndpoint
from kernel.cli import application as command_line
from kernel.errors import BadInput, KizunaError
from kernel.web import application, serve
from policies.odrl import KZ, same_terms
from policies.profiles import Bound
from policies.profiles.errors import BadParameter
from tests.support.company import Company, Directory, free_port

UNTIL, LATER = "2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z"


class Clock:
    def __init__(self):
        self.moment = datetime(2026, 11, 24, 9, tzinfo=UTC)

    def now(self):
        return self.moment


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def pair(tmp_path, clock):
    directory = Directory()
    async with AsyncExitStack() as stack:
        sides = [Company(tmp_path / name, name, directory, clock=clock) for name in ("seller", "buyer")]
        for each in sides:
            await stack.enter_async_context(each.running())
        yield sides


async def asked(buyer, seller, offer, **values):
    """The buyer asks for the seller's offer, with other values if any are given."""
    terms = None
    if values:
        terms = changed(describe.message_offer(await seller.store.offer(offer.id)), values)
    return (await buyer.commands.negotiate(seller.did, offer.asset, offer.id, terms)).id


async def test_without_any_order_a_contract_comes_about_by_itself(pair):
    seller, buyer = pair
    key = await asked(buyer, seller, await seller.publish())
    await buyer.until(key, "FINALIZED")
    assert [row.person for row in await buyer.store.journal(key)] == [""] * 4


async def test_an_approval_gate_waits_visibly_and_goes_on_with_the_name(pair, clock):
    seller, buyer = pair
    offer = await seller.publish(approval="legal@seller.example")
    key = await asked(buyer, seller, offer)
    await buyer.until(key, "REQUESTED")
    (waits,) = await seller.store.processes("negotiation", "", 10, waiting=True)
    assert (waits.waiting.who, waits.waiting.since) == ("legal@seller.example", "2026-11-24T09:00:00.000Z")
    clock.moment += timedelta(days=3)
    await seller.contracts.approve(waits.id, "Sato Hanako")
    await buyer.until(key, "FINALIZED")
    await seller.until(waits.id, "FINALIZED")
    assert {row.message: row.person for row in await seller.store.journal(waits.id)}[tables.AGREE] == "Sato Hanako"
    assert await seller.store.processes("negotiation", "", 10, waiting=True) == []


async def test_a_refused_approval_ends_the_negotiation_with_the_reason_on_both_sides(pair):
    seller, buyer = pair
    key = await asked(buyer, seller, await seller.publish(approval="legal"))
    theirs = await buyer.counterpart(seller, key)
    await seller.contracts.refuse(theirs.id, "Sato Hanako", "no capacity")
    process = await buyer.until(key, "TERMINATED")
    assert process.data["ending"] == {"code": "refused", "reason": ["no capacity"]}
    with pytest.raises(NothingWaits):
        await seller.contracts.approve(theirs.id, "Sato Hanako")


async def test_nobody_decides_without_a_name(pair):
    seller, buyer = pair
    key = await asked(buyer, seller, await seller.publish(approval="legal"))
    theirs = await buyer.counterpart(seller, key)
    with pytest.raises(BadInput, match="who decides"):
        await seller.contracts.approve(theirs.id, " ")


async def test_other_terms_within_the_bounds_are_agreed_to_by_themselves(pair):
    seller, buyer = pair
    offer = await seller.publish(
        parameters={"role": ["packMaker"], "until": UNTIL}, open_to={"until": Bound(least=UNTIL, most=LATER)}
    )
    key = await asked(buyer, seller, offer, dateTime="2030-06-01T00:00:00Z")
    process = await buyer.until(key, "FINALIZED")
    assert "2030-06-01" in str(process.data["agreement"])
    (kept,) = await seller.store.agreements("", 10)
    assert same_terms(kept.policy, process.data["agreement"]) == []


@pytest.mark.parametrize("values", [{"dateTime": "2033-01-01T00:00:00Z"}, {"role": ["packMaker", "oem"]}])
async def test_terms_beyond_the_bounds_wait_with_the_difference(pair, values):
    seller, buyer = pair
    offer = await seller.publish(
        parameters={"role": ["packMaker"], "until": UNTIL}, open_to={"until": Bound(least=UNTIL, most=LATER)}
    )
    key = await asked(buyer, seller, offer, **values)
    theirs = await buyer.counterpart(seller, key)
    (each,) = (await seller.contracts.compare(theirs.id)).differences
    assert each.path.startswith("/permission/0/constraint")
    (value,) = values.values()
    assert str(value if isinstance(value, str) else value[-1]) in str(each.asked)
    assert theirs.waiting.why


async def test_an_offer_leaves_open_only_what_its_template_has(pair):
    seller, _ = pair
    with pytest.raises(BadParameter, match="colour"):
        await seller.publish(open_to={"colour": Bound()})
    with pytest.raises(BadParameter, match="a moment with date"):
        await seller.publish(open_to={"until": Bound(most="whenever")})


async def test_counter_offers_from_both_sides_until_one_accepts(pair):
    seller, buyer = pair
    offer = await seller.publish(parameters={"role": ["packMaker"], "until": UNTIL})
    key = await asked(buyer, seller, offer, dateTime=LATER)
    theirs = (await buyer.counterpart(seller, key)).id
    await seller.contracts.counter(theirs, {"dateTime": "2030-03-01T00:00:00Z"}, None, "Sato Hanako")
    await buyer.until(key, "OFFERED")
    (each,) = (await buyer.contracts.compare(key)).differences
    assert ("2031" in str(each.asked), "2030-03" in str(each.offered)) == (True, True)
    await buyer.contracts.counter(key, {"dateTime": "2030-09-01T00:00:00Z"}, None, "Meyer")
    await seller.until(theirs, "REQUESTED")
    await seller.contracts.counter(theirs, {"dateTime": "2030-07-01T00:00:00Z"}, None, "Sato Hanako")
    await buyer.until(key, "OFFERED")
    await buyer.contracts.accept(key, "Meyer")
    process = await buyer.until(key, "FINALIZED")
    assert "2030-07-01" in str(process.data["agreement"])
    assert [(row.message, row.person) for row in await buyer.store.journal(key) if row.person] == [
        (tables.REQUEST, "Meyer"), (tables.ACCEPT, "Meyer")]  # fmt: skip
    assert len(await seller.store.agreements("", 10)) == 1


async def test_whole_terms_may_be_offered_and_approved(pair):
    seller, buyer = pair
    key = await asked(buyer, seller, await seller.publish(approval="legal"))
    theirs = (await buyer.counterpart(seller, key)).id
    terms = {
        "permission": [
            {"action": "use", "constraint": [{"leftOperand": f"{KZ}membership", "operator": "eq", "rightOperand": "active"}]}
        ]
    }
    await seller.contracts.counter(theirs, {}, terms, "Sato Hanako")
    await buyer.until(key, "OFFERED")
    assert (await buyer.store.process(key)).waiting.step == tables.ACCEPT
    await buyer.contracts.approve(key, "Meyer")
    assert (await buyer.until(key, "FINALIZED")).data["agreement"]["permission"] == terms["permission"]


async def test_a_provider_begins_and_the_consumer_answers(pair):
    seller, buyer = pair
    offer = await seller.publish(parameters={"role": ["packMaker"], "until": UNTIL})
    begun = await seller.contracts.offer(buyer.did, offer.id, {"dateTime": LATER}, None, "Sato Hanako")
    await seller.until(begun.id, "OFFERED")
    (theirs,) = await buyer.store.processes("negotiation", "", 10, waiting=True)
    await buyer.contracts.accept(theirs.id, "Meyer")
    await buyer.until(theirs.id, "FINALIZED")
    assert "2031" in str((await buyer.store.agreements("", 10))[0].policy)


async def test_with_automatic_negotiation_off_every_contract_waits(tmp_path):
    directory = Directory()
    async with AsyncExitStack() as stack:
        seller = await stack.enter_async_context(
            Company(tmp_path / "s", "seller", directory, decisions=AutoDecisions(auto=False)).running()
        )
        buyer = await stack.enter_async_context(Company(tmp_path / "b", "buyer", directory).running())
        key = await asked(buyer, seller, await seller.publish())
        theirs = await buyer.counterpart(seller, key)
        assert theirs.waiting.who == "operator"
        await seller.contracts.approve(theirs.id, "Sato Hanako")
        await buyer.until(key, "FINALIZED")


async def contract(seller, buyer, **parameters):
    key = await asked(
        buyer, seller, await seller.publish(parameters={"role": ["packMaker"], "purpose": ["cfp.rollup:1"], **parameters})
    )
    return (await buyer.until(key, "FINALIZED")).data["agreement"]["@id"]


async def test_a_retired_agreement_begins_nothing_and_what_runs_ends(pair):
    seller, buyer = pair
    agreement = await contract(seller, buyer)
    running = await buyer.commands.request_transfer(agreement, "HttpData-PULL")
    await buyer.until(running.id, "STARTED")
    await seller.contracts.retire(agreement, "Sato Hanako", "the plant closes")
    process = await buyer.until(running.id, "TERMINATED")
    assert process.data["ending"] == {"code": "agreement-retired", "reason": ["the plant closes"]}
    await seller.until(process.peer_pid, "TERMINATED")
    assert (await seller.store.journal(process.peer_pid))[-1].person == "Sato Hanako"
    again = await buyer.commands.request_transfer(agreement, "HttpData-PULL")
    refused = await buyer.until(again.id, "TERMINATED")
    assert "agreement-retired" in refused.note
    await buyer.contracts.retire(agreement, "Meyer", "")
    with pytest.raises(AgreementRetired):
        await buyer.commands.request_transfer(agreement, "HttpData-PULL")


async def test_a_suspended_transfer_of_a_retired_agreement_is_not_resumed_by_the_consumer(pair):
    seller, buyer = pair
    agreement = await contract(seller, buyer)
    running = await buyer.commands.request_transfer(agreement, "HttpData-PULL")
    await buyer.until(running.id, "STARTED")
    await buyer.commands.step("transfer", running.id, "suspend", "lunch")
    await buyer.until(running.id, "SUSPENDED")
    await buyer.commands.step("transfer", running.id, "resume", "")
    await buyer.until(running.id, "STARTED")
    found = await seller.store.agreement(agreement)
    await buyer.commands.step("transfer", running.id, "suspend", "lunch")
    await buyer.until(running.id, "SUSPENDED")
    await seller.store.save_agreement(msgspec.structs.replace(found, retired=Retirement("2026", "x")))
    ours = await buyer.store.process(running.id)
    message = {
        "@context": ["https://w3id.org/dspace/2025/1/context.jsonld"],
        "@type": "TransferStartMessage",
        "consumerPid": ours.id,
        "providerPid": ours.peer_pid,
    }
    status, body = await buyer.post(f"/transfers/{ours.peer_pid}/start", message, to=seller)
    assert (status, body["code"]) == (403, "agreement-retired")
    assert (await seller.store.process(ours.peer_pid)).state == "SUSPENDED"


async def test_an_agreement_with_an_end_is_renewed_by_itself(pair, clock):
    seller, buyer = pair
    agreement = await contract(seller, buyer, until="2026-12-31T00:00:00Z")
    await buyer.contracts.order_renewal(agreement, "Meyer", 14)
    await buyer.contracts.look()
    assert (await buyer.store.agreement(agreement)).renewal.negotiation == ""
    clock.moment = datetime(2026, 12, 18, tzinfo=UTC)
    await buyer.contracts.look()
    waiting = (await buyer.store.agreement(agreement)).renewal
    assert "no offer with the same terms and a later end" in waiting.note
    old = await buyer.store.agreement(agreement)
    await seller.commands.add_offer(
        old.dataset, "passport-one-up", {"role": ["packMaker"], "purpose": ["cfp.rollup:1"], "until": "2027-12-31T00:00:00Z"}
    )
    clock.moment += timedelta(days=1)
    await buyer.contracts.look()
    asked_for = (await buyer.store.agreement(agreement)).renewal.negotiation
    await buyer.until(asked_for, "FINALIZED")
    clock.moment += timedelta(hours=1)
    await buyer.contracts.look()
    new = next(each for each in await buyer.store.agreements("", 10) if each.id != agreement)
    assert (new.renews, new.renewal.person, new.due) == (agreement, "Meyer", "2027-12-17T00:00:00.000Z")
    assert (await buyer.store.agreement(agreement)).renewal.note == f"followed by {new.id}"
    assert [row.person for row in await buyer.store.journal(asked_for)][0] == "Meyer"
    clock.moment += timedelta(days=30)
    await buyer.contracts.look()
    assert len(await buyer.store.agreements("", 10)) == 2


async def test_only_an_agreement_with_an_end_is_renewed(pair):
    seller, buyer = pair
    agreement = await contract(seller, buyer)
    with pytest.raises(BadInput, match="with an end"):
        await buyer.contracts.order_renewal(agreement, "Meyer", 14)


# the same through the management API and the command line --------------------------------------------------------------


@pytest.fixture
async def managed(pair, tmp_path):
    """The seller's management API, and `kizuna` on its directory."""
    seller, _ = pair
    access = Access(seller.store.access, seller.did, seller.clock, lambda: "key")
    shell = SimpleNamespace(
        commands=seller.commands,
        store=seller.store,
        contracts=seller.contracts,
        obligations=seller.obligations,
        access=access,
        keys=None,
        renewal=None,
        tokens=TokenEndpoint(None, None),
    )
    table = Management(shell).routes()
    place, port = tmp_path / "cli", free_port()
    place.mkdir()
    (place / "management.key").write_text("key")
    (place / "connector.toml").write_text(
        f'name = "x"\nprofile = "battery"\nauthority = "did:web:a"\npublic_port = 1\nmember_port = 2\nmanagement_port = {port}\n'
    )
    listener = await serve(application(table, middlewares=[access.guard(table)]), "127.0.0.1", port)

    async def kizuna(*words):
        def run():
            return CliRunner().invoke(command_line(), [*words, "--dir", str(place), "--json"])

        done = await asyncio.to_thread(run)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout.splitlines()[-1])  # the log of this process lands there as well

    yield kizuna
    await listener.close()


async def test_a_person_sees_compares_counters_and_approves_on_the_command_line(pair, managed):
    seller, buyer = pair
    offer = await seller.publish(parameters={"role": ["packMaker"], "until": UNTIL}, approval="legal@seller.example")
    key = await asked(buyer, seller, offer, dateTime=LATER)
    await buyer.until(key, "REQUESTED")
    (row,) = (await managed("negotiation", "list", "--waiting"))["items"]
    assert (row["waiting"]["who"], row["waiting"]["since"]) == ("legal@seller.example", "2026-11-24T09:00:00.000Z")
    (term,) = (await managed("negotiation", "diff", row["id"]))["differences"]
    assert ("2031" in str(term["asked"]), "2030" in str(term["offered"])) == (True, True)
    await managed("negotiation", "counter", row["id"], "--set", "dateTime=2030-06-01T00:00:00Z", "--by", "Sato Hanako")
    await buyer.until(key, "OFFERED")
    await buyer.contracts.counter(key, {"dateTime": "2030-08-01T00:00:00Z"}, None, "Meyer")
    await seller.until(row["id"], "REQUESTED")
    await managed("negotiation", "approve", row["id"], "--by", "Sato Hanako")
    await buyer.until(key, "FINALIZED")
    shown = await managed("negotiation", "show", row["id"])
    assert [each["person"] for each in shown["journal"] if each["sender"] == "provider"] == ["Sato Hanako", "Sato Hanako", ""]
    assert (await managed("negotiation", "list", "--waiting"))["items"] == []


async def test_offers_and_agreements_are_managed_on_the_command_line(pair, managed):
    seller, buyer = pair
    first = await seller.publish()
    made = await managed("offer", "add", first.asset, "--template", "passport-one-up", "--set", "role=packMaker,oem", "--set", f"until={UNTIL}",
                         "--approval", "legal", "--open", f"until={UNTIL}..{LATER}", "--otherwise", "refuse")  # fmt: skip
    assert (made["approval"], made["bounds"]["until"]["most"], made["otherwise"]) == ("legal", LATER, "refuse")
    begun = await managed("negotiation", "offer", buyer.did, made["id"], "--by", "Sato Hanako", "--wait", "0")
    await seller.until(begun["id"], "OFFERED")
    (theirs,) = await buyer.store.processes("negotiation", "", 10, waiting=True)
    await buyer.contracts.accept(theirs.id, "Meyer")
    agreement = (await seller.until(begun["id"], "FINALIZED")).data["agreement"]["@id"]
    retired = await managed("agreement", "retire", agreement, "--reason", "plant closed", "--by", "Sato Hanako")
    assert (retired["retired"]["person"], retired["retired"]["reason"]) == ("Sato Hanako", "plant closed")
    with pytest.raises(KizunaError, match="waits for nobody"):
        await managed("negotiation", "refuse", begun["id"])
