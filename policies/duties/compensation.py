"""Duties to compensate that name an amount, and what was paid under their agreement: when such a duty is done, and when it is owed again.

    {"action": "compensate", "constraint": [{"leftOperand": "payAmount", "operator": "eq", "rightOperand": "100", "unit": "EUR"}]}

Rules
- The amount is the one constraint or refinement of the duty on `payAmount` with `eq` or `gteq` (as much, or more) or `gt` (more). A duty with none, with several, with one below a
  logical operator or in another unit than the agreement's sum, that must not be done before a time, with somebody else to be compensated than who is paid, or owed by who is paid, is a matter of evidence by hand.
- What was paid is one sum. It is set against the duties that are owed, the earliest due first (without a date: as they began), each in full before the next. A duty that is done keeps
  its amount, whatever showed it, so that one amount never counts twice; one that was waived keeps nothing.
- A duty is done when the sum reaches its amount: `fulfilled`, or `late` where its time was over. In time is decided by the moment that who is paid states for its entry: it speaks
  against itself. Where our own clock had made the duty overdue before that word arrived, the duty is fulfilled all the same, and a consequence that had begun is not owed.
- A correction that takes the sum below the amount again makes the duty owed again, the latest due first: `active`, and overdue as soon as its time is over; or `overdue` where it was
  `late`. Only what the payments had shown is taken back: a duty that was shown by other evidence, or waived, stays as it is. What was granted meanwhile was granted.
- The entry says in its note how much of its amount is paid. Every change is evidence, in order, of class E1: the signed statement of who is paid.

Not done here: keeping payments, signing, telling (`connector.usage.payments`).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kernel.clock import parse_iso
from policies.duties.counters import PAID, Counter
from policies.duties.ledger import Entry, Evidence, begun_by, by_path, fulfilled, ticked
from policies.odrl import ODRL, Atomic, Duty, DutyState, Policy

COMPENSATE: Final = ODRL + "compensate"
_REACHED: Final = frozenset({"eq", "gteq", "gt"})
_DONE: Final = frozenset({"fulfilled", "late"})
_REOPENED: Final[dict[DutyState, DutyState]] = {"fulfilled": "active", "late": "overdue"}


class Amount(Struct, frozen=True):
    """What a duty to compensate asks for; `more`: the sum has to be above it."""

    value: Decimal
    unit: str
    more: bool = False

    def reached(self, paid: Decimal) -> bool:
        return paid > self.value if self.more else paid >= self.value


def amount(duty: Duty, payee: str) -> Amount | None:
    """The amount that is to be paid to a party (a DID) by a duty; None where payments to it do not show that it was done."""
    if duty.action != COMPENSATE or any(_elsewhere(function, name, payee) for function, name in duty.parties):
        return None
    asked = [each for each in (*duty.constraints, *duty.refinements) if isinstance(each, Atomic) and each.operand.iri == PAID]
    if len(asked) != 1 or asked[0].operator not in _REACHED:
        return None
    found = Amount(Decimal(asked[0].right[0]), asked[0].unit, asked[0].operator == "gt")
    return found if found.value > 0 else None


def _elsewhere(function: str, name: str, payee: str) -> bool:
    """Whether a party of a duty says that it is not the consumer's to pay, or not to this party."""
    return (function.endswith("assignee") and name == payee) or (function.endswith("compensatedParty") and name != payee)


def account(agreement: str, policy: Policy, payee: str) -> Counter | None:
    """The counter for the payments that duties ask for, where no permission has made one (`counted`): in the unit of the first of them."""
    asked = (amount(each, payee) for _, each in sorted(by_path(policy).items()))
    unit = next((each.unit for each in asked if each is not None), None)
    return None if unit is None else Counter(agreement=agreement, operand=PAID, limit="", unit=unit)


def compensated(
    entries: Sequence[Entry], policy: Policy, paid: Counter, payee: str, evidence: Evidence, at: datetime
) -> list[Entry]:
    """The entries after a payment or correction; `paid` is the counter with it, `evidence` names it, `at` is when it was entered.

    Only these duties, and what follows from one that is done, are changed: what else time has changed by `at` is left as it is given.
    """
    found, clocked = {each.path: each for each in entries}, ticked(entries, policy, at)[0]
    amounts = ((path, amount(duty, payee)) for path, duty in by_path(policy).items())
    asked = {path: wanted for path, wanted in amounts if wanted is not None and wanted.unit == paid.unit}
    owed = [each for each in clocked if each.path in asked and each.state not in ("inactive", "waived") and not each.until]
    shown = [each for each in owed if each.state in _DONE and not (each.evidence and each.evidence[-1].payment)]
    left = Decimal(paid.used) - sum(asked[each.path].value for each in shown)
    for each in sorted((each for each in owed if each not in shown), key=_turn):
        before, wanted = found[each.path], asked[each.path]
        if before.state == "inactive":  # begun by the clock alone, by a duty that is still owed
            continue
        reached = wanted.reached(left)
        if reached and each.state not in _DONE:
            found |= _done(each, found, clocked, evidence, at)
        elif not reached and each.state in _DONE:
            found[each.path] = replace(before, state=_REOPENED[before.state], evidence=(*before.evidence, evidence))
        noted = f"{max(min(left, wanted.value), Decimal(0))} of {wanted.value} {wanted.unit} paid"
        found[each.path] = replace(found[each.path], note=noted)
        left -= wanted.value if reached else max(left, Decimal(0))
    return [found[each.path] for each in entries]


def _turn(entry: Entry) -> tuple[bool, datetime, str]:
    """What was done keeps its place before what is owed; then by when it is due, or began."""
    return entry.state not in _DONE, parse_iso(entry.due or entry.triggered), entry.path


def _done(entry: Entry, found: Mapping[str, Entry], clocked: Iterable[Entry], evidence: Evidence, at: datetime) -> dict[str, Entry]:
    """A duty that is done, with what follows by path: begun where it was late, not owed where it was in time after all."""
    if entry.state == "overdue" and parse_iso(entry.due) > at:
        begun = (each for path, each in found.items() if path.startswith(f"{entry.path}/") and each.state in ("active", "overdue"))
        following = {each.path: replace(each, state="inactive", triggered="", due="", until="") for each in begun}
        return {**following, entry.path: fulfilled(replace(entry, state="active"), evidence, at)}
    return {**begun_by(entry.path, found, clocked), entry.path: fulfilled(entry, evidence, at)}


__all__ = ["Amount", "account", "amount", "compensated"]
