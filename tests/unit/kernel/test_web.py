"""kernel.web: one place for errors from which nothing of the inside gets out, limits, the key, listeners, the table's document."""

import asyncio
import contextlib
import io
import json
import socket
from collections import Counter

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, make_mocked_request
from msgspec import Struct
from yarl import URL

from kernel import telemetry
from kernel.errors import Conflict, InUse, Unauthorized
from kernel.web import AT_ONCE, Route, application, json_response, openapi, read_json, serve
from tests.support.web import TestServer

CANARY = "canary-of-the-inside"


@pytest.fixture(autouse=True)
def log():
    """Everything that was logged."""
    found = io.StringIO()
    telemetry.configure(stream=found)
    return found


async def echo(request):
    return json_response(await read_json(request, 1000))


async def broken(_):
    raise RuntimeError(CANARY)


async def taken(_):
    raise Conflict("it is taken", next_step="choose another", inside=CANARY)


async def hidden(_):
    raise Unauthorized("who are you", reason=CANARY)


async def moved(_):
    raise web.HTTPFound("/elsewhere")


class Thing(Struct):
    name: str


ROUTES = [
    Route(method="POST", path="/echo", handler=echo, auth="key", summary="Echo", request=Thing, response=Thing, status=201),
    Route(method="GET", path="/things/{id}", handler=broken, auth="token", summary="One", response=Thing, query=("depth",)),
    Route(method="GET", path="/taken", handler=taken, auth="none", summary="Taken"),
    Route(method="GET", path="/hidden", handler=hidden, auth="none", summary="Hidden"),
    Route(method="GET", path="/moved", handler=moved, auth="none", summary="Moved"),
    Route(method="GET", path="/health", handler=taken, auth="none", summary="Health"),
]


@pytest.fixture
async def client():
    async with TestClient(TestServer(application(ROUTES, limit=2000))) as found:
        yield found


async def test_an_unknown_error_is_a_bare_500_and_is_logged(client, log):
    reply = await client.get("/things/1")
    text = await reply.text()
    assert reply.status == 500
    assert reply.content_type == "application/problem+json"
    assert CANARY not in text
    assert "RuntimeError" not in text
    assert CANARY in log.getvalue()


async def test_a_known_error_answers_with_cause_and_next_step_and_keeps_its_facts(client, log):
    reply = await client.get("/taken")
    found = await reply.json(content_type="application/problem+json")
    assert (reply.status, found["code"], found["detail"], found["nextStep"]) == (409, "conflict", "it is taken", "choose another")
    assert CANARY not in json.dumps(found)
    assert json.loads(log.getvalue())["inside"] == CANARY


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/taken", 405), ("GET", "/hidden", 401)]
)
async def test_errors_of_the_library_are_problems_too(client, method, path, status):
    reply = await client.request(method, path)
    assert reply.status == status
    assert (await reply.json(content_type="application/problem+json"))["status"] == status


async def test_a_redirect_is_no_error(client):
    reply = await client.get("/moved", allow_redirects=False)
    assert reply.status == 302


async def test_error_bodies_may_be_those_of_a_protocol():
    def body(_, error):
        return json_response({"mine": error.code}, status=error.status)

    async with TestClient(TestServer(application(ROUTES, errors=body))) as client:
        assert await (await client.get("/taken")).json() == {"mine": "conflict"}
        assert await (await client.get("/nowhere")).json() == {"mine": "not-found"}
        assert await (await client.get("/things/1")).json() == {"mine": "internal"}


@pytest.mark.parametrize("body", [b'{"a":1,"a":2}', b"{", b"", b'"\xff"', b"NaN", b"[" * 99])
async def test_a_body_that_is_not_strict_json_is_400(client, body):
    assert (await client.post("/echo", data=body)).status == 400


async def test_a_body_over_the_routes_limit_is_413(client):
    assert (await client.post("/echo", data=b'"' + b"x" * 998 + b'"')).status == 200
    assert (await client.post("/echo", data=b'"' + b"x" * 999 + b'"')).status == 413


async def test_a_body_over_the_applications_limit_is_413_even_without_a_length(client):
    async def parts():
        for _ in range(100):
            yield b" " * 1000

    reply = await client.post("/echo", data=parts())
    assert reply.status == 413
    assert (await reply.json(content_type="application/problem+json"))["code"] == "too-large"


async def test_a_taken_port_is_named():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InUse, match=f"127.0.0.1:{port}") as caught:
            await serve(application(ROUTES), "127.0.0.1", port)
    assert caught.value.next_step


async def test_port_0_takes_a_free_one_and_close_gives_it_back():
    listener = await serve(application(ROUTES), "127.0.0.1", 0)
    assert listener.port
    await listener.close()
    again = await serve(application(ROUTES), "127.0.0.1", listener.port)
    await again.close()


