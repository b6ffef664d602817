"""How many statements each hot path costs, on every backend (DESIGN 7). A new one must be meant: it is paid with every message."""

import re
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from aiohttp.test_utils import TestClient
from msgspec.structs import replace

from catalog.dcat import Asset, OfferTerms
from connector import errors
from connector.dsp import messages, routes
from connector.dsp.messages import Acknowledgement
from connector.dsp.outbound import Answer
from connector.processes import exchange, tables
from connector.processes.exchange import Change
from connector.processes.model import Agreement, Commit, JournalRow, OutboxRow, Process, TokenUse, Waiting
from connector.rules import Rules
from connector.store.port import ANY_ROOM
from connector.store.sql import _STEP
from connector.store.sqlite import _BEHIND
from connector.worker.monitor import Monitor
from connector.worker.outbox import Outbox
from kernel.clock import SystemClock, iso
from kernel.errors import Unauthorized
from kernel.web import application
from policies.duties import Entry
from policies.odrl.record import FIRST
from policies.profiles import load
from tests.support.node import BASE, Shelf, node
from tests.support.participant import participant
from tests.support.web import TestServer

ME, PEER = "did:web:me.example", "did:web:peer.example"
NOW = "2026-11-24T09:00:00.000Z"
OPEN = {"permission": [{"action": "use"}]}


@pytest.fixture
async def count(store, backend, monkeypatch):
    """`async with count(sqlite=6, postgres=1):` holds the block to that many statements; a transaction's own BEGIN and COMMIT are not counted."""
    said: list[str] = []
    if backend == "sqlite":
        store._db._reader.set_trace_callback(said.append)
        await store._db.write(lambda c: c.set_trace_callback(said.append))
    else:
        pool = store._db._pool
        held = [await pool.acquire() for _ in range(pool.get_max_size())]
        for each in held:
            each._con.add_query_logger(lambda found: said.append(found.query))
        for each in held:
            await pool.release(each)

    @asynccontextmanager
    async def counted(*, sqlite, postgres):
        said.clear()
        yield
        found = [each for each in said if not each.startswith(("BEGIN", "COMMIT", "SELECT pg_notify"))]
        wanted = {"sqlite": sqlite, "postgres": postgres}[backend]
        assert len(found) == wanted, found

    return counted


def process(**more):
    values = {"state": "REQUESTED", "version": 1, "peer_pid": "theirs", "created": NOW, "updated": NOW} | more
    return Process(id="urn:uuid:1", participant=ME, kind="negotiation", role="provider", peer=PEER, **values)


def row(key):
    return OutboxRow(id=key, process="urn:uuid:1", act="dsp", message="ContractAgreementMessage", path="/x", body=b"{}")


def duty(path, **more):
    """An active duty of the agreement `a`, without a date."""
    return Entry(**{"agreement": "a", "path": path, "action": "urn:act", "origin": "obligation", "state": "active"} | more)


def agreement(**policy):
    return Agreement(
        id="a", participant=ME, role="provider", peer=PEER, negotiation="urn:uuid:1", dataset="d", policy=policy, hash="h", at=NOW
    )


async def test_reads_of_the_hot_path_are_compiled_once(store, backend):
    """SQLite compiles a statement again at every use when its plan could depend on a bound value, which costs five times as much as running it."""
    if backend != "sqlite":
        pytest.skip("the server plans by itself")
    compiled = []
    store._db._reader.set_authorizer(lambda *what: compiled.append(what) or 0)

    async def read(key):
        await store.process(key)
        await store.process_of_peer(key, "negotiation", key)
        await store.processes("transfer", key, 10)
        await store.processes("negotiation", key, 10, waiting=True)
        await store.transfers_of(key)
        await store.open_with(key)
        await store.running(key, 10)
        await store.replay(key, key, "consumer")
        await store.seen(TokenUse(key, key, 0))
        await store.journal(key)
        await store._searched(key, 10, frozenset({key}), ANY_ROOM)
        await store._rows(_BEHIND, key, 10)
        await store.outbox(key)
        await store.agreement(key)
        await store.agreements_due(key, 10)
        await store.ledger(key)
        await store.duties(key, 10, timed=True)
        await store.offer(key)
        await store.membership()

    await read("first")
    assert compiled
    compiled.clear()
    await read("second")
    assert compiled == []


