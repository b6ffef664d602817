"""The twelve operators of ODRL 2.2, once and for all operands, in three values.

A test is given the typed fact (one value, or a frozenset for a set-valued operand) and the bound, and answers True, False or None
(cannot be known). Tests are shared; what differs is the bound, so a compiled constraint holds no code of its own.

| operator | holds when |
|---|---|
| eq, neq | the fact is, is not, the right value; for a set: has it, has it not |
| lt lteq gt gteq | the one fact is ordered so; months against days, euro against yen are unknown |
| isAnyOf, isNoneOf | some, no value of the fact is in the right set |
| isAllOf | every value of the right set is in the fact |
| isA, isPartOf | some value of the fact is (in) one of the right values, by the operand's hierarchy |
| hasPart | one of the right values is in some value of the fact, by the operand's hierarchy |

The three of the hierarchy are compiled to isAnyOf: the bound becomes everything below (isA, isPartOf) or above (hasPart) it.
"""

from collections.abc import Callable, Iterable, Mapping
from operator import contains, eq, ge, gt, le, lt, ne
from types import MappingProxyType
from typing import Any, Final

from policies.odrl.operand import Operand
from policies.odrl.values import ordered, same

Wholes = Mapping[str, frozenset[str]]
Test = Callable[[Any, Any], bool | None]


def compiled(operator: str, operand: Operand, right: tuple[Any, ...], wholes: Wholes) -> tuple[Test, Any]:
    """The test of one atomic constraint and its bound. `right` has one value for every operator but those of sets."""
    if operator in ("isA", "isPartOf"):
        below = (value for value, above in wholes.items() if not above.isdisjoint(right))
        operator, right = "isAnyOf", (*right, *below)
    elif operator == "hasPart":
        operator, right = "isAnyOf", tuple(each for value in right for each in wholes.get(value, (value,)))
    if operator in ("isAnyOf", "isNoneOf", "isAllOf"):
        bound: Any = frozenset(right)
    else:
        (bound,) = right
    return _chosen(operator, operand), bound


def _chosen(operator: str, operand: Operand) -> Test:
    if operand.many:
        return _SETS[operator] if operand.exact else _LOOSE_SETS[operator]
    return _EXACT[operator] if operand.exact else _LOOSE[operator]


# one exact value -------------------------------------------------------------------------------------------------------


def _in(fact: Any, bound: frozenset[Any]) -> bool:
    return fact in bound


def _not_in(fact: Any, bound: frozenset[Any]) -> bool:
    return fact not in bound


# a set of exact values -------------------------------------------------------------------------------------------------


def _lacks(fact: frozenset[Any], bound: Any) -> bool:
    return bound not in fact


def _any(fact: frozenset[Any], bound: frozenset[Any]) -> bool:
    return not fact.isdisjoint(bound)


# durations and quantities: what cannot be compared is not known --------------------------------------------------------


def _same(fact: Any, bound: Any) -> bool | None:
    return same(fact, bound)


def _other(fact: Any, bound: Any) -> bool | None:
    return _not(same(fact, bound))


def _some(states: Iterable[bool | None]) -> bool | None:
    found = list(states)
    return True if True in found else None if None in found else False


def _not(state: bool | None) -> bool | None:
    return None if state is None else not state


def _loose_in(fact: Any, bound: frozenset[Any]) -> bool | None:
    return _some(same(fact, each) for each in bound)


def _loose_not_in(fact: Any, bound: frozenset[Any]) -> bool | None:
    return _not(_loose_in(fact, bound))


def _loose_has(fact: frozenset[Any], bound: Any) -> bool | None:
    return _some(same(each, bound) for each in fact)


def _loose_lacks(fact: frozenset[Any], bound: Any) -> bool | None:
    return _not(_loose_has(fact, bound))


def _loose_any(fact: frozenset[Any], bound: frozenset[Any]) -> bool | None:
    return _some(_loose_has(fact, each) for each in bound)


def _loose_none(fact: frozenset[Any], bound: frozenset[Any]) -> bool | None:
    return _not(_loose_any(fact, bound))


def _loose_all(fact: frozenset[Any], bound: frozenset[Any]) -> bool | None:
    return _not(_some(_loose_lacks(fact, each) for each in bound))


def _loose_lt(fact: Any, bound: Any) -> bool | None:
    return _is(ordered(fact, bound), _LESS)


def _loose_lteq(fact: Any, bound: Any) -> bool | None:
    return _is(ordered(fact, bound), _AT_MOST)


def _loose_gt(fact: Any, bound: Any) -> bool | None:
    return _is(ordered(fact, bound), _MORE)


def _loose_gteq(fact: Any, bound: Any) -> bool | None:
    return _is(ordered(fact, bound), _AT_LEAST)


def _is(found: int | None, accepted: tuple[int, ...]) -> bool | None:
    return None if found is None else found in accepted


_LESS: Final = (-1,)
_AT_MOST: Final = (-1, 0)
_MORE: Final = (1,)
_AT_LEAST: Final = (0, 1)
_EXACT: Final[Mapping[str, Test]] = MappingProxyType(
    {"eq": eq, "neq": ne, "lt": lt, "lteq": le, "gt": gt, "gteq": ge, "isAnyOf": _in, "isNoneOf": _not_in}
)
_SETS: Final[Mapping[str, Test]] = MappingProxyType(
    {"eq": contains, "neq": _lacks, "isAnyOf": _any, "isNoneOf": frozenset.isdisjoint, "isAllOf": frozenset.issuperset}
)
_LOOSE: Final[Mapping[str, Test]] = MappingProxyType(
    {
        "eq": _same,
        "neq": _other,
        "lt": _loose_lt,
        "lteq": _loose_lteq,
        "gt": _loose_gt,
        "gteq": _loose_gteq,
        "isAnyOf": _loose_in,
        "isNoneOf": _loose_not_in,
    }
)
_LOOSE_SETS: Final[Mapping[str, Test]] = MappingProxyType(
    {"eq": _loose_has, "neq": _loose_lacks, "isAnyOf": _loose_any, "isNoneOf": _loose_none, "isAllOf": _loose_all}
)
