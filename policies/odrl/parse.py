"""Reading a policy (ODRL 2.2 in the compact JSON form of DSP 2025-1), strictly: what is not understood is refused.

Rules
- Every refusal is a `PolicyError` with a JSON Pointer and a reason. Nothing is dropped or guessed: an unknown member, operand,
  operator, action or profile, two logical operators in one object, a value of the wrong type, a moment without a zone.
- Limits come first: 256 KiB, 32 levels, 200 rules, 2,000 constraints, 10,000 right values.
- Members may be written short (`permission`), prefixed (`odrl:permission`) or as IRI, once. One object may stand for a list of one.
- `conflict` may only be `prohibit`, which is what always holds here: a prohibition wins. `inheritFrom` is refused, since what it
  names is not in the policy. Targets and parties stand on the policy, not on rules, as in DSP messages.
- An action is a text; the object form with `refinement` (ODRL 2.2, 2.4.1) is read too, though DSP 2025-1 cannot carry it.

Not done here: JSON-LD expansion (`kernel.jsonld`), remote references (never).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from policies.odrl.errors import PolicyError
from policies.odrl.limits import limited
from policies.odrl.model import Atomic, Constraint, Duty, Logical, LogicalKind, Permission, Policy, PolicyKind, Prohibition
from policies.odrl.operands import SETS, Operand, Registry
from policies.odrl.operators import test
from policies.odrl.terms import OPERATOR_TERMS, digest
from policies.odrl.values import DATATYPES, WrongValue
from policies.odrl.vocabulary import XSD, iri, term

MAX_RULES: Final = 200
MAX_CONSTRAINTS: Final = 2_000
MAX_VALUES: Final = 10_000
_KINDS: Final = ("Set", "Offer", "Agreement")
_LOGICAL: Final[tuple[LogicalKind, ...]] = ("and", "or", "xone", "andSequence")
_NODE: Final = frozenset({"@id", "@type", "uid"})
_POLICY: Final = _NODE | {
    *("@context", "profile", "conflict", "inheritFrom"),
    *("permission", "prohibition", "obligation"),
    *("target", "assigner", "assignee", "timestamp"),
}
_RULE: Final = _NODE | {"action", "constraint"}
_ATOMIC: Final = _NODE | {"leftOperand", "operator", "rightOperand"}
_BARE = int | float | str | bool


def parse(value: Any, *, operands: Registry) -> Policy:
    """Read one policy; raises `PolicyError`. The value may be anything that came out of a JSON parser."""
    limited(value)
    return _Reader(operands).policy(value)


@dataclass(slots=True)
class _Reader:
    """One reading; counts what is limited."""

    registry: Registry
    constraints: int = 0
    values: int = 0

    def policy(self, value: Any) -> Policy:
        node = _members(value, "", _POLICY)
        kind = _kind(node)
        self._only_ours(node)
        lists = {name: _list(node.get(name), f"/{name}") for name in ("permission", "prohibition", "obligation")}
        if sum(map(len, lists.values())) > MAX_RULES:
            raise PolicyError("", f"more than {MAX_RULES} rules")
        found = Policy(
            id=_reference(node, "@id", "") or _reference(node, "uid", ""),
            kind=kind,
            profiles=self._profiles(node),
            permissions=tuple(self._permission(each, f"/permission/{n}") for n, each in enumerate(lists["permission"])),
            prohibitions=tuple(self._prohibition(each, f"/prohibition/{n}") for n, each in enumerate(lists["prohibition"])),
            obligations=tuple(self._duty(each, f"/obligation/{n}", "consequence") for n, each in enumerate(lists["obligation"])),
            target=_reference(node, "target", ""),
            assigner=_reference(node, "assigner", ""),
            assignee=_reference(node, "assignee", ""),
            timestamp=_reference(node, "timestamp", ""),
            digest=digest(value),
            registry=self.registry,
        )
        if kind == "Agreement" and not (found.assigner and found.assignee):
            raise PolicyError("", "an agreement names its assigner and its assignee")
        return found

    def _only_ours(self, node: Mapping[str, Any]) -> None:
        if "inheritFrom" in node:
            raise PolicyError("/inheritFrom", "inherited terms are not in the policy; write them out")
        conflict = node.get("conflict")
        if conflict is not None and term(_text(conflict, "/conflict")) != "prohibit":
            raise PolicyError("/conflict", "only prohibit is possible: a prohibition always wins here")

    def _profiles(self, node: Mapping[str, Any]) -> tuple[str, ...]:
        found = tuple(_text(each, "/profile") for each in _list(node.get("profile"), "/profile"))
        for each in found:
            if each not in self.registry.profiles:
                raise PolicyError("/profile", f"unknown profile {each[:200]!r}")
        return found

    def _permission(self, value: Any, path: str) -> Permission:
        node = _members(value, path, _RULE | {"duty"})
        actions, narrowed = self._actions(node, path)
        duties = _list(node.get("duty"), path + "/duty")
        return Permission(
            actions=actions,
            constraints=narrowed + self._constraints(node, path),
            duties=tuple(self._duty(each, f"{path}/duty/{n}", "consequence") for n, each in enumerate(duties)),
            path=path,
        )

    def _prohibition(self, value: Any, path: str) -> Prohibition:
        node = _members(value, path, _RULE | {"remedy"})
        actions, narrowed = self._actions(node, path)
        remedies = _list(node.get("remedy"), path + "/remedy")
        return Prohibition(
            actions=actions,
            constraints=narrowed + self._constraints(node, path),
            remedies=tuple(self._duty(each, f"{path}/remedy/{n}", "") for n, each in enumerate(remedies)),
            path=path,
        )

    def _duty(self, value: Any, path: str, nested: str) -> Duty:
        node = _members(value, path, _RULE | ({nested} if nested else set()))
        actions, narrowed = self._actions(node, path)
        if len(actions) != 1:
            raise PolicyError(path + "/action", "a duty has one action")
        after = _list(node.get(nested), f"{path}/{nested}") if nested else []
        return Duty(
            action=next(iter(actions)),
            constraints=narrowed + self._constraints(node, path),
            consequences=tuple(self._duty(each, f"{path}/{nested}/{n}", "") for n, each in enumerate(after)),
            path=path,
        )

    def _actions(self, node: Mapping[str, Any], path: str) -> tuple[frozenset[str], tuple[Constraint, ...]]:
        where = path + "/action"
        given = _list(node.get("action"), where)
        if not given:
            raise PolicyError(where, "a rule has an action")
        if len(given) > 1 and any(_refinement(each) is not None for each in given):
            raise PolicyError(where, "several actions with refinements: write one rule for each")
        found = frozenset(self._action(each, where) for each in given)
        refined = _list(_refinement(given[0]), where + "/refinement")
        return found, tuple(self._constraint(each, f"{where}/refinement/{n}") for n, each in enumerate(refined))

    def _action(self, value: Any, path: str) -> str:
        if isinstance(value, dict):
            node = _members(value, path, frozenset({"@id", "value", "refinement"}))
            value = node.get("@id", node.get("value"))
            value = value.get("@id") if isinstance(value, dict) else value
        name = iri(_text(value, path))
        if not self.registry.covering(name):
            raise PolicyError(path, f"unknown action {name[:200]!r}")
        return name

    def _constraints(self, node: Mapping[str, Any], path: str) -> tuple[Constraint, ...]:
        given = _list(node.get("constraint"), path + "/constraint")
        return tuple(self._constraint(each, f"{path}/constraint/{n}") for n, each in enumerate(given))

    def _constraint(self, value: Any, path: str) -> Constraint:
        self.constraints += 1
        if self.constraints > MAX_CONSTRAINTS:
            raise PolicyError(path, f"more than {MAX_CONSTRAINTS} constraints")
        node = _members(value, path, _ATOMIC | set(_LOGICAL))
        logical = [name for name in _LOGICAL if name in node]
        if not logical:
            return self._atomic(node, path)
        if len(node.keys() - _NODE) != 1:
            raise PolicyError(path, "a logical constraint has one operator and nothing else")
        parts = _list(node[logical[0]], f"{path}/{logical[0]}")
        if not parts:
            raise PolicyError(f"{path}/{logical[0]}", "a logical constraint has parts")
        return Logical(
            kind=logical[0],
            parts=tuple(self._constraint(each, f"{path}/{logical[0]}/{n}") for n, each in enumerate(parts)),
            path=path,
        )

    def _atomic(self, node: Mapping[str, Any], path: str) -> Atomic:
        name = _term(node.get("leftOperand"), path + "/leftOperand")
        operand = self.registry.operand(name)
        if operand is None:
            raise PolicyError(path + "/leftOperand", f"unknown left operand {name[:200]!r}")
        given = _term(node.get("operator"), path + "/operator")
        operator = OPERATOR_TERMS.get(given, "")
        if not operator:
            raise PolicyError(path + "/operator", f"unknown operator {given[:80]!r}")
        if operator not in operand.operators:
            raise PolicyError(path + "/operator", f"{operator} means nothing for {operand.iri}")
        texts, right = self._right(node.get("rightOperand"), operand, path + "/rightOperand")
        if operator not in SETS and len(right) != 1:
            raise PolicyError(path + "/rightOperand", f"{operator} takes one value")
        wholes = self.registry.wholes(operand.iri)
        return Atomic(
            operand=operand,
            operator=operator,
            right=texts,
            path=path,
            test=test(operator, operand, right, wholes),
        )

    def _right(self, value: Any, operand: Operand, path: str) -> tuple[tuple[str, ...], frozenset[Any]]:
        given = _list(value, path)
        self.values += len(given)
        if not given:
            raise PolicyError(path, "a right operand is missing")
        if self.values > MAX_VALUES:
            raise PolicyError(path, f"more than {MAX_VALUES} values")
        bare = [_bare(each, operand, f"{path}/{n}") for n, each in enumerate(given)]
        try:
            return tuple(map(_written, bare)), frozenset(operand.right(each) for each in bare)
        except WrongValue as error:
            raise PolicyError(path, str(error)) from error


def _bare(value: Any, operand: Operand, path: str) -> _BARE:
    """The value itself out of a JSON-LD value or reference; its datatype must be one of the operand's."""
    if isinstance(value, dict):
        if value.keys() == {"@id"}:
            value = value["@id"]
        elif "@value" in value and value.keys() <= {"@value", "@type"}:
            datatype = iri(_text(value.get("@type", XSD + "string"), path), XSD)
            if "@type" in value and datatype.removeprefix(XSD) not in DATATYPES[operand.type]:
                raise PolicyError(path, f"datatype {datatype[:200]} does not fit, {operand.type} is expected")
            value = value["@value"]
    if not isinstance(value, _BARE):
        raise PolicyError(path, "a text, a number, a typed value or a reference is expected")
    return value