async def test_the_largest_commit(store, count):
    """Two steps and our next one, with token and agreement: one statement a table, one in all on a server."""
    await store.commit(Commit(process=process(), expected=0, outbox=(row("a"),)))
    steps = (JournalRow("", "X", "m", "consumer", "i", NOW), JournalRow("X", "Y", "m", "provider", "i", NOW))
    made = Commit(
        process=process(version=3),
        expected=1,
        journal=steps,
        outbox=(row("b"), row("c")),
        confirmed=("a",),
        token=TokenUse(PEER, "j", 9_999_999_999),
        agreement=agreement(),
    )
    async with count(sqlite=7, postgres=1):
        await store.commit(made)


def closed(number):
    """An access policy that nobody here meets, unlike any other of these."""
    limit = {"leftOperand": "dateTime", "operator": "lt", "rightOperand": f"19{number:02}-01-01T00:00:00Z"}
    return {"permission": [{"action": "use", "constraint": [limit]}]}


@asynccontextmanager
async def serving(store, catalog=None):
    async def by_header(caller, fresh):
        did, _, jti = caller.authorization[0].removeprefix("Bearer ").partition(" ")
        who = participant(did, jti=jti)
        if await store.seen(who.token):
            raise Unauthorized("authentication failed", reason="jti")
        return who

    datasets = [{"@id": f"d{number:03}"} for number in range(120)]
    made = node(store, catalog=catalog or Shelf(*datasets), authenticate=by_header)
    numbers = iter(range(1000))
    async with TestClient(TestServer(application(routes.routes(made), errors=errors.response))) as client:

        async def post(path, body):
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {PEER} {next(numbers)}"}
            reply = await client.post(f"/dsp/2025-1{path}", data=body, headers=headers)
            post.following = str(reply.links.get("next", {}).get("url", ""))
            return reply.status, await reply.json()

        yield post


async def test_an_inbound_message(store, count):
    """Token, process, journal, commit (its events too). A first message has no journal to look into; a repeat spends its token instead of the commit.

    The embedded store keeps the process that it committed before, and knows what that has accepted, and the tokens that were used since it was opened.
    """
    offer = {"@id": "o", "@type": "Offer", "target": "d", "permission": [{"action": "use"}]}
    first = messages.encode("ContractRequestMessage", **{"@id": "urn:uuid:a"}, consumerPid="c", offer=offer, callbackAddress=BASE)
    async with serving(store) as post:
        async with count(sqlite=1 + 5, postgres=2 + 1):
            status, begun = await post("/negotiations/request", first)
        assert status == 201
        ended = messages.encode(
            "ContractNegotiationTerminationMessage", **{"@id": "urn:uuid:b"}, consumerPid="c", providerPid=begun["providerPid"]
        )
        path = f"/negotiations/{begun['providerPid']}/termination"
        async with count(sqlite=5, postgres=3 + 1):
            status, _ = await post(path, ended)
        assert status == 200
        async with count(sqlite=2, postgres=4):
            status, _ = await post(path, ended)
        assert status == 200


async def test_a_catalog_page(store, count):
    """The token alone, looked for on a server and spent: what is shown stands on the shelf, wherever the page lies."""
    async with serving(store) as post:
        for _ in range(2):
            async with count(sqlite=1, postgres=2):
                status, found = await post("/catalog/request", messages.encode("CatalogRequestMessage"))
            assert (status, len(found["dataset"])) == (200, 50)


