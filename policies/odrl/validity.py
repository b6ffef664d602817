"""When a policy ends by its own terms: the latest moment at which a permission of it can still hold.

Rules
- A bound is an atomic constraint `dateTime lt|lteq T` of a permission, also inside `and`. A permission without one does not end, and so does a policy that
  has such a permission. Under `or` and `xone` no bound is sure: the permission counts as one without end.
- `without_end` gives the terms with those bounds taken away, to compare two policies that differ in nothing but their end.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from kernel.clock import parse_iso
from kernel.errors import BadInput
from policies.odrl.values import WrongValue, day
from policies.odrl.vocabulary import DATE_TIME, iri, term

_UPPER: Final = ("lt", "lteq", "term-lteq")


def ends(policy: Mapping[str, Any]) -> datetime | None:
    """The end in UTC, or None for a policy that does not end by itself."""
    found = []
    for permission in policy.get("permission") or ():
        bounds = [each for each in map(_moment, _sure(permission.get("constraint"))) if each is not None]
        if not bounds:
            return None
        found.append(min(bounds))
    return max(found, default=None)


def without_end(policy: Mapping[str, Any]) -> dict[str, Any]:
    """The policy without the bounds that `ends` reads."""
    permissions = [
        {name: _unbounded(each) if name == "constraint" else each for name, each in permission.items()}
        for permission in policy.get("permission") or ()
    ]
    return {**policy, "permission": permissions}


def _sure(constraints: Any) -> Iterator[Mapping[str, Any]]:
    for each in constraints if isinstance(constraints, list) else ():
        if "leftOperand" in each:
            yield each
        for name in ("and", "andSequence"):
            yield from _sure(each.get(name))


def _moment(constraint: Mapping[str, Any]) -> datetime | None:
    if iri(str(constraint["leftOperand"])) != DATE_TIME or term(str(constraint.get("operator"))) not in _UPPER:
        return None
    value = constraint.get("rightOperand")
    text = str(value.get("@value", "") if isinstance(value, dict) else value)
    try:
        if (whole := day(text)) is not None:
            return whole[0 if term(str(constraint["operator"])) == "lt" else 1].astimezone(UTC)
        return parse_iso(text)
    except (BadInput, WrongValue):
        return None


def _unbounded(constraints: Any) -> Any:
    if not isinstance(constraints, list):
        return constraints
    kept = [each for each in constraints if "leftOperand" not in each or _moment(each) is None]
    return [{name: _unbounded(part) if name in ("and", "andSequence") else part for name, part in each.items()} for each in kept]
