"""What of a policy fits the wire of DSP 2025-1, and how the rest is written so that it does.

DSP 2025-1 takes a part of ODRL (its contract schema): an Offer or Agreement with `@id`; lists of permissions, prohibitions and
obligations that are not empty; an action as a text; constraints whose right operand is a text, an object or a list.

Rules
- `fitted` rewrites what has an equivalent: a refinement of a permission's or prohibition's action is a further constraint of the rule;
  several actions are several rules; a target that all rules share is the policy's; numbers are texts; one value is a list of one;
  operators are short. The rewritten policy decides every request as the given one does.
- What has no equivalent is a misfit. `refused`: the schema has no place for it. `undescribed`: the schema lets it pass without knowing
  it, so that a connector of another make may drop it; between ours it is kept.
- The policy has been read by `parse` before; what is no policy raises `PolicyError` here too.

Not done here: the message around a policy, its JSON-LD context (which is the message's).
"""

from typing import Any, Final, Literal

from msgspec import Struct

from policies.odrl.errors import PolicyError
from policies.odrl.forms import full, listed, named, short
from policies.odrl.terms import OPERATOR_TERMS
from policies.odrl.vocabulary import PARTY_FUNCTIONS, term

VERSIONS: Final = ("dsp-2025-1",)
_RULES: Final = ("permission", "prohibition", "obligation")
_NESTED: Final = ("duty", "remedy", "consequence")
_LOGICAL: Final = ("and", "or", "xone", "andSequence")
_NAMES: Final = frozenset({"@id", "@type", "timestamp", "assigner", "assignee", "profile"})


class Misfit(Struct, frozen=True):
    """Something that the wire cannot carry as it is meant: where, why, and whether it is refused or only not described."""

    path: str
    reason: str
    level: Literal["refused", "undescribed"] = "refused"


class Fitted(Struct, frozen=True):
    """A policy as it goes on the wire, what was rewritten for it (path: what), and what does not fit."""

    policy: dict[str, Any]
    changes: tuple[str, ...]
    misfits: tuple[Misfit, ...]

    @property
    def sendable(self) -> bool:
        """Whether nothing is refused."""
        return not any(each.level == "refused" for each in self.misfits)

    @property
    def reasons(self) -> str:
        """Why it is refused, in one line; empty where it is not."""
        return "; ".join(f"{each.path or '/'}: {each.reason}" for each in self.misfits if each.level == "refused")


def fitted(value: dict[str, Any]) -> Fitted:
    """A policy as DSP 2025-1 carries it; raises `PolicyError` for what is no policy."""
    writer = _Writer()
    policy = writer.policy({_short(key): each for key, each in value.items() if key != "@context"})
    return Fitted(policy, tuple(writer.changes), tuple(writer.misfits))


def _short(key: str) -> str:
    name = term(key).removeprefix("rdf:")
    return "@id" if name == "uid" else name


