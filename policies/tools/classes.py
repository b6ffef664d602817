"""How a clause is held up, said honestly.

T: enforced by a connector. M: monitored while the agreement lives. E: evidenced by whoever has the data. L: legal text only.

A constraint is enforced where a connector knows its fact before it lets data go (catalog, negotiation, transfer), monitored where it
is known only while the agreement lives, evidenced where only the place of use knows it. A purpose is what the recipient binds
itself to: enforced as an undertaking, and legal text as to what happens then. A duty with a limit in time is monitored; one that a
connector cannot see done is evidenced.
"""

from typing import Final, Literal

from policies.odrl import PURPOSE, Constraint, Duty
from policies.odrl.evaluate import limited_in_time
from policies.odrl.model import atoms
from policies.odrl.operand import Operand

Class = Literal["T", "M", "E", "L"]
_WEAKEST: Final = "TMEL"
_BEFORE: Final = frozenset({"catalog", "negotiation", "transfer"})


def operand_class(operand: Operand) -> Class:
    """The class of every constraint on an operand."""
    if operand.iri == PURPOSE:
        return "L"
    if not operand.source:
        return "L"
    if _BEFORE & set(operand.phases):
        return "T"
    return "M" if "monitoring" in operand.phases else "E"


def constraint_class(constraint: Constraint) -> Class:
    """The weakest class of its parts."""
    return max((operand_class(atom.operand) for atom in atoms(constraint)), key=_WEAKEST.index)


def duty_class(duty: Duty) -> Class:
    """Monitored when it has a date, else evidenced: nobody would know when it is overdue."""
    return "M" if limited_in_time(duty) else "E"
