"""Long lists of both management APIs: 2,500 rows, each seen once, while others are added; limits; commands that follow pages."""

import asyncio
import functools
import shutil
from datetime import timedelta
from types import SimpleNamespace

import pytest
from aiohttp.test_utils import TestClient

from catalog.dcat import Asset, OfferTerms
from connector.commands import Commands
from connector.management.routes import Management
from connector.processes.model import Agreement, Commit, Decided, OutboxRow, Process
from connector.store.port import ReceivedObject
from connector.store.sqlite import SqliteStore, open_database
from connector.worker.lingering import Lingering
from identity.access.service import Access
from identity.access.sqlite import SqliteAccess
from identity.service.management import Management as Operator
from identity.service.store.ledger import ledger, migrate
from identity.service.store.ledger import open_file as open_identity
from identity.service.store.members import Member
from identity.wallet.tokens import TokenEndpoint
from kernel import telemetry
from kernel.cli import ManagementClient
from kernel.clock import iso
from kernel.web import application
from policies.duties import Counter, Entry
from policies.odrl import Record
from tests.support.web import TestServer
from tests.unit.access.conftest import FILE_KEY, ME, Clock

COUNT = 2_500
PEER = "did:web:peer.example"
HEADERS = {"Authorization": f"Bearer {FILE_KEY}"}