def test_the_document_has_every_route_with_its_types_parameters_and_security():
    found = openapi(ROUTES, "Test", "1")
    assert {(path, method.upper()) for path, each in found["paths"].items() for method in each} == {
        (r.path, r.method) for r in ROUTES
    }
    post, one = found["paths"]["/echo"]["post"], found["paths"]["/things/{id}"]["get"]
    reference = {"$ref": "#/components/schemas/Thing"}
    assert post["requestBody"]["content"]["application/json"]["schema"] == reference
    assert post["responses"]["201"]["content"]["application/json"]["schema"] == reference
    assert one["responses"]["200"]["content"]["application/json"]["schema"] == reference
    assert [(each["name"], each["in"], each["required"]) for each in one["parameters"]] == [
        ("id", "path", True),
        ("depth", "query", False),
    ]
    assert (post["security"], one["security"]) == ([{"key": []}], [{"token": []}])
    assert "security" not in found["paths"]["/taken"]["get"]
    assert set(found["components"]["securitySchemes"]) == {"key", "token"}
    json.dumps(found)


def test_the_document_says_which_role_and_scope_a_caller_needs_and_how_a_refusal_looks():
    route = Route(method="GET", path="/a", handler=taken, auth="key", role="operate", scope="things", summary="A")
    found = openapi([route, *ROUTES], "Test", "1")["paths"]["/a"]["get"]
    assert found["security"] == [{"key": ["operate", "things"]}]
    assert {"401", "403", "default"} < set(found["responses"])
    assert "role operate, scope things" in found["responses"]["403"]["description"]
    schema = found["responses"]["403"]["content"]["application/problem+json"]["schema"]
    assert set(Conflict("x", next_step="y").problem()) == set(schema["properties"])


