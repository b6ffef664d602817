"""kernel.http: where a call may go, what it may bring back, and who must be at the other end before anything is said."""

import asyncio
import gzip
import ipaddress
import socket
import ssl
import zlib
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from yarl import URL

from kernel.errors import BadInput, UnavailableError
from kernel.http import MOST, PER_HOST, Blocked, GuardedClient, Outbound, Reply, Unreachable, WrongServer, permitted
from kernel.lines import KEPT
from kernel.web import IDLE

DID = "did:web:peer.example"
LOOPBACK = frozenset({"127.0.0.0/8"})


def no_context():
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def forbidden_lookup(*_):
    raise AssertionError("a name was looked up")


@asynccontextmanager
async def client(*, tls=no_context, lookup=forbidden_lookup, **rules):
    found = GuardedClient(Outbound(**rules), tls=tls, lookup=lookup)
    try:
        yield found
    finally:
        await found.close()


async def streamed(found, url, **given):
    async with found.stream("POST", url, body=b"{}", **given) as answer:
        return Reply(answer.status, answer.headers, await answer.read())


@pytest.fixture(params=["GET", "POST"])
def whole(request):
    """One call whose answer is read whole: without a body, and a message."""
    more = {"body": b"{}"} if request.param == "POST" else {}
    return lambda found, url, **given: found.request(request.param, url, **more, **given)


@pytest.fixture(params=["POST", "stream"])
def ask(request):
    """One call, on either of the ways through the client: a message, and a stream."""
    return streamed if request.param == "stream" else lambda found, url, **given: found.request("POST", url, body=b"{}", **given)


class Names:
    """A name server of canned answers, one for each question; the last is repeated."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    async def __call__(self, host, port):
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@asynccontextmanager
async def plain(handler):
    """A plain HTTP server on loopback; yields its port."""
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def certificate(directory, *uris):
    """A self-signed server certificate for peer.example, its file and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "peer.example")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("peer.example"), *map(x509.UniformResourceIdentifier, uris)]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    own, secret = directory / "own.pem", directory / "own.key"
    own.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return own, secret


class Peer:
    """A TLS server that remembers every byte of application data it was sent."""

    def __init__(self, directory, *uris):
        self.own, secret = certificate(directory, *uris)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(self.own, secret)
        self.heard, self.connections, self.port, self.over = b"", 0, 0, asyncio.Event()

    async def _serve(self, reader, writer):
        self.connections += 1
        try:
            while data := await reader.read(65_536):
                self.heard += data
                if b"\r\n\r\n" in data:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except OSError:
            pass
        finally:
            writer.close()
            self.over.set()

    @asynccontextmanager
    async def serving(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    def trusting(self):
        return ssl.create_default_context(cafile=str(self.own))

    @property
    def url(self):
        return f"https://peer.example:{self.port}/secret-path"


NOT_PUBLIC = [
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "fec0::1",
    "4000::1",
    "64:ff9b:1::a00:1",
]
OTHER_NOTATIONS = [
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "017700000001",
    "0177.0.0.1",
    "127.1",
    "127.0.1",
    "10.1",
    "2852039166",
    "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "0",
]
# IPv6 forms that carry an IPv4 address to a translator or a tunnel.
EMBEDDED = ["64:ff9b::7f00:1", "64:ff9b::169.254.169.254", "2002:7f00:1::", "2002:a9fe:a9fe::1", "::127.0.0.1", "::a9fe:a9fe"]


@pytest.mark.parametrize("address", NOT_PUBLIC + EMBEDDED)
async def test_an_address_that_is_not_public_is_refused(ask, address):
    host = f"[{address}]" if ":" in address else address
    async with client() as found:
        with pytest.raises(Blocked):
            await ask(found, f"https://{host}/")


@pytest.mark.parametrize("host", OTHER_NOTATIONS)
async def test_decimal_hexadecimal_octal_and_short_addresses_are_refused(ask, host):
    async with client() as found:
        with pytest.raises(Blocked):
            await ask(found, f"https://{host}/")


@pytest.mark.parametrize("host", ["１２７.0.0.1", "127。0。0。1", "①②⑦.0.0.1", "127.0.0.1.", "2130706433.", "%31%32%37.0.0.1"])
async def test_addresses_in_other_scripts_or_with_a_dot_behind_are_refused(ask, host):
    async with client(lookup=Names(["127.0.0.1"])) as found:
        with pytest.raises((Blocked, Unreachable)):
            await ask(found, f"https://{host}:1/")


@pytest.mark.parametrize("address", NOT_PUBLIC + EMBEDDED)
async def test_a_name_with_an_address_that_is_not_public_is_blocked(ask, address):
    names = Names([address])
    async with client(lookup=names) as found:
        with pytest.raises(Blocked, match=r"peer\.example"):
            await ask(found, "https://peer.example/")
    assert names.asked == ["peer.example"]


async def test_one_address_that_is_not_public_among_public_ones_blocks_the_call(ask):
    async with client(lookup=Names(["93.184.215.14", "127.0.0.1"])) as found:
        with pytest.raises(Blocked):
            await ask(found, "https://peer.example/")


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14", "64:ff9b::93.184.215.14"]
)
def test_public_addresses_are_permitted(address):
    assert permitted("peer.example", ipaddress.ip_address(address), Outbound())


