"""Policy templates: an access policy and a contract policy with slots, filled by typed parameters.

Rules
- A slot is a whole text `{name}`; a value replaces it, a list for a parameter with `many`. No text is put together from pieces.
- Parameters are typed and bounded (`values`, `least`, `most`); what is unknown, missing or out of bounds is refused.
- A constraint whose slot belongs to an optional parameter that was not given is left out. Nothing else can be left out.
- What comes out fits DSP 2025-1: it is rewritten where there is an equivalent (`odrl.wire`), and a template that would not fit is
  refused when the profile is loaded (`fits`).
- The access policy says who may see an offer, and must be decidable while a catalog is read.
"""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import replace

from policies.odrl.errors import PolicyError
from policies.odrl.evaluate import undecidable
from policies.odrl.inherit import Frozen, frozen
from policies.odrl.operands import Registry
from policies.odrl.parse import parse
from policies.odrl.values import ValueType, WrongValue, ordered, typed
from policies.odrl.vocabulary import term
from policies.odrl.wire import fitted
from policies.profiles.errors import BadParameter

_LEFT_OUT: Final = object()


class Parameter(Struct, frozen=True, forbid_unknown_fields=True):
    """A parameter of a template. Without `default` it is required, unless `optional`."""

    type: ValueType = "string"
    many: bool = False
    optional: bool = False
    values: tuple[str, ...] = ()
    least: str = ""
    most: str = ""
    default: str | tuple[str, ...] | UnsetType = UNSET
    example: str = ""

    def read(self, name: str, value: Any) -> str | list[str]:
        """The text (or texts) of a value; raises `BadParameter`."""
        given = value if isinstance(value, list | tuple) else [value]
        if not given or (len(given) > 1 and not self.many):
            raise BadParameter(f"parameter {name}: {'at least one value' if self.many else 'one value'} is expected")
        texts = [self._one(name, each) for each in given]
        return texts if self.many else texts[0]

    def _one(self, name: str, value: Any) -> str:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if self.values and text not in self.values:
            raise BadParameter(f"parameter {name}: {text[:80]!r} is not possible", next_step=f"use one of {', '.join(self.values)}")
        try:
            found = typed(self.type, text)
            low = ordered(found, typed(self.type, self.least)) if self.least else 1
            high = ordered(found, typed(self.type, self.most)) if self.most else -1
        except WrongValue as error:
            raise BadParameter(f"parameter {name}: {error}") from error
        if low is None or high is None or low < 0 or high > 0:
            raise BadParameter(f"parameter {name}: {text[:80]} is not between {self.least or 'any'} and {self.most or 'any'}")
        return text

    def trial(self) -> str | list[str] | None:
        """A value to try the template with, or None for an optional one without any."""
        value = self.example or (self.values[0] if self.values else self.least or self.most)
        if self.default is not UNSET:
            return list(self.default) if isinstance(self.default, tuple) else self.default
        return ([value] if self.many else value) if value else None