@contextlib.asynccontextmanager
async def raw(port, head, *, length=1000):
    """A connection that a request of the caller's own making is written to."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST {head} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def drip(writer, part, pause):
    with contextlib.suppress(OSError):
        while True:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)


async def test_a_body_that_drips_is_not_waited_for_and_its_connection_ends(monkeypatch, caplog):
    monkeypatch.setattr("kernel.web.GRACE", 0.2)
    listener = await serve(application(ROUTES), "127.0.0.1", 0)
    async with raw(listener.port, "/echo") as (reader, writer), asyncio.timeout(20):
        dripping = asyncio.create_task(drip(writer, b" ", 0.02))
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        assert b"too-slow" in await reader.readuntil(b"}")
        dripping.cancel()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    await listener.close()
    assert "Unhandled" not in caplog.text


async def test_a_large_body_has_all_the_time_that_it_needs_as_long_as_it_comes_on(monkeypatch):
    monkeypatch.setattr("kernel.web.GRACE", 0.2)
    taken = 0

    async def take(request):
        nonlocal taken
        async for part in request.content.iter_chunked(65_536):
            taken += len(part)
        return web.Response(status=204)

    route = Route(method="POST", path="/take", handler=take, auth="none", summary="Take")
    listener = await serve(application([route]), "127.0.0.1", 0)
    async with raw(listener.port, "/take", length=25 * 4096) as (reader, writer), asyncio.timeout(20):
        for _ in range(25):
            writer.write(b"x" * 4096)
            await asyncio.sleep(0.04)
        assert (await reader.readline()).startswith(b"HTTP/1.1 204 ")
    await listener.close()
    assert taken == 25 * 4096


async def test_a_head_that_drips_ends_with_the_patience_for_idle_connections(monkeypatch):
    monkeypatch.setattr("kernel.web.IDLE", 0.3)
    listener = await serve(application(ROUTES), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nX-Long: ")
    dripping = asyncio.create_task(drip(writer, b"x", 0.02))
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    dripping.cancel()
    writer.close()
    await listener.close()


async def test_of_requests_that_arrive_together_a_few_begin_in_each_turn_of_the_loop_and_the_first_are_answered_meanwhile():
    begun, turn, loop = [], 0, asyncio.get_running_loop()

    def tick():
        nonlocal turn
        turn += 1
        loop.call_soon(tick)

    async def handler(_):
        begun.append(turn)
        return json_response({})

    listener = await serve(application([Route(method="GET", path="/", handler=handler, auth="none", summary="")]), "127.0.0.1", 0)
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(socket.create_connection(("127.0.0.1", listener.port))) for _ in range(5 * AT_ONCE)]
        await asyncio.sleep(0.1)  # all are accepted
        loop.call_soon(tick)
        for each in callers:
            each.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answers = await asyncio.gather(*(asyncio.to_thread(each.makefile("rb").read) for each in callers))
    await listener.close()
    assert all(each.startswith(b"HTTP/1.1 200") for each in answers)
    assert max(Counter(begun).values()) == AT_ONCE


class Named:
    """Handlers that answer with their route and what its names stand for, so that a test sees which one was found."""

    def __init__(self, *paths):
        self.routes = [
            Route(method=method, path=path, handler=self.handler(method, path), auth="none", summary="")
            for method, path in map(str.split, paths)
        ]

    def handler(self, method, path):
        async def answer(request):
            return json_response([method, path, dict(request.match_info)])

        return answer

    async def ask(self, method, path):
        async with TestClient(TestServer(application(self.routes))) as client:
            reply = await client.request(method, URL(path, encoded=True))
            return reply.status, (await reply.json() if reply.status == 200 and method != "HEAD" else None)


PATHS = Named(
    "POST /a/request", "POST /a/{id}/request", "POST /a/{id}/events", "GET /a/{id}", "GET /a/{id:.+}", "GET /b/{id:[0-9]+}", "GET /b/{name}/of/{id}", "GET /.well-known/x",
    "DELETE /a/{id}", "GET /{first}/x", "GET /b/c.{kind}",
)  # fmt: skip
CALLS = [
    ("POST", "/a/request", "/a/request"), ("POST", "/a/1/request", "/a/{id}/request"), ("POST", "/a/request/events", "/a/{id}/events"), ("GET", "/a/request", "/a/{id}"),
    ("GET", "/a/1/2/3", "/a/{id:.+}"), ("GET", "/a/1%2F2", "/a/{id}"), ("GET", "/a/did:web:x%253A80", "/a/{id}"), ("GET", "/a/%E7%B5%86%20x?y=/z", "/a/{id}"),
    ("DELETE", "/a/1", "/a/{id}"), ("GET", "/b/12", "/b/{id:[0-9]+}"), ("GET", "/b/n/of/1", "/b/{name}/of/{id}"), ("GET", "/.well-known/x", "/.well-known/x"),
    ("GET", "/any/x", "/{first}/x"), ("GET", "/a/x", "/a/{id}"), ("GET", "/b/c.json", "/b/c.{kind}"), ("HEAD", "/a/1", "/a/{id}"), ("GET", "/ywell-known/x", "/{first}/x"),
    ("POST", "/a/1", 405), ("DELETE", "/.well-known/x", 405), ("PURGE", "/a/request", 405), ("GET", "/b/c-json", 404), ("GET", "/b/", 404), ("GET", "/b//of/1", 404), ("GET", "/", 404),
    ("POST", "/b/1/2", 404), ("GET", "/b/n/of/1/", 404), ("GET", "/a//1", "/a/{id:.+}"), ("GET", "/a/", 404), ("GET", "/A/1", 404),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "expected"), CALLS)
async def test_a_request_finds_the_route_that_the_librarys_router_finds(method, path, expected):
    status, found = await PATHS.ask(method, path)
    router = web.UrlDispatcher()
    router.add_routes([web.route(each.method, each.path, each.handler) for each in PATHS.routes])
    theirs = await router.resolve(make_mocked_request(method, path))
    if isinstance(expected, int):
        assert (status, theirs.http_exception.status) == (expected, expected)
        return
    assert (status, theirs.http_exception) == (200, None)
    if method != "HEAD":
        assert found[1:] == [expected, dict(theirs)]


async def test_head_is_answered_as_get_without_the_body(client):
    async with TestClient(TestServer(application(PATHS.routes))) as named:
        whole, head = await named.get("/a/1"), await named.head("/a/1")
        assert (head.status, head.headers["Content-Length"], head.content_type) == (
            200,
            whole.headers["Content-Length"],
            whole.content_type,
        )
        assert await head.read() == b""
        assert (await named.head("/a/1")).status == 200, "the connection goes on"
    assert (await client.head("/taken")).status == 409


async def test_middlewares_are_put_around_once_and_know_the_route():
    made, passed = [], []

    def noting(name):
        def middleware(handler, route):
            made.append((name, route and route.path))

            async def noted(request):
                passed.append(name)
                return await handler(request)

            return noted

        return middleware

    async with TestClient(TestServer(application(ROUTES[-1:], middlewares=[noting("outer"), noting("inner")]))) as client:
        before = Counter(made)
        assert set(before) == {(name, path) for name in ("outer", "inner") for path in ("/health", None)}
        for path, method, status in (("/health", "GET", 409), ("/nowhere", "GET", 404), ("/health", "PUT", 405)):
            assert (await client.request(method, path)).status == status
            assert passed == ["outer", "inner"]
            passed.clear()
        assert Counter(made) == before


@pytest.mark.parametrize(
    ("version", "expected", "answers"),
    [("1.1", "100-Continue", [100, 200]), ("1.1", "a miracle", [417]), ("1.0", "100-continue", [200])],
)
async def test_a_caller_that_waits_is_told_to_send_its_body(version, expected, answers):
    listener = await serve(application(ROUTES), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(f"POST /echo HTTP/{version}\r\nHost: x\r\nContent-Length: 2\r\nExpect: {expected}\r\n\r\n".encode())
    async with asyncio.timeout(20):
        if answers[0] == 100:
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert int((await reader.readline()).split()[1]) == answers[-1]
    writer.close()
    await listener.close()


async def test_a_running_request_is_answered_before_a_listener_is_closed():
    going, may_end = asyncio.Event(), asyncio.Event()

    async def slow(_):
        going.set()
        await may_end.wait()
        return json_response({"ended": True})

    listener = await serve(application([Route(method="GET", path="/", handler=slow, auth="none", summary="")]), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    idle, other = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await going.wait()
    closing = asyncio.create_task(listener.close())
    async with asyncio.timeout(20):
        assert await idle.read() == b""
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", listener.port)
        may_end.set()
        assert (await reader.read()).endswith(b'{"ended":true}')
        await closing
    for each in (writer, other):
        each.close()
