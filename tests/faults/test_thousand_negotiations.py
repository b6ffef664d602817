"""1,000 negotiations with peers that lie, repeat, go silent, excuse themselves, or are away for a week (issue: shows it), and peers that hold connections.

Nothing is lost, nothing is agreed twice, each ends or waits with a stated reason. Real HTTP and a real database; the clock is moved by hand.
"""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from catalog import describe
from connector.management.views import process_view
from connector.processes import tables
from kernel import telemetry
from kernel.clock import iso, parse_iso
from policies.odrl import same_terms
from tests.peer.hostile import CONSUMED, FOR_EVER, HOLDS, PROVIDED, RULES, Hostile
from tests.support.company import Company, Directory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
BEGIN = datetime(2026, 11, 24, 9, tzinfo=UTC)
WEEK = timedelta(days=7)
A_SIDE, NEVER, FEW = 500, "9999", 4
# behaviour of the peer -> (state in the end, what the reason says)
AS_CONSUMER = dict.fromkeys(PROVIDED, ("FINALIZED", "")) | {
    "silent": ("REQUESTED", "waits for the provider: ContractOfferMessage or ContractAgreementMessage"),
    "stops": ("VERIFIED", "waits for the provider: FINALIZED"),
    "othertext": ("TERMINATED", "prohibition"),
    "display": ("TERMINATED", "display"),
    "otherparty": ("TERMINATED", "assignee"),
    "othertarget": ("TERMINATED", "target"),
    "wrongsignature": ("REQUESTED", "waits for the provider"),
    "refuses": ("TERMINATED", "we do not like you"),
    "always401": ("NEW", "does not accept our token"),
    "always404": ("TERMINATED", "does not know the process"),
    "always409": ("NEW", "a step of the peer crosses ours"),
    "always425": ("NEW", "asks to come again"),
    "always429": ("NEW", "limits our rate"),
    "always500": ("NEW", "a fault of its own"),
    "alwayshtml": ("NEW", "the answer is no protocol message"),
    "forbids": ("TERMINATED", "the peer forbids it"),
}
AS_PROVIDER = dict.fromkeys(CONSUMED, ("FINALIZED", "")) | {
    "never": ("AGREED", "waits for the consumer: ContractAgreementVerificationMessage"),
    "ends": ("TERMINATED", "9; changed my mind"),
    "otherterms": ("REQUESTED", "other terms are asked for"),
    "wrongsignature": ("AGREED", "waits for the consumer: ContractAgreementVerificationMessage"),
    "always401": ("REQUESTED", "does not accept our token"),
    "always404": ("REQUESTED", "does not know the process"),
    "always409": ("REQUESTED", "a step of the peer crosses ours"),
    "always425": ("REQUESTED", "asks to come again"),
    "always429": ("REQUESTED", "limits our rate"),
    "always500": ("REQUESTED", "a fault of its own"),
    "alwayshtml": ("REQUESTED", "the answer is no protocol message"),
    "forbids": ("REQUESTED", "the peer forbids it"),
    "refuses": ("REQUESTED", "we do not like you"),
}


class Clock:
    moment = BEGIN

    def now(self):
        return self.moment


def kind(behaviours, number):
    """The behaviour of the n-th negotiation; of those that are asked again and again for a week, a few are enough."""
    name = list(behaviours)[number % len(behaviours)]
    return "honest" if name in FOR_EVER and number > FEW * len(behaviours) else name


