"""Deciding by a policy (ODRL 2.2, 2.6): three-valued, closed, and able to say why.

Rules
- Permitted means: some permission covers the action and all its constraints hold, and no prohibition that covers it is in force.
  Without a covering permission: no. A prohibition wins over any permission.
- An unknown fact (absent, of the wrong type, several where one is meant) never helps: it denies a permission and keeps a
  prohibition in force. Removing facts never turns a denial into a permission.
- Phases: an operand that cannot be known in a phase (a purpose, while a catalog is read) is *deferred*: its constraint is left out
  of the decision in that phase, and evaluated in the negotiation. So a yes in the catalog phase means "may be seen", never "may be
  had". Access policies must not hold such operands (`undecidable`).
- `andSequence` is `and`: the order in which facts came true is not known here.
- Offers and agreements are evaluated alike: whether terms bind is decided by who agreed to them, not here.
- One `now` per decision. The explanation is made only when asked, by deciding once more.

Not done here: duties are listed for whoever keeps them, not enforced; facts (`policies.profiles`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from policies.odrl.model import Atomic, Constraint, Permission, Policy, Prohibition
from policies.odrl.operands import Operand, Phase
from policies.odrl.values import WrongValue, typed
from policies.odrl.vocabulary import DATE_TIME, iri

FAILS: Final = 0
UNKNOWN: Final = 1
DEFERRED: Final = 2
HOLDS: Final = 3
_WORDS: Final = ("does not hold", "is unknown", "is evaluated later", "holds")
_ANY: Final = (0, 2, 1, 3)  # `or`: an unknown part outranks a deferred one, so that no prohibition is lost with a fact


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `facts` maps operand IRIs to a value or a collection of values; `now` carries a zone.

    The present moment is taken from `now`, never from the facts. A request may be used for many policies.
    """

    action: str
    phase: Phase
    facts: Mapping[str, Any]
    now: datetime
    known: dict[str, frozenset[Any] | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    def fact(self, operand: Operand) -> frozenset[Any] | None:
        """The typed values of an operand, or None where nothing is known."""
        if operand.iri not in self.known:
            self.known[operand.iri] = self._read(operand)
        return self.known[operand.iri]

    def _read(self, operand: Operand) -> frozenset[Any] | None:
        value = self.now if operand.iri == DATE_TIME else self.facts.get(operand.iri)
        if value is None:
            return None
        values = value if isinstance(value, list | tuple | set | frozenset) else (value,)
        try:
            return frozenset(typed(operand.type, each) for each in values)
        except WrongValue:
            return None


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. `missing` names the operands whose unknown facts stood in the way; `duties` the actions that come with a yes."""

    permitted: bool
    missing: tuple[str, ...]
    duties: tuple[str, ...]
    policy: Policy = field(repr=False)
    request: Request = field(repr=False)

    def explain(self) -> list[str]:
        """Why, for our own side: every rule that was looked at, every constraint, and what would supply a missing fact."""
        return [f"{self.request.action} in phase {self.request.phase}: {'permitted' if self.permitted else 'denied'}", *_why(self)]

    def minimal(self) -> str:
        """What the peer may be told: nothing about rules, facts or others."""
        return "permitted" if self.permitted else "the terms of the offer are not met"


def evaluate(policy: Policy, request: Request) -> Decision:
    """Decide a request by a policy."""
    covering = policy.registry.covering(request.action)
    granting = [rule for rule in policy.permissions if not covering.isdisjoint(rule.actions)]
    active = [rule for rule in granting if _all(rule.constraints, request) >= DEFERRED]
    permitted = bool(active) and not any(_in_force(rule, covering, request) for rule in policy.prohibitions)
    if not permitted:
        looked: tuple[Permission | Prohibition, ...] = (
            *granting,
            *(rule for rule in policy.prohibitions if not covering.isdisjoint(rule.actions)),
        )
        return Decision(False, _missing(policy, looked, request), (), policy, request)
    duties = tuple(dict.fromkeys(duty.action for duties in (policy.obligations, *(r.duties for r in active)) for duty in duties))
    return Decision(True, (), duties, policy, request)


def undecidable(policy: Policy, phase: Phase) -> tuple[str, ...]:
    """The operands of a policy that cannot be known in a phase. An access policy must have none for the catalog."""
    return tuple(dict.fromkeys(atom.operand.iri for atom in policy.atoms() if phase not in atom.operand.phases))


def _in_force(rule: Prohibition, covering: frozenset[str], request: Request) -> bool:
    return not covering.isdisjoint(rule.actions) and _all(rule.constraints, request) in (HOLDS, UNKNOWN)


def _all(constraints: tuple[Constraint, ...], request: Request) -> int:
    return min((_state(each, request) for each in constraints), default=HOLDS)


def _state(constraint: Constraint, request: Request) -> int:
    if isinstance(constraint, Atomic):
        return _atom(constraint, request)
    states = [_state(part, request) for part in constraint.parts]
    if constraint.kind == "or":
        return max(states, key=_ANY.__getitem__)
    if constraint.kind == "xone":
        return _exactly_one(states)
    return min(states)


def _atom(atom: Atomic, request: Request) -> int:
    if request.phase not in atom.operand.phases:
        return DEFERRED
    facts = request.fact(atom.operand)
    if facts is None:
        return UNKNOWN
    found = atom.test(facts)
    return UNKNOWN if found is None else HOLDS if found else FAILS


def _exactly_one(states: list[int]) -> int:
    holding = states.count(HOLDS)
    if holding > 1:
        return FAILS
    if UNKNOWN in states:
        return UNKNOWN
    if DEFERRED in states:
        return DEFERRED
    return HOLDS if holding else FAILS


def _missing(policy: Policy, looked: tuple[Permission | Prohibition, ...], request: Request) -> tuple[str, ...]:
    paths = tuple(rule.path + "/" for rule in looked)
    unknown = (atom.operand.iri for atom in policy.atoms() if atom.path.startswith(paths) and _atom(atom, request) == UNKNOWN)
    return tuple(dict.fromkeys(unknown))


def _why(decision: Decision) -> list[str]:
    policy, request = decision.policy, decision.request
    covering = policy.registry.covering(request.action)
    if not covering:
        return [f"action {iri(request.action)} is unknown"]
    lines: list[str] = []
    for permission in policy.permissions:
        if covering.isdisjoint(permission.actions):
            lines.append(f"{permission.path}: does not cover the action")
        else:
            granted = _all(permission.constraints, request) >= DEFERRED
            lines += [
                f"{permission.path}: {'grants it' if granted else 'does not grant it'}",
                *_tree(permission.constraints, request, 1),
            ]
    for prohibition in policy.prohibitions:
        if not covering.isdisjoint(prohibition.actions):
            word = "forbids it" if _in_force(prohibition, covering, request) else "is not in force"
            lines += [f"{prohibition.path}: {word}", *_tree(prohibition.constraints, request, 1)]
    return lines or ["no permission at all"]


def _tree(constraints: tuple[Constraint, ...], request: Request, depth: int) -> list[str]:
    lines = []
    for each in constraints:
        state = _WORDS[_state(each, request)]
        if isinstance(each, Atomic):
            right = ", ".join(each.right[:10])
            lines.append(f"{'  ' * depth}{each.path}: {each.operand.iri} {each.operator} {right}: {state}{_fact(each, request)}")
        else:
            lines += [f"{'  ' * depth}{each.path}: {each.kind} {state}", *_tree(each.parts, request, depth + 1)]
    return lines


def _fact(atom: Atomic, request: Request) -> str:
    if request.phase not in atom.operand.phases:
        return f" (cannot be known in phase {request.phase})"
    facts = request.fact(atom.operand)
    if facts is None:
        return f" (missing; it comes from {atom.operand.source or 'a fact that nobody supplies'})"
    return f" (found: {', '.join(sorted(map(str, facts))) or 'nothing'})"
