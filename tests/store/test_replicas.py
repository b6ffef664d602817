"""Two replicas on one PostgreSQL, as stores: leases and fences, one answer and one effect for a message at both, notices, turns (ADR 15)."""

import asyncio

import pytest
from aiohttp.test_utils import TestClient

from catalog.dcat import Asset, OfferTerms
from connector import errors
from connector.dsp import messages, routes
from connector.processes.model import Commit, OutboxRow, Process, TokenUse
from connector.store.port import Membership
from connector.store.postgres import PostgresStore
from kernel.errors import Unauthorized, UnavailableError
from kernel.web import application
from tests.support.node import BASE, Shelf, node
from tests.support.participant import participant
from tests.support.web import TestServer

ME, PEER = "did:web:me.example", "did:web:peer.example"
NOW = "2026-11-24T09:00:00.000Z"
HELD = frozenset()


@pytest.fixture
async def opening(tables):
    """Opens further replicas: `await opening(lease)`."""
    opened = []

    async def another(lease=30.0):
        opened.append(await PostgresStore.open(tables, ME, lease))
        return opened[-1]

    yield another
    for store in opened:
        await store.close()


@pytest.fixture
async def replicas(opening):
    return await opening(), await opening()


async def waiting(store, *keys, owner="urn:uuid:1"):
    """A process with rows to send."""
    process = Process(
        id=owner,
        participant=ME,
        kind="negotiation",
        role="provider",
        peer=PEER,
        peer_pid=owner,
        state="REQUESTED",
        version=1,
        created=NOW,
    )
    rows = tuple(
        OutboxRow(id=key, process=owner, act="dsp", message="ContractAgreementMessage", path="/x", body=b"{}") for key in keys
    )
    await store.commit(Commit(process=process, expected=0, outbox=rows))
    return process


async def ids(store, limit=10):
    found, _ = await store.claim(NOW, limit, HELD)
    return [each.row.id for each in found]


async def test_a_claimed_row_is_nobody_elses(replicas):
    first, second = replicas
    await waiting(first, "a")
    assert await ids(first) == ["a"]
    assert await ids(second) == []
    assert await second.living(frozenset({"a"})) == frozenset()
    assert await first.living(frozenset({"a"})) == {"a"}


async def test_of_many_claims_at_once_every_row_goes_to_one(opening):
    stores = [await opening() for _ in range(4)]
    for number in range(40):
        await waiting(stores[0], f"r{number}", owner=f"urn:uuid:{number}")
    found = await asyncio.gather(*(ids(each, 5) for _ in range(3) for each in stores))
    taken = [key for each in found for key in each]
    assert len(taken) == len(set(taken))
    rest = [key for each in stores for key in await ids(each, 40)]
    assert sorted(taken + rest) == sorted(f"r{number}" for number in range(40))


async def test_two_rows_of_one_process_are_not_sent_at_once_by_two(replicas):
    first, second = replicas
    await waiting(first, "a", "b")
    assert await ids(first) == ["a"]
    assert await ids(second) == []


async def test_a_lease_that_has_ended_is_anybodys_and_its_owner_is_fenced_off(opening):
    paused, other = await opening(0.2), await opening(30)
    await waiting(paused, "a")
    ((late,), _) = await paused.claim(NOW, 1, HELD)
    await asyncio.sleep(0.3)
    ((claim,), _) = await other.claim(NOW, 1, HELD)
    assert claim.fence == late.fence + 1
    assert await paused.living(frozenset({"a"})) == frozenset()
    await paused.postpone("a", late.fence, "2099-01-01T00:00:00.000Z", "late", parked=True)
    await paused.drop("a", late.fence)
    (row,) = await other.outbox()
    assert (row.row.due, row.parked, row.attempts) == ("", False, 0)
    await other.drop("a", claim.fence)
    assert not await other.outbox()


async def test_the_lease_of_an_attempt_that_goes_on_is_renewed(opening):
    busy, other = await opening(0.6), await opening(30)
    await waiting(busy, "a")
    assert await ids(busy) == ["a"]
    for _ in range(5):
        await asyncio.sleep(0.25)
        assert await busy.living(frozenset({"a"})) == {"a"}
    assert await ids(other) == []


