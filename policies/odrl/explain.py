"""Why a decision came out as it did: a tree of what was looked at, made by deciding once more, and its lines in English.

Other languages and layouts start from `tree`; the states and the numbers are in it, the words are here.
"""

from typing import Final, Literal

from msgspec import Struct

from policies.odrl.evaluate import (
    ASSIGNEE,
    TARGET,
    Decision,
    Marks,
    Request,
    entities,
    every,
    in_force,
    in_order,
    permission,
)
from policies.odrl.model import Atomic, Conjunction, Constraint, Permission, Prohibition
from policies.odrl.vocabulary import iri

State = Literal["fails", "unknown", "deferred", "holds"]
STATES: Final[tuple[State, ...]] = ("fails", "unknown", "deferred", "holds")
_WORDS: Final = {"fails": "does not hold", "unknown": "is unknown", "deferred": "is evaluated later", "holds": "holds"}
_SHOWN: Final = 10


class Need(Struct, frozen=True):
    """A fact that stood in the way by being unknown: its operand, where it comes from, and the credential that would supply it."""

    operand: str
    source: str
    credential: str = ""


class ConstraintNode(Struct, frozen=True, kw_only=True):
    """A constraint that was looked at. `left`, `operator`, `right` and `found` of an atomic one; `kind` and `parts` of a logical one."""

    path: str
    state: State
    left: str = ""
    operator: str = ""
    right: tuple[str, ...] = ()
    unit: str = ""
    found: tuple[str, ...] | None = None
    source: str = ""
    kind: str = ""
    parts: tuple["ConstraintNode", ...] = ()
    warning: str = ""


class RuleNode(Struct, frozen=True, kw_only=True):
    """A rule: whether its action covers what was asked, its state, and what it hangs on."""

    path: str
    kind: Literal["permission", "prohibition"]
    covers: bool
    active: bool = False
    target: State = "holds"
    assignee: State = "holds"
    constraints: tuple[ConstraintNode, ...] = ()
    duties: tuple[tuple[str, str], ...] = ()


class Explanation(Struct, frozen=True, kw_only=True):
    """The tree of a decision."""

    action: str
    phase: str
    permitted: bool
    known: bool
    void: bool
    rules: tuple[RuleNode, ...]
    needs: tuple[Need, ...]


def tree(decision: Decision) -> Explanation:
    """The explanation of a decision as values."""
    policy, request = decision.policy, decision.request
    covering, forbidding = policy.registry.covering(request.action), policy.registry.forbidding(request.action)
    granted = (_granting(rule, request, covering) for rule in policy.permissions)
    forbidden = (_forbidding(rule, request, forbidding) for rule in policy.prohibitions)
    return Explanation(
        action=request.action,
        phase=request.phase,
        permitted=decision.permitted,
        known=bool(covering),
        void=decision.void,
        rules=(*granted, *forbidden),
        needs=needs(decision),
    )


def needs(decision: Decision) -> tuple[Need, ...]:
    """The unknown facts that stood in the way, each with what would supply it."""
    found = []
    for name in decision.missing:
        operand = decision.policy.registry.operand(name)
        if operand is None:
            source = {TARGET: "the asset that is asked for", ASSIGNEE: "the party that asks"}.get(name, "the ledger of duties")
            found.append(Need(name, source))
        else:
            found.append(Need(name, operand.source or "a fact that nobody supplies", operand.credential))
    return tuple(found)


def lines(decision: Decision) -> list[str]:
    """The explanation in English, line by line."""
    found = tree(decision)
    head = f"{found.action} in phase {found.phase}: {'permitted' if found.permitted else 'denied'}"
    if not found.known:
        return [head, f"action {iri(found.action)} is unknown"]
    void = ["the policy contradicts itself, and is void by its own word"] if found.void else []
    rules = [line for each in found.rules for line in _rule(each, found.phase)]
    return [head, *void, *(rules or ["no permission at all"])]


