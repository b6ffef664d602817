"""kernel.connection: whole requests are answered beside the library's loop, with the same bytes, in the same order, within the same limits."""

import asyncio
import contextlib
import contextvars
import gzip
import io
import re
from itertools import pairwise

import pytest
from aiohttp import web

from kernel import telemetry
from kernel.connection import LARGE, Connection
from kernel.web import Application, Route, application, json_response, serve

TEXT = "x" * 300
PACKED = "Content-Encoding: gzip\r\n"
ANSWERS = {
    "json": lambda: json_response({"a": TEXT}),
    "status": lambda: json_response({"a": 1}, status=409, headers={"Retry-After": "1"}),
    "own": lambda: web.Response(body=b"x", headers={"X-One": "1", "Date": "then", "Server": "mine"}),
    "typeless": lambda: web.Response(body=b"x"),
    "empty": lambda: web.Response(body=b"", content_type="application/json"),
    "nothing": lambda: web.Response(),
    "text": lambda: web.Response(text="x"),
    "204": lambda: web.Response(status=204),
    "204 with a body": lambda: web.Response(body=b"x", status=204),
    "304": lambda: web.Response(status=304, headers={"ETag": '"1"'}),
    "large": lambda: web.Response(body=b"x" * (LARGE + 1)),
    "packed": lambda: packed(),
    "pieces": lambda: pieces(),
    "cookie": lambda: cookie(),
    "closing": lambda: closing(),
}
HEADS = (
    "GET / HTTP/1.1",
    "HEAD / HTTP/1.1",
    "GET / HTTP/1.0",
    "GET / HTTP/1.0\r\nConnection: keep-alive",
    "GET / HTTP/1.1\r\nConnection: close",
    "POST / HTTP/1.1\r\nContent-Length: 0",
)


def packed():
    found = web.Response(body=TEXT.encode(), content_type="application/json")
    found.enable_compression(web.ContentCoding.gzip)
    return found


def pieces():
    found = web.Response(body=TEXT.encode())
    found.enable_chunked_encoding()
    return found


def cookie():
    found = json_response({})
    found.set_cookie("a", "b")
    return found


def closing():
    found = json_response({})
    found.force_close()
    return found


@pytest.fixture
def aside(monkeypatch):
    """The requests that were answered beside the loop."""
    telemetry.configure(stream=io.StringIO())
    seen, exchange = [], Connection._exchange

    async def noting(self, message, body):
        seen.append(message.path)
        return await exchange(self, message, body)

    monkeypatch.setattr(Connection, "_exchange", noting)
    return seen


def one(handler, path="/"):
    """An application of one handler."""
    return application([Route(method=method, path=path, handler=handler, auth="none", summary="") for method in ("GET", "POST")])


