"""A management API of three routes over a real database file, with a clock of its own."""

import shutil
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from aiohttp.test_utils import TestClient

from connector.store.sqlite import open_database
from identity.access.door import CALLER
from identity.access.service import Access
from identity.access.sqlite import SqliteAccess
from identity.access.trail import about
from kernel import telemetry
from kernel.errors import Conflict
from kernel.web import Route, application, json_response
from tests.support.web import TestServer

ME = "did:web:me.example"
FILE_KEY = "f" * 43


class Clock:
    def __init__(self):
        self.at = datetime(2026, 11, 24, 9, tzinfo=UTC)

    def now(self):
        return self.at

    def forward(self, **much):
        self.at += timedelta(**much)


class World:
    """One service; `call` calls it with a key."""

    def __init__(self, path, provider=None, clock=None):
        self.clock = clock or Clock()
        self.database = open_database(path)
        self.store = SqliteAccess(self.database, ME)
        self.access = Access(self.store, ME, self.clock, lambda: FILE_KEY, provider)
        self.ran = []
        self.client = None

    def routes(self):
        async def note(request):
            self.ran.append(request.get(CALLER))
            return json_response({})

        async def make(request):
            about("urn:made")
            await self.database.write(lambda c: c.execute("INSERT INTO asset VALUES ('urn:made', ?, x'00')", (ME,)).rowcount)
            if request.query.get("then"):
                raise Conflict("too late", next_step="look first")
            return json_response({}, status=201)

        async def refuse(_):
            raise Conflict("no", next_step="do something else")

        async def fail(_):
            raise RuntimeError("inside")

        def route(method, path, handler, role="", scope=""):
            return Route(
                method=method, path=path, handler=handler, auth="key" if role else "none", role=role, scope=scope, summary="x"
            )

        table = [
            route("GET", "/health", note),
            route("GET", "/v1/things", note, "read", "things"),
            route("POST", "/v1/things", make, "operate", "things"),
            route("POST", "/v1/things/{id}/refuse", refuse, "operate", "things"),
            route("POST", "/v1/things/{id}/fail", fail, "operate", "things"),
            route("GET", "/v1/any", note, "read"),
            route("POST", "/v1/others", note, "admin", "others"),
        ]
        return table + self.access.routes(table)

    async def start(self):
        table = self.routes()
        app = application(table, middlewares=[self.access.guard(table)])
        self.client = TestClient(TestServer(app))
        await self.client.start_server()
        return self

    async def call(self, method, path, key=FILE_KEY, **more):
        reply = await self.client.request(method, path, headers={"Authorization": f"Bearer {key}"} if key else {}, **more)
        body = await reply.json(content_type=None)
        return SimpleNamespace(status=reply.status, body=body, headers=reply.headers)

    async def key(self, role="read", *scopes, by=FILE_KEY, **more):
        found = await self.call("POST", "/v1/keys", by, json={"name": f"{role} key", "role": role, "scopes": list(scopes), **more})
        assert found.status == 201, found.body
        return found.body["key"]

    async def log(self):
        return (await self.call("GET", "/v1/audit?limit=1000")).body["items"]


@pytest.fixture(scope="session")
def empty(tmp_path_factory):
    """A file with all tables and no rows."""
    path = tmp_path_factory.mktemp("empty") / "data.sqlite"
    open_database(path).close()
    return path


@pytest.fixture
async def world(tmp_path, empty):
    telemetry.configure("error")
    shutil.copy(empty, tmp_path / "data.sqlite")
    found = await World(tmp_path / "data.sqlite").start()
    yield found
    await found.client.close()
    found.database.close()
