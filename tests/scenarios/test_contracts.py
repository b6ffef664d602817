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
from connector.management.views import process_view, unsent
from connector.processes import tables
from connector.processes.counter import changed
from connector.processes.decisions import AutoDecisions
from connector.processes.errors import AgreementRetired, NothingWaits
from connector.processes.model import Retirement
from connector.settings import Acceptable
from identity.access.service import Access
from identity.wallet.tokens import TokenEndpoint
from kernel.cli import application as command_line
from kernel.errors import BadInput, KizunaError
from kernel.web import application, serve
from policies.odrl import KZ, same_terms
from policies.profiles import Bound
from policies.profiles.errors import BadParameter
from tests.support.company import MEMBER, Company, Directory
from tests.support.ports import free_port

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


@pytest.mark.parametrize("values", [{"role": ["recycler"]}, {}])
async def test_an_offer_that_the_consumer_does_not_meet_is_accepted_in_vain(pair, values):
    """A provider may offer whatever it likes; its policies are asked when the consumer accepts, as for a request of the consumer."""
    seller, buyer = pair
    offer = await seller.publish(parameters={"role": ["packMaker"]})
    begun = await seller.contracts.offer(buyer.did, offer.id, values, None, "Sato Hanako")
    await seller.until(begun.id, "OFFERED")
    if not values:
        seller.claims = {"MembershipCredential": MEMBER["MembershipCredential"]}  # the role has gone in between
    (theirs,) = await buyer.store.processes("negotiation", "", 10, waiting=True)
    await buyer.contracts.accept(theirs.id, "Meyer")
    ended = await seller.until(begun.id, "TERMINATED")
    assert "policy/1#role" in ended.note
    assert (await buyer.until(theirs.id, "TERMINATED")).data["ending"]["reason"] == ["not permitted"]
    assert await seller.store.agreements("", 10) == await buyer.store.agreements("", 10) == []


# what a consumer takes, and counters, by itself -----------------------------------------------------------------------

MARCH, JUNE, SEPTEMBER = "2030-03-01T00:00:00Z", "2030-06-01T00:00:00Z", "2030-09-01T00:00:00Z"


async def wanting(buyer, seller, offer, *, until, otherwise="counter", **more):
    """The buyer asks for another end, and says which ends it would take."""
    least, most = until
    return (
        await buyer.commands.negotiate(
            seller.did, offer.asset, offer.id, None, values={"dateTime": most}, open_to={"until": Bound(least=least, most=most)},
            otherwise=otherwise, **more,
        )
    ).id  # fmt: skip


def counters(journal):
    return [(row.message, row.person) for row in journal if row.message in (tables.REQUEST, tables.OFFER)]


async def ranged(seller, least, most, **more):
    return await seller.publish(
        parameters={"role": ["packMaker"], "until": least},
        open_to={"until": Bound(least=least, most=most)},
        otherwise="counter",
        **more,
    )


async def test_two_connectors_whose_ranges_meet_agree_on_the_nearest_terms_without_anybody(pair):
    seller, buyer = pair
    offer = await ranged(seller, UNTIL, JUNE)
    key = await wanting(buyer, seller, offer, until=(MARCH, LATER))
    process = await buyer.until(key, "FINALIZED")
    assert JUNE in str(process.data["agreement"])
    journal = await buyer.store.journal(key)
    assert [row.message for row in journal][:3] == [tables.REQUEST, tables.OFFER, tables.ACCEPT]
    assert {row.person for row in journal} == {""}


async def test_two_connectors_whose_ranges_do_not_meet_both_counter_once_and_then_ask_a_person(pair):
    seller, buyer = pair
    offer = await ranged(seller, UNTIL, JUNE)
    key = await wanting(buyer, seller, offer, until=(SEPTEMBER, LATER))
    theirs = (await buyer.counterpart(seller, key)).id
    await waits(seller, theirs)
    assert counters(await seller.store.journal(theirs)) == [(tables.REQUEST, ""), (tables.OFFER, ""), (tables.REQUEST, "")]
    process = await seller.store.process(theirs)
    assert (JUNE in str(process.data["offered"]), SEPTEMBER in str(process.data["asked"])) == (True, True)
    assert process.waiting.who == "operator"
    (each,) = (await seller.contracts.compare(theirs)).differences
    assert (SEPTEMBER in str(each.asked), JUNE in str(each.offered)) == (True, True)
    await seller.contracts.approve(theirs, "Sato Hanako")
    assert SEPTEMBER in str((await buyer.until(key, "FINALIZED")).data["agreement"])


