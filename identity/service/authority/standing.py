"""Suspension, reinstatement and revocation of a member: one transaction for everything that hangs on it.

Rules (identity.md 4.3, 8.5)
- One transaction writes the member's state (which blocks enrolment, renewal, requests and deliveries), the status bits of all its
  credentials, the listing of all its certificates, and the event.
- Suspension sets the suspension bits and puts certificates on hold; a reinstatement takes back exactly that. Revocation sets
  the revocation bits for good; nothing leads out of REVOKED.
- Lists and CRL are signed right after the commit, before the caller gets its answer. If the process dies in between, the next start
  signs them: what is unsigned is known from version numbers in the database.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Final

import msgspec
from msgspec import Struct

from identity.service.store.certificates import HOLD
from identity.service.store.ledger import Ledger
from identity.service.store.members import Member
from identity.service.transitions import MEMBERSHIP, step
from kernel.faults import crashpoint


class Effect(Struct, frozen=True):
    """What an event does beyond the state: status purpose and its new bit, and the fate of the certificates."""

    event: str
    kind: str
    purpose: str
    bit: bool
    certificates: str


SUSPEND: Final = Effect("suspend", "suspended", "suspension", True, HOLD)
REINSTATE: Final = Effect("reinstate", "reinstated", "suspension", False, "")
REVOKE: Final = Effect("revoke", "revoked", "revocation", True, "privilegeWithdrawn")
EFFECTS: Final = {effect.event: effect for effect in (SUSPEND, REINSTATE, REVOKE)}


@dataclass(frozen=True, slots=True)
class Standing:
    """Changes the standing of members; `publish` signs what the change made out of date."""

    ledger: Ledger
    publish: Callable[[], Awaitable[None]]

    async def change(self, reference: str, effect: Effect) -> Member:
        """Apply the effect to the member with this id or DID; raises `NotFound` and `Conflict`."""

        def work(connection: Connection) -> Member:
            return self._apply(connection, reference, effect)

        member = await self.ledger.database.write(work)
        crashpoint("standing.committed")
        await self.publish()
        return member

    def _apply(self, connection: Connection, reference: str, effect: Effect) -> Member:
        now = self.ledger.now()
        member = self.ledger.members.get(connection, reference)
        changed = msgspec.structs.replace(member, state=step(MEMBERSHIP, member.state, effect.event), changed=now)
        self.ledger.members.save(connection, changed)
        self.ledger.statuses.mark_member(connection, member.id, effect.purpose, value=effect.bit)
        if effect.certificates:
            self.ledger.certificates.revoke_member(connection, member.id, now, effect.certificates)
        else:
            self.ledger.certificates.lift_hold(connection, member.id)
        self.ledger.journal.record(connection, effect.kind, member.id, member.did, now)
        return changed
