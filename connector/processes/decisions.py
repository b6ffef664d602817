"""What a connector does by itself after a message: a port, and the automatic answer to it.

Rules of `AutoDecisions`
- Provider: agrees when the request asks for an offer of ours unchanged and its policy permits the participant, else ends the negotiation with a minimal
  reason; agrees to an accepted offer; finalises after the verification; starts a requested transfer.
- Consumer: accepts an offer that says what was asked for, verifies an agreement that says what was asked for; an offer that says something else waits for a
  person, an agreement that does so ends the negotiation.
- `None` is "nothing to do"; a note says why a process waits for a person.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from msgspec import Struct

from connector.processes import tables
from connector.processes.model import Process

WAITS: Final = "waits for a person: "


class Decision(Struct, frozen=True):
    """The next own step: a row name (empty = none), a reason for the peer, a note for our side."""

    message: str = ""
    reason: str = ""
    note: str = ""


class Decisions(Protocol):
    """Decides the next own step after the state has changed."""

    def negotiation(self, process: Process, *, permitted: bool, differences: Sequence[str]) -> Decision: ...

    def transfer(self, process: Process) -> Decision: ...


class AutoDecisions:
    """Does everything that needs no person."""

    def negotiation(self, process: Process, *, permitted: bool, differences: Sequence[str]) -> Decision:  # noqa: PLR0911  a table
        """`permitted`: our policy's answer (provider); `differences`: between what was asked and what came."""
        match process.role, process.state:
            case "provider", "REQUESTED" if not permitted:
                return Decision(tables.END_NEGOTIATION, "not permitted", "the contract policy does not permit this participant")
            case "provider", "REQUESTED" if differences:
                return Decision(note=f"{WAITS}other terms are asked for: {'; '.join(differences)}")
            case "provider", "REQUESTED" | "ACCEPTED":
                return Decision(tables.AGREE)
            case "provider", "VERIFIED":
                return Decision(tables.FINALIZE)
            case "consumer", "OFFERED" if differences or "asked" not in process.data:
                return Decision(note=f"{WAITS}an offer to answer: {'; '.join(differences) or 'made by the provider'}")
            case "consumer", "OFFERED":
                return Decision(tables.ACCEPT)
            case "consumer", "AGREED" if differences:
                return Decision(tables.END_NEGOTIATION, "the agreement differs from what was asked for", "; ".join(differences))
            case "consumer", "AGREED":
                return Decision(tables.VERIFY)
            case _:
                return Decision()

    def transfer(self, process: Process) -> Decision:
        if process.role == "provider" and process.state == "REQUESTED":
            return Decision(tables.START)
        return Decision()


def agreement_faults(agreement: dict[str, Any], *, provider: str, consumer: str, dataset: str) -> list[str]:
    """What is wrong with the parties or the target of an agreement."""
    wanted = {"assigner": provider, "assignee": consumer, "target": dataset}
    return [f"{name} is {agreement.get(name)!r}, not {value!r}" for name, value in wanted.items() if agreement.get(name) != value]
