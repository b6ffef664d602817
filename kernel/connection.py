"""A server's connection: the library's (`aiohttp.web.RequestHandler`), with less work for the requests and answers that are nearly all (ADR 30).

Rules
- The library has a loop for each connection, which sleeps until requests come, and makes a task for each. A request that comes whole and alone while the loop sleeps
  gets its task without waking it. What comes meanwhile waits, and is the loop's when that task has ended: answers keep the order of their requests.
- A body that is not there yet, requests behind each other, malformed ones and upgrades are the loop's from the start.
- An answer whose body is there leaves in one write. Where anything is special about it (HEAD, a status without body, a connection that ends, HTTP/1.0, compression,
  pieces, cookies, a large body, a peer that does not read), the library writes it. The bytes are the same.
"""

import asyncio

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.helpers import must_be_empty_body, rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE, RawRequestMessage, StreamWriter
from aiohttp.http_writer import _serialize_headers

LARGE = 65_536  # bytes of a body for which the library waits until the peer has taken some


class Connection(web.RequestHandler):
    """One connection with its requests, in a row."""

    _split = False  # whether a body came after its head

    def data_received(self, data: bytes) -> None:
        """Parse; begin with what has come."""
        sleeping, self._waiter = self._waiter, None  # not to be woken yet
        try:
            super().data_received(data)
        finally:
            self._waiter = sleeping
        if not self._messages:
            return
        message, body = self._messages[-1]
        self._split = self._split or not body.is_eof()
        if sleeping is None or sleeping.done():
            return
        if len(self._messages) == 1 and body.is_eof() and isinstance(message, RawRequestMessage) and not self._upgraded:
            self._messages.popleft()
            self._parser.message_consumed()  # type: ignore[union-attr]
            self._waiter, loop = None, self._task_handler
            self._task_handler = self._loop.create_task(self._aside(message, body, sleeping, loop))
        else:
            sleeping.set_result(None)

    async def _aside(
        self, message: RawRequestMessage, body: StreamReader, sleeping: asyncio.Future[None], loop: asyncio.Task[None] | None
    ) -> None:
        goes_on = False
        try:
            goes_on = await self._exchange(message, body)
        except Exception as error:  # noqa: BLE001  as the loop does: no answer could be sent
            self.log_exception("Unhandled exception", exc_info=error)
        finally:
            if goes_on and not self._close and not self._force_close:
                self._waiter, self._task_handler = sleeping, loop
                if self._messages:
                    sleeping.set_result(None)
            else:
                sleeping.cancel()  # which ends the loop
                if self.transport is not None:
                    self.transport.close()

    async def _exchange(self, message: RawRequestMessage, body: StreamReader) -> bool:
        """Answer a request; whether the connection goes on."""
        task, made, handler = self._task_handler, self._request_factory, self._request_handler
        if task is None or made is None or handler is None:  # the connection was lost before this task began
            return False
        request = made(message, body, self, StreamWriter(self, self._loop), task)
        try:
            response, lost = await self._handle_request(request, None, handler)
        except ConnectionError:
            return False
        finally:
            request._task = None  # type: ignore[assignment]  # noqa: SLF001  no cycle
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)
        return bool(response.keep_alive) and not lost

    async def finish_response(
        self, request: web.BaseRequest, response: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; also tells whether the connection was lost."""
        content = response.body if type(response) is web.Response else None
        if type(content) is not bytes or len(content) > LARGE or self._special(request, response):
            return await super().finish_response(request, response, start_time)
        request._finish()  # noqa: SLF001
        headers, response._keep_alive = response.headers, True  # noqa: SLF001
        headers["Content-Length"] = str(len(content))
        if content:
            headers.setdefault("Content-Type", "application/octet-stream")
        headers.setdefault("Date", rfc822_formatted_time())
        headers.setdefault("Server", SERVER_SOFTWARE)
        head = _serialize_headers(f"HTTP/1.1 {response.status} {response.reason}", headers)  # refuses line breaks
        if self.transport is None or self.transport.is_closing():
            return response, True
        self.transport.write(head + content)
        return response, False

    def _special(self, request: web.BaseRequest, response: web.StreamResponse) -> bool:
        return bool(
            self._upgraded
            or self._paused
            or not request.keep_alive
            or response.keep_alive is False
            or request.version != HttpVersion11
            or must_be_empty_body(request.method, response.status)
            or response.prepared
            or response.compression
            or response.chunked
            or response._cookies  # noqa: SLF001
        )

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Read on after a read of a body. Where reading was not paused nothing is left to be parsed, unless the parser has lost count, as it does with split requests."""
        if self._reading_paused or self._split:
            super().resume_reading(resume_parser)


class Server(web.Server):
    """The library's server with such connections."""

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)
