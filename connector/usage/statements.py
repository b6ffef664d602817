"""Signed statements between the two sides of an agreement, beside the protocol: what is said of its duties and of what was paid.

Rules
- A statement is a JWS of type `TYPE` by a key that its party's DID document lists for assertions (as `processes.evidence` does it), sent to the peer's end of the negotiation.
- It leaves through the outbox, with what it is about in one transaction.
- Only a peer that signed the agreement in our form is told: it knows this endpoint. Others are simply not told.

Not done here: what a statement says, and what it does (`usage.obligations`, `usage.payments`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from msgspec.structs import replace

from connector.processes.evidence import Sign, SignatureWrong
from connector.processes.model import Agreement, Commit, OutboxRow, Payment, Process
from connector.store.port import Store
from identity import jose
from identity.did import ASSERTION, BadDid
from identity.did.document import DidDocument
from identity.jose import BadToken
from kernel import wire
from policies.duties import Counter, Entry

TYPE: Final = "duty+jwt"
MESSAGE: Final = "DutyStatement"
Resolve = Callable[[str], Awaitable[DidDocument]]


class Statements:
    """What one participant says and is told."""

    def __init__(self, store: Store, new_id: Callable[[], str], sign: Sign, resolve: Resolve) -> None:
        """`sign` makes a compact JWS of type `TYPE`."""
        self._store, self._new_id, self.sign, self._resolve = store, new_id, sign, resolve

    async def channel(self, agreement: Agreement) -> Process | None:
        """The negotiation through which the other side is told; None where it does not know how to take it."""
        found = await self._store.process(agreement.negotiation)
        return found if found is not None and found.data.get("peerSignature") else None

    async def tell(
        self,
        process: Process,
        said: Sequence[str],
        duties: Sequence[Entry],
        *,
        counters: tuple[Counter, ...] = (),
        payment: Payment | None = None,
    ) -> None:
        """Write down what has changed, with the signed statements to the other side. Raises `VersionConflict`."""
        path = f"/negotiations/{quote(process.peer_pid, safe=':')}/duties"
        rows = []
        for each in said:
            key = self._new_id()
            body = wire.dumps({"@id": key, "@type": MESSAGE, "statement": each})
            rows.append(
                OutboxRow(id=key, process=process.id, act="dsp", message=MESSAGE, path=path, body=body, due=process.created)
            )
        moving = replace(process, version=process.version + 1)
        commit = Commit(
            process=moving, expected=process.version, outbox=tuple(rows), duties=tuple(duties), counters=counters, payment=payment
        )
        await self._store.commit(commit)

    async def verified(self, token: str, who: str) -> Mapping[str, Any]:
        """The claims of a statement by a party (a DID); raises `SignatureWrong`."""
        try:
            found = jose.parse(token)
            if found.typ != TYPE or found.kid is None:
                raise SignatureWrong(f"not a statement of type {TYPE} that names its key")
            jose.verify(found, (await self._resolve(who)).key(found.kid, ASSERTION))
        except (BadToken, BadDid) as error:
            raise SignatureWrong(f"the statement's signature does not hold: {error.detail}") from error
        if found.claims.get("iss") != who:
            raise SignatureWrong("the statement is another party's")
        return dict(found.claims)