def _granting(rule: Permission, request: Request, covering: frozenset[str]) -> RuleNode:
    covers = not covering.isdisjoint(rule.actions)
    return RuleNode(
        path=rule.path,
        kind="permission",
        covers=covers,
        active=covers and permission(rule, request, Marks()) >= STATES.index("deferred"),
        target=_scope(rule, request, TARGET),
        assignee=_scope(rule, request, ASSIGNEE),
        constraints=tuple(_node(each, request) for each in rule.constraints),
        duties=tuple((each.path, request.duties.get(each.path, "unknown")) for each in rule.duties),
    )


def _forbidding(rule: Prohibition, request: Request, forbidding: frozenset[str]) -> RuleNode:
    covers = not forbidding.isdisjoint(rule.actions)
    return RuleNode(
        path=rule.path,
        kind="prohibition",
        covers=covers,
        active=covers and in_force(rule, request, Marks()),
        target=_scope(rule, request, TARGET),
        assignee=_scope(rule, request, ASSIGNEE),
        constraints=tuple(_node(each, request) for each in rule.constraints),
    )


def _scope(rule: Permission | Prohibition, request: Request, what: str) -> State:
    wanted, name = (rule.targets, request.target) if what == TARGET else (rule.assignees, request.party)
    return STATES[entities(wanted, name, what, request, Marks())]


def _node(constraint: Constraint, request: Request) -> ConstraintNode:
    state = STATES[every(Conjunction.of((constraint,)), request, Marks())]
    if isinstance(constraint, Atomic):
        return ConstraintNode(
            path=constraint.path,
            state=state,
            left=constraint.operand.iri,
            operator=constraint.operator,
            right=constraint.right,
            unit=constraint.unit,
            found=_found(constraint, request),
            source=constraint.operand.source,
        )
    unordered = constraint.kind == "andSequence" and in_order(constraint, request) is None
    return ConstraintNode(
        path=constraint.path,
        state=state,
        kind=constraint.kind,
        parts=tuple(_node(each, request) for each in constraint.parts),
        warning="the order is not known; taken as and" if unordered else "",
    )


def _found(atom: Atomic, request: Request) -> tuple[str, ...] | None:
    fact = request.fact(atom)
    if fact is None:
        return None
    return tuple(sorted(map(str, fact))) if isinstance(fact, frozenset) else (str(fact),)


def _rule(rule: RuleNode, phase: str) -> list[str]:
    if rule.kind == "prohibition":
        if not rule.covers:
            return []
        head = f"{rule.path}: {'forbids it' if rule.active else 'is not in force'}"
    elif not rule.covers:
        return [f"{rule.path}: does not cover the action"]
    else:
        head = f"{rule.path}: {'grants it' if rule.active else 'does not grant it'}"
    about = [
        f"  {rule.path}/{name}: {_WORDS[state]}"
        for name, state in (("target", rule.target), ("assignee", rule.assignee))
        if state != "holds"
    ]
    duties = [f"  {path}: {state}" for path, state in rule.duties]
    return [head, *about, *_tree(rule.constraints, phase, 1), *duties]


def _tree(nodes: tuple[ConstraintNode, ...], phase: str, depth: int) -> list[str]:
    found = []
    for each in nodes:
        indent = "  " * depth
        if each.kind:
            warning = f" ({each.warning})" if each.warning else ""
            found += [f"{indent}{each.path}: {each.kind} {_WORDS[each.state]}{warning}", *_tree(each.parts, phase, depth + 1)]
        else:
            right = ", ".join(each.right[:_SHOWN]) + (f" {each.unit}" if each.unit else "")
            found.append(f"{indent}{each.path}: {each.left} {each.operator} {right}: {_WORDS[each.state]}{_fact(each, phase)}")
    return found


def _fact(node: ConstraintNode, phase: str) -> str:
    if node.state == "deferred":
        return f" (cannot be known in phase {phase})"
    if node.found is None:
        return f" (missing; it comes from {node.source or 'a fact that nobody supplies'})"
    return f" (found: {', '.join(node.found[:_SHOWN]) or 'nothing'})"
