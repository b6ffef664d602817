"""What is wrong with a policy by its meaning alone: rules and parts that can never count, that always hold, that stand in each other's way.

| kind | what was found |
|---|---|
| `never` | the rule, or the part of a logical constraint, cannot hold whatever the facts are |
| `always` | the constraint holds whatever the facts are: it says nothing |
| `implied` | the constraint follows from the others beside it |
| `shadowed` | whatever the permission grants, a prohibition forbids |
| `conflict` | an action is permitted and forbidden in the same case, where the prohibition wins |
| `covered` | another permission without duties grants all of it already |
| `nothing` | the policy permits nothing to anybody |
| `undecided` | too many cases to tell |
"""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from policies.odrl.analyse.formula import All, Any, Formula, No, Undecided
from policies.odrl.analyse.worlds import Witness, Worlds, actions
from policies.odrl.model import Constraint, Logical, Permission, Policy, Prohibition, bearing

Kind = Literal["never", "always", "implied", "shadowed", "conflict", "covered", "nothing", "undecided"]


class Finding(Struct, frozen=True):
    """One finding: where (a JSON Pointer), what, the other place that it has to do with, and a case that shows it."""

    kind: Kind
    path: str
    other: str = ""
    witness: Witness | None = None


def findings(policy: Policy) -> list[Finding]:
    """All findings, in the order of the policy."""
    try:
        return list(_Analysis(policy).all())
    except Undecided:
        return [Finding("undecided", "")]


class _Analysis:
    def __init__(self, policy: Policy) -> None:
        self.policy, self.worlds = policy, Worlds([policy])
        self.actions = actions([policy])

    def all(self) -> Iterator[Finding]:
        dead = set()
        rules: tuple[Permission | Prohibition, ...] = (*self.policy.permissions, *self.policy.prohibitions)
        for rule in rules:
            inside = list(self._constraints(rule))
            counts = self.worlds.holds if isinstance(rule, Permission) else self.worlds.stands
            if self._impossible(counts(rule)):
                inside = [Finding("never", rule.path)]
                dead.add(rule.path)
            yield from inside
        for granting in self.policy.permissions:
            if granting.path not in dead:
                yield from self._between(granting, dead)
        if not any(self._possible(self.worlds.permits(self.policy, each)) for each in self.actions):
            yield Finding("nothing", "")

    def _constraints(self, rule: Permission | Prohibition) -> Iterator[Finding]:
        given = bearing(rule)
        formulas = [self.worlds.constraint(each) for each in given]
        for n, each in enumerate(given):
            others = tuple(formulas[:n] + formulas[n + 1 :])
            if self._impossible(No(formulas[n])):
                yield Finding("always", each.path)
            elif others and self._impossible(All((*others, No(formulas[n])))):
                yield Finding("implied", each.path)
            else:
                yield from self._dead(each, others)

    def _dead(self, constraint: Constraint, beside: tuple[Formula, ...]) -> Iterator[Finding]:
        if not isinstance(constraint, Logical):
            return
        conjoined = constraint.kind in ("and", "andSequence")
        for n, part in enumerate(constraint.parts):
            others = constraint.parts[:n] + constraint.parts[n + 1 :]
            around = (*beside, *(self.worlds.constraint(each) for each in others)) if conjoined else beside
            if self._impossible(All((*around, self.worlds.constraint(part, possible=True)))):
                yield Finding("never", part.path)
            else:
                yield from self._dead(part, around)

    def _between(self, granting: Permission, dead: set[str]) -> Iterator[Finding]:
        holds = self.worlds.holds(granting)
        covered = [each for each in self.actions if self.worlds.covers(granting, each)]
        forbidden = {each: self._against(each, dead) for each in covered}
        if self.policy.conflict != "perm" and all(
            self._impossible(All((holds, No(Any(tuple(self.worlds.stands(rule) for rule in rules))))))
            for rules in forbidden.values()
        ):
            against = next((rules[0].path for rules in forbidden.values() if rules), "")
            yield Finding("shadowed", granting.path, against)
        else:
            yield from self._conflicts(granting, holds, forbidden)
        for other in self.policy.permissions:
            if other is not granting and other.path not in dead and self._covers(other, granting, holds):
                yield Finding("covered", granting.path, other.path)
                return

    def _conflicts(self, granting: Permission, holds: Formula, forbidden: dict[str, list[Prohibition]]) -> Iterator[Finding]:
        """Prohibitions of the very action that is granted; one of a part of it is how exceptions are written."""
        if self.policy.conflict != "prohibit":
            return
        for action in sorted(granting.actions):
            for rule in forbidden.get(action, ()):
                witness = self.worlds.find(All((holds, self.worlds.stands(rule))), action)
                if witness is not None:
                    yield Finding("conflict", granting.path, rule.path, witness)

    def _covers(self, other: Permission, granting: Permission, holds: Formula) -> bool:
        if other.duties or not all(self.worlds.covers(other, each) for each in granting.actions):
            return False
        if not self._impossible(All((holds, No(self.worlds.holds(other))))):
            return False
        equal = self._impossible(All((self.worlds.holds(other), No(holds)))) and self._mutual(other, granting)
        return not equal or other.path < granting.path

    def _mutual(self, other: Permission, granting: Permission) -> bool:
        return not granting.duties and all(self.worlds.covers(granting, each) for each in other.actions)

    def _against(self, action: str, dead: set[str]) -> list[Prohibition]:
        return [each for each in self.policy.prohibitions if each.path not in dead and self.worlds.forbids(each, action)]

    def _possible(self, formula: Formula) -> bool:
        return self.worlds.find(formula, "") is not None

    def _impossible(self, formula: Formula) -> bool:
        return not self._possible(formula)
