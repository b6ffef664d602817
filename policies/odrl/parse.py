"""Reading a policy (ODRL 2.2 in its JSON form, which DSP 2025-1 carries a part of), strictly: what is not understood is refused.

Rules
- Every refusal is a `PolicyError` with a JSON Pointer and a reason. Nothing is dropped or guessed: an unknown member, operand,
  operator, action or profile, two logical operators in one object, a value of the wrong type, a moment without a zone.
- Limits come first: 256 KiB, 32 levels, 200 rules, 2,000 constraints, 10,000 right values.
- Set, Offer, Agreement (which names both parties) and Request (a question, for simulation: it is never evaluated). The other classes
  of ODRL are refused by name.
- Action, target and assignee of the policy are those of every rule that has none. A rule with another target or assignee than the
  policy's is refused, since readers differ on which holds.
- A target or an assignee may be a collection, with refinements; a list of them is one rule for each.
- `conflict` is prohibit unless it says otherwise. `inheritFrom` is refused here: `inherit.frozen` writes inherited terms out.

Not done here: JSON-LD expansion, remote references (never), constraints (`constraints`).
"""

from collections.abc import Mapping
from typing import Any, Final, cast, get_args

from policies.odrl.constraints import NODE, ConstraintReader
from policies.odrl.errors import PolicyError
from policies.odrl.forms import full, listed, members, named, reference, short, text
from policies.odrl.limits import limited
from policies.odrl.model import Conflict, Conjunction, Constraint, Duty, Entity, Permission, Policy, PolicyKind, Prohibition
from policies.odrl.operands import Registry
from policies.odrl.terms import digest
from policies.odrl.vocabulary import DEPRECATED, PARTY_FUNCTIONS, term

MAX_RULES: Final = 200
_KINDS: Final[tuple[str, ...]] = get_args(PolicyKind)
_POLICY: Final = NODE | {
    *("@context", "profile", "conflict", "inheritFrom", "action"),
    *("permission", "prohibition", "obligation"),
    *("target", "assigner", "assignee", "timestamp"),
}
_RULE: Final = NODE | {"action", "constraint", "target", "assigner", "assignee"}
_DUTY: Final = _RULE | PARTY_FUNCTIONS
_ENTITY: Final = NODE | {"source", "refinement", "partOf"}
_ACTION: Final = frozenset({"@id", "@type", "value", "refinement"})
_COLLECTIONS: Final = frozenset({"AssetCollection", "PartyCollection"})
_SINGLE: Final = frozenset({"Asset", "Party"})
_Rule = Permission | Prohibition


def parse(value: Any, *, operands: Registry) -> Policy:
    """Read one policy; raises `PolicyError`. The value may be anything that came out of a JSON parser."""
    limited(value)
    return _Reader(operands).policy(value)


