"""What an offer leaves open: parameters of its template that the other side may set otherwise, within bounds, without asking a person.

Rules
- Terms are within the bounds exactly when the template, filled with the offer's own values and the values that the terms have for the open
  parameters, says the same, term by term. Nothing else may differ, and no constraint of the offer may be missing.
- A bound narrows what the template itself allows; it never widens it.

Not done here: whether the participant is permitted (`odrl.evaluate`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from policies.odrl import same_terms
from policies.odrl.errors import PolicyError
from policies.odrl.vocabulary import iri, term
from policies.profiles.errors import BadParameter
from policies.profiles.templates import Parameter, Template


class Bound(Struct, frozen=True, forbid_unknown_fields=True):
    """What an open parameter may be: one of `values`, or from `least` to `most`; nothing given = whatever the template allows."""

    values: tuple[str, ...] = ()
    least: str = ""
    most: str = ""


def check(template: Template, bounds: Mapping[str, Bound]) -> None:
    """Refuse bounds for parameters that are not there, or that no value could meet; raises `BadParameter`."""
    for name, bound in bounds.items():
        parameter = template.parameters.get(name)
        if parameter is None:
            known = ", ".join(template.parameters) or "none"
            raise BadParameter(f"unknown parameter {name}", next_step=f"parameters of this template: {known}")
        for value in (*bound.values, *filter(None, (bound.least, bound.most))):
            _narrowed(parameter, bound).read(name, value)


def outside(template: Template, given: Mapping[str, Any], bounds: Mapping[str, Bound], asked: Mapping[str, Any]) -> list[str]:
    """Why these terms are not within what the offer leaves open; empty: they are. `given` are the offer's own values."""
    try:
        values = dict(given)
        for name, bound in bounds.items():
            found = _values(template, name, asked)
            if found is not None:
                values[name] = _narrowed(template.parameters[name], bound).read(name, found)
        return same_terms(template.fill(values)[1], asked)
    except (BadParameter, PolicyError) as error:
        return [error.detail]


def _narrowed(parameter: Parameter, bound: Bound) -> Parameter:
    return replace(
        parameter,
        values=bound.values or parameter.values,
        least=bound.least or parameter.least,
        most=bound.most or parameter.most,
    )


def _values(template: Template, name: str, asked: Mapping[str, Any]) -> list[str] | None:
    """What the terms have where the template has this parameter; None where they have nothing."""
    slots = {_place(each) for each in _constraints(template.contract) if each.get("rightOperand") == f"{{{name}}}"}
    found = [each.get("rightOperand") for each in _constraints(asked) if _place(each) in slots]
    if not found:
        return None
    listed = found[0] if isinstance(found[0], list) else [found[0]]
    return [str(each.get("@value", each.get("@id", ""))) if isinstance(each, dict) else str(each) for each in listed]


def _place(constraint: Mapping[str, Any]) -> tuple[str, str]:
    return iri(str(constraint.get("leftOperand", ""))), term(str(constraint.get("operator", "")))


def _constraints(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, dict):
        if "leftOperand" in node:
            yield node
        for each in node.values():
            yield from _constraints(each)
    elif isinstance(node, list):
        for each in node:
            yield from _constraints(each)