async def test_leases_of_a_replica_that_ends_are_given_back(opening):
    first, second = await opening(), await opening()
    await waiting(first, "a")
    assert await ids(first) == ["a"]
    await first.close()
    assert await ids(second) == ["a"]


async def test_leases_of_a_replica_that_is_gone_are_void(opening):
    first, second = await opening(), await opening()
    await waiting(first, "a")
    assert await ids(first) == ["a"]
    for task in first._db._tasks:
        task.cancel()
    await asyncio.gather(*first._db._tasks, return_exceptions=True)
    first._db._pool.terminate()  # as the system does with a process that was killed
    for _ in range(200):
        third = await opening()
        if found := await ids(third):
            break
        await third.close()
    assert found == ["a"]
    assert await ids(second) == []


async def test_a_row_that_a_commit_of_another_replica_withdrew_lives_no_more(replicas):
    first, second = replicas
    process = await waiting(first, "a")
    assert await ids(first) == ["a"]
    moved = Process(**{name: getattr(process, name) for name in process.__struct_fields__} | {"version": 2})
    await second.commit(Commit(process=moved, expected=1, withdrawn=("a",)))
    assert await first.living(frozenset({"a"})) == frozenset()


async def test_a_token_is_good_at_one_replica_only(replicas):
    first, second = replicas
    token = TokenUse(PEER, "jti", 9_999_999_999)
    found = await asyncio.gather(*(each.spend(token) for each in (first, second) * 10), return_exceptions=True)
    assert sum(each is None for each in found) == 1
    assert sum(isinstance(each, Unauthorized) for each in found) == 19
    assert await first.seen(token)
    assert await second.seen(token)


# one message at two replicas ----------------------------------------------------------------------------------------


class Gate:
    """A store whose commits wait until they are let through: the message is still being worked on."""

    def __init__(self, store):
        self._store, self.reached, self.open = store, asyncio.Event(), asyncio.Event()

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def commit(self, commit):
        self.reached.set()
        await self.open.wait()
        await self._store.commit(commit)


def serving(store):
    async def by_header(caller, fresh):
        did, _, jti = caller.authorization[0].removeprefix("Bearer ").partition(" ")
        who = participant(did, jti=jti)
        if await store.seen(who.token):
            raise Unauthorized("authentication failed", reason="jti")
        return who

    made = node(store, catalog=Shelf(), authenticate=by_header)
    return TestClient(TestServer(application(routes.routes(made), errors=errors.response)))


def request(pid, message_id):
    offer = {"@id": "o", "@type": "Offer", "target": "d", "permission": [{"action": "use"}]}
    more = {"@id": message_id} if message_id else {}
    return messages.encode("ContractRequestMessage", **more, consumerPid=pid, offer=offer, callbackAddress=BASE)


@pytest.mark.parametrize("message_id", ["urn:uuid:m", ""])
async def test_a_message_repeated_at_another_replica_while_it_is_worked_on_gets_one_answer_and_has_one_effect(replicas, message_id):
    first, second = Gate(replicas[0]), replicas[1]
    body, path = request("urn:uuid:theirs", message_id), "/dsp/2025-1/negotiations/request"
    async with serving(first) as one, serving(second) as two:
        headers = {"Content-Type": "application/json"}
        held = asyncio.create_task(one.post(path, data=body, headers=headers | {"Authorization": f"Bearer {PEER} 1"}))
        await first.reached.wait()
        fast = await two.post(path, data=body, headers=headers | {"Authorization": f"Bearer {PEER} 2"})
        first.open.set()
        slow = await held
        assert (fast.status, slow.status) == (201, 201)
        assert await fast.json() == await slow.json()
    (process,) = await second.processes("negotiation", "", 10)
    assert [row.after for row in await second.journal(process.id)] == ["REQUESTED"]
    assert len(await second.outbox()) == 1


