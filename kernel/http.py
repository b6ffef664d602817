"""The one client for everything fetched because somebody else named it: DID documents, status lists, callbacks, data.

Rules
- HTTPS only (unless the rules say otherwise), no user info, no redirects, no proxies from the environment.
- The host is resolved once, every address is checked, and the connection goes to a checked address: a second answer of a lying name
  server changes nothing. Private, loopback, link-local, multicast, reserved addresses, in any notation or inside an IPv6
  address (mapped, 6to4, NAT64), are refused unless the host name or the network stands in `allow`.
- Bodies are read up to a cap after decompression, within a time limit.
- With `expect_did` the server's certificate must carry exactly that DID as its URI name.
- A server certificate that names a DID is asked about (`revoked`) before every request, also on a connection that is kept alive.
- What is answered whole goes out on connections of our own (`kernel.lines`), streams by the library's session, whose layers take more CPU than all else of a message (ADR 0032).
  The rules are the same for both, and so are the bounds on connections.

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
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct
from yarl import URL

from kernel.errors import BadInput, UnavailableError
from kernel.lines import KEPT, MOST, PER_HOST, Lines, Reply, Server, Shown, TooLong, shown

__all__ = [
    "MOST",
    "PER_HOST",
    "Blocked",
    "GuardedClient",
    "Lookup",
    "Outbound",
    "Reply",
    "RevokedServer",
    "Unreachable",
    "WrongServer",
    "permitted",
]

Lookup = Callable[[str, int], Awaitable[list[str]]]
_UNICAST = ipaddress.ip_network("2000::/3")  # all IPv6 that is routed publicly
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# with every request that does not say otherwise
_SAID = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
_CONTROLS = bytes({*range(32), 127} - {9})
# an address whose path is sent as it is written: (what stands before the path, path)
_PLAIN = re.compile(r"(https?://[^/?#@\\\s]+)((?:/(?!\.)[A-Za-z0-9_.~:=@!$'()*+,;&-]*)+)")
_FAILURES = (TimeoutError, aiohttp.ClientError, HttpProcessingError, OSError, ValueError)
_shown: WeakKeyDictionary[Any, Shown] = WeakKeyDictionary()  # the certificate of a stream's connection, read once
_expected: ContextVar[tuple[str | None, Callable[[bytes], bool]] | None] = ContextVar("expected_server", default=None)


class Outbound(Struct, frozen=True, kw_only=True):
    """What outgoing calls may do; `allow` holds host names and networks that may have private addresses."""

    allow: frozenset[str] = frozenset()
    require_https: bool = True
    ports: frozenset[int] | None = None
    max_bytes: int = 1_048_576
    timeout: float = 10.0


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
        self._contexts: dict[bool | None, ssl.SSLContext] = {}  # of pinned calls, anonymous ones, and (None) all others
        self._known: dict[tuple[str, ssl.SSLContext], tuple[Server, str]] = {}
        self._revoked = revoked
        self._resolver = _CheckedResolver(rules, lookup or _lookup)
        self._lines = Lines(self._resolver.addresses)
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
        """One call, its answer read to the end; a message is sent once. Raises `Blocked` or `Unreachable`, never anything of the library's. Not for HEAD.

        `even_revoked`: a server certificate that is revoked is no reason not to call, for what must reach one who was cut off.
        """
        headers, cap = headers or {}, max_bytes or self._rules.max_bytes
        server, host, path = self._reached(url, self._context(expect_did, headers))
        until = asyncio.get_running_loop().time() + (timeout or self._rules.timeout)
        revoked = _nothing_revoked if even_revoked else self._revoked
        try:
            message = _message(method, path, host, headers, body)
            return await self._lines.ask(
                server, message, cap, until, lambda seen: _check_server(seen, expect_did, revoked), method == "GET"
            )
        except (BadInput, Unreachable):
            raise
        except TooLong:
            raise Unreachable(f"the answer is larger than {cap} bytes", url=url) from None
        except _FAILURES as error:
            raise _failure(error, host, url) from error

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
        context = self._context(expect_did, headers or {})
        server, host, _ = self._reached(url, context)
        limit = timeout or self._rules.timeout
        try:
            async with asyncio.timeout(limit):
                await self._lines.enter(server)
            try:
                expected = _expected.set((expect_did, _nothing_revoked if even_revoked else self._revoked))
                try:
                    sent = await self._open().request(
                        method,
                        URL(url),
                        headers=headers,
                        data=body,
                        timeout=aiohttp.ClientTimeout(total=limit),
                        allow_redirects=False,
                        ssl=context,
                    )
                finally:
                    _expected.reset(expected)
                async with sent as answer:
                    yield answer
            finally:
                self._lines.leave(server)
        except (BadInput, Unreachable):
            raise
        except _FAILURES as error:
            raise _failure(error, host, url) from error

    def reload(self) -> None:
        """Use fresh connections from now on: after a certificate has changed. Running calls finish."""
        old, self._session = self._session, None
        self._contexts.clear()
        self._known.clear()
        self._lines.reload()
        if old is not None:
            task = asyncio.get_running_loop().create_task(_retire(old))
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)

    async def close(self) -> None:
        """Close all connections."""
        await self._lines.close()
        for task in list(self._retired):
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(resolver=self._resolver, limit=0, keepalive_timeout=KEPT)  # places are taken before
            self._session = aiohttp.ClientSession(
                connector=connector, request_class=_Request, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _context(self, expect_did: str | None, headers: Mapping[str, str]) -> ssl.SSLContext:
        kind: bool | None = expect_did is not None
        make = self._pinned if kind else None if "Authorization" in headers else self._anonymous
        kind = None if make is None else kind
        found = self._contexts.get(kind)
        if found is None:
            found = self._contexts[kind] = (make or self._tls)()
        return found

    def _reached(self, url: str, context: ssl.SSLContext) -> tuple[Server, str, str]:
        """(server, `Host`, path) of an address; raises `Blocked`. What is checked of it stands before its path, and once checked counts for all its paths."""
        plain = _PLAIN.fullmatch(url)
        known = self._known.get((plain[1], context)) if plain else None
        if known is None:
            target = self._checked(url)
            server = self._lines.server(target.raw_host or "", target.port or 0, context if target.scheme == "https" else None)
            known = server, target.host_port_subcomponent or ""
            if plain is None:
                return *known, target.raw_path_qs
            if len(self._known) >= 4 * MOST:
                self._known.clear()
            self._known[plain[1], context] = known
        return *known, plain[2] if plain else ""

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
        self._looking: dict[tuple[str, int], asyncio.Task[list[str]]] = {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """Those of a name, all of them permitted; raises `Blocked`. Who asks at the same time shares the answer."""
        key = host, port
        looking = self._looking.get(key)
        if looking is None:
            looking = self._looking[key] = asyncio.get_running_loop().create_task(self._permitted(host, port))
            looking.add_done_callback(lambda done: (self._looking.pop(key), done.cancelled() or done.exception()))
        return await asyncio.shield(looking)

    async def _permitted(self, host: str, port: int) -> list[str]:
        found = await self._lookup(host, port)
        for each in found:
            if not permitted(host, ipaddress.ip_address(each), self._rules):
                raise Blocked(f"{host} has an address that is not public", address=each)
        return found

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002  the signature of the library
    ) -> list[ResolveResult]:
        try:
            found = await self.addresses(host, port)
        except Blocked as error:
            raise OSError(error.detail) from error  # all that the library lets pass
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


def _message(method: str, path: str, host: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """A request as it is written; raises `ValueError` for headers that would be more than one line."""
    length = [] if body is None and method == "GET" else [f"Content-Length: {len(body or b'')}"]
    said = [f"{name}: {value}" for name, value in {**_SAID, **headers}.items()]
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *length, *said]
    head = "\r\n".join(lines).encode()
    if len(head) - len(head.translate(None, _CONTROLS)) != 2 * (len(lines) - 1):  # more than the ends of our lines
        raise ValueError("a header has control characters")
    return b"".join((head, b"\r\n\r\n", body or b""))


def _failure(error: Exception, host: str, url: str) -> Blocked | Unreachable:
    """What the library's error means."""
    cause = error.__cause__ and error.__cause__.__cause__  # it wraps what the resolver raised
    if isinstance(cause, Blocked):
        return cause
    why = str(getattr(error, "os_error", error)) or type(error).__name__  # its own words name an object
    why = "no whole answer in time" if isinstance(error, TimeoutError) else why
    return Unreachable(f"{host}: {why}", url=url, next_step="check address, network and peer")


class _Request(aiohttp.ClientRequest):
    """Looks at the server's certificate before the first byte of a request leaves."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        if (expected := _expected.get()) is not None:
            tls = conn.transport.get_extra_info("ssl_object") if conn.transport is not None else None
            if tls is not None and tls not in _shown:
                _shown[tls] = shown(tls)
            _check_server(_shown[tls] if tls is not None else Shown(), *expected)
        return await super().send(conn)


def _check_server(seen: Shown, did: str | None, revoked: Callable[[bytes], bool]) -> None:
    if did is not None and seen.uris != (did,):
        raise WrongServer(f"the server's certificate names {seen.uris[0] if seen.uris else 'no DID'}, not {did}")
    if any(each.startswith("did:") for each in seen.uris) and revoked(seen.certificate):
        raise RevokedServer(f"the certificate of {seen.uris[0]} is revoked, or no current revocation list tells that it is not")


async def _retire(session: aiohttp.ClientSession) -> None:
    try:
        await asyncio.sleep(60)
    finally:
        await session.close()
