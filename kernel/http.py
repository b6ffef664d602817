"""The one client for everything fetched because somebody else named it: DID documents, status lists, callbacks, data.

Rules
- HTTPS only (unless the rules say otherwise), no user info, no redirects, no proxies from the environment.
- The host is resolved once, every address is checked, and the connection goes to a checked address: a second answer of a lying name
  server changes nothing. Private, loopback, link-local, multicast, reserved addresses, in any notation or inside an IPv6
  address (mapped, 6to4, NAT64), are refused unless the host name or the network stands in `allow`.
- Bodies are read up to a cap after decompression, within a time limit.
- With `expect_did` the server's certificate must carry exactly that DID as its URI name.
- A server certificate that names a DID is asked about (`revoked`) before every request, also on a connection that is kept alive.
- Messages (POST with a body of bytes) are written and read on the library's connections without its session, whose layers take more CPU than all else of a call (ADR 0025).

Not done here: retries (`connector.worker`), caching (callers know for how long).
"""

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, cast
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from cryptography import x509
from msgspec import Struct
from yarl import URL

from kernel.errors import BadInput, UnavailableError

Lookup = Callable[[str, int], Awaitable[list[str]]]
_UNICAST = ipaddress.ip_network("2000::/3")  # all IPv6 that is routed publicly
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
PER_HOST = 64  # connections to one host: as many as the outbox sends messages at once, which would wait here for a free one
MOST = 256  # connections to all hosts together; no host can have them all
KEPT = 60.0  # seconds that an idle connection is kept; less than our own servers keep theirs
_UNTIMED = aiohttp.ClientTimeout()  # for parts of a call that has its time already
_SAID = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate"}  # with every message that does not say otherwise
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FAILURES = (TimeoutError, aiohttp.ClientError, HttpProcessingError, OSError, ValueError)
_shown: WeakKeyDictionary[Any, "_Shown"] = WeakKeyDictionary()  # the certificate of a connection, read once
_expected: ContextVar[tuple[str | None, Callable[[bytes], bool]] | None] = ContextVar("expected_server", default=None)


class Outbound(Struct, frozen=True, kw_only=True):
    """What outgoing calls may do; `allow` holds host names and networks that may have private addresses."""

    allow: frozenset[str] = frozenset()
    require_https: bool = True
    ports: frozenset[int] | None = None
    max_bytes: int = 1_048_576
    timeout: float = 10.0


class Reply(Struct, frozen=True):
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Blocked(BadInput):
    """The rules forbid this call."""

    code = "blocked-address"


class Unreachable(UnavailableError):
    """No usable answer: refused, reset, timed out, too large, wrong certificate."""

    code = "unreachable"


class WrongServer(Unreachable):
    """The server's certificate does not name the DID that is called; nothing was sent."""

    code = "wrong-server"


class RevokedServer(WrongServer):
    """The server's member certificate is revoked, or cannot be checked; nothing was sent."""

    code = "revoked-server"


class _Shown(Struct, frozen=True):
    """What a server has shown: its certificate (DER), and the URI names in it."""

    certificate: bytes
    uris: list[str]


def _nothing_revoked(_certificate: bytes) -> bool:
    return False


