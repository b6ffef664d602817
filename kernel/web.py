"""aiohttp's server as every service here uses it: one place for errors, limits, listeners, a route table that documents itself.

Rules
- `Application` is the one place that catches everything. Known errors answer with their own status and body, unknown ones
  with a bare 500; both are logged, and nothing of the inside goes out.
- A `Table` finds the handler of a request; the library's own application is not used (ADR 30). Middlewares are put around the handlers once, when
  the table is made; they know the `Route`, or None for what is in no row (404, 405).
- A body that comes slower than `SLOWEST` is not waited for (408); a head has `IDLE` seconds, as a connection without a request has.
- Of requests that arrive together a few begin in each turn of the loop (`Turns`), in the order of their arrival.
- `serve` starts a listener and says which port is taken (`InUse`).
- A `Route` carries what its OpenAPI entry needs; `openapi` makes the document from the table, so it cannot lag behind.
"""

import asyncio
import contextlib
import errno
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial, reduce
from types import MappingProxyType
from typing import Any, Final

import msgspec
from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct

from kernel import telemetry, wire
from kernel.connection import Server
from kernel.errors import InUse, KizunaError, NotFound, TooLarge
from kernel.waiting import Turns

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ErrorBody = Callable[[web.Request, KizunaError], web.Response]
LIMIT = 262_144
SLOWEST, GRACE = 1_024, 30.0  # bytes a second of a body, looked at every so many seconds
IDLE = 120.0  # seconds for which a connection is kept without a request; more than our own clients keep theirs
GOODBYE = 100  # hundredths of a second
AT_ONCE = 4  # requests that begin in one turn of the loop; with fewer a commit has fewer writes to share it
LARGEST_HEADER = 32_768  # a token of 16 KiB fits, and its refusal is ours to word
log = telemetry.get(__name__)


class Route(Struct, frozen=True, kw_only=True):
    """One row of a route table. `request` and `response` are types that msgspec can describe."""

    method: str
    path: str
    handler: Handler
    auth: str  # "none", "key", "token": what the caller must show
    summary: str
    role: str = ""  # what a caller with a key needs: a role, and the family of resources it has it for
    scope: str = ""
    request: Any = None
    response: Any = None
    status: int = 200
    query: tuple[str, ...] = ()


Middleware = Callable[[Handler, Route | None], Handler]


class Request(web.Request):
    """A request as handlers get it; `match_info` holds what the names in the path stand for."""

    match_info: Mapping[str, str] = MappingProxyType({})  # type: ignore[assignment]

    async def read(self) -> bytes:
        """The body; one that is there is taken as it is."""
        if self._read_bytes is None:
            if not self.content.is_eof():
                return await super().read()
            body = self.content.read_nowait()
            if len(body) > self._client_max_size:
                raise web.HTTPRequestEntityTooLarge(self._client_max_size)
            self._read_bytes = body
        return self._read_bytes


Find = Callable[[Request], Handler]
_NAME: Final = re.compile(r"\{(\w+)(?::([^{}]+))?\}")


class Table:
    """Finds the handler of a request.

    A path without names comes before one with `{name}` (a part without "/") or `{name:pattern}`; of these, one with a longer beginning of fixed parts
    before the others, and then the earlier row before the later. HEAD is answered by GET's handler, without the body.
    """

    def __init__(self, routes: Iterable[Route], middlewares: Sequence[Middleware] = ()) -> None:
        def around(handler: Handler, route: Route | None) -> Handler:
            return reduce(lambda inner, each: each(inner, route), reversed(middlewares), handler)

        self._exact: dict[str, dict[str, Handler]] = {}  # method, path
        self._named: dict[str, dict[str, list[tuple[re.Pattern[str], Handler]]]] = {}  # method, fixed beginning
        self._nowhere, self._not_allowed = around(_nowhere, None), around(_not_allowed, None)
        for each in routes:
            handler = around(each.handler, each)
            for method in ("GET", "HEAD") if each.method == "GET" else (each.method,):
                exact, named = self._exact.setdefault(method, {}), self._named.setdefault(method, {})
                if "{" in each.path:
                    beginning = each.path.partition("{")[0].rpartition("/")[0]
                    named.setdefault(beginning, []).append((_pattern(each.path), handler))
                else:
                    exact.setdefault(each.path, handler)

    def __call__(self, request: Request) -> Handler:
        """The handler; also sets the request's `match_info`."""
        path = request.rel_url.path_safe
        handler, request.match_info = self._match(request.method, path)
        return handler or (self._not_allowed if any(self._match(each, path)[0] for each in self._exact) else self._nowhere)

    def _match(self, method: str, path: str) -> tuple[Handler | None, Mapping[str, str]]:
        found = self._exact.get(method, {}).get(path)
        beginning, named = "" if found is not None else path, self._named.get(method, {})
        while beginning:
            beginning = beginning.rpartition("/")[0]
            for pattern, handler in named.get(beginning, ()):
                if (match := pattern.fullmatch(path)) is not None:
                    return handler, {name: text.replace("%2F", "/").replace("%25", "%") for name, text in match.groupdict().items()}
        return found, {}


