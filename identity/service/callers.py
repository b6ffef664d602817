"""Who calls the public API: every protected route goes through `Callers.proven` before it looks at anything else.

A caller proves its DID by a Self-Issued ID token for the service's DID (`identity.verify.verify_token`: form, times, key,
signature, TLS binding where a certificate is there). `Callers.spending` uses the token up, in the transaction of what it
authorises.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, TypeVar

from aiohttp import web

from identity.service.store.ledger import Ledger
from identity.service.store.port import Connection
from identity.verify import Caller, TokenDoor, VerifiedToken, verify_token
from kernel.clock import iso
from kernel.web import client_certificate

LEEWAY: Final = timedelta(seconds=60)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Callers:
    """Proves callers of one service."""

    door: TokenDoor
    ledger: Ledger

    async def proven(self, request: web.Request, *, mtls: Literal["required", "preferred", "off"] = "preferred") -> VerifiedToken:
        """The token of the request; raises `Unauthorized`, alike for every reason."""
        caller = Caller(tuple(request.headers.getall("Authorization", [])), client_certificate(request))
        return await verify_token(self.door, caller, mtls=mtls)

    async def spending(self, token: VerifiedToken, work: Callable[[Connection], T]) -> T:
        """Do the work in the transaction that uses the token up; raises `Unauthorized` for a used one."""
        use = token.use
        return await self.ledger.authorised(use.issuer, use.jti, iso(use.expires + LEEWAY), work)