class GuardedClient:
    """A pool of connections under rules. `tls` gives the context for new connections, read anew after `reload`."""

    def __init__(
        self,
        rules: Outbound,
        *,
        tls: Callable[[], ssl.SSLContext],
        lookup: Lookup | None = None,
        revoked: Callable[[bytes], bool] = _nothing_revoked,
        pinned: Callable[[], ssl.SSLContext] | None = None,
        anonymous: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        """`pinned` gives the context of calls with `expect_did`, `anonymous` that of calls without `Authorization`, where they are other ones than `tls`.

        `revoked` tells whether a server certificate (DER) that names a DID must not be relied on; asked before every request.
        """
        self._rules = rules
        self._tls, self._pinned, self._anonymous = tls, pinned, anonymous
        self._contexts: dict[bool, ssl.SSLContext] = {}  # pinned, and anonymous
        self._origins: dict[tuple[URL, ssl.SSLContext | bool], aiohttp.ClientRequest] = {}
        self._revoked = revoked
        self._resolver = _CheckedResolver(rules, lookup or _lookup)
        self._session: aiohttp.ClientSession | None = None
        self._retired: set[asyncio.Task[None]] = set()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        max_bytes: int | None = None,
        timeout: float | None = None,
        expect_did: str | None = None,
        even_revoked: bool = False,
    ) -> Reply:
        """One call, its answer read to the end. Raises `Blocked` or `Unreachable`, never anything of the library's.

        `even_revoked`: a server certificate that is revoked is no reason not to call, for what must reach one who was cut off.
        """
        cap = max_bytes or self._rules.max_bytes
        if method == "POST" and body is not None:
            return await self._post(url, headers or {}, body, cap, timeout, expect_did, even_revoked)
        async with self.stream(
            method, url, headers=headers, body=body, timeout=timeout, expect_did=expect_did, even_revoked=even_revoked
        ) as answer:
            return Reply(answer.status, answer.headers, await _read(answer.content, cap, url))

    async def _post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        cap: int,
        timeout: float | None,
        expect_did: str | None,
        even_revoked: bool,
    ) -> Reply:
        """One message on a connection of the session's pool. Never sent twice."""
        target = self._checked(url)
        try:
            message = _head(target, headers, len(body)) + body
            async with asyncio.timeout(timeout or self._rules.timeout):
                pool = cast("aiohttp.TCPConnector", self._open().connector)
                held = await pool.connect(self._origin(target, self._context(expect_did, headers)), [], _UNTIMED)
                try:
                    _check_server(held.transport, expect_did, _nothing_revoked if even_revoked else self._revoked)
                    reply = await _exchanged(held, message, cap, url)
                except BaseException:
                    held.close()
                    raise
                held.release()
                return reply
        except (BadInput, Unreachable):
            raise
        except _FAILURES as error:
            raise _failure(error, target) from error

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        timeout: float | None = None,
        expect_did: str | None = None,
        even_revoked: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer as it comes; `body` is bytes or an asynchronous iterator of bytes."""
        target = self._checked(url)
        limit = aiohttp.ClientTimeout(total=timeout or self._rules.timeout)
        try:
            expected = _expected.set((expect_did, _nothing_revoked if even_revoked else self._revoked))
            try:
                sent = await self._open().request(
                    method,
                    target,
                    headers=headers,
                    data=body,
                    timeout=limit,
                    allow_redirects=False,
                    ssl=self._context(expect_did, headers),
                )
            finally:
                _expected.reset(expected)
            async with sent as answer:
                yield answer
        except (BadInput, Unreachable):
            raise
        except _FAILURES as error:
            raise _failure(error, target) from error

    def reload(self) -> None:
        """Use fresh connections from now on: after a certificate has changed. Running calls finish."""
        old, self._session = self._session, None
        self._contexts.clear()
        self._origins.clear()
        if old is not None:
            task = asyncio.get_running_loop().create_task(_retire(old))
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)

    async def close(self) -> None:
        """Close all connections."""
        for task in list(self._retired):
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                ssl=self._tls(), resolver=self._resolver, limit=MOST, limit_per_host=PER_HOST, keepalive_timeout=KEPT
            )
            self._session = aiohttp.ClientSession(
                connector=connector, request_class=_Request, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _context(self, expect_did: str | None, headers: Mapping[str, str] | None) -> ssl.SSLContext | bool:
        """The context of a call; True is the session's own."""
        pinned = expect_did is not None
        make = self._pinned if pinned else None if "Authorization" in (headers or {}) else self._anonymous
        if make is None:
            return True
        found = self._contexts.get(pinned)
        if found is None:
            found = self._contexts[pinned] = make()
        return found

    def _origin(self, target: URL, context: ssl.SSLContext | bool) -> aiohttp.ClientRequest:
        """What the pool knows a server by."""
        key = target.origin(), context
        found = self._origins.get(key)
        if found is None:
            if len(self._origins) >= MOST:
                self._origins.clear()
            found = self._origins[key] = aiohttp.ClientRequest("POST", key[0], ssl=context, loop=asyncio.get_running_loop())
        return found

    def _checked(self, url: str) -> URL:
        try:
            target = URL(url)
        except ValueError as error:
            raise Blocked(f"not a URL: {url[:200]}") from error
        if target.scheme != "https" and (self._rules.require_https or target.scheme != "http"):
            raise Blocked(f"not an https URL: {url[:200]}")
        if not target.host or target.user or target.password:
            raise Blocked(f"no plain host in {url[:200]}")
        if self._rules.ports is not None and target.port not in self._rules.ports:
            raise Blocked(f"port {target.port} is not allowed")
        address = _address(target.host)
        if address is not None and not permitted(target.host, address, self._rules):
            raise Blocked(f"address {target.host} is not public")
        return target


