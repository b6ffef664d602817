"""Suspension, reinstatement and revocation of members: one transaction for everything that hangs on it.

Rules (identity.md 4.3, 8.5)
- One transaction writes the member's state (which is the register's entry, and blocks enrolment, renewal, requests and deliveries), the status bits of
  all its credentials, the listing of all its certificates, and the event that connectors follow.
- Suspension sets the suspension bits and puts certificates on hold; a reinstatement takes back exactly that: a credential or certificate that was
  suspended or revoked by itself stays so. Nothing leads out of REVOKED.
- Lists and CRL are signed right after the commit, before the caller gets its answer. What is unsigned is known from version numbers in the database, so
  the worker signs it when the process died or failed in between; the change stands either way.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Struct

from identity.service.store.certificates import HOLD
from identity.service.store.ledger import Ledger
from identity.service.store.members import Member
from identity.service.store.port import Connection
from identity.service.transitions import MEMBERSHIP, step
from kernel.faults import crashpoint


class Effect(Struct, frozen=True):
    """What an event does beyond the state: its kind in the event feed, and the fate of the certificates (empty: holds are lifted)."""

    event: str
    kind: str
    certificates: str


SUSPEND: Final = Effect("suspend", "suspended", HOLD)
REINSTATE: Final = Effect("reinstate", "reinstated", "")
REVOKE: Final = Effect("revoke", "revoked", "privilegeWithdrawn")
EFFECTS: Final = {effect.event: effect for effect in (SUSPEND, REINSTATE, REVOKE)}


@dataclass(frozen=True, slots=True)
class Standing:
    """Changes the standing of members; `publish` signs what the change made out of date."""

    ledger: Ledger
    publish: Callable[[], Awaitable[None]]

    async def change(self, reference: str, effect: Effect) -> Member:
        """Apply the effect to the member with this id or DID; raises `NotFound` and `Conflict`."""
        (member,) = await self.change_all([reference], effect)
        return member

    async def change_all(self, references: Sequence[str], effect: Effect) -> list[Member]:
        """The same for many members, all or none; raises `NotFound` and `Conflict`."""

        def work(connection: Connection) -> list[Member]:
            return [self._apply(connection, reference, effect) for reference in references]

        members = await self.ledger.database.write(work)
        crashpoint("standing.committed")
        await self.publish()
        return members

    def _apply(self, connection: Connection, reference: str, effect: Effect) -> Member:
        now = self.ledger.now()
        member = self.ledger.members.get(connection, reference)
        changed = msgspec.structs.replace(member, state=step(MEMBERSHIP, member.state, effect.event), changed=now)
        self.ledger.members.save(connection, changed)
        self.ledger.statuses.settle(connection, member=member.id)
        if effect.certificates:
            self.ledger.certificates.revoke_member(connection, member.id, now, effect.certificates)
        else:
            self.ledger.certificates.lift_hold(connection, member.id)
        self.ledger.journal.record(connection, effect.kind, member.id, member.did, now)
        return changed
