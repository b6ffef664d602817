"""Pulling a dataset: in ranges, so that an error, a rotated certificate or an expired token costs one range and not the transfer.

Rules
- Every range is asked for with the current access token; a 401 gets a new one by the refresh token, once per range, then the pull fails. Broken
  connections are tried again a few times, from the byte where they broke.
- All ranges belong to one ETag (`If-Match`); the whole is verified against the digest that the catalog announced, or the provider's `Repr-Digest`.
- `rate` limits bytes per second.
"""

import asyncio
import base64
import binascii
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from connector.plane import files
from connector.plane.addresses import BEARER, credentials, property_of
from kernel import wire
from kernel.errors import BadInput, KizunaError, UnavailableError
from kernel.http import GuardedClient

RANGE: Final = 2 * 1024 * 1024
_RETRIES: Final = 5
_TIMEOUT: Final = 120.0


class PullFailed(KizunaError):
    """The provider does not hand the data out."""

    code, status = "pull-failed", 502


class Tokens:
    """The tokens of one data address; `renew` asks for the next one."""

    def __init__(
        self, address: dict[str, Any], client: GuardedClient, authorization: Callable[[], str], expect_did: str | None
    ) -> None:
        self.header = credentials(address).get("Authorization", "")
        self.count = 1
        self._refresh = property_of(address, "refreshToken")
        self._endpoint = property_of(address, "refreshEndpoint")
        self._client, self._authorization, self._expect_did = client, authorization, expect_did

    async def renew(self) -> None:
        """Get a token bound to our current certificate; raises `PullFailed`."""
        if not self._refresh or not self._endpoint:
            raise PullFailed("the data token is refused, and the provider offers no refresh")
        body = f"grant_type=refresh_token&refresh_token={self._refresh}".encode("ascii")
        headers = {"Authorization": self._authorization(), "Content-Type": "application/x-www-form-urlencoded"}
        reply = await self._client.request("POST", self._endpoint, headers=headers, body=body, expect_did=self._expect_did)
        if reply.status != 200:
            raise PullFailed(f"no new data token ({reply.status})", next_step="ask the provider whether the transfer has ended")
        found = wire.loads(reply.body)
        self.header, self._refresh = BEARER + str(found["access_token"]), str(found.get("refresh_token", self._refresh))
        self.count += 1


class Pulled(Struct, frozen=True):
    """The result of a pull; the spool is complete and verified."""

    spool: files.Spool
    tokens: int


async def pull(
    client: GuardedClient,
    url: str,
    tokens: Tokens,
    directory: Path,
    *,
    limit: int,
    sha256: str,
    rate: float,
    expect_did: str | None,
    going: Callable[[], Awaitable[None]],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Pulled:
    """Fetch everything behind `url`; `going` is asked before every range and raises when the pull is to end. Raises `PullFailed`, `BadInput` (digest), `UnavailableError`. On error nothing is left."""
    spool = files.Spool(directory, limit)
    began, state = time.monotonic(), _State()
    try:
        while state.size is None or spool.size < state.size:
            await going()
            await _range(client, url, tokens, spool, state, expect_did)
            if rate:
                await sleep(max(0.0, spool.size / rate - (time.monotonic() - began)))
            if state.size == 0:
                break
        spool.done()
        wanted = sha256 or state.digest
        if wanted and wanted != spool.sha256:
            raise BadInput("the bytes are not the ones announced", next_step="pull again; if it happens again, tell the provider")
    except BaseException:
        spool.drop()
        raise
    return Pulled(spool, tokens.count)


class _State:
    def __init__(self) -> None:
        self.size: int | None = None
        self.etag = ""
        self.digest = ""


async def _range(
    client: GuardedClient,
    url: str,
    tokens: Tokens,
    spool: files.Spool,
    state: _State,
    expect_did: str | None,
) -> None:
    """One range, from where the spool ends; tried again after a refresh or a broken connection."""
    renewed = False
    for attempt in range(_RETRIES):
        headers = {"Authorization": tokens.header, "Range": f"bytes={spool.size}-{spool.size + RANGE - 1}"}
        headers |= {"If-Match": state.etag} if state.etag else {}
        try:
            async with client.stream("GET", url, headers=headers, timeout=_TIMEOUT, expect_did=expect_did) as answer:
                if answer.status == 401 and not renewed:
                    renewed = True
                elif answer.status in (200, 206):
                    _learn(answer, state, spool.size)
                    async for part in answer.content.iter_chunked(files.CHUNK):
                        spool.add(part)
                    if state.size is None:  # a peer that streams without saying how much: the end of the body is the end
                        state.size = spool.size
                    return
                elif answer.status == 416 and spool.size == 0:
                    state.size = 0
                    return
                elif answer.status < 500:
                    raise PullFailed(f"the provider answers {answer.status}", next_step="ask the provider; see its log")
        except UnavailableError:
            if attempt == _RETRIES - 1:
                raise
            await asyncio.sleep(0.2 * 2**attempt)
            continue
        if renewed:
            await tokens.renew()
    raise PullFailed("the provider does not answer usefully", next_step="try again later")


def _learn(answer: Any, state: _State, at: int) -> None:
    if answer.status == 200 and at:
        raise PullFailed("the provider sends the whole again instead of the rest")
    state.etag = answer.headers.get("ETag", "")
    total = answer.headers.get("Content-Range", "").rpartition("/")[2]
    state.size = int(total) if total.isdigit() else answer.content_length
    digest = answer.headers.get("Repr-Digest", "")
    if digest.startswith("sha-256=:"):
        try:
            state.digest = base64.b64decode(digest[9:].rstrip(":"), validate=True).hex()
        except binascii.Error as error:
            raise PullFailed("a malformed Repr-Digest") from error
