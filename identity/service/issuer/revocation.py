"""Suspension, reinstatement and revocation of single credentials: by id, by holder, by type (identity.md 2.4).

Rules
- The id that a holder, a verifier and the operator see (`urn:uuid:...`, the credential's own) is the id that the actions take.
- Suspension is reversible, revocation is final (`transitions.CREDENTIAL`). By id, a step that is not legal is refused; by holder or type, the credentials
  for which it is legal are changed, and those are told.
- State, status bits and events are one transaction; the lists are signed right after it (see `authority.standing`).
- A credential's own state and its holder's membership are apart: lifting one suspension leaves the other.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from identity.service.store.issuance import Issued, Which
from identity.service.store.ledger import Ledger
from identity.service.store.port import Connection
from identity.service.transitions import CREDENTIAL, legal, step
from kernel.errors import BadInput, NotFound
from kernel.faults import crashpoint

KINDS: Final = {"suspend": "credential-suspended", "reinstate": "credential-reinstated", "revoke": "credential-revoked"}
_MOST: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Revocation:
    """Changes the state of credentials; `publish` signs what the change made out of date."""

    ledger: Ledger
    publish: Callable[[], Awaitable[None]]

    async def change(self, which: Which, event: str) -> list[Issued]:
        """Apply the event; returns what was changed. Raises `BadInput` (nothing named), `NotFound` and, by id, `Conflict`."""
        if not (which.id or which.holder or which.type):
            raise BadInput("which credentials? all of them is no answer", next_step="name an id, a holder or a type")

        def work(connection: Connection) -> list[Issued]:
            found = self.ledger.issuances.find(connection, which, limit=_MOST)
            if which.id and not found:
                raise NotFound(f"no credential {which.id}", next_step="kizuna credential list shows the known ones")
            meant = found if which.id else [each for each in found if legal(CREDENTIAL, each.state, event)]
            return [self._apply(connection, each, event) for each in meant]

        changed = await self.ledger.database.write(work)
        crashpoint("revocation.committed")
        await self.publish()
        return changed

    def _apply(self, connection: Connection, credential: Issued, event: str) -> Issued:
        changed = msgspec.structs.replace(credential, state=step(CREDENTIAL, credential.state, event))
        self.ledger.issuances.change(connection, changed.id, changed.state)
        self.ledger.statuses.settle(connection, credential=changed.id)
        self.ledger.journal.record(connection, KINDS[event], changed.member, changed.holder, self.ledger.now(), subject=changed.id)
        return changed
