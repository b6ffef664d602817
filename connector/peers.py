"""Calling other participants: where they are, how they must show themselves, and with which token.

Rules
- A peer's base address comes from its DID document: `#dsp` for members, `#dsp-public` where its rule needs no member certificate, else its first
  DataService.
- Calls to peers whose rule requires mTLS insist on the server's DID.
- A callback address must have the origin of one of the peer's own services: a message cannot make us call somebody else.
- Peers that want a member certificate are not called without one: who has not joined is told so, and not that a connection failed.
- Nothing goes to a participant that the authority keeps out, but what suspends or ends a process: that reaches it also where its certificate is revoked along with it.
- Our token lets the peer query the credentials that the profile asks of members, and no others.
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from connector.dsp import outbound
from connector.dsp.outbound import Answer
from connector.membership.standing import Standing
from connector.processes import tables
from connector.processes.model import OutboxRow, Process
from identity.resolve import Resolver
from identity.verify import PeerRule, VerifiedParticipant
from kernel.errors import BadInput, KizunaError, NotFound, UnavailableError
from kernel.http import GuardedClient, Reply

_CLOSING: Final = (tables.SUSPEND, tables.END_TRANSFER, tables.END_NEGOTIATION)


class PeerRefused(KizunaError):
    """A peer refuses a request of ours."""

    code, status = "peer-refused", 502


class KeptOut(KizunaError):
    """The authority has suspended or revoked this participant."""

    code, status = "kept-out", 403


class NotMember(KizunaError):
    """This connector has no member certificate yet, and the peer wants one."""

    code, status = "not-a-member", 409


class Peers:
    """The other participants, as one participant reaches them."""

    def __init__(
        self,
        client: GuardedClient,
        resolver: Resolver,
        authorization: Callable[[str], str],
        rules: Callable[[str], PeerRule],
        standing: Standing,
        member: Callable[[], bool] = lambda: True,
        *,
        timeout: float = outbound.PATIENCE,
    ) -> None:
        """`authorization` gives the header for one call to a peer, by its DID; `member` tells whether we hold a member certificate.

        `timeout`: seconds for one call, to the end of its answer.
        """
        self.client, self._resolver, self.authorization, self._rules = client, resolver, authorization, rules
        self._standing, self._member, self._timeout = standing, member, timeout

    def insist(self, peer: str) -> None:
        """Refuse to deal with a participant that the authority keeps out, or that wants a certificate which we have not; raises `KeptOut`, `NotMember`."""
        if not self._member() and self._rules(peer).mtls == "required":
            raise NotMember(
                "this connector is not a member of the data space yet",
                next_step="kizuna connector join CODE; `kizuna connector status` tells how far it is",
            )
        if (why := self._standing.barred(peer)) is not None:
            raise KeptOut(f"the authority keeps {peer} out: {why}", next_step="wait for its reinstatement, or ask the operator")

    def pin(self, peer: str) -> str | None:
        """The DID that the peer's server certificate must name, if its rule wants that."""
        return peer if self._rules(peer).mtls == "required" else None

    async def base(self, peer: str) -> str:
        """Base address of the peer's DSP endpoints; raises `UnavailableError`."""
        document = await self._resolver.resolve(peer)
        wanted = "dsp" if self._rules(peer).mtls == "required" else "dsp-public"
        services = {each.id: each.endpoint for each in document.services if "DataService" in each.types}
        found = services.get(f"{peer}#{wanted}") or next(iter(services.values()), None)
        if found is None:
            raise UnavailableError(f"{peer} names no DataService in its DID document")
        return found

    async def call(self, method: str, url: str, peer: str, body: bytes | None, *, max_bytes: int) -> Reply:
        """One request under a fresh token; raises `NotFound` or `PeerRefused` for what the peer refuses, `KeptOut`."""
        self.insist(peer)
        headers = {"Authorization": self.authorization(peer), "Content-Type": "application/json"}
        reply = await self.client.request(
            method, url, headers=headers, body=body, max_bytes=max_bytes, timeout=self._timeout, expect_did=self.pin(peer)
        )
        if reply.status == 404:
            raise NotFound(f"{peer} has no such thing, or hides it", next_step="see `kizuna catalog show`")
        if not 200 <= reply.status < 300:
            raise PeerRefused(
                f"{peer} answers {reply.status}: {reply.body[:200].decode('utf-8', 'replace')}",
                next_step="`kizuna connector status` tells whether the authority keeps us out; why else, `kizuna connector refusals` tells at the peer"
                if reply.status == 401
                else "",
            )
        return reply

    async def send(self, process: Process, row: OutboxRow) -> Answer:
        """Carry out one outbox row; to a member that is kept out, only what ends or suspends goes."""
        if row.message not in _CLOSING:
            self.insist(process.peer)
        return await outbound.post(
            self.client,
            process.callback + row.path,
            row.body,
            self.authorization(process.peer),
            expect_did=self.pin(process.peer),
            timeout=self._timeout,
            even_revoked=row.message in _CLOSING and self._standing.barred(process.peer) is not None,
        )

    async def check_callback(self, who: VerifiedParticipant, url: str) -> None:
        """Refuse a callback address that is not one of the peer's own services; raises `BadInput`."""
        if not await self._of(who.did, url):
            raise BadInput("callbackAddress is not one of the services in your DID document")

    async def check_address(self, peer: str, url: str) -> None:
        """Refuse an address that somebody else gave for a peer and that is not one of its own services; raises `BadInput`."""
        if not await self._of(peer, url):
            raise BadInput(f"{url[:200]} is not one of the services of {peer}")

    async def _of(self, peer: str, url: str) -> bool:
        origin = _origin(url)
        document = await self._resolver.resolve(peer)
        return origin is not None and any(_origin(each.endpoint) == origin for each in document.services)


def _origin(url: str) -> tuple[str, str] | None:
    parts = urlsplit(url)
    return (parts.scheme, parts.netloc.lower()) if parts.netloc else None
