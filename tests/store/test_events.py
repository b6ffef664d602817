"""What happened is told once, in the order of commits and without a gap, whoever was away and whichever replica is asked (`connector.store.happened`)."""

import asyncio
from datetime import timedelta

import pytest
from aiohttp.test_utils import TestClient
from msgspec import msgpack
from msgspec.structs import replace

from connector import errors
from connector.management import events
from connector.management.events import EventRoutes
from connector.processes.errors import VersionConflict
from connector.processes.model import Agreement, Commit, JournalRow, Payment, Process, Retirement, Waiting
from connector.store.port import Followed, Membership
from connector.store.postgres import PostgresStore
from connector.worker import timers
from kernel import wire
from kernel.errors import BadInput
from kernel.web import Route, application
from policies.duties import Counter, Entry
from tests.support.usage import Clock
from tests.support.web import TestServer

ME, PEER = "did:web:me.example", "did:web:peer.example"
NOW = "2026-11-24T09:00:00.000Z"


def process(key="urn:uuid:1", version=1, **more):
    values = {"state": "REQUESTED", "peer_pid": f"theirs of {key}", "created": NOW, "updated": NOW} | more
    return Process(id=key, participant=ME, kind="negotiation", role="provider", peer=PEER, version=version, **values)


def stepped(key="urn:uuid:1", **more):
    return Commit(process=process(key), expected=0, journal=(step(),), **more)


def step(before="", after="REQUESTED", person=""):
    return JournalRow(before, after, "ContractRequestMessage", "consumer", "m", NOW, person)


def agreement(**more):
    return Agreement(
        id="a", participant=ME, role="provider", peer=PEER, negotiation="urn:uuid:1", dataset="d", policy={}, hash="h", at=NOW, **more
    )  # fmt: skip


def duty(version=0, **more):
    return Entry(**{"agreement": "a", "path": "/obligation/0", "action": "urn:act", "origin": "obligation", "state": "active", "version": version} | more)  # fmt: skip


async def settled(store):
    """What was written is told: on PostgreSQL it waits for every open transaction of the server, and so for those of other tests."""
    async with asyncio.timeout(60):
        while await store.settling(await store.last_event()):
            await asyncio.sleep(0.02)


async def test_a_commit_tells_of_its_steps_of_whom_it_waits_for_and_of_what_it_concludes(store, reopen):
    waits = Waiting("ContractAgreementMessage", "legal", NOW, "the offer asks for it")
    both = (step(), step("REQUESTED", "OFFERED", "Sato"))
    await store.commit(Commit(process=process(version=2, state="OFFERED", waiting=waits), expected=0, journal=both))
    ended = replace(process(version=3, state="FINALIZED"), waiting=None)
    await store.commit(Commit(process=ended, expected=2, journal=(step("OFFERED", "FINALIZED"),), agreement=agreement(), duties=(duty(due=NOW), duty(path="/x", state="inactive"))))  # fmt: skip
    again = await reopen()
    await settled(again)
    told = await again.events("", 100)
    assert [(each.kind, each.subject) for each in told] == [
        *[("negotiation", "urn:uuid:1")] * 2,
        ("waiting", "urn:uuid:1"),
        ("negotiation", "urn:uuid:1"),
        ("agreement", "a"),
        ("duty", duty().id),
    ]
    common = {"peer": PEER, "role": "provider"}
    assert told[1].facts == common | {"before": "REQUESTED", "after": "OFFERED", "message": "ContractRequestMessage", "sender": "consumer", "person": "Sato"}  # fmt: skip
    assert told[2].facts == common | {"for": "legal", "step": "ContractAgreementMessage", "why": "the offer asks for it"}
    assert told[4].facts == common | {"what": "concluded", "dataset": "d", "negotiation": "urn:uuid:1"}
    assert told[5].facts == {"agreement": "a", "action": "urn:act", "state": "active", "due": NOW}
    assert {each.at for each in told} == {NOW}, "by the clock of whoever wrote it"


