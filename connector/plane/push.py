"""Pushing a dataset to the consumer's inbox (HttpData-PUSH): one PUT (or what the address asks for) with the digest, streamed from the file.

A push that breaks is done again as a whole by the outbox; the receiver takes it once. What the consumer answers decides: 2xx is done, anything else is
tried again later.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from catalog.dcat import Asset
from connector.plane import addresses, files
from kernel.errors import UnavailableError
from kernel.http import GuardedClient

_TIMEOUT: Final = 24 * 3600.0


async def push(client: GuardedClient, directory: Path, asset: Asset, address: dict[str, Any], *, expect_did: str | None) -> None:
    """Send the payload; raises `UnavailableError` when it did not arrive."""
    headers = {
        **addresses.credentials(address),
        "Content-Type": asset.media_type,
        "Content-Length": str(asset.size),
        "Content-Digest": files.digest_header(asset.sha256),
    }
    body = _parts(directory / asset.source)
    async with client.stream(
        addresses.method(address), addresses.endpoint(address), headers=headers, body=body, timeout=_TIMEOUT, expect_did=expect_did
    ) as answer:
        if not 200 <= answer.status < 300:
            raise UnavailableError(f"the inbox of the consumer answers {answer.status}")


async def _parts(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(files.CHUNK):
            yield part