class Connector:
    """The routes of a connector over its real store; nothing behind them."""

    def __init__(self, path):
        self.clock = Clock()
        self.database = open_database(path)
        self.store = SqliteStore(self.database, ME)
        access = Access(SqliteAccess(self.database, ME), ME, self.clock, lambda: FILE_KEY)
        known = SimpleNamespace(store=self.store, _node=SimpleNamespace(settled=Lingering().settle))
        commands = SimpleNamespace(process=functools.partial(Commands.process, known))
        self.table = table = Management(
            SimpleNamespace(
                store=self.store,
                commands=commands,
                access=access,
                contracts=None,
                rules=SimpleNamespace(relations=None, allotments=None),
                obligations=SimpleNamespace(payments=None),
                keys=None,
                renewal=None,
                tokens=TokenEndpoint(None, None),
            )
        ).routes()
        self.app = application(table, middlewares=[access.guard(table)])

    def process(self, kind, number, **more):
        at = iso(self.clock.now() + timedelta(seconds=number // 7))  # seven of the same moment: the id decides
        data = {"dataset": "d", "format": "HttpData-PULL", "agreementId": "a"}
        return Process(
            id=f"urn:{kind}:{number:05}", participant=ME, kind=kind, role="provider", peer=PEER, state="REQUESTED", version=1,
            created=at, updated=at, data=data, **more,
        )  # fmt: skip

    async def add(self, family, number):
        at = iso(self.clock.now() + timedelta(seconds=number // 7))
        key = f"urn:{family}:{number * 7919 % 99_991:05}"  # in no order
        if family == "assets":
            await self.store.add_asset(
                Asset(id=key, participant=ME, profile="p", schema="", title={"en": "t"}, size=1, sha256="0", source="s", created=at)
            )
        elif family == "offers":
            await self.store.add_offer(OfferTerms(id=key, asset="a", access={}, contract={}))
        elif family == "received":
            await self.store.add_received(
                ReceivedObject(transfer=key, agreement="a", dataset="d", peer=PEER, sha256="0", size=1, file="f", schema="", at=at)
            )
        elif family == "agreements":
            found = Agreement(
                id=key, participant=ME, role="provider", peer=PEER, negotiation="n", dataset="d", policy={}, hash="h", at=at
            )
            await self.store.commit(Commit(process=self.process("negotiation", number), expected=0, agreement=found))
        elif family == "outbox":
            owner = self.process("negotiation", number)
            row = OutboxRow(id=key, process=owner.id, act="dsp", message="m", due=at)
            await self.store.commit(Commit(process=owner, expected=0, outbox=(row,)))
        elif family == "duties":
            await self.store.save_duties([Entry(agreement=key, path="/0", action="x", origin="duty", state="active")])
        elif family in ("counters", "decisions"):
            what = counted(key) if family == "counters" else decided(key)
            await self.store.commit(Commit(process=self.process("negotiation", number), expected=0, **what))
        else:
            await self.store.commit(Commit(process=self.process(family[:-1], number), expected=0))

    def close(self):
        self.database.close()


def counted(key):
    return {"counters": (Counter(agreement=key, operand="count", limit="3"),)}


def decided(key):
    record = Record(
        previous="0", engine="1", policy="p", registry="r", action="use", phase="transfer", now="n", party=PEER, target="d", facts={}, part_of={}, duties={},
        since={}, remedied=False, permitted=True, held="1", unknown="0", hash=key,
    )  # fmt: skip
    return {"decided": Decided(agreement=key, seq=1, record=record)}


class Identity:
    """The routes of the identity service over its real ledger."""

    def __init__(self, path):
        self.clock = Clock()
        self.database = open_identity(path.parent, ME)
        self.books = ledger(ME, self.database, self.clock)
        access = Access(self.database.access, ME, self.clock, lambda: FILE_KEY)
        self.access = access
        self.table = table = Operator(ledger=self.books, access=access, **dict.fromkeys(self._others())).routes()
        self.app = application(table, middlewares=[access.guard(table)])

    @staticmethod
    def _others():
        names = Operator.__init__.__code__.co_varnames[1 : 1 + Operator.__init__.__code__.co_kwonlyargcount]
        return [each for each in names if each not in ("ledger", "access", "roles")]

    async def add(self, family, number):
        at = iso(self.clock.now() + timedelta(seconds=number // 7))
        key = f"{number * 7919 % 99_991:05}"
        if family == "members":
            member = Member(id=key, did=f"did:web:{key}", name="n", corporate_number="1", state="INVITED", changed=at)
            await self.database.write(lambda c: self.books.members.save(c, member))
        elif family == "events":
            await self.database.write(lambda c: self.books.journal.record(c, "invited", key, f"did:web:{key}", at))
        elif family == "issuances":
            sql = (
                "INSERT INTO issuance (participant, seq, id, member, holder, holder_pid, definitions, state, created, changed)"
                " VALUES (?,?,?,'m','h',?,'[]','CREATED',?,?)"
            )
            await self.database.write(lambda c: c.execute(sql, (ME, number, key, key, at, at)).rowcount)

    def close(self):
        self.database.file.close()


@pytest.fixture(scope="session")
def empty_identity(tmp_path_factory):
    path = tmp_path_factory.mktemp("empty") / "data.sqlite"
    migrate(path)
    return path


SERVICES = {
    "connector": (
        Connector,
        ("assets", "offers", "agreements", "negotiations", "transfers", "received", "outbox", "duties", "counters", "decisions"),
    ),
    "identity": (Identity, ("members", "events", "issuances")),
}
LISTS = [(name, family) for name, (_, families) in SERVICES.items() for family in families]


@pytest.fixture
async def start(tmp_path, empty, empty_identity):
    opened = []

    async def begin(name):
        telemetry.configure("error")
        shutil.copy({"connector": empty, "identity": empty_identity}[name], tmp_path / "data.sqlite")
        service = SERVICES[name][0](tmp_path / "data.sqlite")
        client = TestClient(TestServer(service.app))
        await client.start_server()
        opened.append((service, client))
        return service, client

    yield begin
    for service, client in opened:
        await client.close()
        service.close()


def key_of(family, item):
    if family == "counters":
        return item["agreement"]
    return item["seq"] if family == "events" else item["transfer"] if family == "received" else item["id"]


@pytest.mark.parametrize(("name", "family"), LISTS)
async def test_each_of_2500_rows_is_seen_once_while_rows_are_added(start, name, family):
    service, client = await start(name)
    await asyncio.gather(*(service.add(family, number) for number in range(COUNT)))
    first = {key_of(family, each) async for each in pages(client, f"/v1/{family}?limit=1000")}
    assert len(first) == COUNT
    seen, number, sizes = [], COUNT, []
    path = f"/v1/{family}?limit=100"
    while path:
        async with client.get(path, headers=HEADERS) as reply:
            body, link = await reply.json(), reply.headers.get("Link", "")
        seen += [key_of(family, each) for each in body["items"]]
        sizes.append(len(body["items"]))
        for _ in range(3):
            await service.add(family, number)
            number += 1
        assert bool(link) == bool(body["next"])
        path = link.partition(">")[0].removeprefix("<")
        assert len(sizes) < 60, "the pages do not end"
    assert first <= set(seen), "a row was not seen"
    assert len(seen) == len(set(seen)), "a row was seen twice"
    assert max(sizes) == 100


async def pages(client, path):
    while path:
        async with client.get(path, headers=HEADERS) as reply:
            assert reply.status == 200, await reply.text()
            for each in (await reply.json())["items"]:
                yield each
            path = reply.headers.get("Link", "").partition(">")[0].removeprefix("<")


@pytest.mark.parametrize(("name", "family"), [*LISTS, ("connector", "keys"), ("connector", "audit"), ("identity", "keys"), ("identity", "audit"), ("identity", "credentials")])  # fmt: skip
async def test_every_list_has_a_limit_and_refuses_what_is_no_page(start, name, family):
    _, client = await start(name)
    for query in ("limit=0", "limit=1001", "limit=-1", "limit=x", "limit=", "limit=١", "limit=1e3", "after=" + "x" * 2000):
        async with client.get(f"/v1/{family}?{query}", headers=HEADERS) as reply:
            assert reply.status == 400, query
            assert (await reply.json(content_type="application/problem+json"))["code"] == "bad-input"
    async with client.get(f"/v1/{family}?limit=1000", headers=HEADERS) as reply:
        assert (reply.status, (await reply.json())["items"]) == (200, [])


@pytest.mark.parametrize(("name", "family"), [("connector", "negotiations"), ("connector", "agreements"), ("identity", "members"), ("identity", "events")])  # fmt: skip
async def test_a_key_that_is_none_does_not_begin_anew(start, name, family):
    """Beginning anew would send a client round and round."""
    service, client = await start(name)
    await service.add(family, 1)
    async with client.get(f"/v1/{family}?after=unknown", headers=HEADERS) as reply:
        assert reply.status in (400, 404)


NOT_LISTS = {
    "/v1/status",
    "/v1/state-machines",
    "/v1/negotiations/{id}/differences",
    "/v1/signing-keys",
    "/v1/credentials",
    "/v1/members/{id}/certificates",
}  # as many as a connector has keys and holds credentials; certificates of one member that have not expired, under the rate limit of the CA


def test_every_list_of_the_route_tables_is_paged(tmp_path, empty, empty_identity):
    """A list that grows without limit would be a way to make memory grow without limit."""
    for name, source in (("connector", empty), ("identity", empty_identity)):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(source, folder / "data.sqlite")
        service = SERVICES[name][0](folder / "data.sqlite")
        service.close()
        lists = [
            each for each in service.table if each.method == "GET" and each.path.startswith("/v1/") and each.path.endswith("s")
        ]
        assert len(lists) >= 6
        assert [each.path for each in lists if not {"after", "limit"} <= set(each.query) and each.path not in NOT_LISTS] == []


async def test_commands_follow_pages(start):
    service, client = await start("connector")
    await asyncio.gather(*(service.add("assets", number) for number in range(COUNT)))
    api = ManagementClient(f"http://127.0.0.1:{client.server.port}", FILE_KEY)
    found = await asyncio.to_thread(lambda: list(api.items("/v1/assets")))
    assert len({each["id"] for each in found}) == len(found) == COUNT


async def test_a_server_that_repeats_its_key_does_not_hold_a_command_for_ever(monkeypatch):
    api = ManagementClient("http://127.0.0.1:1", "key")
    monkeypatch.setattr(api, "get", lambda _: {"items": [1], "next": "same"})
    assert list(api.items("/v1/x")) == [1, 1]
