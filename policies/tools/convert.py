"""Policies of other data spaces, read and written, with a report of all that does not come along.

Each form is a file in `forms`: what its members, actions, operators, operands and values are called, so another form is data. A
form `by_claim` names facts by a path into a credential; the profile's operands say which operand that is.

Rules
- Nothing is dropped in silence: every constraint, action or rule without an equivalent is a `Loss` with its path and what it does.
- A loss is `looser` where leaving it out lets more through: the permission it stood in is left out too, so that the result never
  permits more than the original, unless the caller takes that (`keep`). A prohibition that cannot be read forbids without its condition.
- `legal` clauses have no run-time meaning in their own data space either: they are reported and left to the contract text.
- Every read result is a policy of the profile (`parse`), or the reason is a loss too.

Not done here: fetching contexts or profiles; JSON-LD with other prefixes than the form's own.
"""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

from kernel.errors import BadInput
from policies.odrl.vocabulary import iri, term
from policies.profiles import Profile

Effect = Literal["looser", "stricter", "legal", "dropped"]
_RULES: Final = ("permission", "prohibition", "obligation")
_NESTED: Final = ("duty", "remedy", "consequence")
_LOGICAL: Final = ("and", "or", "xone", "andSequence")
_PLAIN: Final = frozenset({"@id", "@type", "uid", "assigner", "assignee", "target", "timestamp", "conflict"})