class _Writer:
    """Writes one policy."""

    def __init__(self) -> None:
        self.changes: list[str] = []
        self.misfits: list[Misfit] = []

    def policy(self, node: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {key: named(node[key], f"/{key}") for key in ("@id", "@type") if key in node}
        if term(found.get("@type", "Set")) not in ("Offer", "Agreement"):
            self._refuse("/@type", "only offers and agreements travel")
        if "@id" not in found:
            self._refuse("/@id", "a policy on the wire has an id")
        targets = self._targets(node)
        for key, each in node.items():
            if key in _RULES:
                rules = [rule for n, one in enumerate(listed(each, f"/{key}")) for rule in self._rule(one, f"/{key}/{n}", node)]
                if rules:
                    found[key] = rules
            elif key == "conflict":
                self._conflict(each, found)
            elif key == "inheritFrom":
                self._refuse("/inheritFrom", "inherited terms do not travel; write them out (freeze it)")
            elif key in _NAMES and key not in found:
                found[key] = each if key == "profile" and isinstance(each, list) else named(each, f"/{key}")
        if targets:
            found["target"] = targets
        if "permission" not in found and "prohibition" not in found:
            self._refuse("", "it has neither a permission nor a prohibition")
        return found

    def _refuse(self, path: str, reason: str) -> None:
        self.misfits.append(Misfit(path, reason))

    def _undescribed(self, path: str, reason: str) -> None:
        self.misfits.append(Misfit(path, reason, "undescribed"))

    def _conflict(self, value: Any, found: dict[str, Any]) -> None:
        name = short(value, "/conflict")
        if name != "prohibit":
            self._undescribed("/conflict", "another connector may let prohibitions win")
            found["conflict"] = name

    def _targets(self, node: dict[str, Any]) -> str:
        """The one target of the policy: its own, or the one that all rules share."""
        rules = [(f"/{key}/{n}", rule) for key in _RULES for n, rule in enumerate(listed(node.get(key), f"/{key}"))]
        own = [
            (path, {_short(key): each for key, each in rule.items()}.get("target"))
            for path, rule in rules
            if isinstance(rule, dict)
        ]
        given = [("", node.get("target"))] if node.get("target") is not None else own
        seen = {str(value) for _, value in given if value is not None}
        if not seen:
            return ""
        path, first = next(each for each in given if each[1] is not None)
        if len(seen) > 1 or any(value is None for _, value in given):
            self._refuse(path + "/target", "rules about different assets do not travel; write one policy for each")
            return ""
        if isinstance(first, list | dict) and not (isinstance(first, dict) and first.keys() == {"@id"}):
            self._refuse(path + "/target", "a target is one id; collections and refinements of assets have no place")
            return ""
        if not node.get("target"):
            self.changes.append("/target: the target that all rules share")
        return named(first, path + "/target")

    def _rule(self, value: Any, path: str, policy: dict[str, Any]) -> list[dict[str, Any]]:
        """A rule as one for each of its actions."""
        if not isinstance(value, dict):
            raise PolicyError(path, "an object is expected")
        node = {_short(key): each for key, each in value.items()}
        own = [self._constraint(each, f"{path}/constraint/{n}") for n, each in enumerate(listed(node.get("constraint"), path))]
        rest = self._rest(node, path)
        actions = listed(node.get("action", policy.get("action")), path + "/action")
        if len(actions) > 1:
            self.changes.append(f"{path}/action: one rule for each action")
        if "action" not in node:
            self.changes.append(f"{path}/action: the action of the policy")
        found = []
        for each in actions:
            name, refined = self._action(each, path + "/action", duty=path.startswith("/obligation"))
            constraints = refined + own
            found.append({"action": name, **({"constraint": constraints} if constraints else {}), **rest})
        return found

    def _rest(self, node: dict[str, Any], path: str) -> dict[str, Any]:
        """What the schema does not describe of a rule, kept; and its names."""
        found: dict[str, Any] = {key: node[key] for key in ("@id", "@type") if key in node}
        for key in _NESTED:
            duties = listed(node.get(key), f"{path}/{key}")
            if duties:
                self._undescribed(f"{path}/{key}", "another connector may drop it")
                found[key] = [duty for n, each in enumerate(duties) for duty in self._duty(each, f"{path}/{key}/{n}")]
        for key in sorted(node.keys() & (PARTY_FUNCTIONS | {"assigner", "assignee"})):
            if key == "assignee":
                self._refuse(f"{path}/{key}", "rules for different parties do not travel; write one policy for each")
            else:
                self._undescribed(f"{path}/{key}", "another connector may drop it")
                found[key] = named(node[key], f"{path}/{key}")
        return found

    def _duty(self, value: Any, path: str) -> list[dict[str, Any]]:
        if isinstance(value, dict) and "target" in value:
            self._refuse(path + "/target", "a duty about an asset of its own does not travel")
        return self._rule(value, path, {})

    def _action(self, value: Any, path: str, *, duty: bool) -> tuple[str, list[Any]]:
        if not isinstance(value, dict):
            return named(value, path), []
        node = {_short(key): each for key, each in value.items()}
        refined = listed(node.get("refinement"), path + "/refinement")
        if refined and (duty or any(f"/{each}/" in path for each in _NESTED)):
            self._refuse(path, "how a duty is done (a refinement of its action) has no place; as a constraint it would say when")
        elif refined:
            self.changes.append(f"{path}: its refinement is a constraint of the rule")
        name = term(full(node.get("@id", node.get("value")), path))
        return name, [self._constraint(each, f"{path}/refinement/{n}") for n, each in enumerate(refined)]

    def _constraint(self, value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise PolicyError(path, "an object is expected")
        node = {_short(key): each for key, each in value.items()}
        for kind in _LOGICAL:
            if kind in node:
                where = f"{path}/{kind}"
                return {kind: [self._constraint(each, f"{where}/{n}") for n, each in enumerate(listed(node[kind], where))]}
        if "rightOperandReference" in node:
            self._refuse(path + "/rightOperandReference", "a right operand travels as a value")
        operator = OPERATOR_TERMS.get(short(node.get("operator"), path + "/operator"))
        if operator is None:
            raise PolicyError(path + "/operator", "unknown operator")
        found = {
            "leftOperand": named(node.get("leftOperand"), path + "/leftOperand"),
            "operator": operator,
            "rightOperand": self._right(node.get("rightOperand"), path),
        }
        for key in ("unit", "dataType", "status"):
            if key in node:
                self._undescribed(f"{path}/{key}", "another connector may drop it")
                found[key] = node[key]
        return found

    def _right(self, value: Any, path: str) -> Any:
        if isinstance(value, bool | int | float):
            self.changes.append(f"{path}/rightOperand: written as a text")
            return str(value).lower() if isinstance(value, bool) else str(value)
        if isinstance(value, list):
            return [self._right(each, path) for each in value]
        return value