@pytest.mark.parametrize(
    ("allow", "host", "address", "expected"),
    [
        ("peer.example", "peer.example", "10.0.0.1", True),
        ("peer.example", "PEER.example", "10.0.0.1", True),
        ("peer.example", "other.example", "10.0.0.1", False),
        ("peer.example", "x.peer.example", "10.0.0.1", False),
        ("10.0.0.0/8", "peer.example", "10.9.9.9", True),
        ("10.0.0.0/8", "peer.example", "192.168.0.1", False),
        ("10.0.0.0/8", "peer.example", "::ffff:10.0.0.1", True),
        ("10.0.0.1", "peer.example", "10.0.0.1", True),
        ("10.0.0.1", "peer.example", "10.0.0.2", False),
        ("fd00::/8", "peer.example", "fd00::1", True),
        ("::/0", "peer.example", "10.0.0.1", False),
    ],
)
def test_only_what_stands_in_allow_may_be_private(allow, host, address, expected):
    assert permitted(host, ipaddress.ip_address(address), Outbound(allow=frozenset({allow}))) is expected


@pytest.mark.parametrize(
    "url",
    [
        "http://peer.example/",
        "ftp://peer.example/",
        "file:///etc/passwd",
        "peer.example/",
        "//peer.example/",
        "",
        "https://",
        "https:///x",
        "https://user@peer.example/",
        "https://user:word@peer.example/",
        "https://:word@peer.example/",
        "https://public.example:443@127.0.0.1/",
        "https://[::1",
        "https://peer.example:99999/",
        "https://peer.example:x/",
        "javascript:alert(1)",
    ],
)
async def test_what_is_not_plain_https_with_a_host_is_refused(ask, url):
    async with client() as found:
        with pytest.raises(Blocked):
            await ask(found, url)


@pytest.mark.parametrize("scheme", ["ftp", "ws", "file"])
async def test_where_http_is_allowed_other_schemes_are_not(ask, scheme):
    async with client(require_https=False) as found:
        with pytest.raises(Blocked):
            await ask(found, f"{scheme}://peer.example/")


async def test_other_ports_are_refused_where_ports_are_listed(ask):
    async with client(ports=frozenset({443})) as found:
        with pytest.raises(Blocked, match="8443"):
            await ask(found, "https://peer.example:8443/")


async def test_rebinding_the_name_is_looked_up_once_for_a_connection_and_the_checked_address_is_used(ask, monkeypatch):
    """The second answer, which would not pass, is never asked for; nor does the machine's own resolver see the name."""
    names = Names(["127.0.0.1"], ["10.0.0.1"])

    async def handler(request):
        return web.Response(text=request.headers["Host"])

    asked = []
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: asked.append(host) or real(host, *rest, **more))
    async with plain(handler) as port, client(lookup=names, allow=LOOPBACK, require_https=False) as found:
        reply = await ask(found, f"http://peer.example:{port}/")
        assert reply.body == f"peer.example:{port}".encode()
        assert (await ask(found, f"http://peer.example:{port}/")).status == 200
    assert names.asked == ["peer.example"]
    assert "peer.example" not in asked