def _written(value: _BARE) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kind(node: Mapping[str, Any]) -> PolicyKind:
    found = term(_text(node.get("@type", "Set"), "/@type"))
    if found not in _KINDS:
        raise PolicyError("/@type", f"{found[:80]!r} is not one of {', '.join(_KINDS)}")
    return cast("PolicyKind", found)


def _members(value: Any, path: str, known: frozenset[str] | set[str]) -> dict[str, Any]:
    """The members of an object under their short names; an unknown or doubled one is refused."""
    if not isinstance(value, dict):
        raise PolicyError(path, "an object is expected")
    found: dict[str, Any] = {}
    for key, each in value.items():
        name = term(key).removeprefix("rdf:") if isinstance(key, str) else ""
        if name not in known:
            raise PolicyError(f"{path}/{pointer(str(key))}", "is not understood here, so nothing is granted on it")
        if name in found:
            raise PolicyError(f"{path}/{pointer(str(key))}", f"{name} is there twice")
        found[name] = each
    return found


def pointer(key: str) -> str:
    """A member name as a step of a JSON Pointer."""
    return key[:200].replace("~", "~0").replace("/", "~1")


def _refinement(value: Any) -> Any:
    return value.get("refinement", value.get("odrl:refinement")) if isinstance(value, dict) else None


def _list(value: Any, path: str) -> list[Any]:
    """A list, from a list, an RDF list, one value, or nothing."""
    if value is None:
        return []
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("@list", "@set"):
        value = next(iter(value.values()))
    found = value if isinstance(value, list) else [value]
    if any(each is None or isinstance(each, list) for each in found):
        raise PolicyError(path, "null or a list in a list")
    return found


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str) or not value:
        raise PolicyError(path, "a text is expected")
    return value


def _term(value: Any, path: str) -> str:
    return term(_text(value.get("@id") if isinstance(value, dict) and len(value) == 1 else value, path))


def _reference(node: Mapping[str, Any], name: str, path: str) -> str:
    value = node.get(name)
    if value is None:
        return ""
    return _text(value.get("@id") if isinstance(value, dict) and len(value) == 1 else value, f"{path}/{name}")
