"""Credential requests of holders: DCP 1.0, 6.4 and 6.6.

Rules
- Only active members may ask; everybody else is refused with 403 before anything is looked up.
- Only definitions of the metadata may be asked for: another id is 400 and starts nothing.
- The member's record decides: when it does not support one of the definitions, the whole process is REJECTED with the reason.
- The same holder and holderPid is the same process: a repeat gets the same answer and no second credential. A repeat
  that asks for other definitions is 409.
- A process of somebody else is the same 404 as one that does not exist.
- A request for a definition that wants a person's approval waits as SUBMITTED (`approve`, `reject`), and is RECEIVED for the holder meanwhile. What a person
  approves is judged by the record again: approval opens no door that a rule has shut.
- The decision, the process and its outbox row are one transaction with the use of the token.
- An offer (`offer`) is a delivery like any other: durable, repeated, visible to the operator; what the holder then asks for is a request.

Not done here: signing and sending (`delivery`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec

from identity.service.issuer.definitions import Definition, Unsupported, subject
from identity.service.issuer.messages import CredentialRequestMessage
from identity.service.store.issuance import Issuance
from identity.service.store.ledger import Ledger
from identity.service.store.members import Member
from identity.service.store.port import Connection
from identity.service.transitions import ISSUANCE, OFFER, WIRE_STATUS, step
from kernel.errors import BadInput, Conflict, Forbidden, NotFound


@dataclass(frozen=True, slots=True)
class Requests:
    """Decides about requests; `definitions` by id."""

    ledger: Ledger
    definitions: Mapping[str, Definition]
    data_space: str

    def accept(self, connection: Connection, holder: str, message: CredentialRequestMessage, grant_token: str | None) -> Issuance:
        """Start the process, or find it again; runs inside the transaction that spends the token.

        Raises `Forbidden` (no active member), `BadInput` (unknown definition), `Conflict` (holderPid used for something else).
        """
        member = active_member(self.ledger, connection, holder)
        wanted = tuple(one.id for one in message.credentials)
        for place, key in enumerate(wanted):
            if key not in self.definitions:
                raise BadInput(f"no definition {key}", path=f"credentials[{place}].id", reason="unknown definition")
        known = self.ledger.issuances.of_holder(connection, holder, message.holder_pid)
        if known is not None:
            if known.definitions != wanted:
                raise Conflict("this holderPid stands for a request of other credentials", next_step="use a new holderPid")
            return known
        return self._start(connection, member, message.holder_pid, wanted, grant_token)

    def _start(
        self, connection: Connection, member: Member, holder_pid: str, wanted: tuple[str, ...], grant_token: str | None
    ) -> Issuance:
        now = self.ledger.now()
        event, reason = self._decide(connection, member, wanted)
        if event == "approve" and any(self.definitions[key].approval == "person" for key in wanted):
            event = ""
        issuance = Issuance(
            id=str(uuid4()),
            member=member.id,
            holder=member.did,
            holder_pid=holder_pid,
            definitions=wanted,
            state=step(ISSUANCE, ISSUANCE.initial, event) if event else ISSUANCE.initial,
            reason=reason,
            grant_token=grant_token,
            created=now,
            changed=now,
        )
        self.ledger.issuances.add(connection, issuance)
        if event:
            self.ledger.issuances.enqueue(connection, issuance.id, now)
        return issuance

    def _decide(self, connection: Connection, member: Member, wanted: tuple[str, ...]) -> tuple[str, str | None]:
        facts = record(self.ledger, connection, member, self.data_space)
        try:
            for key in wanted:
                subject(self.definitions[key], facts)
        except Unsupported as refusal:
            return "reject", refusal.detail
        return "approve", None

    def status(self, connection: Connection, holder: str, key: str) -> Issuance:
        """The holder's own process; raises the same `NotFound` for unknown ids and for those of others."""
        found = self.ledger.issuances.get(connection, key)
        if found is None or found.holder != holder or found.state not in WIRE_STATUS:
            raise NotFound("no such request")
        return found

    async def approve(self, key: str) -> Issuance:
        """A person's yes; raises `NotFound`, `Conflict` (decided already, no active member, or the record does not support it any more)."""

        def work(connection: Connection) -> Issuance:
            waiting = self._waiting(connection, key, "approve")
            member = self.ledger.members.get(connection, waiting.member)
            event, reason = self._decide(connection, member, waiting.definitions)
            if member.state != "ACTIVE" or event != "approve":
                raise Conflict(reason or f"the membership is {member.state}", next_step="reject the request, or correct the record")
            return self._move(connection, waiting, "approve", None)

        return await self.ledger.database.write(work)

    async def reject(self, key: str, reason: str) -> Issuance:
        """A person's no, which the holder is told with the reason; raises `NotFound`, `Conflict`."""
        return await self.ledger.database.write(
            lambda c: self._move(c, self._waiting(c, key, "reject"), "reject", reason or "not granted")
        )

    async def offer(self, reference: str, wanted: tuple[str, ...]) -> Issuance:
        """Offer credentials to an active member; raises `NotFound`, `Forbidden`, `BadInput`."""
        unknown = [key for key in wanted if key not in self.definitions]
        if unknown or not wanted:
            raise BadInput(f"no definition {', '.join(unknown)}" if unknown else "nothing is offered", path="definitions")

        def work(connection: Connection) -> Issuance:
            member = active_member(self.ledger, connection, self.ledger.members.get(connection, reference).did)
            now, key = self.ledger.now(), str(uuid4())
            made = Issuance(
                id=key, member=member.id, holder=member.did, holder_pid=f"offer:{key}", definitions=wanted, state=OFFER.initial,
                created=now, changed=now,
            )  # fmt: skip
            self.ledger.issuances.add(connection, made)
            self.ledger.issuances.enqueue(connection, key, now)
            return made

        return await self.ledger.database.write(work)

    def _waiting(self, connection: Connection, key: str, event: str) -> Issuance:
        found = self.ledger.issuances.get(connection, key)
        if found is None:
            raise NotFound(f"no request {key}", next_step="kizuna issuance list shows the known ones")
        if found.state != ISSUANCE.initial:
            raise Conflict(f"issuance: {event} is not possible in state {found.state}", next_step="it has been decided")
        return found

    def _move(self, connection: Connection, waiting: Issuance, event: str, reason: str | None) -> Issuance:
        now, state = self.ledger.now(), step(ISSUANCE, waiting.state, event)
        self.ledger.issuances.move(connection, waiting.id, state, now, reason)
        self.ledger.issuances.enqueue(connection, waiting.id, now)
        return msgspec.structs.replace(waiting, state=state, reason=reason, changed=now)


def record(ledger: Ledger, connection: Connection, member: Member, data_space: str) -> dict[str, Any]:
    """What claims may be taken from: the names of `definitions.FIELDS`, and `attested`."""
    return {
        "did": member.did,
        "name": member.name,
        "memberNumber": member.number,
        "corporateNumber": member.corporate_number,
        "roles": list(member.roles),
        "since": member.since,
        "dataSpace": data_space,
        "attested": ledger.members.attested(connection, member.id),
    }


def active_member(ledger: Ledger, connection: Connection, did: str) -> Member:
    """The member with this DID while its membership is active; raises `Forbidden`, alike for everybody else."""
    member = ledger.members.find(connection, did)
    if member is None or member.did != did or member.state != "ACTIVE":
        raise Forbidden("an active membership is needed", next_step="ask the operator of the data space")
    return member