def _pattern(path: str) -> re.Pattern[str]:
    fixed, *rest = _NAME.split(path)
    parts = zip(rest[::3], rest[1::3], rest[2::3], strict=True)
    return re.compile(
        re.escape(fixed) + "".join(f"(?P<{name}>{given or '[^/{}]+'}){re.escape(text)}" for name, given, text in parts)
    )


async def _nowhere(_: web.Request) -> web.StreamResponse:
    raise NotFound


async def _not_allowed(_: web.Request) -> web.StreamResponse:
    raise _foreign(405, "Method Not Allowed")


class Application:
    """Answers requests by the handlers that `find` gives; `errors` gives error bodies of its own (default: RFC 9457 problems)."""

    def __init__(self, find: Find, *, errors: ErrorBody | None = None, limit: int = LIMIT) -> None:
        self._find, self._errors, self._limit, self._turns = find, errors or problem, limit, Turns(AT_ONCE)

    def server(self, **settings: Any) -> web.Server:
        """The library's server for it: makes a protocol for each connection. `settings` are those of `aiohttp.web.Server`."""
        made = partial(Request, loop=asyncio.get_running_loop(), client_max_size=self._limit)
        return Server(self._answer, request_factory=made, access_log=None, max_field_size=LARGEST_HEADER, **settings)  # type: ignore[arg-type]

    async def _answer(self, request: Request) -> web.StreamResponse:
        if not request.content.is_eof():
            asyncio.get_running_loop().call_later(GRACE, _hurry, request.content, 0)
        await self._turns()
        try:
            if "Expect" in request.headers:
                await _expected(request)
            return await self._find(request)(request)
        except KizunaError as error:
            found = error
        except web.HTTPRequestEntityTooLarge:
            found = TooLarge("the request body is too large")
        except HttpProcessingError as error:
            found = _foreign(error.code, "malformed HTTP")
        except web.HTTPException as error:
            if error.status < 400:
                raise
            found = NotFound() if error.status == 404 else _foreign(error.status, error.reason)
        except Exception:  # the one place: whatever it was, the caller learns nothing of the inside
            log.exception("request failed", method=request.method, path=request.path)
            return self._errors(request, KizunaError("internal error"))
        _note(request, found)
        return self._errors(request, found)


def application(
    routes: Iterable[Route], *, errors: ErrorBody | None = None, limit: int = LIMIT, middlewares: Sequence[Middleware] = ()
) -> Application:
    """An application of one table; the first middleware is the outermost."""
    return Application(Table(routes, middlewares), errors=errors, limit=limit)


async def _expected(request: web.Request) -> None:
    """Tell a caller that waits for it to go on with its body (RFC 9110 10.1.1)."""
    if request.version >= HttpVersion11:
        if request.headers["Expect"].lower() != "100-continue":
            raise _foreign(417, "Expectation Failed")
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # no part of the answer has been sent


class TooSlow(KizunaError, TimeoutError):
    """A body comes too slowly. By its second base the library takes it for the end of the reading."""

    code, status = "too-slow", 408


def _hurry(body: StreamReader, before: int) -> None:
    over = body.is_eof() or body.exception() is not None
    if not over and body.total_bytes - before < SLOWEST * GRACE:
        body.set_exception(TooSlow("the request body comes too slowly"))
    elif not over:
        asyncio.get_running_loop().call_later(GRACE, _hurry, body, body.total_bytes)


class _Status(KizunaError):
    """An error of HTTP itself, with the status that it names: no such method, malformed request."""

    code = "http-error"


def _foreign(status: int, reason: str) -> KizunaError:
    error = _Status(reason)
    error.status = status  # type: ignore[misc]
    return error


