"""A counter-offer made from the terms on the table by naming what is to be different.

Rules
- A name is that of a left operand, in full or its last part (`role`, `dateTime`), or that of a template's parameter (`until`), which `parameters` maps to the
  left operands that it fills. It must stand in exactly one constraint of the terms; the values
  replace its right operand. More than a right operand is changed by giving whole terms instead.

Pure; whether the terms make sense is checked by whoever reads the policy.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from kernel.errors import BadInput
from policies.odrl.terms import short
from policies.odrl.vocabulary import iri


def changed(
    terms: Mapping[str, Any],
    values: Mapping[str, str | Sequence[str]],
    parameters: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """The terms with other right operands; raises `BadInput` and names what could be changed."""
    found: dict[str, Any] = _copied(dict(terms))
    for name, value in values.items():
        filled = parameters.get(name, ())
        places = [each for each in _constraints(found) if name in _names(each) or iri(str(each["leftOperand"])) in filled]
        if len(places) != 1:
            known = sorted({_names(each)[-1] for each in _constraints(found)})
            raise BadInput(
                f"{name} stands in {len(places)} constraints of the terms, not in one",
                next_step=f"change one of {', '.join(known) or 'none'}, or give whole terms",
            )
        places[0]["rightOperand"] = value if isinstance(value, str) else list(value)
    return found


def _names(constraint: Mapping[str, Any]) -> tuple[str, str]:
    operand = str(constraint["leftOperand"])
    return operand, short(operand)


def _constraints(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "leftOperand" in node:
            yield node
        for each in node.values():
            yield from _constraints(each)
    elif isinstance(node, list):
        for each in node:
            yield from _constraints(each)


def _copied(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _copied(each) for name, each in node.items()}
    return [_copied(each) for each in node] if isinstance(node, list) else node
