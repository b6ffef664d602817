"""State machines of the service as tables: a row is (state, event) -> next state, and nothing else knows what is legal.

Four tables: a membership (governance of the consortium, identity.md 8.6), one issuance process (DCP 1.0, 6.4; states of
identity.md 1.4), one offer of credentials (6.6) and one credential (identity.md 2.4). Suspension is reversible, revocation is final: REVOKED has no row.

Not done here: effects. The modules that call `step` write the new state and everything that hangs on it in one transaction.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from kernel.errors import Conflict


class Row(Struct, frozen=True):
    """One legal step."""

    state: str
    event: str
    to: str
    clause: str


class Table(Struct, frozen=True):
    """All legal steps of one kind of process."""

    kind: str
    initial: str
    final: frozenset[str]
    rows: Sequence[Row]


MEMBERSHIP: Final = Table(
    "membership",
    "INVITED",
    frozenset({"REVOKED"}),
    (
        Row("INVITED", "invite", "INVITED", "a new invitation replaces the old code"),
        Row("INVITED", "apply", "APPLIED", "control of the DID proven with the invitation"),
        Row("APPLIED", "approve", "ACTIVE", "decision of the operator"),
        Row("ACTIVE", "suspend", "SUSPENDED", "reversible"),
        Row("SUSPENDED", "reinstate", "ACTIVE", "lifts the suspension"),
        Row("INVITED", "revoke", "REVOKED", "final"),
        Row("APPLIED", "revoke", "REVOKED", "final"),
        Row("ACTIVE", "revoke", "REVOKED", "final"),
        Row("SUSPENDED", "revoke", "REVOKED", "final"),
    ),
)

ISSUANCE: Final = Table(
    "issuance",
    "SUBMITTED",
    frozenset({"DELIVERED", "REJECTED", "ERRORED"}),
    (
        Row(
            "SUBMITTED",
            "approve",
            "APPROVED",
            "DCP 6.4: the record supports every definition asked for; or a person has decided so",
        ),
        Row("SUBMITTED", "reject", "REJECTED", "DCP 6.4: all or nothing"),
        Row("APPROVED", "deliver", "DELIVERED", "DCP 6.5: the credential service took all of them"),
        Row("APPROVED", "reject", "REJECTED", "the membership ended before delivery"),
        Row("APPROVED", "fail", "ERRORED", "not deliverable for the whole delivery period"),
    ),
)

OFFER: Final = Table(
    "offer",
    "OFFERING",
    frozenset({"OFFERED", "UNOFFERED"}),
    (
        Row("OFFERING", "deliver", "OFFERED", "DCP 6.6: the credential service has taken the offer"),
        Row("OFFERING", "reject", "UNOFFERED", "the membership ended before"),
        Row("OFFERING", "fail", "UNOFFERED", "not deliverable for the whole delivery period"),
    ),
)

CREDENTIAL: Final = Table(
    "credential",
    "ISSUED",
    frozenset({"REVOKED"}),
    (
        Row("ISSUED", "suspend", "SUSPENDED", "reversible"),
        Row("SUSPENDED", "reinstate", "ISSUED", "lifts the suspension of this credential, not of its holder"),
        Row("ISSUED", "revoke", "REVOKED", "final"),
        Row("SUSPENDED", "revoke", "REVOKED", "final"),
    ),
)

# DCP 1.0, CredentialStatus: what a holder is told about the process.
WIRE_STATUS: Final = {
    "SUBMITTED": "RECEIVED",
    "APPROVED": "RECEIVED",
    "DELIVERED": "ISSUED",
    "REJECTED": "REJECTED",
    "ERRORED": "REJECTED",
}


def legal(table: Table, state: str, event: str) -> bool:
    """Whether the event has a row in this state."""
    return any(row.state == state and row.event == event for row in table.rows)


def step(table: Table, state: str, event: str) -> str:
    """The next state; raises `Conflict` naming the state and the events that are legal in it."""
    rows = [row for row in table.rows if row.state == state]
    for row in rows:
        if row.event == event:
            return row.to
    events = ", ".join(row.event for row in rows) or "nothing more"
    raise Conflict(
        f"{table.kind}: {event} is not possible in state {state}",
        next_step=f"possible now: {events}",
        state=state,
        wanted=event,
    )