async def test_other_writes_tell_too_each_once(store):
    await store.commit(Commit(process=process(), expected=0, agreement=agreement(), duties=(duty(),), counters=(Counter(agreement="a", operand="payAmount", limit=""),)))  # fmt: skip
    await settled(store)
    after = await store.last_event()
    await store.save_duties([duty(1, state="overdue", due=NOW)])
    paid = Payment(id="p", agreement="a", amount="5", unit="EUR", evidence="e", person="x", at=NOW)
    counter = Counter(agreement="a", operand="payAmount", limit="", used="5", version=1)
    await store.add_payment(paid, counter, [duty(2, state="late")])
    for _ in range(2):
        await store.save_agreement(agreement(retired=Retirement(NOW, "Sato")))
        await store.save_membership(Membership(state="ACTIVE"))
        await store.save_followed(Followed(after=7, barred={PEER: "suspended"}))
    await store.save_followed(Followed(after=8))
    await settled(store)
    told = await store.events(after, 100)
    assert [(each.kind, each.subject, each.facts.get("state", each.facts.get("what"))) for each in told] == [
        ("duty", duty().id, "overdue"),
        ("duty", duty().id, "late"),
        ("agreement", "a", "retired"),
        ("membership", ME, "ACTIVE"),
        ("standing", PEER, "kept out"),
        ("standing", PEER, "in"),
    ]
    assert told[4].facts["reason"] == "suspended"


async def test_what_is_not_committed_is_not_told(store):
    await store.commit(stepped())
    await settled(store)
    after = await store.last_event()
    with pytest.raises(VersionConflict):
        await store.commit(Commit(process=process(version=2), expected=9, journal=(step(),)))
    with pytest.raises(VersionConflict):
        await store.save_duties([duty(1), duty(1)])
    assert (await store.events(after, 10), await store.settling(after)) == ([], False)


async def test_pages_go_on_where_the_last_one_ended(store):
    assert (await store.last_event(), await store.events("", 10)) == ("", [])
    for number in range(7):
        await store.commit(stepped(f"urn:uuid:{number}"))
    await settled(store)
    found, after = [], ""
    while page := await store.events(after, 3):
        found += page
        after = page[-1].id
    assert [each.subject for each in found] == [f"urn:uuid:{number}" for number in range(7)]
    assert after == await store.last_event()


async def test_pages_end_and_begin_in_the_midst_of_what_one_write_tells(store):
    for turn in range(2):
        barred = {f"did:web:{turn}-{number:03}.example": "suspended" for number in range(130)}
        await store.save_followed(Followed(after=turn, barred=barred))
    await settled(store)
    whole = await store.events("", 1_000)
    assert len({each.id for each in whole}) == 130 + 260
    assert (whole[0].id, whole[-1].id) == (await store.first_event(), await store.last_event())
    for size in (1, 7, 100, 129, 390):
        found, after = [], ""
        while page := await store.events(after, size):
            assert len(page) <= size
            found += page
            after = page[-1].id
        assert found == whole


def day(number):
    return f"2026-11-{number:02}T09:00:00.000Z"


async def on_days(store, *days):
    """A step on each of these days; the ids that tell of them."""
    for number, each in enumerate(days):
        await store.commit(Commit(process=process(f"urn:uuid:{number}", updated=day(each)), expected=0, journal=(step(),)))
    await settled(store)
    return [each.id for each in await store.events("", 100)]


async def test_old_events_are_forgotten_but_for_the_last_of_them_which_says_where_what_is_kept_begins(store, reopen):
    assert (await store.first_event(), await store.forget_events(day(30), 100)) == ("", 0)
    ids = await on_days(store, 1, 2, 3, 3, 9, 2, 10)
    assert await store.first_event() == ids[0]
    assert await store.forget_events(day(2), 100) == 0, "one is left in any case"
    assert await store.forget_events(day(3), 100) == 1
    assert await store.forget_events(day(9), 3) == 2, "of the first three"
    again = await reopen()
    assert [each.id for each in await again.events("", 100)] == ids[3:]
    assert await again.forget_events(day(9), 100) == 0, "only from the oldest on: there are no holes"
    assert await again.forget_events(day(30), 100) == 3
    assert (await again.first_event(), await again.last_event()) == (ids[6], ids[6])
    await again.commit(stepped("urn:uuid:9"))
    await settled(again)
    assert [each.subject for each in await again.events(ids[6], 100)] == ["urn:uuid:9"], "numbers go on"


async def test_events_are_forgotten_at_their_time_however_many_there_are(store, monkeypatch):
    monkeypatch.setattr(timers, "AT_ONCE", 3)
    ids = await on_days(store, *([1] * 8), 10, 11)
    looked = asyncio.Event()

    async def agreements():
        looked.set()

    running = asyncio.create_task(timers.Timers(store, Clock(), agreements, timedelta(days=15)).run())
    try:
        async with asyncio.timeout(20):
            await looked.wait()
    finally:
        running.cancel()
    assert [each.id for each in await store.events("", 100)] == ids[7:]


