"""The transition tables of DSP 2025-1: who may send what in which state, and where it leads.

A row is (state, message, sender) -> next state, with the names of its guard and effects, and its clause. Nothing else in the code knows which
transition is legal. The tables are drawn into the docs, served by the management API, walked by the model of two connectors, and compared
with the specification by a test. An empty state is "no process yet".

Clauses: DSP 2025-1, Contract Negotiation Protocol and Transfer Process Protocol, sections "State Machine" and "Message Types".
"""

from functools import cached_property
from typing import Final

from connector.processes.model import Kind, Role

CONSUMER: Final[Role] = "consumer"
PROVIDER: Final[Role] = "provider"
_BOTH: Final[tuple[Role, Role]] = (CONSUMER, PROVIDER)

REQUEST: Final = "ContractRequestMessage"
OFFER: Final = "ContractOfferMessage"
ACCEPTED_EVENT: Final = "ContractNegotiationEventMessage:ACCEPTED"
AGREEMENT: Final = "ContractAgreementMessage"
VERIFICATION: Final = "ContractAgreementVerificationMessage"
FINALIZED_EVENT: Final = "ContractNegotiationEventMessage:FINALIZED"
TERMINATION: Final = "ContractNegotiationTerminationMessage"
TRANSFER_REQUEST: Final = "TransferRequestMessage"
START: Final = "TransferStartMessage"
SUSPENSION: Final = "TransferSuspensionMessage"
COMPLETION: Final = "TransferCompletionMessage"
TRANSFER_TERMINATION: Final = "TransferTerminationMessage"


class Row:
    """One legal transition. `guard` and `effects` are names: what must hold first, and what follows."""

    __slots__ = ("clause", "effects", "guard", "message", "sender", "state", "to")

    def __init__(
        self, state: str, message: str, sender: Role, to: str, *, guard: str = "", effects: tuple[str, ...] = (), clause: str
    ) -> None:
        self.state, self.message, self.sender, self.to = state, message, sender, to
        self.guard, self.effects, self.clause = guard, effects, clause


class Table:
    """All transitions of one kind of process."""

    def __init__(self, kind: Kind, final: frozenset[str], rows: tuple[Row, ...]) -> None:
        self.kind, self.final, self.rows = kind, final, rows
        self._by_key = {(row.state, row.message, row.sender): row for row in rows}

    def get(self, state: str, message: str, sender: Role) -> Row | None:
        """The row for a message, or None when it is not legal."""
        return self._by_key.get((state, message, sender))

    @cached_property
    def states(self) -> tuple[str, ...]:
        """All states in the order of the table."""
        return tuple(dict.fromkeys([row.state for row in self.rows if row.state] + [row.to for row in self.rows]))

    def markdown(self) -> str:
        """The table for the docs."""
        lines = ["| state | message | sender | next | guard | effects | clause |", "|---|---|---|---|---|---|---|"]
        lines += [
            f"| {r.state or '-'} | {r.message} | {r.sender} | {r.to} | {r.guard or '-'} | {', '.join(r.effects) or '-'} | {r.clause} |"
            for r in self.rows
        ]
        return "\n".join(lines) + "\n"

    def mermaid(self) -> str:
        """The drawing for the docs."""
        arrows = [f"    {r.state or '[*]'} --> {r.to}: {r.sender[0].upper()} {r.message}" for r in self.rows]
        ends = [f"    {state} --> [*]" for state in sorted(self.final)]
        return "\n".join(["stateDiagram-v2", *arrows, *ends]) + "\n"


def _ends(states: tuple[str, ...], message: str, clause: str, effects: tuple[str, ...]) -> tuple[Row, ...]:
    return tuple(Row(state, message, sender, "TERMINATED", effects=effects, clause=clause) for state in states for sender in _BOTH)


NEGOTIATION: Final = Table(
    "negotiation",
    frozenset({"FINALIZED", "TERMINATED"}),
    (
        Row("", REQUEST, CONSUMER, "REQUESTED", guard="offer_known", effects=("decide",), clause="contract-request-message"),
        Row("", OFFER, PROVIDER, "OFFERED", effects=("decide",), clause="contract-offer-message"),
        Row("REQUESTED", OFFER, PROVIDER, "OFFERED", effects=("decide",), clause="contract-offer-message"),
        Row("REQUESTED", AGREEMENT, PROVIDER, "AGREED", guard="agreement_names_us", effects=("decide",), clause="contract-agreement-message"),
        Row("OFFERED", REQUEST, CONSUMER, "REQUESTED", effects=("decide",), clause="contract-request-message"),
        Row("OFFERED", ACCEPTED_EVENT, CONSUMER, "ACCEPTED", effects=("decide",), clause="contract-negotiation-event-message"),
        Row("ACCEPTED", AGREEMENT, PROVIDER, "AGREED", guard="agreement_names_us", effects=("decide",), clause="contract-agreement-message"),
        Row("AGREED", VERIFICATION, CONSUMER, "VERIFIED", effects=("decide",), clause="contract-agreement-verification-message"),
        Row("VERIFIED", FINALIZED_EVENT, PROVIDER, "FINALIZED", effects=("keep_agreement",), clause="contract-negotiation-event-message"),
        *_ends(("REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "VERIFIED"), TERMINATION, "contract-negotiation-termination-message", ()),
    ),
)  # fmt: skip

TRANSFER: Final = Table(
    "transfer",
    frozenset({"COMPLETED", "TERMINATED"}),
    (
        Row("", TRANSFER_REQUEST, CONSUMER, "REQUESTED", guard="agreement_known", effects=("decide",), clause="transfer-request-message"),
        Row("REQUESTED", START, PROVIDER, "STARTED", effects=("open_data",), clause="transfer-start-message"),
        *(Row("SUSPENDED", START, sender, "STARTED", effects=("open_data",), clause="transfer-start-message") for sender in _BOTH),
        *(Row("STARTED", SUSPENSION, sender, "SUSPENDED", effects=("close_data",), clause="transfer-suspension-message") for sender in _BOTH),
        *(Row("STARTED", COMPLETION, sender, "COMPLETED", effects=("close_data",), clause="transfer-completion-message") for sender in _BOTH),
        *_ends(("REQUESTED", "STARTED", "SUSPENDED"), TRANSFER_TERMINATION, "transfer-termination-message", ("close_data",)),
    ),
)  # fmt: skip

TABLES: Final = {"negotiation": NEGOTIATION, "transfer": TRANSFER}