async def test_a_page_of_a_catalog_with_definitions_that_do_not_apply(store, count):
    """The same, and no row of the catalog: first page and last, by `Link` and by position, whatever is published that its reader may not see."""
    rules = Rules(store, load("base"), SystemClock(), participant=ME, name="me", endpoint=lambda _: BASE)
    for number in range(300):
        for place, access in enumerate((OPEN, closed(number % 100))):
            asset = Asset(
                id=f"d{number:03}",
                participant=ME,
                profile="",
                schema="",
                title={"en": "x"},
                size=1,
                sha256="0",
                source="",
                created=NOW,
            )
            rules.put(
                OfferTerms(id=f"o{place}-{number}", asset=asset.id, access=access, contract={"permission": [{"action": "use"}]}),
                asset,
            )
    assert len(rules._shelf) == 600
    async with serving(store, rules) as post:
        path, seen = "/catalog/request", []
        while path:
            async with count(sqlite=1, postgres=2):
                status, found = await post(path, messages.encode("CatalogRequestMessage"))
            assert status == 200
            seen += [each["@id"] for each in found["dataset"]]
            path = post.following.removeprefix(BASE)
        assert seen == [f"d{number:03}" for number in range(300)]
        for offset in (0, 250):
            query = {"@type": "QuerySpec", "offset": offset, "limit": 50}
            async with count(sqlite=1, postgres=2):
                _, found = await post("/catalog/request", messages.encode("CatalogRequestMessage", filter=[query]))
            assert found["dataset"][0]["@id"] == f"d{offset:03}"


async def test_an_outbox_step(store, count, backend):
    """A claim on a server chooses and takes at once, and looks at what follows; the embedded store knows the rows that it has committed. An answer after which the peer is to go on costs nothing until it
    has lingered; then it is one commit, without reading the process again.

    The embedded store reads only processes that it has not committed lately.
    """
    change = exchange.propose(tables.NEGOTIATION, Change(process=process(version=0)), row("a"), now=NOW)
    assert await store.claim(iso(SystemClock().now()), 64, frozenset()) == ([], None)
    await store.commit(exchange.commit(change, 0))

    async def send(_process, _row):
        return Answer(200, Acknowledgement(), "", "")

    async def no_push(_process):
        raise AssertionError("nothing to push")

    outbox = Outbox(store, send, no_push, SystemClock(), lambda: "x")
    async with count(sqlite=0, postgres=2):
        (claim,), _ = await store.claim(iso(SystemClock().now()), 64, frozenset())
    assert claim.process == await store.process("urn:uuid:1")
    outbox._busy[claim.row.process] = claim.row.id
    outbox._lanes.began(claim.lane, claim.row.id)
    async with count(sqlite=0, postgres=0):
        await outbox._carry(claim)
    async with count(sqlite=4, postgres=1):
        await outbox._lingering.settle("urn:uuid:1")
    assert (await store.process("urn:uuid:1")).state == "AGREED"
    assert not await store.outbox()


async def test_a_ledger(store, count):
    """One, whatever is in it."""
    made = [duty(f"/obligation/{n}") for n in range(3)]
    await store.save_duties([*made[::-1], replace(made[1], version=1, state="waived")])
    async with count(sqlite=1, postgres=1):
        found = await store.ledger("a")
    assert [each.state for each in found.duties] == ["active", "waived", "active"]
    assert [each.path for each in found.duties] == ["/obligation/0", "/obligation/1", "/obligation/2"]
    assert (found.counters, found.decided, found.last) == ((), 0, FIRST)


async def test_a_ledger_that_decisions_follow(store, count):
    """The embedded store reads it once, and knows it from then on."""
    assert (await store.ahead("a")).decided == 0
    async with count(sqlite=0, postgres=2):
        assert await store.ahead("a") == await store.ledger("a")
    await store.save_duties([duty("/obligation/0")])
    async with count(sqlite=1, postgres=2):
        assert len((await store.ahead("a")).duties) == len((await store.ledger("a")).duties) == 1