class OperandForm(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How an operand is called there. `values` are aliases; other values pass with `other_values` or where there are no aliases."""

    theirs: str
    ours: str
    operators: dict[str, str] = {}
    values: dict[str, str] = {}
    other_values: bool = False
    value_form: str = "{}"


class Clause(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An operand whose values stand for actions of a rule."""

    theirs: str
    rule: Literal["prohibition"]
    actions: dict[str, str]


class Names(Struct, frozen=True, forbid_unknown_fields=True):
    names: list[str] = []


class Form(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One form, as its file says."""

    title: dict[str, str]
    context: Any
    namespaces: list[str]
    legal: list[str]
    member: str = ""
    value: str = ""
    profile: str = ""
    conjunction: str = ""
    by_claim: bool = False
    members: dict[str, str] = {}
    types: dict[str, str] = {}
    ignored: Names = field(default_factory=Names)
    actions: dict[str, str] = {}
    comparison: dict[str, str] = {}
    operand: list[OperandForm] = []
    clause: list[Clause] = []

    def bare(self, text: str) -> str:
        """A name of theirs without its namespace."""
        return next((text.removeprefix(each) for each in self.namespaces if text.startswith(each)), text)


class Loss(Struct, frozen=True):
    """Something that did not come along, and what leaving it out does."""

    path: str
    what: str
    effect: Effect


class Converted(Struct, frozen=True):
    """The policy in the other form, and the report."""

    policy: dict[str, Any]
    losses: tuple[Loss, ...]


@cache
def forms() -> Mapping[str, Form]:
    """All forms by their ids."""
    found = sorted(
        (each for each in (files("policies.tools") / "forms").iterdir() if each.name.endswith(".toml")), key=lambda each: each.name
    )
    return {
        each.name.removesuffix(".toml"): msgspec.convert(tomllib.loads(each.read_text(encoding="utf-8")), Form) for each in found
    }


def form(name: str) -> Form:
    """A form; raises `BadInput` with those that there are."""
    if name not in forms():
        raise BadInput(f"there is no form {name[:40]!r}", next_step=f"use one of {', '.join(forms())}")
    return forms()[name]


def read(value: Any, name: str, profile: Profile, *, keep: bool = False) -> Converted:
    """A policy of theirs as one of ours; raises `BadInput` for what is no object."""
    reader = _Reader(form(name), profile, keep=keep)
    return Converted(reader.policy(value), tuple(reader.losses))


class _Lost(Exception):
    """A part has no equivalent; it is in the report."""


class _Reader:
    def __init__(self, found: Form, profile: Profile, *, keep: bool) -> None:
        self.form, self.profile, self.keep = found, profile, keep
        self.losses: list[Loss] = []
        self.forbidden: list[dict[str, Any]] = []

    def policy(self, value: Any) -> dict[str, Any]:
        node = self._node(value)
        found: dict[str, Any] = {"@type": "Set"} | {key: self._text(node[key]) for key in node if key in _PLAIN}
        found["@type"] = self.form.types.get(self.form.bare(found["@type"]), term(self.form.bare(found["@type"])))
        for key in sorted(node.keys() - _PLAIN - {"@context", "profile", *_RULES, *self.form.ignored.names}):
            self._lose(f"/{key}", f"member {key}", "dropped")
        for key in sorted(node.keys() & set(self.form.ignored.names)):
            self._lose(f"/{key}", f"member {key}", "legal")
        for kind in _RULES:
            rules = [rule for n, each in enumerate(_listed(node.get(kind))) for rule in self._rule(each, f"/{kind}/{n}", kind)]
            if rules:
                found[kind] = rules
        if self.forbidden:
            found["prohibition"] = [*found.get("prohibition", ()), *self.forbidden]
        return found

    def _node(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise BadInput("an object is expected")
        names = ((term(self.form.bare(key)), each) for key, each in value.items())
        return {self.form.members.get(key, key): each for key, each in names}

    def _rule(self, value: Any, path: str, kind: str) -> Iterator[dict[str, Any]]:
        node = self._node(value)
        lost = len(self.losses)
        actions = [self._action(each, path) for each in _listed(node.get("action"))]
        constraints = self._constraints(_listed(node.get("constraint")), path, kind)
        hurt = any(each.effect == "looser" for each in self.losses[lost:])
        if (hurt and kind == "permission" and not self.keep) or not all(actions):
            return
        if kind == "prohibition" and self.forbidden and not constraints and node.get("constraint"):
            return  # its values were the prohibition
        for action in actions:
            rule: dict[str, Any] = {"action": action} | ({"constraint": constraints} if constraints else {})
            rule |= {key: self._text(node[key]) for key in ("target", "assignee", "assigner") if key in node}
            for nested in _NESTED:
                duties = [
                    duty
                    for n, each in enumerate(_listed(node.get(nested)))
                    for duty in self._rule(each, f"{path}/{nested}/{n}", nested)
                ]
                rule |= {nested: duties} if duties else {}
            yield rule

    def _action(self, value: Any, path: str) -> str:
        name = self.form.bare(self._text(value))
        found = self.form.actions.get(name, "" if self.form.actions else term(name))
        if not found and self.profile.operands.covering(term(name)):
            found = term(name)
        if not found:
            self._lose(f"{path}/action", f"action {name}", "dropped")
        return found

    def _constraints(self, given: list[Any], path: str, kind: str) -> list[Any]:
        found = []
        for n, each in enumerate(given):
            try:
                found += self._constraint(self._node(each), f"{path}/constraint/{n}", kind)
            except _Lost:
                continue
        return found

    def _constraint(self, node: dict[str, Any], path: str, kind: str) -> list[dict[str, Any]]:
        logical = next((each for each in _LOGICAL if each in node), "")
        if logical:
            parts = [
                self._inside(self._node(each), f"{path}/{logical}/{n}", kind, logical)
                for n, each in enumerate(_listed(node[logical]))
            ]
            flat = [each for part in parts for each in part]
            if logical == "and":
                return flat
            return [{logical: flat}] if flat else []
        left = self.form.bare(self._text(node.get("leftOperand")))
        if self._clause(left, node, path):
            return []
        operand = self._operand(left, node)
        effect: Effect = "legal" if left in self.form.legal else "looser" if kind == "permission" else "stricter"
        if operand is None:
            raise self._lose(path, f"{left}", effect)
        comparison = self.form.bare(self._text(node.get("operator")))
        comparison = self.form.comparison.get(comparison, term(comparison))
        values = [self._value(each, operand, path, effect) for each in _listed(node.get("rightOperand"))]
        right = values if len(values) != 1 or comparison.startswith("is") else values[0]
        return [{"leftOperand": operand.ours, "operator": operand.operators.get(comparison, comparison), "rightOperand": right}]

    def _inside(self, node: dict[str, Any], path: str, kind: str, logical: str) -> list[dict[str, Any]]:
        """Parts of `and` may be lost one by one; any other logical constraint is lost as a whole."""
        try:
            return self._constraint(node, path, kind)
        except _Lost:
            if logical == "and":
                return []
            raise

    def _clause(self, left: str, node: dict[str, Any], path: str) -> bool:
        for clause in self.form.clause:
            if clause.theirs == left:
                for each in _listed(node.get("rightOperand")):
                    action = clause.actions.get(self._text(each))
                    if action:
                        self.forbidden.append({"action": action})
                    else:
                        self._lose(path, f"{left} {each}", "looser")
                return True
        return False

    def _operand(self, left: str, node: dict[str, Any]) -> OperandForm | None:
        if self.form.by_claim and left.startswith("$"):
            return _by_claim(left, self._text(node.get("credentialSubjectType", "")), self.profile)
        found = next((each for each in self.form.operand if each.theirs == left), None)
        if found is None and self.form.by_claim and self.profile.operands.operand(left):
            return OperandForm(theirs=left, ours=iri(left), other_values=True)
        return found if found is not None and self.profile.operands.operand(found.ours) else None

    def _value(self, value: Any, operand: OperandForm, path: str, effect: Effect) -> str:
        text = self._text(value)
        if text in operand.values:
            return operand.values[text]
        if operand.values and not operand.other_values:
            raise self._lose(path, f"value {text}", effect)
        return operand.value_form.format(text)

    def _text(self, value: Any) -> str:
        if isinstance(value, dict):
            value = value.get("@id", value.get("@value", ""))
        elif isinstance(value, list) and len(value) == 1:
            return self._text(value[0])
        return str(value)

    def _lose(self, path: str, what: str, effect: Effect) -> _Lost:
        self.losses.append(Loss(path, what, effect))
        return _Lost(what)


def _by_claim(path: str, credential: str, profile: Profile) -> OperandForm | None:
    wanted = path.removeprefix("$.credentialSubject.").removeprefix("$.")
    for each in profile.sources:
        source = each.entry.source
        if source.path == wanted and credential.rpartition(":")[2] in ("", source.credential):
            return OperandForm(theirs=path, ours=each.entry.name, other_values=True)
    return None


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


# writing -------------------------------------------------------------------------------------------------------------


def write(value: dict[str, Any], name: str, profile: Profile) -> Converted:
    """A policy of ours in another form. It has been read by the profile before (`Profile.policy`)."""
    writer = _Writer(form(name), profile)
    return Converted(writer.policy(value), tuple(writer.losses))


class _Writer:
    def __init__(self, found: Form, profile: Profile) -> None:
        self.form, self.profile = found, profile
        self.losses: list[Loss] = []
        self.operands = {each.ours: each for each in reversed(found.operand)}
        self.actions = {ours: theirs for theirs, ours in reversed(found.actions.items()) if ours}
        self.comparison = {ours: theirs for theirs, ours in reversed(found.comparison.items())}
        self.members = {ours: theirs for theirs, ours in reversed(found.members.items())}

    def policy(self, value: dict[str, Any]) -> dict[str, Any]:
        kind = term(value.get("@type", "Set"))
        types = {ours: theirs for theirs, ours in self.form.types.items()}
        found: dict[str, Any] = {"@context": self.form.context, "@type": self.form.member + types.get(kind, kind)}
        found |= {self._member(key): value[key] for key in value if key in _PLAIN - {"@type", "@id", "uid", "conflict"}}
        found |= {"@id": value["@id"]} if "@id" in value else {}
        found |= {"profile": self.form.profile} if self.form.profile else {}
        for kind in _RULES:
            rules = [self._rule(each, f"/{kind}/{n}", kind) for n, each in enumerate(_listed(value.get(kind)))]
            kept = [each for each in rules if each is not None]
            found |= {self._member(kind): kept} if kept else {}
        return found

    def _member(self, key: str) -> str:
        return self.form.member + self.members.get(key, key)

    def _rule(self, rule: dict[str, Any], path: str, kind: str) -> dict[str, Any] | None:
        action = term(rule["action"]) if isinstance(rule.get("action"), str) else ""
        theirs = self.actions.get(action, "" if self.form.actions else action)
        clause = self._as_clause(rule, action, kind)
        if clause is not None:
            return clause
        if not theirs:
            self.losses.append(Loss(f"{path}/action", f"action {action}", "looser" if kind == "prohibition" else "dropped"))
            return None
        written: list[dict[str, Any]] = []
        for n, each in enumerate(_listed(rule.get("constraint"))):
            try:
                written.append(self._constraint(each, f"{path}/constraint/{n}", kind))
            except _Lost:
                if kind == "permission":
                    return None
        if self.form.conjunction and len(written) > 1:
            written = [{self.form.conjunction: written}]
        found: dict[str, Any] = {self._member("action"): self._value(theirs)}
        found |= {self._member("constraint"): written} if written else {}
        for nested in _NESTED:
            for n, each in enumerate(_listed(rule.get(nested))):
                duty = self._rule(each, f"{path}/{nested}/{n}", nested)
                found.setdefault(self._member(nested), []).extend([duty] if duty else [])
        return found

    def _as_clause(self, rule: dict[str, Any], action: str, kind: str) -> dict[str, Any] | None:
        for clause in self.form.clause if kind == "prohibition" and not rule.get("constraint") else []:
            value = next((theirs for theirs, ours in clause.actions.items() if ours == action), "")
            if value:
                return {
                    "action": "use",
                    "constraint": [{"leftOperand": clause.theirs, "operator": "isAllOf", "rightOperand": [value]}],
                }
        return None

    def _value(self, text: str) -> Any:
        return {"@id": self.form.value + text} if self.form.value else text

    def _constraint(self, node: dict[str, Any], path: str, kind: str) -> dict[str, Any]:
        logical = next((each for each in _LOGICAL if each in node), "")
        if logical:
            if self.form.conjunction and logical != self.form.conjunction:
                raise self._lose(path, logical, kind)
            return {
                logical: [self._constraint(each, f"{path}/{logical}/{n}", kind) for n, each in enumerate(_listed(node[logical]))]
            }
        left = iri(node["leftOperand"])
        if self.form.by_claim:
            return self._claim(left, node)
        operand = self.operands.get(left)
        if operand is None:
            raise self._lose(path, left, kind)
        aliases = {ours: theirs for theirs, ours in operand.values.items()}
        operators = {ours: theirs for theirs, ours in operand.operators.items()}
        operator = operators.get(term(node["operator"]), "" if operand.operators else term(node["operator"]))
        values = [self._right(each, operand, aliases, path, kind) for each in _listed(node["rightOperand"])]
        if not operator or "" in values:
            raise self._lose(path, f"{term(left)} {node['operator']}", kind)
        operator = self.comparison.get(operator, "" if self.form.comparison else operator)
        if not operator:
            raise self._lose(path, f"operator {node['operator']}", kind)
        right: Any = values if isinstance(node["rightOperand"], list) else values[0]
        return {
            self._member("leftOperand"): self._value(operand.theirs),
            self._member("operator"): self._value(operator),
            self._member("rightOperand"): {"@value": right} if self.form.value else right,
        }

    def _right(self, value: Any, operand: OperandForm, aliases: Mapping[str, str], path: str, kind: str) -> str:
        text = str(value["@value"] if isinstance(value, dict) and "@value" in value else value)
        if text in aliases:
            return aliases[text]
        before, _, after = operand.value_form.partition("{}")
        if not (text.startswith(before) and text.endswith(after)):
            raise self._lose(path, f"value {text}", kind)
        return text[len(before) : len(text) - len(after)]

    def _claim(self, left: str, node: dict[str, Any]) -> dict[str, Any]:
        found = next(
            (each.entry.source for each in self.profile.sources if each.entry.name == left and each.entry.source.path), None
        )
        if found is None:
            return {**node, "leftOperand": term(left)}
        return {
            "ovc:leftOperand": f"$.credentialSubject.{found.path}",
            "ovc:credentialSubjectType": found.credential,
            "operator": term(node["operator"]),
            "rightOperand": node["rightOperand"],
        }

    def _lose(self, path: str, what: str, kind: str) -> _Lost:
        """A permission goes with what it cannot say, a prohibition stays without its condition: both let less through."""
        self.losses.append(Loss(path, what, "stricter" if kind in ("permission", "prohibition") else "dropped"))
        return _Lost(what)