async def test_the_same_for_a_message_in_a_process(replicas):
    first, second = Gate(replicas[0]), replicas[1]
    headers = {"Content-Type": "application/json"}
    async with serving(first) as one, serving(second) as two:
        begun = await two.post(
            "/dsp/2025-1/negotiations/request",
            data=request("urn:uuid:theirs", ""),
            headers=headers | {"Authorization": f"Bearer {PEER} 0"},
        )
        own = (await begun.json())["providerPid"]
        ended = messages.encode(
            "ContractNegotiationTerminationMessage", **{"@id": "urn:uuid:end"}, consumerPid="urn:uuid:theirs", providerPid=own
        )
        path = f"/dsp/2025-1/negotiations/{own}/termination"
        held = asyncio.create_task(one.post(path, data=ended, headers=headers | {"Authorization": f"Bearer {PEER} 1"}))
        await first.reached.wait()
        fast = await two.post(path, data=ended, headers=headers | {"Authorization": f"Bearer {PEER} 2"})
        first.open.set()
        slow = await held
        assert (fast.status, slow.status, await fast.read()) == (200, 200, await slow.read())
    assert [row.after for row in await second.journal(own)].count("TERMINATED") == 1


# notices and turns ---------------------------------------------------------------------------------------------------


async def test_a_commit_wakes_the_other_replica(replicas):
    first, second = replicas
    woken = asyncio.Event()
    second.on_commit(woken.set)
    await waiting(first, "a")
    async with asyncio.timeout(10):
        await woken.wait()


async def test_what_is_held_in_memory_is_told_to_the_others_and_not_to_oneself(replicas):
    first, second = replicas
    heard, own, done = [], [], asyncio.Event()

    second.on_notice(lambda kind, key: heard.append((kind, key)))
    second.on_membership(done.set)
    first.on_notice(lambda kind, key: own.append((kind, key)))
    await first.add_asset(
        Asset(id="d", participant=ME, profile="p", schema="", title={"en": "x"}, size=1, sha256="0", source="s", created=NOW)
    )
    await first.add_offer(OfferTerms(id="o", asset="d", access={}, contract={}))
    await first.tell("keys")
    await first.save_membership(Membership(state="APPLIED"))
    async with asyncio.timeout(10):
        await done.wait()
    assert heard == [("offer", "o"), ("keys", ""), ("membership", "")]
    assert own == []


async def test_after_a_broken_connection_everything_may_have_been_missed(replicas):
    first, second = replicas
    missed = asyncio.Event()
    second.on_notice(lambda kind, key: missed.set() if (kind, key) == ("", "") else None)
    sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ?"
    await first._db.once(sql, f"kizuna {second._db.replica}")
    await first._db.once(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
    )
    async with asyncio.timeout(20):
        await missed.wait()
    assert await second.processes("negotiation", "", 1) == []  # and reads go on, on new connections


async def test_of_two_replicas_one_is_in_a_turn(replicas):
    inside, most = 0, 0

    async def take(store):
        nonlocal inside, most
        async with store.turn("x"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1

    await asyncio.gather(*(take(each) for each in replicas * 3))
    assert most == 1


async def test_a_turn_ends_with_its_replica(replicas):
    first, second = replicas
    begun = asyncio.Event()

    async def hold():
        async with first.turn("x"):
            begun.set()
            await asyncio.Event().wait()

    holding = asyncio.create_task(hold())
    await begun.wait()
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    async with asyncio.timeout(10), second.turn("x"):
        pass


async def test_a_server_that_is_away_is_unavailable_and_not_a_fault(opening):
    store = await opening()
    store._db._pool.terminate()
    with pytest.raises(UnavailableError):
        await store.processes("negotiation", "", 1)
    with pytest.raises(UnavailableError):
        await store.spend(TokenUse(PEER, "j", 1))


async def test_replicas_that_claim_renew_and_commit_at_once_never_wait_for_one_another(opening):
    stores = [await opening(0.3) for _ in range(3)]
    for number in range(60):
        await waiting(stores[0], f"a{number}", f"b{number}", owner=f"urn:uuid:{number}")
    sent = []

    async def work(store):
        held = {}
        while len(sent) < 120:
            claims, _ = await store.claim(NOW, 8, HELD)
            held |= {each.row.id: each for each in claims}
            living = await store.living(frozenset(held))
            for each in [claim for key, claim in held.items() if key in living][:4]:
                await store.drop(each.row.id, each.fence)
                sent.append(each.row.id)
                del held[each.row.id]
            held = {key: claim for key, claim in held.items() if key in living}
            await store._sweep()

    async with asyncio.timeout(40):
        await asyncio.gather(*(work(each) for each in stores))
    assert not await stores[0].outbox()
