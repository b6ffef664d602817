"""The twelve operators of ODRL 2.2, once and for all operands, in three values.

A test is given the facts as a non-empty tuple or an empty one, typed, and answers True, False or None (cannot be known).

| operator | holds when |
|---|---|
| eq, neq | the fact is, is not, the right value; for a set: has it, has it not |
| lt lteq gt gteq | the one fact is ordered so; months against days may be unknown |
| isAnyOf, isNoneOf | some, no value of the fact is in the right set |
| isAllOf | every value of the right set is in the fact |
| isA, isPartOf | some value of the fact is (in) one of the right values, by the operand's hierarchy |
| hasPart | one of the right values is in some value of the fact, by the operand's hierarchy |
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from policies.odrl.operands import Operand
from policies.odrl.values import ordered

Wholes = Mapping[str, frozenset[str]]
Facts = frozenset[Any]
Test = Callable[[Facts], bool | None]
_ACCEPTED: Final[Mapping[str, frozenset[int]]] = MappingProxyType(
    {"lt": frozenset({-1}), "lteq": frozenset({-1, 0}), "gt": frozenset({1}), "gteq": frozenset({0, 1})}
)


def test(operator: str, operand: Operand, right: Facts, wholes: Wholes) -> Test:
    """The test of one atomic constraint. `operand` says whether facts are sets."""
    if operator in _ACCEPTED:
        return _order(_ACCEPTED[operator], right)
    if operator in ("isA", "isPartOf"):
        return lambda facts: any(wholes.get(each, frozenset({each})) & right for each in facts)
    if operator == "hasPart":
        return lambda facts: any(wholes.get(each, frozenset({each})) & facts for each in right)
    if operator == "isAllOf":
        return right.issubset
    if operator in ("eq", "isAnyOf"):
        return (lambda facts: not right.isdisjoint(facts)) if operand.many else (lambda facts: _one(facts, right))
    if operator in ("neq", "isNoneOf"):
        return right.isdisjoint if operand.many else (lambda facts: _none(facts, right))
    raise ValueError(operator)


def _one(facts: Facts, right: Facts) -> bool | None:
    return facts <= right if len(facts) == 1 else None


def _none(facts: Facts, right: Facts) -> bool | None:
    return not facts <= right if len(facts) == 1 else None


def _order(accepted: frozenset[int], right: Facts) -> Test:
    (bound,) = right

    def holds(facts: Facts) -> bool | None:
        if len(facts) != 1:
            return None
        (fact,) = facts
        found = ordered(fact, bound)
        return None if found is None else found in accepted

    return holds