class Template(Struct, frozen=True, forbid_unknown_fields=True):
    """A template as its file holds it. Texts are in the profile's text files.

    `refers` says which clauses of model contracts and other data spaces' policies its terms stand for. A deprecated template makes no
    new offers; those made with it stay. `inherited` is none of the file's: by name, the digest of each policy that was written into its contract policy;
    `access_inherited` the same for its access policy.
    """

    version: str
    access: dict[str, Any]
    contract: dict[str, Any]
    parameters: dict[str, Parameter] = field(default_factory=dict)
    status: Literal["current", "deprecated"] = "current"
    refers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    inherited: dict[str, str] = field(default_factory=dict)
    access_inherited: dict[str, str] = field(default_factory=dict)

    def frozen(self, known: Mapping[str, dict[str, Any]]) -> "Template":
        """The template with what its policies inherit written out, and the digests of what that was; raises `PolicyError`."""
        access, contract = written_out(self.access, known), written_out(self.contract, known)
        written = replace(self, access=access.policy, contract=contract.policy)
        return replace(written, inherited=contract.parents, access_inherited=access.parents)

    def fill(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Access and contract policy as the wire carries them, each with an id of its own; raises `BadParameter`."""
        access, contract = self.raw(given)
        return fitted(access).policy, fitted(contract).policy

    def raw(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The same as the template has them."""
        values = self._values(given)
        return _policy(self.access, values), _policy(self.contract, values)

    def _values(self, given: Mapping[str, Any]) -> dict[str, str | list[str]]:
        unknown = sorted(given.keys() - self.parameters.keys())
        if unknown:
            known = ", ".join(self.parameters) or "none"
            raise BadParameter(f"unknown parameter {', '.join(unknown)}", next_step=f"parameters of this template: {known}")
        found: dict[str, str | list[str]] = {}
        for name, parameter in self.parameters.items():
            value = given.get(name, parameter.default)
            if value is not UNSET:
                found[name] = parameter.read(name, value)
            elif not parameter.optional:
                raise BadParameter(f"parameter {name} is missing", next_step=f"give {name}=…")
        return found


def written_out(policy: dict[str, Any], known: Mapping[str, dict[str, Any]]) -> Frozen:
    """A policy with what it inherits from the known ones written out, as it is signed; raises `PolicyError`."""
    if not any(term(key) == "inheritFrom" for key in policy):
        return Frozen(policy, "", {})
    found = frozen(policy, known)
    names = found.policy.get("profile", [])
    one = {"profile": names[0]} if len(names) == 1 else {}
    return replace(found, policy=found.policy | one)


def fits(template: Template, operands: Registry) -> str:
    """Why the template cannot be used, or an empty text: it must parse, fit the wire, and let a catalog be decided."""
    undeclared = sorted({*_slots(template.access), *_slots(template.contract)} - template.parameters.keys())
    if undeclared:
        return f"no parameter fills {', '.join(undeclared)}"
    try:
        given = {name: value for name, each in template.parameters.items() if (value := each.trial()) is not None}
        for given_or_not in (given, {name: given[name] for name in given if not template.parameters[name].optional}):
            access, contract = template.raw(given_or_not)
            parse(contract, operands=operands)
            later = undecidable(parse(access, operands=operands), "catalog")
            if later:
                return f"the access policy cannot be decided in a catalog: {', '.join(later)}"
            for policy in (access, contract):
                left = next(_slots(policy), "")
                if left:
                    return f"{{{left}}} stands where nothing can be left out, and its parameter is optional"
                misfit = fitted(policy).reasons
                if misfit:
                    return f"DSP 2025-1 cannot carry it: {misfit}"
    except (BadParameter, PolicyError) as error:
        return error.detail
    return ""


def _policy(skeleton: dict[str, Any], values: Mapping[str, str | list[str]]) -> dict[str, Any]:
    filled: dict[str, Any] = _filled(skeleton, values)
    return {"@id": f"urn:uuid:{uuid.uuid4()}", "@type": "Offer", **filled}


def _filled(node: Any, values: Mapping[str, str | list[str]]) -> Any:
    if isinstance(node, dict):
        if "leftOperand" in node and slot(node.get("rightOperand")) not in ("", *values):
            return _LEFT_OUT
        return {key: _filled(each, values) for key, each in node.items()}
    if isinstance(node, list):
        return [each for each in (_filled(part, values) for part in node) if each is not _LEFT_OUT]
    name = slot(node)
    return values.get(name, node)


def _slots(node: Any) -> Iterator[str]:
    if isinstance(node, dict | list):
        for each in node.values() if isinstance(node, dict) else node:
            yield from _slots(each)
    elif slot(node):
        yield slot(node)


def slot(value: Any) -> str:
    """The name of the parameter that a value is a slot for; empty where it is a value."""
    return value[1:-1] if isinstance(value, str) and value.startswith("{") and value.endswith("}") else ""