class _CheckedResolver(AbstractResolver):
    """Resolves once and hands only checked addresses to the connector."""

    def __init__(self, rules: Outbound, lookup: Lookup) -> None:
        self._rules = rules
        self._lookup = lookup

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002  the signature of the library
    ) -> list[ResolveResult]:
        found = await self._lookup(host, port)
        for each in found:
            if not permitted(host, ipaddress.ip_address(each), self._rules):
                raise OSError(f"{host} has the address {each}, which is not public") from Blocked(
                    f"{host} has an address that is not public", address=each
                )
        return [
            ResolveResult(
                hostname=host, host=each, port=port, family=socket.AF_INET6 if ":" in each else socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST,
            )
            for each in found
        ]  # fmt: skip

    async def close(self) -> None:
        return


def permitted(host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address, rules: Outbound) -> bool:
    """Whether a call to `host` may go to `address`."""
    plain = _embedded(address) or address
    if plain.is_global and not plain.is_multicast and (plain.version == 4 or plain in _UNICAST):
        return True
    if host.lower() in rules.allow:
        return True
    return any(plain in network for network in map(_network, rules.allow) if network and network.version == plain.version)


def _embedded(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address inside an IPv6 one that leads to it: mapped, 6to4, NAT64 (RFC 6052)."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    translated = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
    return address.ipv4_mapped or address.sixtofour or translated


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address written in the host, also as a decimal, octal or hexadecimal number; None for a name."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        try:
            return ipaddress.ip_address(socket.inet_aton(host))
        except OSError:
            return None


async def _lookup(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def _head(target: URL, headers: Mapping[str, str], length: int) -> bytes:
    """Request line and headers; raises `ValueError` for headers that would be more than one line."""
    lines = [f"{name}: {value}" for name, value in {**_SAID, **headers}.items()]
    if any(map(_CONTROL.search, lines)):
        raise ValueError("a header has control characters")
    start = f"POST {target.raw_path_qs} HTTP/1.1", f"Host: {target.host_port_subcomponent}", f"Content-Length: {length}"
    return "\r\n".join((*start, *lines, "\r\n")).encode()


async def _exchanged(held: Connection, message: bytes, cap: int, url: str) -> Reply:
    protocol = held.protocol
    if protocol is None or protocol.transport is None:
        raise aiohttp.ClientConnectionResetError("the connection is closed")
    protocol.set_response_params(read_until_eof=True)
    protocol.transport.write(message)
    answer, content = await protocol.read()
    while 100 <= answer.code < 200:  # an interim answer
        answer, content = await protocol.read()
    return Reply(answer.code, answer.headers, await _read(content, cap, url))


async def _read(content: aiohttp.StreamReader, cap: int, url: str) -> bytes:
    parts, size = [], 0
    while part := await content.readany():
        size += len(part)
        if size > cap:
            raise Unreachable(f"the answer is larger than {cap} bytes", url=url)
        parts.append(part)
    return b"".join(parts)


def _failure(error: Exception, target: URL) -> Blocked | Unreachable:
    """What the library's error means."""
    cause = error.__cause__ and error.__cause__.__cause__  # it wraps what the resolver raised
    if isinstance(cause, Blocked):
        return cause
    why = str(getattr(error, "os_error", error)) or type(error).__name__  # its own words name an object
    why = "no whole answer in time" if isinstance(error, TimeoutError) else why
    return Unreachable(f"{target.host}: {why}", url=str(target), next_step="check address, network and peer")


class _Request(aiohttp.ClientRequest):
    """Looks at the server's certificate before the first byte of a request leaves."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        if (expected := _expected.get()) is not None:
            _check_server(conn.transport, *expected)
        return await super().send(conn)


def _check_server(transport: asyncio.Transport | None, did: str | None, revoked: Callable[[bytes], bool]) -> None:
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    shown = _certificate(tls) if tls is not None else _Shown(b"", [])
    if did is not None and shown.uris != [did]:
        raise WrongServer(f"the server's certificate names {shown.uris[0] if shown.uris else 'no DID'}, not {did}")
    if any(each.startswith("did:") for each in shown.uris) and revoked(shown.certificate):
        raise RevokedServer(f"the certificate of {shown.uris[0]} is revoked, or no current revocation list tells that it is not")


def _certificate(tls: Any) -> _Shown:
    found = _shown.get(tls)
    if found is None:
        der = tls.getpeercert(True)
        found = _shown[tls] = _Shown(der, _names(der))
    return found


def _names(der: bytes) -> list[str]:
    try:
        names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return names.value.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound):
        return []


async def _retire(session: aiohttp.ClientSession) -> None:
    try:
        await asyncio.sleep(60)
    finally:
        await session.close()