class World:
    """The connector under test between two hostile peers, and a third and fourth that are away."""

    def __init__(self, place, **more):
        self.clock, self.directory = Clock(), Directory()
        self.company = Company(place / "us", "us", self.directory, clock=self.clock, ready_within=7200, **more)
        self.seller, self.buyer, self.away_seller, self.away_buyer = (
            Hostile(place / name, name, self.directory, self.clock) for name in ("seller", "buyer", "gone", "left")
        )
        self.peers = (self.seller, self.buyer, self.away_seller, self.away_buyer)
        for each in self.peers:
            each.counterpart = self.company
        self.expected = {}  # process -> (behaviour, state, reason)

    async def consume(self, count):
        """Ask the hostile providers for contracts."""
        for number in range(count):
            name = kind(PROVIDED, number)
            peer = self.away_seller if name == "away" else self.seller
            terms = {"@id": f"{name}:{number}", "@type": "Offer", **RULES}
            process = await self.company.commands.negotiate(peer.did, f"urn:dataset:{number}", terms["@id"], terms)
            self.expected[process.id] = (name, *AS_CONSUMER[name])

    async def provide(self, count):
        """Be asked by the hostile consumers."""
        offers = [await self.company.publish(title=str(number)) for number in range(10)]

        async def one(number):
            name, offer = kind(CONSUMED, number), describe.message_offer(offers[number % len(offers)])
            if name == "otherterms":
                offer = offer | {"prohibition": []}
                del offer["prohibition"]
            peer = self.away_buyer if name == "away" else self.buyer
            talk = await peer.ask(name, self.company, offer)
            self.expected[talk.theirs] = (name, *AS_PROVIDER[name])
            return talk.theirs

        for start in range(0, count, 50):
            await asyncio.gather(*(one(number) for number in range(start, min(count, start + 50))))

    async def next_due(self):
        ((when,),) = await self.company.store._rows("SELECT min(due) FROM outbox")
        return NEVER if when is None else when

    async def settle(self):
        """Until nothing is under way here and nothing is due now."""
        quiet = 0
        while quiet < 3:
            due = await self.next_due() <= iso(self.clock.now())
            active = self.company.outbox._busy or any(each.active for each in self.peers)
            quiet = quiet + 1 if not due and not active else 0
            await asyncio.sleep(0.004)

    async def pass_time(self, until):
        """Go from one due time to the next, as the calendar would."""
        while self.clock.moment < until:
            await self.settle()
            following = await self.next_due()
            if following == NEVER:
                break
            self.clock.moment = min(until, max(parse_iso(following), self.clock.moment) + timedelta(minutes=30))
            self.company.outbox.wake()
        await self.settle()


async def test_a_thousand_negotiations_with_peers_of_every_kind(tmp_path, figure):
    telemetry.configure("error")
    began = time.monotonic()
    world = World(tmp_path)
    company = world.company
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(company.running())
        for each in (world.seller, world.buyer, world.away_buyer):
            await each.start()
            stack.push_async_callback(each.stop)
        victim = await world.buyer.ask("never", company, describe.message_offer(await company.publish(title="victim")))
        world.expected[victim.theirs] = ("never", *AS_PROVIDER["never"])
        world.seller.victims = world.buyer.victims = lambda: [victim.theirs, "urn:uuid:nobody"]
        await world.provide(A_SIDE - 1)
        await world.away_buyer.stop()
        await world.consume(A_SIDE)
        await world.pass_time(BEGIN + WEEK)
        attempts = [row.attempts for row in await company.store.outbox() if "cannot be reached" in row.reason or row.attempts > 50]
        await world.away_seller.start()
        stack.push_async_callback(world.away_seller.stop)
        await world.away_buyer.start()
        for talk in list(world.away_buyer.talks.values()):
            world.away_buyer.run(talk, CONSUMED["honest"])
        await world.pass_time(BEGIN + WEEK + timedelta(hours=4))
        assert [*world.seller.failed, *world.buyer.failed, *world.away_seller.failed] == []
        counts = await checked(world)
    seconds = time.monotonic() - began
    figure(
        f"1,000 negotiations with {len(PROVIDED)} + {len(CONSUMED)} kinds of peers over a simulated week in {seconds:.0f} s: "
        + ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        + f"; up to {max(attempts, default=0)} attempts while a peer was away"
    )


async def ask(company, peer, behaviour, number):
    """A negotiation that this peer, a provider, will treat so; its id."""
    terms = {"@id": f"{behaviour}:{number}", "@type": "Offer", **RULES}
    return (await company.commands.negotiate(peer.did, f"urn:dataset:{number}", terms["@id"], terms)).id


async def reached(condition):
    async with asyncio.timeout(100):
        while not await condition():
            await asyncio.sleep(0.02)


