"""A policy as typed values (ODRL 2.2, 2): what `parse` makes and `evaluate` reads. Immutable.

A rule's `actions` is a tuple because ODRL allows several; DSP 2025-1 carries one. `refinement` narrows the action and counts
like further constraints of the rule. Paths are JSON Pointers into the policy as it was given.
"""

from typing import Literal

from msgspec import Struct

from policies.odrl.operands import Operand, Registry
from policies.odrl.operators import Test

PolicyKind = Literal["Set", "Offer", "Agreement"]
LogicalKind = Literal["and", "or", "xone", "andSequence"]


class Atomic(Struct, frozen=True, kw_only=True):
    """`left operator right`; `right` keeps the texts as they were given, `test` is what they mean."""

    operand: Operand
    operator: str
    right: tuple[str, ...]
    path: str
    test: Test


class Logical(Struct, frozen=True, kw_only=True):
    """Constraints under one logical operator."""

    kind: LogicalKind
    parts: tuple["Constraint", ...]
    path: str


Constraint = Atomic | Logical


class Duty(Struct, frozen=True, kw_only=True):
    """Something that must be done. Carried and listed here; when it is due and whether it was done is a ledger's business."""

    action: str
    constraints: tuple[Constraint, ...] = ()
    consequences: tuple["Duty", ...] = ()
    path: str


class Permission(Struct, frozen=True, kw_only=True):
    """What may be done while every constraint holds, under the duties."""

    actions: frozenset[str]
    constraints: tuple[Constraint, ...] = ()
    duties: tuple[Duty, ...] = ()
    path: str


class Prohibition(Struct, frozen=True, kw_only=True):
    """What must not be done, unless a constraint is known not to hold. Without constraints: never."""

    actions: frozenset[str]
    constraints: tuple[Constraint, ...] = ()
    remedies: tuple[Duty, ...] = ()
    path: str


class Policy(Struct, frozen=True, kw_only=True):
    """A policy. `digest` covers its terms, not its ids and parties; `registry` is what it was read with."""

    id: str
    kind: PolicyKind
    profiles: tuple[str, ...]
    permissions: tuple[Permission, ...]
    prohibitions: tuple[Prohibition, ...]
    obligations: tuple[Duty, ...]
    target: str = ""
    assigner: str = ""
    assignee: str = ""
    timestamp: str = ""
    digest: str = ""
    registry: Registry

    def atoms(self) -> tuple[Atomic, ...]:
        """Every atomic constraint of permissions and prohibitions, in the order of the policy."""
        rules: tuple[Permission | Prohibition, ...] = (*self.permissions, *self.prohibitions)
        return tuple(atom for rule in rules for constraint in rule.constraints for atom in atoms(constraint))

    def values(self, operand: str) -> tuple[str, ...]:
        """The right values that permissions name for an operand; for a purpose: those that the terms allow."""
        found = (
            value
            for rule in self.permissions
            for constraint in rule.constraints
            for atom in atoms(constraint)
            if atom.operand.iri == operand and atom.operator in ("eq", "isAnyOf", "isA", "isPartOf")
            for value in atom.right
        )
        return tuple(dict.fromkeys(found))


def atoms(constraint: Constraint) -> tuple[Atomic, ...]:
    """The atomic constraints below a constraint."""
    if isinstance(constraint, Atomic):
        return (constraint,)
    return tuple(atom for part in constraint.parts for atom in atoms(part))
