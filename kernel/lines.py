"""Connections on which a request goes out whole and its answer comes back whole, and the pool of them: what `kernel.http` asks on (ADR 0032).

Rules
- A line carries one request at a time. What ends before its answer is whole is an error; it is sent again where the caller says so, who may for what changes nothing (GET), and only
  where the line had been kept, so that its server may have been closing it meanwhile.
- A line that its server or its answer has closed is not used again, nor one that had an idle time of `KEPT`. Of several free ones the last used is the next, so that those
  which only a burst needed run out.
- What nobody asked for ends a line: it is not taken for the answer to the next request.
- A body counts after decompression, piece by piece: nothing is unpacked beyond the cap and one piece.
- `PER_HOST` and `MOST` bound the calls to one server and to all; whoever waits is served in the order of asking. Streams take their places here as well.

Not done here: which address may be called and who must answer there (`kernel.http`, which gives `resolve` and `check`).
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import Any, Final
from weakref import WeakValueDictionary

import aiohttp
from aiohappyeyeballs import start_connection
from aiohttp.http import HttpResponseParser
from cryptography import x509
from msgspec import Struct

from kernel.waiting import Places

PER_HOST: Final = 64  # to one host: as many as the outbox sends messages at once, which would wait here for a free one
MOST: Final = 256  # to all hosts together; no host can have them all
KEPT: Final = 110.0  # seconds that an idle connection is kept, for peers that talk every minute; our own servers keep theirs longer
_PIECE: Final = 262_144  # bytes that are unpacked at once
_TURNS: Final = 5  # of the loop, in which it tells what was ended
_NEXT_FAMILY: Final = 0.25  # seconds after which the next address is tried beside one that does not answer


class Reply(Struct, frozen=True):
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class TooLong(ValueError):
    """A body is larger than the caller takes."""


class Shown(Struct, frozen=True):
    """What a server has shown: its certificate (DER), and the URI names in it."""

    certificate: bytes = b""
    uris: tuple[str, ...] = ()


def shown(tls: Any) -> Shown:
    """Of the TLS side of a connection; nothing where there is none."""
    if tls is None:
        return Shown()
    der = tls.getpeercert(True)
    try:
        names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return Shown(der, tuple(names.value.get_values_for_type(x509.UniformResourceIdentifier)))
    except (ValueError, x509.ExtensionNotFound):
        return Shown(der)


class Server:
    """One host and port under one TLS context (None: plain HTTP), with its places and its free lines."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self.host, self.port, self.context = host, port, context
        self.places = Places(PER_HOST)
        self.free: deque[Line] = deque()
        self.retired = False

    def kept(self, now: float) -> "Line | None":
        """The free line that was used last."""
        while self.free:
            line = self.free.pop()
            if line.usable and now - line.since < KEPT:
                return line
            line.close()
        return None

    def drop(self, before: float) -> None:
        """Close the lines that are free since then."""
        while self.free and self.free[0].since <= before:
            self.free.popleft().close()