async def test_a_bound_of_the_consumer_stops_it_and_its_person_decides(pair):
    """The provider's person insists; the consumer's own counter-offer is spent."""
    seller, buyer = pair
    offer = await ranged(seller, UNTIL, JUNE)
    key = await wanting(buyer, seller, offer, until=(SEPTEMBER, LATER), approval="purchasing@buyer.example")
    theirs = (await buyer.counterpart(seller, key)).id
    await waits(seller, theirs)
    await seller.contracts.counter(theirs, {"dateTime": JUNE}, None, "Sato Hanako")
    await waits(buyer, key)
    process = await buyer.store.process(key)
    assert (process.state, process.waiting.who, process.waiting.step) == ("OFFERED", "purchasing@buyer.example", tables.ACCEPT)
    assert JUNE[:10] in process.waiting.why
    await buyer.contracts.accept(key, "Meyer")
    assert JUNE in str((await buyer.until(key, "FINALIZED")).data["agreement"])


@pytest.mark.parametrize(
    ("otherwise", "state", "said"),
    [("wait", "OFFERED", "an offer to answer"), ("refuse", "TERMINATED", "dateTime"), ("counter", "OFFERED", "an offer to answer")],
)
async def test_an_offer_beyond_what_the_request_left_open_gets_what_it_said(pair, otherwise, state, said):
    """A person of the provider offers something else than an end: no counter-offer of ours comes near to it."""
    seller, buyer = pair
    offer = await seller.publish(parameters={"role": ["packMaker"], "until": UNTIL}, approval="legal")
    key = await wanting(buyer, seller, offer, until=(JUNE, LATER), otherwise=otherwise)
    theirs = (await buyer.counterpart(seller, key)).id
    terms = {
        "permission": [
            {"action": "use", "constraint": [{"leftOperand": f"{KZ}membership", "operator": "eq", "rightOperand": "active"}]}
        ]
    }
    await seller.contracts.counter(theirs, {}, terms, "Sato Hanako")
    process = await buyer.until(key, state)
    assert said in f"{process.note} {process.waiting.why if process.waiting else ''}"


async def test_an_approval_of_the_consumer_is_asked_also_within_its_bounds(pair):
    seller, buyer = pair
    key = await wanting(buyer, seller, await ranged(seller, UNTIL, JUNE), until=(MARCH, LATER), approval="purchasing")
    await waits(buyer, key)
    assert (await buyer.store.process(key)).waiting.who == "purchasing"
    await buyer.contracts.approve(key, "Meyer")
    await buyer.until(key, "FINALIZED")


async def test_nothing_can_be_left_open_in_terms_of_no_template(pair):
    seller, buyer = pair
    offer = await seller.publish()
    terms = {"permission": [{"action": "use"}]}
    with pytest.raises(BadInput, match="no template of the profile says these terms"):
        await buyer.commands.negotiate(seller.did, offer.asset, offer.id, terms, open_to={"until": Bound()})
    with pytest.raises(BadParameter, match="colour"):
        await buyer.commands.negotiate(seller.did, offer.asset, offer.id, None, open_to={"colour": Bound()})