@contextlib.asynccontextmanager
async def connected(app):
    """A listener's port is open; a connection whose loop sleeps."""
    listener = await serve(app, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    await asyncio.sleep(0.02)
    try:
        async with asyncio.timeout(60):
            yield reader, writer
    finally:
        writer.close()
        await listener.close()


async def answer(reader):
    """One answer with a length: its status and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    return int(head.split()[1]), await reader.readexactly(int(length[1]) if length else 0)


def post(path="/", body=b"{}", more=""):
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", ANSWERS)
async def test_an_answer_is_byte_for_byte_the_librarys(aside, kind, head):
    async def handler(_):
        return ANSWERS[kind]()

    def theirs(app, settings):
        return web.Server(app._answer, request_factory=app.server().request_factory, access_log=None, **settings)

    whole = []
    for of_library in (False, True):
        app = Application(lambda _: handler)
        if of_library:
            app.server = lambda app=app, **settings: theirs(Application(lambda _: handler), settings)
        async with connected(app) as (reader, writer):
            asked = f"{head}\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n".encode()
            writer.write(asked)
            received = await begun(reader)
            writer.write(asked)  # a connection that goes on gives the same answer again
            received += await begun(reader)
            ends = reader.at_eof()
            if not ends:
                writer.write_eof()
            whole.append((re.sub(rb"Date: \w\w\w, .*GMT", b"Date: D", received), ends))
    assert whole[0] == whole[1]
    assert len(aside) == (1 if whole[0][1] else 2)


async def begun(reader):
    """What comes until nothing more does."""
    found = b""
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while part := await asyncio.wait_for(reader.read(1 << 20), 0.1):
            found += part
    return found


async def test_a_line_break_in_a_header_sends_nothing(aside):
    async def handler(_):
        return json_response({}, headers={"X-Bad": "a\r\nSet-Cookie: b=c"})

    async with connected(one(handler)) as (reader, writer):
        writer.write(post())
        assert await reader.read() == b""
    assert aside == ["/"]


async def test_requests_in_a_row_never_wake_the_loop_and_split_ones_do(aside):
    async def handler(request):
        return json_response([request.path, (await request.read()).decode()])

    async with connected(one(handler, "/{name}")) as (reader, writer):
        for name in "abc":
            writer.write(post(f"/{name}", b"12"))
            assert await answer(reader) == (200, f'["/{name}","12"]'.encode())
        assert aside == ["/a", "/b", "/c"]
        whole = post("/split", b"12345")
        for part in (whole[:20], whole[20:-3], whole[-3:]):
            writer.write(part)
            await asyncio.sleep(0.02)
        assert await answer(reader) == (200, b'["/split","12345"]')
        assert aside == ["/a", "/b", "/c"]
        writer.write(b"POST /chunks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
        assert await answer(reader) == (200, b'["/chunks","abc"]')
        assert aside[3:] == ["/chunks"]


async def test_answers_keep_the_order_of_the_requests(aside):
    may_end, running = asyncio.Event(), 0

    async def handler(request):
        nonlocal running
        running += 1
        assert running == 1, "one request of a connection at a time"
        if request.path.startswith("/slow"):
            await may_end.wait()
        await request.read()
        running -= 1
        return json_response(request.path)

    async with connected(one(handler, "/{name}")) as (reader, writer):
        for burst in (["slow1"], ["a", "b"], ["c"], ["d"]):
            writer.write(b"".join(post(f"/{name}") for name in burst))
            await asyncio.sleep(0.02)
        writer.write(post("/half")[:-1])
        await asyncio.sleep(0.02)
        may_end.set()
        for name in ("slow1", "a", "b", "c", "d"):
            assert await answer(reader) == (200, f'"/{name}"'.encode())
        writer.write(b"}")
        assert await answer(reader) == (200, b'"/half"')
        writer.write(b"".join(post(f"/{number}") for number in range(100)))  # more than are taken at once
        for number in range(100):
            assert await answer(reader) == (200, f'"/{number}"'.encode())
        await asyncio.sleep(0.02)
        writer.write(post("/last"))
        assert await answer(reader) == (200, b'"/last"')
    assert aside == ["/slow1", "/last"]


async def test_what_is_no_request_is_refused_in_its_turn(aside):
    async def handler(request):
        return json_response(request.path)

    async with connected(one(handler)) as (reader, writer):
        writer.write(post())
        assert await answer(reader) == (200, b'"/"')
        writer.write(b"nonsense\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.0 400 ")
        await reader.read()
    assert aside == ["/"]


async def test_an_upgrade_that_is_not_taken_is_answered_as_any_request(aside):
    async def handler(request):
        return json_response([request.path, (await request.read()).decode()])

    upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    async with connected(one(handler, "/{name}")) as (reader, writer):
        for burst in (["a"], ["b"], ["c", "d"]):
            writer.write(b"".join(post(f"/{name}", b"1", upgrade if name in "bc" else "") for name in burst))
            for name in burst:
                assert await answer(reader) == (200, f'["/{name}","1"]'.encode())
    assert aside == ["/a"]


async def test_a_connection_ends_when_it_was_idle_for_too_long_and_not_while_a_request_runs(aside, monkeypatch):
    monkeypatch.setattr("kernel.web.IDLE", 0.3)

    async def handler(_):
        await asyncio.sleep(0.7)
        return json_response({})

    async with connected(one(handler)) as (reader, writer):
        for _ in range(2):
            writer.write(post())
            assert await answer(reader) == (200, b"{}")
        began = asyncio.get_running_loop().time()
        assert await reader.read() == b""
        assert 0.2 < asyncio.get_running_loop().time() - began < 5
    assert len(aside) == 2


async def test_a_request_that_does_not_end_is_broken_off_when_the_server_ends(aside):
    ended, going = [], asyncio.Event()

    async def handler(_):
        going.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    server = one(handler).server()
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
    await asyncio.sleep(0.02)
    writer.write(post())
    await going.wait()
    (connection,) = server.connections
    listening.close()
    await server.shutdown(0.1)
    assert await reader.read() == b""
    await asyncio.sleep(0.02)
    assert ended == ["cancelled"]
    assert aside == ["/"]
    assert connection.transport is None
    writer.close()


async def test_a_caller_that_goes_away_leaves_nothing(aside, caplog):
    going, ended = asyncio.Event(), []

    async def handler(_):
        going.set()
        await asyncio.sleep(0.1)
        ended.append(True)
        return json_response({})

    server = one(handler).server()
    async with await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0) as listening:
        _, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        await asyncio.sleep(0.02)
        writer.write(post())
        await going.wait()
        writer.transport.abort()
        async with asyncio.timeout(5):
            while server.connections:
                await asyncio.sleep(0.02)
    assert ended == [True], "what was begun is ended"
    assert not [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
    assert not caplog.records


async def test_a_peer_that_does_not_read_is_not_answered_without_end(aside):
    answered = 0

    async def handler(_):
        nonlocal answered
        answered += 1
        return web.Response(body=b"x" * LARGE)

    async with connected(one(handler)) as (reader, writer):
        for _ in range(400):
            writer.write(post())
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.2)
        seen = answered
        assert seen < 300, "26 MB would lie in memory"
        for _ in range(400):
            assert (await answer(reader))[0] == 200
    assert aside


async def test_a_large_body_is_read_whole_and_one_over_the_limit_is_413(aside):
    async def handler(request):
        return json_response(len(await request.read()))

    for size, status in ((250_000, 200), (262_144, 200), (262_145, 413)):
        async with connected(one(handler)) as (reader, writer):
            writer.write(post(body=b"x" * size))
            found = await answer(reader)
            assert found[0] == status
            assert status != 200 or int(found[1]) == size


async def test_a_body_that_comes_with_its_head_has_the_same_limit_and_may_be_read_twice(aside):
    async def handler(request):
        return json_response([len(await request.read()), (await request.read()).decode()])

    app = application([Route(method="POST", path="/", handler=handler, auth="none", summary="")], limit=10)
    zipped = gzip.compress(b"0123456789" * 100)
    async with connected(app) as (reader, writer):
        for body, more, status in (
            (b"0123456789", "", 200),
            (b"0123456789a", "", 413),
            (gzip.compress(b"0123456789"), PACKED, 200),
            (zipped, PACKED, 413),
            (b"", "", 200),
        ):
            writer.write(post(body=body, more=more))
            found = await answer(reader)
            assert found[0] == status
            if status == 200:
                assert found[1] == (b'[10,"0123456789"]' if body else b'[0,""]')
    assert len(aside) == 5


async def test_nothing_of_one_request_is_seen_by_the_next(aside):
    mark = contextvars.ContextVar("mark", default="none")
    seen = []

    async def handler(_):
        seen.append(mark.get())
        mark.set("set")
        return json_response({})

    async with connected(one(handler)) as (reader, writer):
        for _ in range(3):
            writer.write(post())
            await answer(reader)
    assert seen == ["none"] * 3
    assert all(a == b for a, b in pairwise(aside))
