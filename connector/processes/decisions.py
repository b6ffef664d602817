"""What a connector does by itself after a message: a port, and the answer of policy and configuration to it.

Rules of `AutoDecisions`
- Provider: ends a negotiation that its policy does not permit; agrees to an offer of ours as it stands, and to other terms within what the offer leaves
  open (`OfferTerms.bounds`). Terms beyond that wait for a person, are answered once with the nearest terms within it, or are refused: `OfferTerms.otherwise`.
- An offer with `approval` is agreed to by a person only, also within its bounds; so is every offer when `auto` is off. Who approved these very terms, by
  making them or by answering, is not asked again.
- The contract policy is asked when a contract is asked for, and again when the consumer accepts an offer, which may be one that nobody asked for.
- Consumer: accepts an offer that says what was asked for, or that is within what the request, or a setting, leaves open to the provider (`bounds.Leeway`), and
  verifies an agreement that says what is on the table. An offer beyond that, or that nobody asked for, waits for a person, is answered once with the nearest terms
  within, or is refused; an agreement that says something else ends the negotiation.
- After that: finalises what is verified, starts a transfer that is requested.
- A process that waits says for whom, since when, why, and which step of ours an approval takes.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from msgspec import Struct

from connector.processes import tables
from connector.processes.model import Process
from policies.profiles.bounds import Otherwise

ANYONE: Final = "operator"  # who is waited for when no offer names somebody


class Matter(Struct, frozen=True, kw_only=True):
    """What a negotiation is decided by, beside the process itself."""

    permitted: bool = True  # our policy's answer (provider)
    reasons: Sequence[str] = ()  # why it is no, for our own side
    differences: Sequence[str] = ()  # between what was offered or asked and what came
    within: bool = False  # the differences are all within what we leave open
    approval: str = ""  # who has to approve a contract; empty = nobody
    otherwise: Otherwise = "wait"  # what other terms get
    nearest: dict[str, Any] | None = None  # the terms within what we leave open that come closest, to answer with


class Decision(Struct, frozen=True):
    """The next own step: a row name (empty = none), a reason for the peer, a note for our side; or whom `message` waits for."""

    message: str = ""
    reason: str = ""
    note: str = ""
    waits_for: str = ""


class Decisions(Protocol):
    """Decides the next own step after the state has changed."""

    def negotiation(self, process: Process, matter: Matter) -> Decision: ...

    def transfer(self, process: Process) -> Decision: ...


class AutoDecisions:
    """Decides by policy and configuration. With `auto` off every contract waits for a person."""

    def __init__(self, *, auto: bool = True) -> None:
        self._auto = auto

    def negotiation(self, process: Process, matter: Matter) -> Decision:
        return self._provided(process, matter) if process.role == "provider" else self._consumed(process, matter)

    def transfer(self, process: Process) -> Decision:
        if process.role == "provider" and process.state == "REQUESTED":
            return Decision(tables.START)
        return Decision()

    def _provided(self, process: Process, matter: Matter) -> Decision:
        match process.state:
            case "REQUESTED" | "ACCEPTED" if not matter.permitted:
                said = "; ".join(matter.reasons) or "the contract policy does not permit this participant"
                return Decision(tables.END_NEGOTIATION, "not permitted", said)
            case "REQUESTED" if matter.differences and not matter.within:
                return self._other_terms(process, matter)
            case "REQUESTED" | "ACCEPTED":
                return self._approved(process, tables.AGREE, matter.approval, "a contract to approve")
            case "VERIFIED":
                return Decision(tables.FINALIZE)
            case _:
                return Decision()

    def _other_terms(self, process: Process, matter: Matter) -> Decision:
        said = "; ".join(matter.differences)
        if matter.otherwise == "refuse":
            return Decision(tables.END_NEGOTIATION, "other terms are not offered", said)
        if matter.otherwise == "counter" and "offered" not in process.data:
            return Decision(tables.OFFER, note=f"other terms are asked for: {said}")
        return Decision(tables.AGREE, note=f"other terms are asked for: {said}", waits_for=matter.approval or ANYONE)

    def _consumed(self, process: Process, matter: Matter) -> Decision:
        said = "; ".join(matter.differences)
        match process.state:
            case "OFFERED" if not matter.within and (matter.differences or "asked" not in process.data):
                return self._offered(process, matter)
            case "OFFERED":
                return self._approved(process, tables.ACCEPT, matter.approval, "an offer to accept")
            case "AGREED" if matter.differences:
                return Decision(tables.END_NEGOTIATION, "the agreement differs from what was asked for", said)
            case "AGREED":
                return Decision(tables.VERIFY)
            case _:
                return Decision()

    def _offered(self, process: Process, matter: Matter) -> Decision:
        """What an offer beyond what we leave open gets."""
        said = "; ".join(matter.differences) or "made by the provider"
        if matter.otherwise == "refuse":
            return Decision(tables.END_NEGOTIATION, "these terms are not accepted", said)
        if matter.otherwise == "counter" and matter.nearest is not None and "countered" not in process.data:
            return Decision(tables.REQUEST, note=f"other terms are offered: {said}")
        return Decision(tables.ACCEPT, note=f"an offer to answer: {said}", waits_for=matter.approval or ANYONE)

    def _approved(self, process: Process, message: str, approval: str, why: str) -> Decision:
        """The step, or who has to approve it first."""
        if process.data.get("approvedBy") or (self._auto and not approval):
            return Decision(message)
        return Decision(message, note=why, waits_for=approval or ANYONE)


def agreement_faults(agreement: dict[str, Any], *, provider: str, consumer: str, dataset: str) -> list[str]:
    """What is wrong with the parties or the target of an agreement."""
    wanted = {"assigner": provider, "assignee": consumer, "target": dataset}
    return [f"{name} is {agreement.get(name)!r}, not {value!r}" for name, value in wanted.items() if agreement.get(name) != value]