@pytest.mark.parametrize(("end", "counter_of_ours"), [(SEPTEMBER, False), (MARCH, True)])
async def test_a_setting_says_which_offers_of_a_provider_are_taken_though_nobody_asked(tmp_path, clock, end, counter_of_ours):
    """Provider-initiated: within the bounds the contract is concluded without anybody, beyond them the consumer answers with its nearest terms."""
    directory = Directory()
    taken = Acceptable(
        template="passport-one-up", parameters={"role": ("packMaker",)}, bounds={"until": Bound(least=JUNE, most=LATER)}, otherwise="counter",
        providers=("did:web:seller.example",),
    )  # fmt: skip
    async with AsyncExitStack() as stack:
        seller = await stack.enter_async_context(Company(tmp_path / "s", "seller", directory, clock=clock).running())
        buyer = await stack.enter_async_context(Company(tmp_path / "b", "buyer", directory, clock=clock, accepts=[taken]).running())
        other = await stack.enter_async_context(Company(tmp_path / "o", "other", directory, clock=clock).running())
        offer = await seller.publish(parameters={"role": ["packMaker"], "until": UNTIL})
        begun = (await seller.contracts.offer(buyer.did, offer.id, {"dateTime": end}, None, "Sato Hanako")).id
        if counter_of_ours:
            await waits(seller, begun)  # its person made terms, and is asked about others
            assert JUNE in str((await seller.store.process(begun)).data["asked"])
            await seller.contracts.approve(begun, "Sato Hanako")
        process = await seller.until(begun, "FINALIZED")
        assert (JUNE if counter_of_ours else end) in str(process.data["agreement"])
        theirs = await other.publish(parameters={"role": ["packMaker"], "until": SEPTEMBER})
        stranger = await other.contracts.offer(buyer.did, theirs.id, {}, None, "Sato Hanako")
        await other.until(stranger.id, "OFFERED")
        (waiting,) = await buyer.store.processes("negotiation", "", 10, waiting=True)
        assert (waiting.peer, waiting.waiting.who) == (other.did, "operator")


async def waits(company, key):
    """Until this negotiation waits for a person."""
    async with asyncio.timeout(10):
        while (found := await company.store.process(key)) is None or found.waiting is None:
            await asyncio.sleep(0.01)


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
        rules=seller.rules,
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

    async def kizuna(*words, readable=False):
        def run():
            return CliRunner().invoke(command_line(), [*words, "--dir", str(place), *([] if readable else ["--json"])])

        done = await asyncio.to_thread(run)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        if readable:
            return done.stdout
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
    assert '"2031-01-01T00:00:00Z" instead of "2030-01-01T00:00:00Z"' in row["waiting"]["why"]
    (term,) = (await managed("negotiation", "diff", row["id"]))["differences"]
    assert (term["about"], "2031" in str(term["asked"]), "2030" in str(term["offered"])) == (
        "permission use: dateTime lt",
        True,
        True,
    )
    shown = (await managed("negotiation", "show", row["id"]))["terms"]
    assert shown[0].startswith("permission use: membership eq active, role isAnyOf packMaker, purpose isAnyOf")
    with pytest.raises(KizunaError) as refused:
        await managed("negotiation", "accept", row["id"], "--by", "Sato Hanako")  # that is the consumer's step
    assert refused.value.next_step == "possible now: approve, refuse, counter, terminate"
    await managed("negotiation", "counter", row["id"], "--set", "until=2030-06-01T00:00:00Z", "--by", "Sato Hanako")
    await buyer.until(key, "OFFERED")
    await buyer.contracts.counter(key, {"dateTime": "2030-08-01T00:00:00Z"}, None, "Meyer")
    await seller.until(row["id"], "REQUESTED")
    await managed("negotiation", "approve", row["id"], "--by", "Sato Hanako")
    await buyer.until(key, "FINALIZED")
    shown = await managed("negotiation", "show", row["id"])
    assert [each["person"] for each in shown["journal"] if each["sender"] == "provider"] == ["Sato Hanako", "Sato Hanako", ""]
    assert (await managed("negotiation", "list", "--waiting"))["items"] == []


