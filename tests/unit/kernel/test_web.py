"""kernel.web: one place for errors from which nothing of the inside gets out, limits, the key, listeners, the table's document."""

import asyncio
import contextlib
import io
import json
import socket
from collections import Counter

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from msgspec import Struct

from kernel import telemetry
from kernel.errors import Conflict, InUse, Unauthorized
from kernel.web import AT_ONCE, Route, application, json_response, openapi, read_json, serve

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