async def test_a_look_of_the_monitor(store, count):
    """None at a new agreement whose duties have no date; else agreement, ledger, and the transfers that run under it."""
    clock = SystemClock()
    usage = Rules(store, load("base"), clock, participant=ME, name="me", endpoint=lambda _: BASE).usage
    monitor = Monitor(store=store, usage=usage, running=None, contracts=None, obligations=None, clock=clock)
    policy = {"@type": "Agreement", "assigner": ME, "assignee": PEER, "permission": [{"action": "use"}]}
    made = Commit(process=process(state="FINALIZED"), expected=0, agreement=agreement(**policy), duties=(duty("/obligation/0"),))
    await store.commit(made)
    async with count(sqlite=0, postgres=0):
        assert await monitor.turn() is None
    await store.save_duties([duty("/obligation/1", due=iso(clock.now() + timedelta(days=1)))])
    async with count(sqlite=3, postgres=3):
        assert await monitor.turn() > 86_000


async def test_an_agreement_that_was_read(store, count):
    """The embedded store keeps it until it is saved anew."""
    made = agreement()
    await store.commit(Commit(process=process(state="FINALIZED"), expected=0, agreement=made))
    assert await store.agreement("a") == made
    async with count(sqlite=0, postgres=1):
        assert await store.agreement("a") == made
    changed = replace(made, due=NOW)
    async with count(sqlite=1, postgres=1):
        await store.save_agreement(changed)
    async with count(sqlite=1, postgres=2):
        assert [await store.agreement("a") for _ in range(2)] == [changed] * 2


async def test_the_offer_of_a_request(store, count):
    """None where it is on the shelf; else the offer, and the asset that says its products."""
    rules = Rules(store, load("base"), SystemClock(), participant=ME, name="me", endpoint=lambda _: BASE)
    asset = Asset(id="d", participant=ME, profile="", schema="", title={"en": "x"}, size=1, sha256="0", source="", created=NOW)
    offer = OfferTerms(id="o", asset="d", access=OPEN, contract=OPEN)
    await store.add_offer(offer)
    async with count(sqlite=2, postgres=2):
        found = await rules.for_request(participant(PEER), "o")
    assert found._offer == offer
    rules.put(offer, asset)
    async with count(sqlite=0, postgres=0):
        found = await rules.for_request(participant(PEER), "o")
    assert found._offer == offer


async def test_a_step_writes_no_index_anew_that_it_does_not_change(store, backend):
    """The peer's pid, whom it waits for and its end are set where they are new, or not known to be the same; nothing that every step sets stands in an index, or in its condition."""
    if backend != "sqlite":
        pytest.skip("the server compares the columns itself")
    said = []
    await store._db.write(lambda c: c.set_trace_callback(said.append))
    await store.commit(Commit(process=process(peer_pid=""), expected=0))
    person = Waiting("ContractAgreementMessage", "legal", NOW, "")
    steps = ({"peer_pid": ""}, {}, {}, {"waiting": person}, {"state": "AGREED"}, {"state": "FINALIZED"})
    for version, more in enumerate(steps, 2):
        await store.commit(Commit(process=process(version=version, **more), expected=version - 1))
    sets = [re.search(" SET (.*) WHERE ", each)[1] for each in said if each.startswith("UPDATE process")]
    assert [re.findall("peer_pid|waiting|open", each) for each in sets] == [
        [],
        ["peer_pid"],
        [],
        ["waiting"],
        ["waiting"],
        ["open"],
    ]
    store._processes.clear()
    await store.commit(Commit(process=process(version=8, state="FINALIZED"), expected=7))
    assert "peer_pid" in next(each for each in reversed(said) if each.startswith("UPDATE process"))
    assert await store.process_of_peer(PEER, "negotiation", "theirs") == process(version=8, state="FINALIZED")
    always = re.search(r" SET \{\}(.*) WHERE ", _STEP)[1].replace(" = ?", "").split(", ")
    indexes = "SELECT sql FROM sqlite_master WHERE tbl_name = 'process' AND type = 'index'"
    named = " ".join(str(each) for (each,) in store._db.read(lambda c: c.execute(indexes).fetchall()))
    assert "open" in named
    assert not [each for each in always if re.search(rf"\b{each}\b", named)]