@pytest.mark.parametrize("wrong", ["x", "1", "1.", "1.2.3", "-1.2", "1.2 ", "9" * 30 + ".1"])
async def test_an_id_that_is_none_is_refused(store, wrong):
    with pytest.raises(BadInput):
        await store.events(wrong, 10)


# what is asked for over HTTP ------------------------------------------------------------------------------------------


@pytest.fixture
async def api(store):
    """The route over the store, and how often it was asked for events."""
    asked, real = [], store.events

    async def counted(after, limit):
        asked.append(after)
        return await real(after, limit)

    store.events = counted
    made = EventRoutes(store)
    table = made.routes(lambda method, path, handler, *_rest, **_more: Route(method=method, path=path, handler=handler, auth="none", summary=""))  # fmt: skip
    async with TestClient(TestServer(application(table, errors=errors.response))) as client:
        client.asked, client.waiting = asked, made._waiting
        yield client


async def got(api, query="", **headers):
    async with api.get(f"/v1/events{query}", headers=headers) as answer:
        return answer.status, wire.loads(await answer.read())


async def waits(api):
    async with asyncio.timeout(5):
        while not api.waiting:
            await asyncio.sleep(0.01)


async def test_now_the_last_id_and_the_header_say_where_to_go_on(store, api):
    for number in range(3):
        await store.commit(stepped(f"urn:uuid:{number}"))
    await settled(store)
    _, all_of_them = await got(api)
    first, second, third = [each["id"] for each in all_of_them["items"]]
    assert all_of_them["next"] == third
    assert (await got(api, "?after=now"))[1] == {"items": [], "next": third}
    for query, headers in ((f"?after={first}", {}), ("", {"Last-Event-ID": first})):
        assert [each["id"] for each in (await got(api, query, **headers))[1]["items"]] == [second, third]
    assert (await got(api, f"?after={first}&limit=1"))[1]["next"] == second
    assert (await got(api, "?after=x"))[0] == 400
    turn, seq = map(int, third.split("."))
    beyond = await got(api, f"?after={turn}.{seq + 1}")
    assert (beyond[0], "was set back" in beyond[1]["detail"]) == (409, True), "what happened since would be passed over"
    assert (await got(api, "?after=x", Accept="text/event-stream"))[0] == 400
    assert (await got(api, "?wait=x"))[0] == 400


async def test_who_may_have_missed_what_was_forgotten_is_told_so(store, api):
    ids = await on_days(store, 1, 2, 3, 9)
    assert await store.forget_events(day(9), 100) == 2
    for query, headers in (
        (f"?after={ids[1]}", {}),
        ("", {"Last-Event-ID": ids[0]}),
        (f"?after={ids[1]}", {"Accept": "text/event-stream"}),
    ):
        status, problem = await got(api, query, **headers)
        assert (status, problem["code"]) == (410, "events-removed")
        assert "begin anew without `after`" in problem["nextStep"]
    assert [each["id"] for each in (await got(api, f"?after={ids[2]}"))[1]["items"]] == ids[3:], (
        "the last one that was forgotten stays"
    )
    assert [each["id"] for each in (await got(api))[1]["items"]] == ids[2:]
    assert (await got(api, "?after=now"))[1]["next"] == ids[3]


async def test_what_is_forgotten_while_somebody_reads_is_not_passed_over(store, api, monkeypatch):
    ids = await on_days(store, 1, 2, 3, 9)
    told = store.events

    async def forgets_meanwhile(after, limit):
        await store.forget_events(day(9), 100)
        return await told(after, limit)

    monkeypatch.setattr(store, "events", forgets_meanwhile)
    status, problem = await got(api, f"?after={ids[0]}&limit=1")
    assert (status, problem["code"]) == (410, "events-removed")


async def test_who_waits_is_woken_by_the_commit_and_asks_for_nothing_before(store, api):
    waiting = asyncio.create_task(got(api, "?after=now&wait=30"))
    await waits(api)
    await asyncio.sleep(0.5)
    before = len(api.asked)
    await asyncio.sleep(0.5)
    assert len(api.asked) == before == 1, "nothing is polled"
    await store.commit(stepped())
    async with asyncio.timeout(10):
        _, found = await waiting
    assert [each["subject"] for each in found["items"]] == ["urn:uuid:1"]
    assert (await got(api, f"?after={found['next']}&wait=0.1"))[1] == {"items": [], "next": found["next"]}
    assert not api.waiting


async def lines(stream, blank):
    """A stream's events, each as its lines, until so many blank lines."""
    found, one = [], []
    async with asyncio.timeout(10):
        while len(found) < blank:
            line = (await stream.content.readline()).decode().rstrip("\n")
            if line:
                one.append(line)
            else:
                found.append(one)
                one = []
    return found


