"""Policies as formulas over the facts that they ask for.

Rules
- A permission counts where all its constraints are true; a prohibition where none is known to be false; the decision follows the
  policy's conflict term, as `evaluate` does.
- Target and assignee are variables too: a named one, a member of a named collection, or anybody else. Constraints that narrow a
  collection are about its members.
- Duties are taken as fulfilled, so an answer here is about who may ever do what, not about who still owes something.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from policies.odrl.analyse.cells import OTHER, Meaning, Variable, key, meanings
from policies.odrl.analyse.formula import FALSE, All, Any, Formula, Lit, No, One, solve
from policies.odrl.evaluate import ASSIGNEE, TARGET
from policies.odrl.model import Atomic, Constraint, Entity, Permission, Policy, Prohibition
from policies.odrl.operand import Operand
from policies.odrl.operands import Registry
from policies.odrl.vocabulary import term

_WITHIN: Final = "member of "


class Witness(Struct, frozen=True):
    """A case: an action, and facts by operand (short names) as texts. What is not named does not matter."""

    action: str
    facts: tuple[tuple[str, str], ...]


class Worlds:
    """The variables of some policies of one registry, and their rules as formulas."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self.registry: Registry = policies[0].registry
        self.variables: list[Variable] = []
        self._meaning: dict[tuple[str, str, tuple[str, ...], str], Meaning] = {}
        self._named: dict[tuple[str, str], Formula] = {}
        asked: dict[str, tuple[Operand, list[Atomic]]] = {}
        for policy in policies:
            for atom in policy.atoms():
                asked.setdefault(atom.operand.iri, (atom.operand, []))[1].append(atom)
        for operand, atoms in asked.values():
            added, known = meanings(operand, atoms, len(self.variables))
            self.variables += added
            self._meaning |= {(operand.iri, *each): meaning for each, meaning in known.items()}
        rules = rules_of(policies)
        self._entities(TARGET, [entity for rule in rules for entity in rule.targets])
        self._entities(ASSIGNEE, [entity for rule in rules for entity in rule.assignees])

    @property
    def domains(self) -> list[int]:
        """Everything is possible."""
        return [each.domain for each in self.variables]

    def find(self, formula: Formula, action: str) -> Witness | None:
        """A case in which the formula is true, or None. Raises `Undecided`."""
        found = solve(formula, self.domains)
        if found is None:
            return None
        facts: dict[str, list[str]] = {}
        for variable, left in zip(self.variables, found, strict=True):
            if left != variable.domain:
                shown = variable.shown[(left & -left).bit_length() - 1]
                facts.setdefault(term(variable.operand), []).append(shown)
        return Witness(term(action), tuple((name, "; ".join(shown)) for name, shown in sorted(facts.items())))

    def permits(self, policy: Policy, action: str) -> Formula:
        """Whether the policy lets the action be done."""
        granting = Any(tuple(self.holds(each) for each in policy.permissions if self.covers(each, action)))
        if policy.conflict == "perm":
            return granting
        forbidden = Any(tuple(self.stands(each) for each in policy.prohibitions if self.forbids(each, action)))
        if policy.conflict == "prohibit":
            return All((granting, No(forbidden)))
        return All((granting, No(forbidden), No(self._contradiction(policy))))

    def covers(self, rule: Permission, action: str) -> bool:
        return not rule.actions.isdisjoint(self.registry.covering(action))

    def forbids(self, rule: Prohibition, action: str) -> bool:
        return not rule.actions.isdisjoint(self.registry.forbidding(action))

    def holds(self, rule: Permission | Prohibition) -> Formula:
        """Whether everything that the rule hangs on is true."""
        return All((*(self.constraint(each) for each in rule.constraints), *self._scope(rule, possible=False)))

    def stands(self, rule: Permission | Prohibition) -> Formula:
        """Whether nothing that the rule hangs on is known to be false."""
        return All((*(self.constraint(each, possible=True) for each in rule.constraints), *self._scope(rule, possible=True)))

    def constraint(self, found: Constraint, *, possible: bool = False) -> Formula:
        """A constraint: true, or with `possible` not known to be false."""
        if isinstance(found, Atomic):
            meaning = self._meaning[(found.operand.iri, *key(found))]
            return meaning.possible if possible else meaning.true
        parts = tuple(self.constraint(each, possible=possible) for each in found.parts)
        if found.kind == "xone":
            return One(parts)
        return Any(parts) if found.kind == "or" else All(parts)

    def _scope(self, rule: Permission | Prohibition, *, possible: bool) -> Iterable[Formula]:
        for name, wanted in ((TARGET, rule.targets), (ASSIGNEE, rule.assignees)):
            if wanted:
                yield Any(tuple(self._entity(name, each, possible=possible) for each in wanted))

    def _entity(self, name: str, entity: Entity, *, possible: bool) -> Formula:
        inside = [self._named[name, each] for each in (entity.id, _WITHIN + entity.id, _WITHIN + entity.source)
                  if (name, each) in self._named]  # fmt: skip
        narrowed = (self.constraint(each, possible=possible) for each in entity.constraints)
        return All((Any(tuple(inside)), *narrowed))

    def _entities(self, name: str, found: Sequence[Entity]) -> None:
        plain = tuple(dict.fromkeys(each.id for each in found if each.id))
        if plain:
            for n, each in enumerate(plain):
                self._named[name, each] = Lit(len(self.variables), 1 << n)
            self.variables.append(Variable(operand=name, shown=(*plain, OTHER)))
        collections = (each for entity in found if entity.collection for each in (entity.id, entity.source) if each)
        for each in dict.fromkeys(collections):
            self._named[name, _WITHIN + each] = Lit(len(self.variables), 1)
            self.variables.append(Variable(operand=name, shown=(f"in {each}", f"not in {each}")))

    def _contradiction(self, policy: Policy) -> Formula:
        meeting = [
            All((self.stands(forbidding), self.stands(granting)))
            for forbidding in policy.prohibitions
            for granting in policy.permissions
            if self._meet(granting, forbidding)
        ]
        return Any(tuple(meeting)) if meeting else FALSE

    def _meet(self, granting: Permission, forbidding: Prohibition) -> bool:
        covering = self.registry.covering
        return any(not covering(each).isdisjoint(forbidding.actions) for each in granting.actions) or any(
            not covering(each).isdisjoint(granting.actions) for each in forbidding.actions
        )


def rules_of(policies: Sequence[Policy]) -> list[Permission | Prohibition]:
    """All permissions and prohibitions."""
    found: list[Permission | Prohibition] = []
    for policy in policies:
        found += (*policy.permissions, *policy.prohibitions)
    return found


def actions(policies: Sequence[Policy]) -> list[str]:
    """Actions that stand for all: one for each way in which the rules of the policies cover and forbid."""
    registry = policies[0].registry
    rules = rules_of(policies)
    named = sorted({each for rule in rules for each in rule.actions})
    found: dict[tuple[bool, ...], str] = {}
    for action in (*named, *sorted(registry.actions)):
        above, against = registry.covering(action), registry.forbidding(action)
        found.setdefault(
            tuple(not rule.actions.isdisjoint(against if isinstance(rule, Prohibition) else above) for rule in rules), action
        )
    return list(found.values())