def _note(request: web.Request, error: KizunaError) -> None:
    write = log.error if error.status >= 500 else log.info
    known = {"method": request.method, "path": request.path, "status": error.status, "code": error.code, "detail": error.detail}
    write("refused", **(error.facts | known))


def problem(_request: web.Request, error: KizunaError) -> web.Response:
    """RFC 9457."""
    return json_response(error.problem(), status=error.status, content_type="application/problem+json")


def json_response(
    value: Any, status: int = 200, *, headers: Mapping[str, str] | None = None, content_type: str = "application/json"
) -> web.Response:
    """A JSON answer; `value` may hold msgspec structs."""
    return web.Response(body=msgspec.json.encode(value), status=status, headers=headers, content_type=content_type)


async def read_json(request: web.Request, limit: int = LIMIT) -> Any:
    """The request's JSON document; raises `BadInput` or `TooLarge`."""
    if request.content_length is not None and request.content_length > limit:
        raise TooLarge(f"body of {request.content_length} bytes, at most {limit} are read")
    return wire.loads(await request.read(), limit=limit)


def client_certificate(request: web.Request) -> bytes | None:
    """The DER leaf that the client showed in the handshake, verified by the listener's context; None without one."""
    transport = request.transport
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    return tls.getpeercert(True) if tls is not None else None


class Listener:
    """A listening socket; end it with `close`, which lets running requests finish."""

    def __init__(self, runner: web.ServerRunner, port: int) -> None:
        self._runner = runner
        self.port = port

    async def close(self) -> None:
        """Let requests and TLS's good-byes end; a peer that does not answer those is cut off."""
        server = self._runner.server
        transports = (each.transport for each in (server.connections if server else ()))
        left = [each.get_extra_info("socket") for each in transports if each is not None]
        await self._runner.cleanup()
        for _ in range(GOODBYE):
            left = [each for each in left if each is not None and each.fileno() >= 0]
            if not left:
                return
            await asyncio.sleep(0.01)
        for each in left:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        await asyncio.sleep(0.01)


async def serve(app: Application, host: str, port: int, ssl_context: ssl.SSLContext | None = None) -> Listener:
    """Listen; port 0 takes a free one. Raises `InUse` naming address and port."""
    runner = web.ServerRunner(app.server(keepalive_timeout=IDLE), shutdown_timeout=5)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=ssl_context, backlog=512).start()
    except OSError as error:
        await runner.cleanup()
        if error.errno in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
            raise InUse(
                f"cannot listen on {host}:{port}: {error.strerror}", next_step="stop what uses the port, or choose another one"
            ) from error
        raise
    return Listener(runner, int(runner.addresses[0][1]))


def openapi(routes: Sequence[Route], title: str, version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a route table."""
    types = [each for route in routes for each in (route.request, route.response) if each is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    described = iter(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        entry: dict[str, Any] = {"summary": route.summary, "parameters": _parameters(route)}
        if route.request is not None:
            entry["requestBody"] = {"content": {"application/json": {"schema": next(described)}}}
        answer: dict[str, Any] = {"description": "done"}
        if route.response is not None:
            answer["content"] = {"application/json": {"schema": next(described)}}
        refusal = {"content": {"application/problem+json": {"schema": PROBLEM}}}
        entry["responses"] = {str(route.status): answer, "default": {"description": "RFC 9457 problem"} | refusal}
        if route.auth != "none":
            entry["security"] = [{route.auth: [each for each in (route.role, route.scope) if each]}]
            entry["responses"]["401"] = {"description": "the caller has not proven who it is"} | refusal
        if route.role:
            entry["responses"]["403"] = {"description": f"needs role {route.role}, scope {route.scope or 'any'}"} | refusal
        paths.setdefault(route.path, {})[route.method.lower()] = entry
    security = {each: {"type": "http", "scheme": "bearer"} for each in sorted({r.auth for r in routes} - {"none"})}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": security},
    }


PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code"],
    "properties": {name: {"type": "string"} for name in ("type", "title", "code", "detail", "nextStep")}
    | {"status": {"type": "integer"}},
}


def _parameters(route: Route) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    text = {"type": "string"}
    return [{"name": name, "in": "path", "required": True, "schema": text} for name in names] + [
        {"name": name, "in": "query", "required": False, "schema": text} for name in route.query
    ]