async def test_a_consumer_says_on_the_command_line_what_it_would_take(pair, managed):
    us, provider = pair
    offer = await ranged(provider, UNTIL, JUNE)
    made = await managed("negotiate", provider.did, offer.asset, "--set", f"until={LATER}", "--open", f"until={MARCH}..{LATER}",
                         "--otherwise", "counter", "--approval", "purchasing", "--wait", "0")  # fmt: skip
    assert made["leeway"]["template"] == "passport-one-up"
    assert (made["leeway"]["bounds"]["until"]["least"], made["leeway"]["otherwise"]) == (MARCH, "counter")
    await waits(us, made["id"])
    (row,) = (await managed("negotiation", "list", "--waiting"))["items"]
    assert (row["waiting"]["who"], row["waiting"]["step"]) == ("purchasing", tables.ACCEPT)
    people = await managed("negotiation", "show", made["id"], readable=True)
    assert "for purchasing since 2026-11-24T09:00:00.000Z, who may approve or refuse: an offer to accept" in people
    assert "permission use: membership eq active" in people
    assert "REQUESTED  ContractRequestMessage of the consumer" in people
    assert "{'" not in people
    assert "None" not in people
    (term,) = (await managed("negotiation", "diff", made["id"]))["differences"]
    assert (LATER in str(term["asked"]), JUNE in str(term["offered"])) == (True, True)
    await managed("negotiation", "approve", made["id"], "--by", "Meyer")
    assert JUNE in str((await us.until(made["id"], "FINALIZED")).data["agreement"])


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
    exported = json.loads(await managed("agreement", "export", agreement, readable=True))
    assert exported["agreement"]["@id"] == agreement
    assert {"provider", "consumer"} <= set(exported["signatures"])
    retired = await managed("agreement", "retire", agreement, "--reason", "plant closed", "--by", "Sato Hanako")
    assert (retired["retired"]["person"], retired["retired"]["reason"]) == ("Sato Hanako", "plant closed")
    with pytest.raises(KizunaError, match="waits for nobody"):
        await managed("negotiation", "refuse", begun["id"])


async def test_an_answer_that_is_not_settled_yet_holds_for_whoever_looks(pair):
    """Both sides let answers linger for long; a person, the peer's look and the peer's termination find what they bring about all the same."""
    seller, buyer = pair
    for each in pair:
        each.lingering.seconds = 60.0
    offer = await seller.publish(approval="legal@seller.example")
    key = await asked(buyer, seller, offer)
    async with asyncio.timeout(10):
        while key not in buyer.lingering:
            await asyncio.sleep(0.01)
    assert (await buyer.store.process(key)).state == ""
    found = await buyer.commands.process("negotiation", key)
    assert (found.state, found.pending) == ("REQUESTED", None)

    other = await asked(buyer, seller, offer)
    async with asyncio.timeout(10):
        while other not in buyer.lingering:
            await asyncio.sleep(0.01)
    theirs = await seller.store.process_of_peer(buyer.did, "negotiation", other)
    await seller.contracts.refuse(theirs.id, "legal@seller.example", "no")
    await buyer.until(other, "TERMINATED")
    assert [row.after for row in await buyer.store.journal(other)] == ["REQUESTED", "TERMINATED"]
    await seller.until(theirs.id, "TERMINATED")

    third = await asked(buyer, seller, offer)
    async with asyncio.timeout(10):
        while third not in buyer.lingering:
            await asyncio.sleep(0.01)
    answer = await seller.peers.call(
        "GET", f"{await seller.peers.base(buyer.did)}/negotiations/{third}", buyer.did, None, max_bytes=10_000
    )
    assert json.loads(answer.body)["state"] == "REQUESTED"


async def test_a_process_that_was_just_made_is_shown_as_it_is_stored(tmp_path, clock):
    directory = Directory()
    seller, buyer = (
        Company(tmp_path / name, name, directory, clock=clock) for name in ("seller", "buyer")
    )  # nothing runs: nothing is sent
    offer = await seller.publish()
    made = await buyer.commands.negotiate(seller.did, offer.asset, offer.id, describe.message_offer(offer))
    stored, rows, journal = (
        await buyer.store.process(made.id),
        await buyer.store.outbox(made.id),
        await buyer.store.journal(made.id),
    )
    shown = process_view(made, unsent(made), ())
    assert shown.outbox
    assert shown == process_view(stored, rows, journal)
    for each in (seller, buyer):
        await each.client.close()
        await each.store.close()
