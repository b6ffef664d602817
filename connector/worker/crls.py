"""Fetching the revocation lists of a consortium's issuing CAs: the one that signs now and, where its bundle names it, the one before."""

from collections.abc import AsyncIterator
from typing import Final

from kernel.errors import UnavailableError
from kernel.http import GuardedClient

_LARGEST: Final = 16 * 1024 * 1024
_ROOT_AND_ISSUING: Final = 2


async def fetched(client: GuardedClient, base: str, bundle: bytes) -> AsyncIterator[tuple[str, bytes]]:
    """Name and bytes (DER) of each list, not verified; `base` is the CA's endpoint, `bundle` its certificates (PEM). Raises the client's errors, `UnavailableError`."""
    several = bundle.count(b"-----BEGIN CERTIFICATE-----") > _ROOT_AND_ISSUING
    for name in ("issuing", "previous") if several else ("issuing",):
        reply = await client.request("GET", f"{base}/crl/{name}.crl", max_bytes=_LARGEST)
        if reply.status != 200:
            raise UnavailableError(f"the revocation list is answered with {reply.status}")
        yield name, reply.body
