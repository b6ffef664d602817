"""Pushing a dataset to the consumer's inbox (HttpData-PUSH): one PUT (or what the address asks for) with the digest, streamed from the file.

A push that breaks or stands still is done again as a whole by the outbox; the receiver takes it once. What the consumer answers decides: 2xx is done, anything else is
tried again later.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from catalog.dcat import Asset
from connector.plane import addresses, files
from kernel.errors import UnavailableError
from kernel.http import GuardedClient, Unreachable

_TIMEOUT: Final = 24 * 3600.0
STANDSTILL: Final = 600.0  # seconds in which nothing is taken and nothing answered


async def push(client: GuardedClient, directory: Path, asset: Asset, address: dict[str, Any], *, expect_did: str | None) -> None:
    """Send the payload; raises `UnavailableError` when it did not arrive, or did not go on."""
    headers = {
        **addresses.credentials(address),
        "Content-Type": asset.media_type,
        "Content-Length": str(asset.size),
        "Content-Digest": files.digest_header(asset.sha256),
    }
    try:
        async with asyncio.timeout(STANDSTILL) as limit:
            body, url = _parts(directory / asset.source, limit), addresses.endpoint(address)
            async with client.stream(
                addresses.method(address), url, headers=headers, body=body, timeout=_TIMEOUT, expect_did=expect_did
            ) as answer:
                if not 200 <= answer.status < 300:
                    raise UnavailableError(f"the inbox of the consumer answers {answer.status}")
    except TimeoutError as error:
        raise Unreachable("the inbox of the consumer takes nothing more, or does not answer") from error


async def _parts(path: Path, limit: asyncio.Timeout) -> AsyncIterator[bytes]:
    """The bytes of a file; the time begins anew with every part that is asked for."""
    with path.open("rb") as file:
        while part := file.read(files.CHUNK):
            limit.reschedule(asyncio.get_running_loop().time() + STANDSTILL)
            yield part
