"""What a side leaves open: parameters of a template that the other side may set otherwise, within bounds, without asking a person.

A provider says it with an offer, a consumer (`Leeway`) with its request, or for all offers of a provider.

Rules
- Terms are within the bounds exactly when the template, filled with the offer's own values and the values that the terms have for the open
  parameters, says the same, term by term. Nothing else may differ, and no constraint of the offer may be missing.
- A bound narrows what the template itself allows; it never widens it.
- The nearest terms are those asked for with every open value moved to the closest one within its bound, and everything else as in the own terms. Where two sides
  leave ranges open that meet, the first counter-offer of either is within the other's.

Not done here: whether the participant is permitted (`odrl.evaluate`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from policies.odrl import same_terms
from policies.odrl.errors import PolicyError
from policies.odrl.values import WrongValue, ordered, typed
from policies.odrl.vocabulary import iri, term
from policies.profiles.errors import BadParameter
from policies.profiles.templates import Parameter, Template


class Bound(Struct, frozen=True, forbid_unknown_fields=True):
    """What an open parameter may be: one of `values`, or from `least` to `most`; nothing given = whatever the template allows."""

    values: tuple[str, ...] = ()
    least: str = ""
    most: str = ""


Otherwise = Literal["wait", "counter", "refuse"]


class Leeway(Struct, frozen=True, forbid_unknown_fields=True):
    """What a consumer takes without asking a person: the terms of a template, some of its parameters within bounds."""

    template: Annotated[str, Meta(description="Template of the profile whose terms are taken.")]
    parameters: Annotated[Mapping[str, str | tuple[str, ...]], Meta(description="Values of its parameters.")] = {}
    bounds: Annotated[
        Mapping[str, Bound],
        Meta(
            description="Parameters that the provider may set otherwise: `values`, or from `least` to `most`; neither: as the template allows."
        ),
    ] = {}
    otherwise: Annotated[
        Otherwise,
        Meta(
            description="What terms beyond the bounds get: wait (for a person), counter (the nearest terms within, once), refuse."
        ),
    ] = "wait"
    approval: Annotated[str, Meta(description="Who has to approve a contract all the same; empty = nobody.")] = ""


ANY: Final = Bound()


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


def nearest(
    template: Template, given: Mapping[str, Any], bounds: Mapping[str, Bound], asked: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The terms within what is left open that come closest to those asked for; None where these are not of the template."""
    if outside(template, given, dict.fromkeys(bounds, ANY), asked):
        return None
    values = dict(given)
    for name, bound in bounds.items():
        found = _values(template, name, asked)
        if found is not None:
            values[name] = _closest(_narrowed(template.parameters[name], bound), name, found, given.get(name))
    return template.fill({name: each for name, each in values.items() if each is not None})[1]


def read(template: Template, terms: Mapping[str, Any]) -> dict[str, Any] | None:
    """The values with which the template says these terms; None where it never does."""
    values = {}
    for name, parameter in template.parameters.items():
        found = _values(template, name, terms)
        wanted = found if found is not None else None if parameter.optional else parameter.trial()
        if wanted is not None:
            values[name] = wanted if parameter.many or isinstance(wanted, str) else wanted[0]
    try:
        return None if same_terms(template.fill(values)[1], terms) else values
    except (BadParameter, PolicyError):
        return None


def operands(templates: Iterable[Template]) -> dict[str, frozenset[str]]:
    """The left operands (IRIs) whose right operand a parameter fills, by the parameter's name, over all templates."""
    found: dict[str, set[str]] = {}
    for template in templates:
        for each in _constraints(template.contract):
            right = each.get("rightOperand")
            if isinstance(right, str) and right[1:-1] in template.parameters and right == f"{{{right[1:-1]}}}":
                found.setdefault(right[1:-1], set()).add(_place(each)[0])
    return {name: frozenset(each) for name, each in found.items()}


def _closest(parameter: Parameter, name: str, wanted: Sequence[str], given: Any) -> Any:
    """The value within a parameter's bound that is next to the one that is wanted; the given one where there is no such order."""
    fits = [each for each in wanted if _fits(parameter, name, each)]
    if fits:
        return fits if parameter.many else fits[0]
    for end, beyond in ((parameter.least, -1), (parameter.most, 1)):
        if end and len(wanted) == 1 and _compared(parameter, wanted[0], end) == beyond:
            return [end] if parameter.many else end
    return given


def _fits(parameter: Parameter, name: str, value: str) -> bool:
    try:
        parameter.read(name, value)
    except BadParameter:
        return False
    return True


def _compared(parameter: Parameter, first: str, second: str) -> int | None:
    try:
        return ordered(typed(parameter.type, first), typed(parameter.type, second))
    except WrongValue:
        return None


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
