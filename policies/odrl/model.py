"""A policy as typed values (ODRL 2.2, 2): what `parse` makes and `evaluate` reads. Immutable, and compiled: tests are bound.

A rule has the actions of ODRL; several with refinements of their own become several rules under one path. Refinements of the action
count like further constraints of a permission or prohibition. Target and assignee of the policy are those of every rule without its
own. Paths are JSON Pointers into the policy as it was given. What must hold together is sorted once, for the evaluator's loop
(`Conjunction`).
"""

from functools import reduce
from operator import or_
from typing import Any, Final, Literal

from msgspec import Struct

from policies.odrl.operand import PHASES, Operand, Phase, Reader
from policies.odrl.operands import Registry
from policies.odrl.operators import Test

PolicyKind = Literal["Set", "Offer", "Agreement", "Request"]
LogicalKind = Literal["and", "or", "xone", "andSequence"]
Conflict = Literal["prohibit", "perm", "invalid"]


class Atomic(Struct, frozen=True, kw_only=True, gc=False):
    """`left operator right`; `right` keeps the texts as they were given, `read` finds the fact, `test(fact, bound)` is what they mean.

    `left` is the operand's IRI. `bit` is the constraint's place in the masks of a decision; 0 in a duty, which no decision looks into. `status` is what the author
    says that the left operand stands at: where a counter begins, never a fact.
    """

    operand: Operand
    left: str
    operator: str
    right: tuple[str, ...]
    path: str
    read: Reader
    test: Test
    bound: Any
    bit: int = 0
    unit: str = ""
    status: str = ""


class Logical(Struct, frozen=True, kw_only=True, gc=False):
    """Constraints under one logical operator. Decided are its branches: all parts together for `and` and `andSequence`, each for itself for `or` and `xone`."""

    kind: LogicalKind
    parts: tuple["Constraint", ...]
    branches: tuple["Conjunction", ...]
    path: str


Constraint = Atomic | Logical


class Conjunction(Struct, frozen=True, kw_only=True, gc=False):
    """Constraints that must all hold. The atomic ones stand apart: `bits` are their places together, `deferring` the phases in which not all of them can be known."""

    constraints: tuple[Constraint, ...] = ()
    atomic: tuple[Atomic, ...] = ()
    logical: tuple[Logical, ...] = ()
    bits: int = 0
    deferring: tuple[Phase, ...] = ()

    @classmethod
    def of(cls, constraints: tuple[Constraint, ...]) -> "Conjunction":
        """Of these constraints, in any order: no decision depends on it."""
        if not constraints:
            return NO_CONSTRAINTS
        atomic = tuple([each for each in constraints if isinstance(each, Atomic)])
        return cls(
            constraints=constraints,
            atomic=atomic,
            logical=tuple([each for each in constraints if isinstance(each, Logical)]),
            bits=reduce(or_, [each.bit for each in atomic], 0),
            deferring=tuple([phase for phase in PHASES if any(phase not in each.operand.phases for each in atomic)]),
        )


NO_CONSTRAINTS: Final = Conjunction()


class Bearing(Struct, frozen=True, kw_only=True, gc=False):
    """What hangs on constraints that must all hold."""

    conjunction: Conjunction = NO_CONSTRAINTS

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """They, in the order of the policy."""
        return self.conjunction.constraints


class Entity(Bearing, frozen=True, kw_only=True, gc=False):
    """An asset or a party that a rule is about, or a collection of them, narrowed by constraints."""

    id: str
    source: str = ""
    collection: bool = False
    path: str


class Duty(Struct, frozen=True, kw_only=True, gc=False):
    """Something that must be done. When it is due and whether it was done is a ledger's business, told by its path.

    `refinements` say how it is done (5 EUR), `constraints` when it applies or until when. `parties` maps functions
    (`assignee`, `informedParty`) to names.
    """

    action: str
    constraints: tuple[Constraint, ...] = ()
    refinements: tuple[Constraint, ...] = ()
    consequences: tuple["Duty", ...] = ()
    targets: tuple[Entity, ...] = ()
    parties: tuple[tuple[str, str], ...] = ()
    path: str


class Permission(Bearing, frozen=True, kw_only=True, gc=False):
    """What may be done while every constraint holds, under the duties."""

    actions: frozenset[str]
    duties: tuple[Duty, ...] = ()
    targets: tuple[Entity, ...] = ()
    assignees: tuple[Entity, ...] = ()
    path: str


class Prohibition(Bearing, frozen=True, kw_only=True, gc=False):
    """What must not be done, unless a constraint is known not to hold. Without constraints: never."""

    actions: frozenset[str]
    remedies: tuple[Duty, ...] = ()
    targets: tuple[Entity, ...] = ()
    assignees: tuple[Entity, ...] = ()
    path: str


class Policy(Struct, frozen=True, kw_only=True):
    """A policy. `digest` covers its terms, not its ids and parties; `registry` is what it was read with."""

    id: str
    kind: PolicyKind
    profiles: tuple[str, ...]
    permissions: tuple[Permission, ...]
    prohibitions: tuple[Prohibition, ...]
    obligations: tuple[Duty, ...]
    conflict: Conflict = "prohibit"
    target: str = ""
    assigner: str = ""
    assignee: str = ""
    timestamp: str = ""
    digest: str = ""
    registry: Registry

    @property
    def binding(self) -> bool:
        """Whether a yes can be acted on: an offer is an invitation, a request a question."""
        return self.kind in ("Set", "Agreement")

    @property
    def scoped(self) -> bool:
        """Whether a rule is about some asset or party only, so that a decision holds for what was asked and nobody else."""
        rules: tuple[Permission | Prohibition, ...] = (*self.permissions, *self.prohibitions)
        return any(each.targets or each.assignees for each in rules)

    def atoms(self) -> tuple[Atomic, ...]:
        """Every atomic constraint that decides a permission or a prohibition, in the order of the policy."""
        rules: tuple[Permission | Prohibition, ...] = (*self.permissions, *self.prohibitions)
        found = {atom.path: atom for rule in rules for constraint in bearing(rule) for atom in atoms(constraint)}
        return tuple(found.values())

    def duties(self) -> tuple[Duty, ...]:
        """Every duty: obligations, duties of permissions, remedies; consequences stand in their duty."""
        within = (each for rule in self.permissions for each in rule.duties)
        return (*self.obligations, *within, *(each for rule in self.prohibitions for each in rule.remedies))

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


def bearing(rule: Permission | Prohibition) -> tuple[Constraint, ...]:
    """All constraints that a rule hangs on: its own, and those that narrow its targets and assignees."""
    return (*(each for entity in (*rule.targets, *rule.assignees) for each in entity.constraints), *rule.constraints)