class _Reader:
    """One reading."""

    __slots__ = ("_constraints", "_shared", "registry")

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._constraints = ConstraintReader(registry)
        self._shared: dict[str, Any] = {}

    def policy(self, value: Any) -> Policy:
        node = members(value, "", _POLICY)
        kind = _kind(node)
        if "inheritFrom" in node:
            raise PolicyError("/inheritFrom", "inherited terms are not in the policy; write them out")
        lists = {name: listed(node.get(name), f"/{name}") for name in ("permission", "prohibition", "obligation")}
        if sum(map(len, lists.values())) > MAX_RULES:
            raise PolicyError("", f"more than {MAX_RULES} rules")
        targets, assignees = self._entities(node, "target", ""), self._entities(node, "assignee", "")
        self._shared = {"target": targets, "assignee": assignees, "action": node.get("action")}
        found = Policy(
            id=reference(node, "@id", "") or reference(node, "uid", ""),
            kind=kind,
            profiles=self._profiles(node),
            permissions=self._rules(lists["permission"], "/permission", Permission, "duty", "duties", "consequence"),
            prohibitions=self._rules(lists["prohibition"], "/prohibition", Prohibition, "remedy", "remedies", ""),
            obligations=self._duties(lists["obligation"], "/obligation", "consequence"),
            conflict=_conflict(node),
            target=targets[0].id if len(targets) == 1 else "",
            assigner=reference(node, "assigner", ""),
            assignee=assignees[0].id if len(assignees) == 1 else "",
            timestamp=reference(node, "timestamp", ""),
            digest=digest(value),
            registry=self.registry,
        )
        if kind == "Agreement" and not (found.assigner and found.assignee):
            raise PolicyError("", "an agreement names its assigner and its assignee")
        return found

    def _profiles(self, node: Mapping[str, Any]) -> tuple[str, ...]:
        found = tuple(named(each, "/profile") for each in listed(node.get("profile"), "/profile"))
        for each in found:
            if each not in self.registry.profiles:
                raise PolicyError(
                    "/profile", f"unknown profile {each[:200]!r}", "read it by that profile: --profile NAME, or a folder"
                )
        return found

    def _rules(self, given: list[Any], path: str, make: type[Any], member: str, field: str, nested: str) -> tuple[Any, ...]:
        return tuple(rule for n, each in enumerate(given) for rule in self._rule(each, f"{path}/{n}", make, member, field, nested))

    def _rule(self, value: Any, path: str, make: type[Any], member: str, field: str, nested: str) -> list[_Rule]:
        """One rule, or one for each action that is refined."""
        node = members(value, path, _RULE | {member})
        actions = self._actions(node, path)
        own = self._constraints.all(node.get("constraint"), path + "/constraint")
        common = {
            "targets": self._own(node, "target", path),
            "assignees": self._own(node, "assignee", path),
            field: self._duties(listed(node.get(member), f"{path}/{member}"), f"{path}/{member}", nested),
            "path": path,
        }
        reference(node, "assigner", path)
        plain = frozenset().union(*(name for name, refined in actions if not refined))
        plain = actions[0][0] if len(plain) == 1 and len(actions) == 1 else plain
        found = [make(actions=name, conjunction=Conjunction.of(refined + own), **common) for name, refined in actions if refined]
        return [make(actions=plain, conjunction=Conjunction.of(own), **common), *found] if plain else found

    def _duties(self, given: list[Any], path: str, nested: str) -> tuple[Duty, ...]:
        return tuple(self._duty(each, f"{path}/{n}", nested) for n, each in enumerate(given))

    def _duty(self, value: Any, path: str, nested: str) -> Duty:
        self._constraints.deciding = False
        node = members(value, path, _DUTY | ({nested} if nested else set()))
        actions = self._actions(node, path)
        if len(actions) != 1:
            raise PolicyError(path + "/action", "a duty has one action")
        (((action,), refinements),) = actions
        parties = [(name, node[name]) for name in sorted(node.keys() & (PARTY_FUNCTIONS | {"assigner", "assignee"}))]
        after = listed(node.get(nested), f"{path}/{nested}") if nested else []
        found = Duty(
            action=action,
            constraints=self._constraints.all(node.get("constraint"), path + "/constraint"),
            refinements=refinements,
            targets=self._entities(node, "target", path),
            consequences=self._duties(after, f"{path}/{nested}", ""),
            parties=tuple((name, named(each, f"{path}/{name}")) for name, each in parties),
            path=path,
        )
        self._constraints.deciding = True
        return found

    def _actions(self, node: Mapping[str, Any], path: str) -> list[tuple[frozenset[str], tuple[Constraint, ...]]]:
        where = path + "/action"
        given = listed(node.get("action", self._shared["action"]), where)
        if not given:
            raise PolicyError(where, "a rule has an action")
        several = len(given) > 1
        return [self._action(each, f"{where}/{n}" if several else where) for n, each in enumerate(given)]

    def _action(self, value: Any, path: str) -> tuple[frozenset[str], tuple[Constraint, ...]]:
        refined: tuple[Constraint, ...] = ()
        if isinstance(value, dict):
            node = members(value, path, _ACTION)
            refined = self._constraints.all(node.get("refinement"), path + "/refinement")
            value = node.get("@id", node.get("value"))
        name = full(value, path)
        found = self.registry.action(name)
        if not found:
            instead = DEPRECATED.get(name)
            raise PolicyError(path, f"unknown action {name[:200]!r}" + (f"; it is deprecated, write {instead}" if instead else ""))
        return found, refined

    def _own(self, node: Mapping[str, Any], name: str, path: str) -> tuple[Entity, ...]:
        own, shared = self._entities(node, name, path), self._shared[name]
        if own and shared and [each.id for each in own] != [each.id for each in shared]:
            raise PolicyError(f"{path}/{name}", f"the policy has another {name}; write it on the rules only")
        return own or shared

    def _entities(self, node: Mapping[str, Any], name: str, path: str) -> tuple[Entity, ...]:
        where = f"{path}/{name}"
        given = listed(node.get(name), where)
        several = len(given) > 1
        return tuple(self._entity(each, f"{where}/{n}" if several else where) for n, each in enumerate(given))

    def _entity(self, value: Any, path: str) -> Entity:
        if isinstance(value, str):
            return Entity(id=text(value, path), path=path)
        node = members(value, path, _ENTITY)
        type_ = short(node["@type"], path + "/@type") if "@type" in node else ""
        if type_ not in {"", *_COLLECTIONS, *_SINGLE}:
            raise PolicyError(path + "/@type", f"{type_[:80]!r} is not one of {', '.join(sorted(_COLLECTIONS | _SINGLE))}")
        found = Entity(
            id=reference(node, "@id", path) or reference(node, "uid", path),
            source=reference(node, "source", path),
            collection=type_ in _COLLECTIONS or bool({"source", "refinement"} & node.keys()),
            conjunction=Conjunction.of(self._constraints.all(node.get("refinement"), path + "/refinement")),
            path=path,
        )
        if not (found.id or found.source):
            raise PolicyError(path, "it has no id and no source, so nothing belongs to it")
        return found


def _kind(node: Mapping[str, Any]) -> PolicyKind:
    found = term(text(node.get("@type", "Set"), "/@type"))
    if found not in _KINDS:
        raise PolicyError("/@type", f"{found[:80]!r} is not one of {', '.join(_KINDS)}")
    return cast("PolicyKind", found)


def _conflict(node: Mapping[str, Any]) -> Conflict:
    found = short(node["conflict"], "/conflict") if node.get("conflict") is not None else "prohibit"
    if found not in get_args(Conflict):
        raise PolicyError("/conflict", f"{found[:80]!r} is not one of {', '.join(get_args(Conflict))}")
    return cast("Conflict", found)