class Lines:
    """The lines of one client, to any servers."""

    def __init__(self, resolve: Callable[[str, int], Awaitable[list[str]]]) -> None:
        """`resolve` gives the checked addresses of a host name."""
        self._resolve = resolve
        self._servers: WeakValueDictionary[tuple[str, int, ssl.SSLContext | None], Server] = WeakValueDictionary()
        self._places = Places(MOST)
        self._open: set[Line] = set()
        self._sweeping: asyncio.TimerHandle | None = None

    def server(self, host: str, port: int, context: ssl.SSLContext | None) -> Server:
        """The same one as long as somebody holds it or a line is open to it."""
        key = host, port, context
        found = self._servers.get(key)
        if found is None:
            found = self._servers[key] = Server(*key)
        return found

    async def ask(
        self, server: Server, message: bytes, cap: int, until: float, check: Callable[[Shown], None], again: bool
    ) -> Reply:
        """One request. `check` looks at the server before the first byte leaves; `until` is a time of the loop; `again`: it may be sent more than once.

        Raises `TimeoutError`, `TooLong`, what `resolve` and `check` raise, or an error of the system or the library.
        """
        if server.places.free and self._places.free:
            await self.enter(server)  # at once
        else:
            async with asyncio.timeout_at(until):
                await self.enter(server)
        try:
            while True:
                kept = server.kept(asyncio.get_running_loop().time())
                line = kept or await self._connected(server, until)
                try:
                    check(line.shown)
                    return await line.ask(message, cap, until)
                except (ConnectionError, aiohttp.ServerDisconnectedError):
                    if kept is None or not again:
                        raise
                finally:
                    self._give(line)
        finally:
            self.leave(server)

    async def enter(self, server: Server) -> None:
        """Wait for a place; `leave` gives it back."""
        await server.places.take()
        try:
            await self._places.take()
        except BaseException:
            server.places.give()
            raise

    def leave(self, server: Server) -> None:
        """Give a place back."""
        self._places.give()
        server.places.give()

    def reload(self) -> None:
        """Use fresh connections from now on; running calls finish."""
        for each in list(self._servers.values()):
            each.retired = True
            each.drop(float("inf"))
        self._servers.clear()

    async def close(self) -> None:
        """End all connections; running calls fail."""
        self.reload()
        if self._sweeping is not None:
            self._sweeping.cancel()
        for each in list(self._open):
            each.abort()
        for _ in range(_TURNS):
            if self._open:
                await asyncio.sleep(0)

    async def _connected(self, server: Server, until: float) -> "Line":
        loop = asyncio.get_running_loop()
        async with asyncio.timeout_at(until):
            addresses = [server.host] if _literal(server.host) else await self._resolve(server.host, server.port)
            taken = await start_connection(
                [_info(each, server.port) for each in addresses], happy_eyeballs_delay=_NEXT_FAMILY, interleave=1, loop=loop
            )
            name = server.host.rstrip(".") if server.context is not None else None
            _, line = await loop.create_connection(
                lambda: Line(server, self._open), sock=taken, ssl=server.context, server_hostname=name
            )
        return line

    def _give(self, line: "Line") -> None:
        loop = asyncio.get_running_loop()
        if line.asked:  # and given up
            line.abort()
            return
        if line.server.retired or not line.usable:
            line.close()
            return
        line.since = loop.time()
        line.server.free.append(line)
        if self._sweeping is None:
            self._sweeping = loop.call_later(KEPT, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        for each in list(self._servers.values()):
            each.drop(loop.time() - KEPT)
        self._sweeping = loop.call_later(KEPT, self._sweep, loop) if self._open else None


class Line(asyncio.Protocol):
    """One connection, from the moment it is made until it is lost. Its parser is the library's, which asks its protocol to pause where a body is large."""

    def __init__(self, server: Server, among: "set[Line]") -> None:
        self.server, self._among = server, among
        self.shown, self.since = Shown(), 0.0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        itself: Any = self  # it has what the parser calls
        self._parser: Any = HttpResponseParser(
            itself, self._loop, _PIECE, payload_exception=aiohttp.ClientPayloadError, read_until_eof=True
        )
        self._answer: asyncio.Future[Reply] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._head: Any = None
        self._content: aiohttp.StreamReader | None = None
        self._parts: list[bytes] = []
        self._room = 0
        self._last = self._full = False

    @property
    def usable(self) -> bool:
        """Whether another request may go out on it."""
        return not self._last and self._answer is None and self._transport is not None and not self._transport.is_closing()

    @property
    def asked(self) -> bool:
        """Whether an answer is still to come."""
        return self._answer is not None

    def ask(self, message: bytes, cap: int, until: float) -> asyncio.Future[Reply]:
        """Write a request, whole. The future has its whole answer, or why there is none."""
        if self._transport is None or not self.usable:
            raise aiohttp.ClientConnectionResetError("the connection is closed")
        self._head, self._content, self._parts, self._room = None, None, [], cap
        answer = self._answer = self._loop.create_future()
        self._timer = self._loop.call_at(until, self._late)
        self._transport.write(message)
        return answer

    def close(self) -> None:
        """End it in order."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End it now."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The library's: it can be used."""
        self._transport = transport  # type: ignore[assignment]
        self.shown = shown(transport.get_extra_info("ssl_object"))
        self._among.add(self)

    def data_received(self, data: bytes) -> None:
        """The library's: these bytes have come."""
        if self._answer is None:
            self.abort()
            return
        try:
            more = True
            while more:
                self._full = False
                messages, upgraded, _ = self._parser.feed_data(data)
                for head, content in messages:
                    if self._head is not None or upgraded:
                        self._last = True
                    elif not 100 <= head.code < 200:  # no interim answer
                        self._head, self._content = head, content
                more, data = self._full, b""
                self._read()
            if upgraded:
                self._fail(aiohttp.ClientPayloadError("an upgrade that nobody asked for"))
        except Exception as error:  # noqa: BLE001  whatever the parser or what unpacks has against it
            self._fail(_wrong(error))

    def connection_lost(self, error: Exception | None) -> None:
        """The library's: it has ended, which may be the end of an answer."""
        self._transport = None
        self._among.discard(self)
        try:
            if self._content is not None and self._answer is not None and error is None:
                self._parser.feed_eof()
                self._read()
        except Exception as wrong:  # noqa: BLE001  the answer is not whole
            error = _wrong(wrong)
        self._fail(error or aiohttp.ServerDisconnectedError())
        self._parser = None  # it holds this object

    def pause_reading(self) -> None:
        """The parser's: enough is unpacked."""
        self._full = True
        self._parser.pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """The parser's: `data_received` goes on by itself."""

    def _read(self) -> None:
        """Take what is there of the body, and end the call with its end."""
        if self._content is None or self._answer is None:
            return
        part = self._content.read_nowait()
        self._room -= len(part)
        if self._room < 0:
            raise TooLong
        self._parts.append(part)
        if self._content.is_eof():
            self._last = self._last or self._head.should_close
            reply = Reply(self._head.code, self._head.headers, b"".join(self._parts))
            if (answer := self._ended()) is not None:
                answer.set_result(reply)

    def _late(self) -> None:
        self._fail(TimeoutError())

    def _fail(self, error: Exception) -> None:
        if self._answer is not None:
            self._last = True
            answer = self._ended()
            self.abort()
            if answer is not None:
                answer.set_exception(error)

    def _ended(self) -> asyncio.Future[Reply] | None:
        """What waits for the answer to this request, if it still does."""
        answer, self._answer = self._answer, None
        if self._timer is not None:
            self._timer.cancel()
        return None if answer is None or answer.done() else answer


def _wrong(error: Exception) -> Exception:
    return error if isinstance(error, TooLong | aiohttp.ClientError) else aiohttp.ClientPayloadError(f"no HTTP answer: {error}")


def _literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _info(address: str, port: int) -> tuple[int, int, int, str, tuple[Any, ...]]:
    family, place = (socket.AF_INET6, (address, port, 0, 0)) if ":" in address else (socket.AF_INET, (address, port))
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place
