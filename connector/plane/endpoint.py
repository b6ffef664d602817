"""The data endpoint: what a consumer pulls from, and where a provider pushes to (HttpData-PULL, HttpData-PUSH).

    GET  /data/{transfer}         the dataset; Range, If-Match, ETag (its SHA-256), Repr-Digest
    POST /data/{transfer}/token   a new access token: `grant_type=refresh_token`, with a Self-Issued ID token; credentials are verified again, and the policy decided
    PUT  /inbox/{transfer}        the pushed dataset; Content-Digest (unless the inbox was given in EDC's form)

Rules
- Every request is checked on its own: token, certificate, state of the transfer, standing of the participant (`plane.gate`). A 401 says `invalid_token` and nothing more.
- A file is streamed in pieces; memory does not grow with it. It is never changed under its name, so ranges of one ETag fit together.
- A push is verified (digest, size), validated against the dataset's schema, stored, and acknowledged after that; a repeat is acknowledged again.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from catalog.dcat import Asset
from connector.dsp.node import spent
from connector.plane import addresses, files
from connector.plane.gate import Gate
from connector.plane.tokens import DataTokens, check_open
from connector.processes.model import Process, TokenUse
from identity.tls import names
from identity.verify import VerifiedParticipant
from kernel import telemetry
from kernel.errors import BadInput, KizunaError, Unauthorized
from kernel.web import Route, client_certificate, json_response

log = telemetry.get(__name__)
Proven = Callable[[web.Request], Awaitable[VerifiedParticipant]]
Renewed = Callable[[Process, VerifiedParticipant], Awaitable[Process]]
Take = Callable[[Process, files.Spool], Awaitable[None]]
_BEARER: Final = "Bearer "


class RangeWrong(KizunaError):
    """A range outside of the dataset, or a precondition that does not hold."""

    code, status = "range-not-satisfiable", 416


class Endpoint:
    """Routes of the data plane over its collaborators."""

    def __init__(
        self,
        directory: Path,
        tokens: DataTokens,
        *,
        process: Callable[[str], Awaitable[Process | None]],
        asset: Callable[[str], Awaitable[Asset | None]],
        proven: Proven,
        renewed: Renewed,
        spend: Callable[[TokenUse], Awaitable[None]],
        take: Take,
        limit: int,
        gate: Gate,
    ) -> None:
        self._directory, self._tokens, self._process, self._asset = directory, tokens, process, asset
        self._proven, self._renewed, self._spend, self._take, self._limit, self._gate = proven, renewed, spend, take, limit, gate

    def routes(self) -> list[Route]:
        return [
            Route(method="GET", path="/data/{transfer}", handler=self.read, auth="token", summary="Pull a dataset"),
            Route(method="POST", path="/data/{transfer}/token", handler=self.refresh, auth="token", summary="Refresh a data token"),
            Route(method="PUT", path="/inbox/{transfer}", handler=self.push, auth="token", summary="Push a dataset"),
        ]

    async def read(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["transfer"]
        who = self._tokens.check(_bearer(request), "access", key, _thumbprint(request))
        process = check_open(await self._process(key), who)
        asset = await self._asset(process.data["dataset"])
        if asset is None or process.role != "provider":
            raise Unauthorized("invalid token", reason="the dataset is gone", peer=who)
        await self._gate.permit(who, client_certificate(request))
        return await self._send(request, asset, who)

    async def _send(self, request: web.Request, asset: Asset, who: str) -> web.StreamResponse:
        etag = f'"{asset.sha256}"'
        headers = {"ETag": etag, "Repr-Digest": files.digest_header(asset.sha256), "Accept-Ranges": "bytes"}
        wanted = request.headers.get("If-Match", etag)
        if wanted not in (etag, "*"):
            raise web.HTTPPreconditionFailed
        start, end = _range(request, asset.size)
        partial = (start, end) != (0, asset.size)
        if partial:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{asset.size}"
        response = web.StreamResponse(status=206 if partial else 200, headers=headers)
        response.content_type = asset.media_type
        response.content_length = end - start
        await response.prepare(request)
        with (self._directory / asset.source).open("rb") as file:
            file.seek(start)
            left = end - start
            while left:
                if self._gate.closed(who) is not None:
                    log.warning("stream broken off", peer=who, left=left)
                    if request.transport is not None:
                        request.transport.abort()
                    return response
                part = file.read(min(files.CHUNK, left))
                if not part:
                    raise KizunaError("the payload file is shorter than its record", asset=asset.id)
                await response.write(part)
                left -= len(part)
        await response.write_eof()
        return response

    async def refresh(self, request: web.Request) -> web.Response:
        key = request.match_info["transfer"]
        token = await self._proven(request)
        await self._spend(spent(token.token))
        form = await request.post()
        given = form.get("refresh_token")
        if form.get("grant_type") != "refresh_token" or not isinstance(given, str):
            raise BadInput("grant_type=refresh_token and refresh_token are needed")
        who = self._tokens.refreshes(given, key)
        if who != token.did:
            raise Unauthorized("invalid token", reason="the refresh token was made for somebody else", peer=token.did)
        renewed = await self._renewed(check_open(await self._process(key), who), token)
        process = check_open(renewed, who)  # it may have ended while it was decided
        access, life = self._tokens.access(process, token.thumbprint)
        answer = {"access_token": access, "token_type": "Bearer", "expires_in": life, "refresh_token": access}
        return json_response(answer, headers={"Cache-Control": "no-store"})

    async def push(self, request: web.Request) -> web.Response:
        key = request.match_info["transfer"]
        who = self._tokens.check(_bearer(request), "push", key, None)
        process = await self._process(key)
        leaf = client_certificate(request)
        if process is None or process.role != "consumer" or process.peer != who or (leaf and names.did_of(leaf) != who):
            raise Unauthorized("invalid token", reason="no such transfer of this participant", peer=who)
        if process.state in ("TERMINATED", "SUSPENDED"):
            raise Unauthorized("invalid token", reason=f"the transfer is {process.state}", peer=who)
        await self._gate.permit(who, leaf)
        digest = request.headers.get("Content-Digest", "")
        parts = request.content.iter_chunked(files.CHUNK)
        spool = await files.spooled(parts, self._directory / "inbox", self._limit)
        try:
            told = bool(digest) or not addresses.of_edc(process.data.get("ownAddress") or {})  # EDC's senders tell no digest
            if told and digest != files.digest_header(spool.sha256):
                raise BadInput("the bytes are not those of Content-Digest", next_step="send the dataset again")
            await self._take(process, spool)
        finally:
            spool.drop()
        log.info("pushed data received", pid=key, peer=who, bytes=spool.size)
        return web.Response(status=204)


def _bearer(request: web.Request) -> str:
    given = request.headers.getall("Authorization", [])
    if len(given) != 1 or not given[0].startswith(_BEARER):
        raise Unauthorized("invalid token", reason="no Bearer token")
    return given[0][len(_BEARER) :]


def _thumbprint(request: web.Request) -> str | None:
    leaf = client_certificate(request)
    return names.thumbprint(leaf) if leaf is not None else None


def _range(request: web.Request, size: int) -> tuple[int, int]:
    """[start, end) of the wanted part; the whole when there is no Range."""
    try:
        wanted = request.http_range
    except ValueError as error:
        raise RangeWrong("not one range of bytes") from error
    start, end, _ = wanted.indices(size)
    if wanted.start is not None and start >= end and size:
        raise RangeWrong(f"outside of {size} bytes")
    return start, end
