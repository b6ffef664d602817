"""Credential requests of holders: DCP 1.0, 6.4 and 6.6.

Rules
- Only active members may ask; everybody else is refused with 403 before anything is looked up.
- Only definitions of the metadata may be asked for: another id is 400 and starts nothing.
- The member's record decides: when it does not support one of the definitions, the whole process is REJECTED with the reason.
- The same holder and holderPid is the same process: a repeat gets the same answer and no second credential. A repeat
  that asks for other definitions is 409.
- A process of somebody else is the same 404 as one that does not exist.
- The decision, the process and its outbox row are one transaction with the use of the token.

Not done here: approval by a person; signing and sending (`delivery`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any
from uuid import uuid4

from identity.service.issuer.definitions import Definition, Unsupported, subject
from identity.service.issuer.messages import CredentialRequestMessage
from identity.service.store.issuance import Issuance
from identity.service.store.ledger import Ledger
from identity.service.store.members import Member
from identity.service.transitions import ISSUANCE, step
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
        event, reason = self._decide(member, wanted)
        issuance = Issuance(
            id=str(uuid4()),
            member=member.id,
            holder=member.did,
            holder_pid=holder_pid,
            definitions=wanted,
            state=step(ISSUANCE, ISSUANCE.initial, event),
            reason=reason,
            grant_token=grant_token,
            created=now,
            changed=now,
        )
        self.ledger.issuances.add(connection, issuance)
        self.ledger.issuances.enqueue(connection, issuance.id, now)
        return issuance

    def _decide(self, member: Member, wanted: tuple[str, ...]) -> tuple[str, str | None]:
        facts = record(member, self.data_space)
        try:
            for key in wanted:
                subject(self.definitions[key], facts)
        except Unsupported as refusal:
            return "reject", refusal.detail
        return "approve", None

    def status(self, connection: Connection, holder: str, key: str) -> Issuance:
        """The holder's own process; raises the same `NotFound` for unknown ids and for those of others."""
        found = self.ledger.issuances.get(connection, key)
        if found is None or found.holder != holder:
            raise NotFound("no such request")
        return found


def record(member: Member, data_space: str) -> dict[str, Any]:
    """What claims may be taken from, under the names of `definitions.FIELDS`."""
    return {
        "did": member.did,
        "name": member.name,
        "memberNumber": member.number,
        "corporateNumber": member.corporate_number,
        "roles": list(member.roles),
        "since": member.since,
        "dataSpace": data_space,
    }


def active_member(ledger: Ledger, connection: Connection, did: str) -> Member:
    """The member with this DID while its membership is active; raises `Forbidden`, alike for everybody else."""
    member = ledger.members.find(connection, did)
    if member is None or member.did != did or member.state != "ACTIVE":
        raise Forbidden("an active membership is needed", next_step="ask the operator of the data space")
    return member