async def test_peers_that_hold_connections_hold_up_nobody_else(tmp_path, figure):
    """200 messages to ten peers that take the connection and never come to the end of an answer; others finish while all of those are at their first attempt."""
    telemetry.configure("error")
    world = World(tmp_path)
    company, kinds = world.company, list(HOLDS)
    holders = [Hostile(tmp_path / f"holder{number}", f"holder{number}", world.directory, world.clock) for number in range(10)]
    async with AsyncExitStack() as stack:
        for each in (world.seller, world.buyer, *holders):
            await each.start()
            stack.push_async_callback(each.stop)
        await stack.enter_async_context(company.running())
        for number in range(200):
            await ask(company, holders[number % 10], kinds[number % 3], number)

        async def held():
            return all(each.holding for each in holders)

        await reached(held)
        began = time.monotonic()
        honest = [await ask(company, world.seller, "honest", number) for number in range(30)]
        offer = describe.message_offer(await company.publish(title="x"))
        names = ("honest", "dripshead", "dripsbody") * 10
        honest += [(await world.buyer.ask(name, company, offer)).theirs for name in names]

        async def finished():
            return all([(await company.store.process(key)).state == "FINALIZED" for key in honest])

        await reached(finished)
        seconds = time.monotonic() - began
        assert [row.attempts for row in await company.store.outbox()] == [0] * 200
        assert 10 <= sum(each.holding for each in holders) <= 40
        assert world.seller.failed + world.buyer.failed == []
    figure(f"60 negotiations beside 200 messages to 10 peers that hold the connection, and 20 callers that drip: {seconds:.1f} s")


@pytest.mark.parametrize("behaviour", HOLDS)
async def test_a_message_to_a_peer_that_holds_the_connection_waits_with_a_stated_reason_and_arrives_in_the_end(tmp_path, behaviour):
    telemetry.configure("error")
    world = World(tmp_path, send_timeout=0.3)
    company, store = world.company, world.company.store
    async with AsyncExitStack() as stack:
        await world.seller.start()
        stack.push_async_callback(world.seller.stop)
        await stack.enter_async_context(company.running())
        key = await ask(company, world.seller, behaviour, 1)

        async def tried():
            return all(row.attempts for row in await store.outbox())

        await reached(tried)
        shown = process_view(await store.process(key), await store.outbox(key), await store.journal(key))
        assert shown.state == "NEW"
        assert "no whole answer in time" in shown.note
        world.seller.mended = True
        world.clock.moment += timedelta(hours=1)
        company.outbox.wake()

        async def finished():
            return (await store.process(key)).state == "FINALIZED"

        await reached(finished)


async def checked(world):
    """Every negotiation is where it must be, with its reason, a legal journal, and exactly one agreement if it was concluded."""
    store, counts = world.company.store, Counter()
    agreements, after = [], ""
    while page := await store.agreements(after, 1000):
        agreements += page
        after = page[-1].id
    by_negotiation = Counter(each.negotiation for each in agreements)
    assert len({each.id for each in agreements}) == len(agreements)
    assert len(world.expected) == 2 * A_SIDE
    wrong = []
    for key, (behaviour, state, reason) in world.expected.items():
        process, journal = await store.process(key), await store.journal(key)
        shown = process_view(process, await store.outbox(key), journal)
        counts[shown.state] += 1
        text = f"{shown.note} {shown.waiting.why if shown.waiting else ''}"
        legal = walked(journal)
        once = by_negotiation[key] == (1 if state == "FINALIZED" else 0)
        same = state != "FINALIZED" or not same_terms(process.data["offer"], process.data.get("agreement", {}))
        final = shown.state in tables.NEGOTIATION.final
        if shown.state != state or reason not in text or not legal or not once or not same or not (final or text.strip()):
            wrong.append(
                (behaviour, process.role, shown.state, text[:160], legal, by_negotiation[key], [row.after for row in journal])
            )
    assert wrong == []
    assert len(await store.processes("negotiation", "", 1000)) == 2 * A_SIDE
    return counts


def walked(journal):
    """Whether the journal is a walk through the table, each step once."""
    state = ""
    for row in journal:
        step = tables.NEGOTIATION.find(row.before, row.message, row.sender)
        if row.before != state or (row.message not in ("refused", "withdrawn") and (step is None or step.to != row.after)):
            return False
        state = row.after
    return True