async def test_a_stream_tells_as_things_happen_and_goes_on_after_the_last_id(store, api, monkeypatch):
    await store.commit(stepped("urn:uuid:0"))
    head = {"Accept": "text/event-stream"}
    async with api.get("/v1/events", headers=head) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        ((first, kind, data),) = await lines(stream, 1)
        assert (kind, wire.loads(data.removeprefix("data: ").encode())["subject"]) == ("event: negotiation", "urn:uuid:0")
        await store.commit(stepped("urn:uuid:1"))
        ((second, _, _),) = await lines(stream, 1)
    await store.commit(stepped("urn:uuid:2"))
    async with api.get("/v1/events", headers=head | {"Last-Event-ID": first.removeprefix("id: ")}) as stream:
        again = await lines(stream, 2)
    assert again[0][0] == second
    assert "urn:uuid:2" in again[1][2]
    monkeypatch.setattr(events, "_QUIET", 0.05)
    monkeypatch.setattr(events, "_LONGEST", 0.2)
    async with api.get("/v1/events?after=now", headers=head) as stream:
        async with asyncio.timeout(10):
            assert set((await stream.content.read()).decode().split("\n\n")) == {": nothing new", ""}, (
                "it says that it is there, and ends"
            )
    assert not api.waiting


async def test_a_client_that_reads_nothing_is_not_written_to(store, api):
    """One page is under way at a time: what waits for a client does not grow with what happens."""
    why = "x" * 20_000
    for number in range(700):
        waits_ = Waiting("ContractAgreementMessage", "legal", NOW, why)
        await store.commit(Commit(process=process(f"urn:uuid:{number}", waiting=waits_), expected=0, journal=(step(),)))
    async with api.get("/v1/events", headers={"Accept": "text/event-stream"}):
        await asyncio.sleep(0.5)
        before = len(api.asked)
        await asyncio.sleep(0.5)
        assert len(api.asked) == before < 10, "14 MB are there; the client has taken what fits into the buffers"


# replicas -------------------------------------------------------------------------------------------------------------


async def test_every_replica_tells_of_what_any_has_written(tables):
    first, second = [await PostgresStore.open(tables, ME, 30.0) for _ in range(2)]
    try:
        heard = asyncio.create_task(EventRoutes(second)._after("", 10, 20))
        await asyncio.sleep(0.2)
        await first.commit(stepped())
        async with asyncio.timeout(10):
            assert [each.subject for each in await heard] == ["urn:uuid:1"]
        await second.commit(stepped("urn:uuid:2"))
        await settled(first)
        assert await first.events("", 10) == await second.events("", 10)
    finally:
        await first.close()
        await second.close()


async def test_an_event_waits_for_a_transaction_that_began_before_it(tables):
    """Or it would be told first, and what came then would be passed over by whoever goes on after it."""
    first, second = [await PostgresStore.open(tables, ME, 30.0) for _ in range(2)]
    try:
        async with first._db._pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(
                "INSERT INTO event (participant, at, body) VALUES ($1, '', $2)", ME, msgpack.encode([("duty", "early", {})])
            )
            await second.commit(stepped("late"))
            assert (await second.events("", 10), await second.last_event(), await second.settling("")) == ([], "", True)
            heard = asyncio.create_task(EventRoutes(second)._after("", 10, 20))
            await asyncio.sleep(0.3)
            assert not heard.done()
            await transaction.commit()  # which nobody is told of
        async with asyncio.timeout(10):
            assert [each.subject for each in await heard] == ["early", "late"]
    finally:
        await first.close()
        await second.close()


async def test_many_writers_at_once_and_a_follower_that_hears_everything_once_in_one_order(tables):
    stores = [await PostgresStore.open(tables, ME, 30.0) for _ in range(2)]
    routes = EventRoutes(stores[0])
    total = 60

    async def follow():
        found, after = [], ""
        while len(found) < total:
            page = await routes._after(after, 7, 20)
            found += page
            after = page[-1].id if page else after
        return found

    try:
        following = asyncio.create_task(follow())
        await asyncio.gather(*(stores[n % 2].commit(stepped(f"urn:uuid:{n}")) for n in range(total)))
        async with asyncio.timeout(30):
            found = await following
        assert sorted(each.subject for each in found) == sorted(f"urn:uuid:{n}" for n in range(total))
        await settled(stores[1])
        assert found == await stores[1].events("", 100)
    finally:
        for each in stores:
            await each.close()
