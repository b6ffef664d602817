"""An ODRL Request (2.2, 2.1.5) as questions for a simulation: what its assignee wants to do, with what, and what it binds itself to.

Rules
- Every permission of the request is one question for each of its actions; a request that asks for nothing is refused, and so are prohibitions and duties in it, which
  ask for nothing.
- A constraint states a fact only where the fact is the requester's to state: purpose, recipient, industry, product, by `eq` or `isAnyOf`. Everything else comes from
  credentials, ledgers or the clock; a request that states it is refused, since believing it would be the mistake.
- The assignee of a rule, else of the request, is the party; without one everybody is asked for.
"""

from typing import Any, Final

from msgspec import Struct

from kernel.errors import BadInput
from policies.odrl import ODRL, Permission, Policy
from policies.odrl.forms import listed, named
from policies.odrl.model import Atomic
from policies.odrl.vocabulary import term
from policies.profiles import Profile

STATED: Final = frozenset(ODRL + name for name in ("purpose", "recipient", "industry", "product"))
_STATING: Final = frozenset({"eq", "isAnyOf"})


class Question(Struct, frozen=True):
    """One thing that is asked for; `party` and `target` are empty where the request leaves them open."""

    path: str
    action: str
    party: str
    target: str
    stated: dict[str, list[str]]


def questions(value: Any, profile: Profile) -> list[Question]:
    """What a request asks; raises `PolicyError` for one that cannot be read, `BadInput` for what it may not say."""
    policy = profile.policy(value)
    if policy.kind != "Request":
        raise BadInput(f"a Request is expected, not a {policy.kind}", next_step='write "@type": "Request"')
    if policy.prohibitions or policy.obligations or any(each.duties for each in policy.permissions) or not policy.permissions:
        raise BadInput("a request asks by permissions alone", next_step="write one permission for each action that is wanted")
    rules = listed(_member(value, "permission"), "/permission")
    return [one for rule in policy.permissions for one in _asked(rule, rules, value, policy)]


def _asked(rule: Permission, rules: list[Any], value: dict[str, Any], policy: Policy) -> list[Question]:
    written = rules[int(rule.path.rpartition("/")[2])]
    actions = listed(_member(written, "action") or _member(value, "action"), f"{rule.path}/action")
    stated = dict(_stated(each, rule.path) for each in rule.constraints)
    party = next((each.id for each in rule.assignees), policy.assignee)
    target = next((each.id for each in rule.targets), policy.target)
    return [Question(rule.path, term(named(each, f"{rule.path}/action")), party, target, stated) for each in actions]


def _stated(constraint: Any, path: str) -> tuple[str, list[str]]:
    if not isinstance(constraint, Atomic) or constraint.operator not in _STATING or constraint.operand.iri not in STATED:
        what = f"{constraint.operand.iri} {constraint.operator}" if isinstance(constraint, Atomic) else "a logical constraint"
        raise BadInput(
            f"{path}: a request cannot state {what}", next_step="state a purpose, recipient, industry or product by eq or isAnyOf"
        )
    return constraint.operand.iri, [str(each) for each in constraint.right]


def _member(node: Any, name: str) -> Any:
    return next((each for key, each in node.items() if term(str(key)) == name), None) if isinstance(node, dict) else None
