"""What an agreement lets be done a number of times, or for an amount: counters, decremented by the transaction that grants.

Rules
- A permission with `count lt|lteq|eq N` (or `payAmount`) makes a counter for its constraint; `status` is where it begins. `payAmount gt|gteq A` makes one without a
  limit: what was paid has to reach an amount first.
- Amounts are entered by the side that is paid (`recorded`), in the unit of the policy and no other: currencies are not converted.
- A grant is decided with the amount as it would be afterwards (`facts`), and writes that amount on condition that the counter has not
  moved (`version`): two grants at once cannot both take the last one.
- What is taken is never given back, except what a separate data plane was allotted and did not use (`returned`).

Not done here: storing. `elapsedTime` needs no counter: the moment it began is the agreement's.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from kernel.errors import BadInput, Conflict
from policies.odrl import Policy
from policies.odrl.model import atoms
from policies.odrl.vocabulary import ODRL, term

COUNT: Final = ODRL + "count"
PAID: Final = ODRL + "payAmount"
_COUNTED: Final = frozenset({COUNT, PAID})
_LIMITS: Final = frozenset({"lt", "lteq", "eq"})
_LEAST: Final = frozenset({"gt", "gteq"})


class Exhausted(Conflict):
    """Nothing is left of what an agreement lets be done."""

    code = "exhausted"


class Counter(Struct, frozen=True, kw_only=True):
    """How much of one operand was used under an agreement. Amounts are decimal texts, `unit` as the policy has it; no `limit`: as much as there is."""

    agreement: str
    operand: str
    limit: str
    used: str = "0"
    unit: str = ""
    version: int = 0

    @property
    def id(self) -> str:
        """The same on both sides of the agreement."""
        return f"{self.agreement} {self.operand}"

    @property
    def left(self) -> Decimal:
        return Decimal(self.limit or "Infinity") - Decimal(self.used)


def counted(agreement: str, policy: Policy) -> list[Counter]:
    """The counters of a new agreement, one for each operand; of several limits the widest, since any permission may be used."""
    found: dict[str, Counter] = {}
    for permission in policy.permissions:
        for constraint in permission.constraints:
            for atom in atoms(constraint):
                if atom.operand.iri in _COUNTED and atom.operator in _LIMITS:
                    limit = Decimal(atom.right[0]) - (1 if atom.operator == "lt" and atom.operand.iri == COUNT else 0)
                    known = found.get(atom.operand.iri)
                    if known is None or not known.limit or Decimal(known.limit) < limit:
                        found[atom.operand.iri] = Counter(
                            agreement=agreement, operand=atom.operand.iri, limit=str(limit), used=atom.status or "0", unit=atom.unit
                        )
                elif atom.operand.iri == PAID and atom.operator in _LEAST and PAID not in found:
                    found[PAID] = Counter(agreement=agreement, operand=PAID, limit="", used=atom.status or "0", unit=atom.unit)
    return list(found.values())


def granted(counters: Iterable[Counter], amounts: dict[str, Decimal] | None = None) -> list[Counter]:
    """The counters after one grant: one use, and the amounts given; raises `Exhausted`."""
    taken = {COUNT: Decimal(1)} | (amounts or {})
    after = []
    for each in counters:
        used = Decimal(each.used) + taken.get(each.operand, Decimal(0))
        if each.limit and used > Decimal(each.limit):
            raise Exhausted(f"{term(each.operand)}: {each.used} of {each.limit} are used", next_step="ask for a new contract")
        after.append(replace(each, used=str(used), version=each.version + 1))
    return after


def recorded(counter: Counter, amount: Decimal, unit: str) -> Counter:
    """The counter with an amount that was entered; a negative one corrects. Raises `BadInput` for another unit, `Conflict` below zero."""
    if unit != counter.unit:
        raise BadInput(
            f"the agreement counts in {counter.unit}, not in {unit or 'nothing'}", next_step=f"give the amount in {counter.unit}"
        )
    used = Decimal(counter.used) + amount
    if used < 0:
        raise Conflict(f"only {counter.used} {unit} were entered", next_step="see `kizuna payment list`")
    return replace(counter, used=str(used), version=counter.version + 1)


def returned(counter: Counter, amount: Decimal) -> Counter:
    """The counter after a data plane gave back what it did not use."""
    if amount < 0 or amount > Decimal(counter.used):
        raise Conflict("more is given back than was taken")
    return replace(counter, used=str(Decimal(counter.used) - amount), version=counter.version + 1)


def facts(counters: Iterable[Counter]) -> dict[str, Any]:
    """Facts by operand, for a decision: give it the counters as they would be afterwards."""
    return {each.operand: {"value": each.used, "unit": each.unit} if each.unit else str(Decimal(each.used)) for each in counters}


__all__ = ["COUNT", "PAID", "Counter", "Exhausted", "counted", "facts", "granted", "recorded", "returned"]