async def test_rebinding_a_new_connection_is_checked_anew(ask):
    names = Names(["127.0.0.1"], ["10.0.0.1"])

    async def handler(_):
        answer = web.Response(text="ok")
        answer.force_close()
        return answer

    async with plain(handler) as port, client(lookup=names, allow=LOOPBACK, require_https=False) as found:
        assert (await ask(found, f"http://peer.example:{port}/")).status == 200
        found.reload()
        with pytest.raises(Blocked):
            await ask(found, f"http://peer.example:{port}/")
    assert names.asked == ["peer.example"] * 2


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(ask, code):
    paths = []

    async def handler(request):
        paths.append(request.path)
        return web.Response(status=code, headers={"Location": "/elsewhere"})

    async with plain(handler) as port, client(allow=LOOPBACK, require_https=False) as found:
        assert (await ask(found, f"http://127.0.0.1:{port}/here")).status == code
    assert paths == ["/here"]


async def test_the_proxy_of_the_environment_is_not_used(ask, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    async def handler(_):
        return web.Response(text="direct")

    async with plain(handler) as port, client(allow=LOOPBACK, require_https=False) as found:
        assert (await ask(found, f"http://127.0.0.1:{port}/")).body == b"direct"


async def test_cookies_are_not_kept(ask):
    cookies = []

    async def handler(request):
        cookies.append(request.headers.get("Cookie"))
        return web.Response(headers={"Set-Cookie": "a=b"})

    async with plain(handler) as port, client(allow=LOOPBACK, require_https=False) as found:
        for _ in range(2):
            await ask(found, f"http://127.0.0.1:{port}/")
    assert cookies == [None, None]


async def answering(ask, body, headers=None, **rules):
    async def handler(_):
        return web.Response(body=body, headers=headers)

    given = {name: rules.pop(name) for name in ("max_bytes",) if name in rules}
    async with plain(handler) as port, client(allow=LOOPBACK, require_https=False, **rules) as found:
        return await ask(found, f"http://127.0.0.1:{port}/", **given)


async def test_a_body_at_the_cap_is_read_and_one_byte_more_is_not(whole):
    assert len((await answering(whole, b"x" * 1000, max_bytes=1000)).body) == 1000
    with pytest.raises(Unreachable, match="larger than 1000"):
        await answering(whole, b"x" * 1001, max_bytes=1000)


async def test_an_endless_body_is_cut(whole):
    async def handler(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            while True:
                await answer.write(b"x" * 65_536)
        except ConnectionError:
            return answer

    async with plain(handler) as port, client(allow=LOOPBACK, require_https=False) as found:
        with pytest.raises(Unreachable, match="larger"):
            await whole(found, f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_bomb_is_capped_after_decompression(whole, encoding):
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    bomb = pack(b"\0" * 50_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(Unreachable, match="larger than 100000"):
        await answering(whole, bomb, {"Content-Encoding": encoding}, max_bytes=100_000)


async def test_a_server_that_never_answers_is_given_up(ask):
    gate = asyncio.Event()

    async def handler(_):
        await gate.wait()
        return web.Response()

    async with plain(handler) as port, client(allow=LOOPBACK, require_https=False, timeout=0.05) as found:
        with pytest.raises(Unreachable, match="no whole answer in time"):
            await ask(found, f"http://127.0.0.1:{port}/")
        gate.set()


async def test_one_host_has_its_share_of_the_connections_and_no_more(ask):
    """The others wait, and a host that holds all it may have keeps nobody else's calls back."""
    gate, full, held = asyncio.Event(), asyncio.Event(), 0

    async def slow(_):
        nonlocal held
        held += 1
        if held == PER_HOST:
            full.set()
        await gate.wait()
        return web.Response()

    async def quick(_):
        return web.Response()

    async with plain(slow) as busy, plain(quick) as free, client(allow=LOOPBACK, require_https=False) as found:
        calls = [asyncio.create_task(ask(found, f"http://127.0.0.1:{busy}/")) for _ in range(PER_HOST + 10)]
        await full.wait()
        assert (await ask(found, f"http://127.0.0.1:{free}/")).status == 200
        assert held == PER_HOST < MOST
        gate.set()
        assert {each.status for each in await asyncio.gather(*calls)} == {200}


async def test_a_server_that_drips_is_given_up_by_the_total_time(ask):
    gate = asyncio.Event()

    async def handler(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"x")
        await gate.wait()
        return answer

    async with plain(handler) as port, client(allow=LOOPBACK, require_https=False) as found:
        with pytest.raises(Unreachable, match="no whole answer in time"):
            await ask(found, f"http://127.0.0.1:{port}/", timeout=0.05)
        gate.set()


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"])
async def test_what_is_no_answer_is_unreachable(ask, answer):
    async def serve(_, writer):
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, client(allow=LOOPBACK, require_https=False) as found:
        with pytest.raises(Unreachable):
            await ask(found, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


@asynccontextmanager
async def scripted(*answers):
    """A server that gives each request of its connections the next of these answers, and ends a connection after one that ends with `closing`; (port, what it heard)."""
    left, heard = list(answers), []

    async def serve(reader, writer):
        with closing(writer), suppress(asyncio.IncompleteReadError):
            while True:
                heard.append(await reader.readuntil(b"{}"))
                for part in left.pop(0):
                    if part == "closing":
                        return
                    writer.write(part)
                    await asyncio.sleep(0.01)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


async def test_a_message_is_written_as_one_request():
    async with (
        scripted([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]) as (port, heard),
        client(allow=LOOPBACK, require_https=False) as found,
    ):
        url = f"http://127.0.0.1:{port}/a%20b/ü?q=1#part"
        assert (await found.request("POST", url, headers={"Authorization": "Bearer x"}, body=b"{}")).body == b"ok"
    first, *lines = heard[0].split(b"\r\n")
    assert first == b"POST /a%20b/%C3%BC?q=1 HTTP/1.1"
    assert set(lines) == {
        f"Host: 127.0.0.1:{port}".encode(), b"Content-Length: 2", b"Accept: */*", b"Accept-Encoding: gzip, deflate", b"Authorization: Bearer x", b"", b"{}",
    }  # fmt: skip
    assert len(lines) == 7


async def test_a_message_says_what_it_accepts_once():
    answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]
    async with scripted(answer) as (port, heard), client(allow=LOOPBACK, require_https=False) as found:
        await found.request("POST", f"http://127.0.0.1:{port}/", headers={"Accept": "application/json"}, body=b"{}")
    assert [line for line in heard[0].split(b"\r\n") if line.startswith(b"Accept:")] == [b"Accept: application/json"]


async def test_a_compressed_answer_is_asked_for_and_read(ask):
    async def handler(request):
        answer = web.Response(body=b"x" * 10_000)
        answer.enable_compression()
        answer.headers["X-Asked"] = request.headers["Accept-Encoding"]
        return answer

    async with plain(handler) as port, client(allow=LOOPBACK, require_https=False) as found:
        reply = await ask(found, f"http://127.0.0.1:{port}/")
    assert reply.body == b"x" * 10_000
    assert reply.headers["Content-Encoding"] in reply.headers["X-Asked"]
    assert "gzip" in reply.headers["X-Asked"]


@pytest.mark.parametrize(
    "answer",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"wh", b"ole"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nwh\r\n3", b"\r\nole\r\n0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n\r\nwh", b"ole", "closing"],
        [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nLink: <x>\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole"],
        [b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nwhole", "closing"],
    ],
    ids=["length", "chunked", "until the end", "interim", "1.0"],
)  # fmt: skip
async def test_an_answer_to_a_message_is_read_whole_however_it_is_framed(answer):
    async with scripted(answer, answer) as (port, heard), client(allow=LOOPBACK, require_https=False) as found:
        for _ in range(2):
            reply = await found.request("POST", f"http://127.0.0.1:{port}/", body=b"{}")
            assert (reply.status, reply.body) == (200, b"whole")
    assert len(heard) == 2


async def test_an_answer_without_a_body_is_read():
    nothing = [b"HTTP/1.1 204 No Content\r\nRetry-After: 7\r\n\r\n"]
    async with scripted(nothing, nothing) as (port, _), client(allow=LOOPBACK, require_https=False) as found:
        for _ in range(2):
            reply = await found.request("POST", f"http://127.0.0.1:{port}/", body=b"{}")
            assert (reply.status, reply.body, reply.headers["retry-after"]) == (204, b"", "7")


async def test_a_message_is_not_sent_again_by_itself():
    """Whether it arrived is not known: the outbox decides, with a new token."""
    kept = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]
    async with scripted(kept, ["closing"], kept) as (port, heard), client(allow=LOOPBACK, require_https=False) as found:
        url = f"http://127.0.0.1:{port}/"
        assert (await found.request("POST", url, body=b"{}")).status == 200
        with pytest.raises(Unreachable):
            await found.request("POST", url, body=b"{}")
        assert len(heard) == 2
        assert (await found.request("POST", url, body=b"{}")).status == 200


async def test_more_than_one_answer_to_a_message_ends_the_connection():
    """What was not asked for is not taken for the answer to the next message."""
    ours, theirs = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nours", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ntheirs"
    async with scripted([ours + theirs], [ours]) as (port, _), client(allow=LOOPBACK, require_https=False) as found:
        for _ in range(2):
            assert (await found.request("POST", f"http://127.0.0.1:{port}/", body=b"{}")).body == b"ours"


@pytest.mark.parametrize("value", ["x\r\nX-More: y", "x\ny", "x\0"], ids=ascii)
async def test_a_header_of_a_message_is_one_line(value):
    async with scripted([b""]) as (port, heard), client(allow=LOOPBACK, require_https=False) as found:
        with pytest.raises(Unreachable, match="control characters"):
            await found.request("POST", f"http://127.0.0.1:{port}/", headers={"Authorization": value}, body=b"{}")
        with pytest.raises(Unreachable, match="control characters"):
            await found.request("POST", f"http://127.0.0.1:{port}/", headers={value: "x"}, body=b"{}")
    assert heard == []


async def test_messages_share_connections_with_other_calls():
    connections = set()

    async def handler(request):
        connections.add(request.transport.get_extra_info("peername"))
        return web.Response(body=await request.read())

    async with plain(handler) as port, client(allow=LOOPBACK, require_https=False) as found:
        url = f"http://127.0.0.1:{port}/"
        for _ in range(3):
            assert (await found.request("POST", url, body=b"x" * 200_000)).body == b"x" * 200_000
            assert (await found.request("GET", url)).status == 200
    assert len(connections) == 1


async def test_streams_and_messages_to_one_host_share_a_bound():
    gate, held = asyncio.Event(), 0

    async def handler(_):
        nonlocal held
        held += 1
        await gate.wait()
        return web.Response()

    async with plain(handler) as port, client(allow=LOOPBACK, require_https=False) as found:
        url = f"http://127.0.0.1:{port}/"
        calls = [
            asyncio.create_task(way(found, url)) for _ in range(PER_HOST) for way in (streamed, lambda c, u: c.request("GET", u))
        ]
        while held < PER_HOST:
            await asyncio.sleep(0.01)
        with pytest.raises(Unreachable, match="in time"):
            await found.request("POST", url, body=b"{}", timeout=0.05)
        with pytest.raises(Unreachable, match="in time"):
            await streamed(found, url, timeout=0.05)
        assert held == PER_HOST
        gate.set()
        assert {each.status for each in await asyncio.gather(*calls)} == {200}


async def test_a_call_that_is_given_up_leaves_its_place_and_not_its_connection(whole):
    gate, connections = asyncio.Event(), set()

    async def handler(request):
        connections.add(request.transport.get_extra_info("peername"))
        await gate.wait()
        return web.Response()

    async with plain(handler) as port, client(allow=LOOPBACK, require_https=False) as found:
        url = f"http://127.0.0.1:{port}/"
        for tries in (1, 2):
            calls = [asyncio.create_task(whole(found, url)) for _ in range(PER_HOST + 5)]
            while len(connections) < tries * PER_HOST:
                await asyncio.sleep(0.01)
            for each in calls:
                each.cancel()
            assert all(isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(*calls, return_exceptions=True))
        gate.set()
        assert (await whole(found, url)).status == 200
    assert len(connections) == 2 * PER_HOST + 1


async def test_what_nobody_asked_for_ends_a_connection():
    """An answer that comes by itself, later, is not that to the next message."""
    ours, theirs = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nours", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ntheirs"
    async with scripted([ours, theirs], [ours]) as (port, heard), client(allow=LOOPBACK, require_https=False) as found:
        url = f"http://127.0.0.1:{port}/"
        assert (await found.request("POST", url, body=b"{}")).body == b"ours"
        await asyncio.sleep(0.05)
        assert (await found.request("POST", url, body=b"{}")).body == b"ours"
    assert len(heard) == 2


async def test_an_upgrade_is_no_answer():
    async with (
        scripted([b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nmore"]) as (port, _),
        client(allow=LOOPBACK, require_https=False) as found,
    ):
        with pytest.raises(Unreachable, match="upgrade"):
            await found.request("POST", f"http://127.0.0.1:{port}/", body=b"{}")


async def test_a_kept_connection_that_ends_with_a_question_is_no_error_for_it():
    """A server may close it in the same moment; what only asks may be asked again, a message may not."""
    asked = []

    async def serve(reader, writer):
        with closing(writer):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            asked.append(await reader.readuntil(b"\r\n\r\n"))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, client(allow=LOOPBACK, require_https=False) as found:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for _ in range(2):
            assert (await found.request("GET", url)).status == 200
        assert len(asked) == 3


async def test_connections_are_kept_for_their_time_and_the_last_used_is_used_first(monkeypatch):
    connections = []

    async def handler(request):
        connections.append(request.transport.get_extra_info("peername"))
        await asyncio.sleep(0.01)
        return web.Response()

    monkeypatch.setattr("kernel.lines.KEPT", 0.3)
    async with plain(handler) as port, client(allow=LOOPBACK, require_https=False) as found:
        url = f"http://127.0.0.1:{port}/"
        await asyncio.gather(*(found.request("GET", url) for _ in range(3)))
        for _ in range(5):
            await asyncio.sleep(0.1)
            await found.request("GET", url)
        assert len(set(connections)) == 3
        assert len(set(connections[3:])) == 1
        assert len(found._lines._open) == 1, "the others have been closed meanwhile"
        await asyncio.sleep(0.4)
        await found.request("GET", url)
        assert len(set(connections)) == 4


def test_our_servers_keep_connections_longer_than_our_clients():
    assert 60 < KEPT < IDLE


async def test_after_a_reload_connections_are_new_and_what_runs_ends_well(ask):
    gate, connections = asyncio.Event(), []

    async def handler(request):
        connections.append(request.transport.get_extra_info("peername"))
        if len(connections) == 1:
            await gate.wait()
        return web.Response()

    async with plain(handler) as port, client(allow=LOOPBACK, require_https=False) as found:
        url = f"http://127.0.0.1:{port}/"
        running = asyncio.create_task(ask(found, url))
        while not connections:
            await asyncio.sleep(0.01)
        assert (await ask(found, url)).status == 200
        found.reload()
        assert (await ask(found, url)).status == 200
        gate.set()
        assert (await running).status == 200
        assert (await ask(found, url)).status == 200
    assert len(set(connections)) == 3
    assert connections[3] == connections[2]


async def test_what_runs_when_the_client_is_closed_fails(whole):
    gate = asyncio.Event()

    async def handler(_):
        gate.set()
        await asyncio.sleep(10)

    async with plain(handler) as port:
        async with client(allow=LOOPBACK, require_https=False) as found:
            running = asyncio.create_task(whole(found, f"http://127.0.0.1:{port}/"))
            await gate.wait()
        with pytest.raises(Unreachable):
            await asyncio.wait_for(running, 5)


async def test_who_asks_for_a_name_at_the_same_time_shares_the_look_up(whole):
    names = Names(["127.0.0.1"])

    async def slowly(host, port):
        await asyncio.sleep(0.01)
        return await names(host, port)

    async def handler(_):
        return web.Response()

    async with plain(handler) as port, client(lookup=slowly, allow=LOOPBACK, require_https=False) as found:
        await asyncio.gather(*(whole(found, f"http://peer.example:{port}/") for _ in range(20)))
    assert names.asked == ["peer.example"]


@pytest.mark.parametrize(
    "path", ["/", "/a/b", "/a//b", "/urn:uuid:1/x", "/a%20b", "/a%2fb", "/a b", "/ü", "/a/../b", "/a/./b", "/.well-known/x", "/a.b~c-d_e", "/a?q=1&r=%20", "/a#b", "", "?q", "/a@b;c=d,e", "/a\\b", '/"<>^`{|}']
)  # fmt: skip
async def test_a_path_is_sent_as_the_library_writes_it(path):
    async with (
        scripted([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]) as (port, heard),
        client(allow=LOOPBACK, require_https=False) as found,
    ):
        url = f"http://127.0.0.1:{port}{path}"
        await found.request("POST", url, body=b"{}")
    assert heard[0].partition(b"\r\n")[0].decode() == f"POST {URL(url).raw_path_qs} HTTP/1.1"


async def test_a_name_that_does_not_resolve_is_unreachable(ask):
    async def lookup(host, _):
        raise socket.gaierror(socket.EAI_NONAME, f"no such name: {host}")

    async with client(lookup=lookup) as found:
        with pytest.raises(Unreachable, match=r"peer\.example"):
            await ask(found, "https://peer.example/")


async def test_a_peer_that_is_down_is_told_in_plain_words(ask):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with client(allow=LOOPBACK) as found:
        with pytest.raises(Unreachable) as refused:
            await ask(found, f"https://127.0.0.1:{port}/")
    assert "SSLContext" not in refused.value.detail
    assert str(port) in refused.value.detail
    assert refused.value.next_step


def test_callers_can_tell_forbidden_from_failed():
    assert issubclass(Blocked, BadInput)
    assert issubclass(WrongServer, Unreachable)
    assert issubclass(Unreachable, UnavailableError)


async def test_a_server_that_names_the_expected_did_is_sent_the_request(ask, tmp_path):
    async with (
        Peer(tmp_path, DID).serving() as peer,
        client(tls=peer.trusting, lookup=Names(["127.0.0.1"]), allow=LOOPBACK) as found,
    ):
        reply = await ask(found, peer.url, expect_did=DID)
    assert reply.body == b"ok"
    assert peer.heard.startswith(b"POST /secret-path HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "uris", [(), ("did:web:thief.example",), (DID, "did:web:thief.example"), (DID + ":more",), ("https://peer.example",)], ids=str
)
async def test_a_server_that_does_not_name_the_expected_did_gets_no_byte_of_the_request(tmp_path, uris):
    async with (
        Peer(tmp_path, *uris).serving() as peer,
        client(tls=peer.trusting, lookup=Names(["127.0.0.1"]), allow=LOOPBACK) as found,
    ):
        with pytest.raises(WrongServer):
            await found.request("POST", peer.url, headers={"Authorization": "Bearer secret"}, body=b"secret", expect_did=DID)
        await found.close()
        await asyncio.wait_for(peer.over.wait(), 10)
    assert peer.connections == 1
    assert peer.heard == b""


async def test_a_connection_opened_without_a_did_is_looked_at_when_a_did_is_expected(ask, tmp_path):
    async with (
        Peer(tmp_path, "did:web:thief.example").serving() as peer,
        client(tls=peer.trusting, lookup=Names(["127.0.0.1"]), allow=LOOPBACK) as found,
    ):
        assert (await ask(found, peer.url)).status == 200
        before = peer.heard
        with pytest.raises(WrongServer):
            await ask(found, peer.url, expect_did=DID)
        assert peer.heard == before


async def test_expecting_a_did_over_plain_http_sends_nothing(ask):
    heard = []

    async def handler(request):
        heard.append(request.path)
        return web.Response()

    async with plain(handler) as port, client(allow=LOOPBACK, require_https=False) as found:
        with pytest.raises(WrongServer):
            await ask(found, f"http://127.0.0.1:{port}/", expect_did=DID)
    assert heard == []


async def test_a_server_of_an_unknown_authority_is_unreachable_and_hears_nothing(ask, tmp_path):
    async with Peer(tmp_path, DID).serving() as peer, client(lookup=Names(["127.0.0.1"]), allow=LOOPBACK) as found:
        with pytest.raises(Unreachable):
            await ask(found, peer.url, expect_did=DID)
    assert peer.heard == b""


async def test_a_certificate_for_another_host_is_refused(ask, tmp_path):
    async with (
        Peer(tmp_path, DID).serving() as peer,
        client(tls=peer.trusting, lookup=Names(["127.0.0.1"]), allow=LOOPBACK) as found,
    ):
        with pytest.raises(Unreachable):
            await ask(found, f"https://other.example:{peer.port}/", expect_did=DID)
    assert peer.heard == b""
