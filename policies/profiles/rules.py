"""Checks across the fields of a payload, declared in `profile.toml`: what a JSON Schema cannot say.

Rules
- They run when the schema holds. A rule whose fields are absent says nothing: whether they must be there is the schema's business.
- Numbers are decimals, read from JSON numbers or decimal texts; sums are exact, and `tolerance` allows for rounding.
- A violation carries the pointer of the field to look at, the rule's id and the numbers found.

Not done here: schemas (`schemas`), reading `profile.toml` (`document`).
"""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from msgspec import Struct

from policies.profiles.document import (
    BetweenRule,
    CheckDigitRule,
    LinkRule,
    OneOfRule,
    OrderRule,
    ProductRule,
    RangeRule,
    Rule,
    SumRule,
    Term,
    UniqueRule,
)
from policies.profiles.paths import path

Found = Iterator[tuple[str, str]]
Check = Callable[[Any, str], Found]


class Violation(Struct, frozen=True):
    """What is wrong with a payload: a JSON Pointer (empty: the whole), and why, in words for the publisher."""

    path: str
    reason: str


class CompiledRule(Struct, frozen=True):
    """A rule made ready: `check` is given the payload."""

    id: str
    schemas: tuple[str, ...]
    check: Check


def compiled(rule: Rule) -> CompiledRule:
    """Make a rule ready; raises `paths.BadPath`."""
    each, check = path(rule.each), _check(rule)

    def run(payload: Any, _where: str) -> Found:
        for where, node in each.select(payload):
            yield from check(node, where)

    return CompiledRule(rule.id, rule.schemas, run)


def _check(rule: Rule) -> Check:
    match rule:
        case SumRule():
            return _sum(rule)
        case ProductRule():
            return _product(rule)
        case RangeRule():
            return _range(rule)
        case BetweenRule():
            return _between(rule)
        case _:
            return _words(rule)


def _words(rule: LinkRule | UniqueRule | OrderRule | OneOfRule | CheckDigitRule) -> Check:
    match rule:
        case LinkRule():
            return _link(rule)
        case UniqueRule():
            return _unique(rule)
        case OrderRule():
            return _order(rule)
        case OneOfRule():
            return _one_of(rule)
        case CheckDigitRule():
            return _check_digit(rule)


def number(value: Any) -> Decimal | None:
    """A JSON number or a decimal text as a decimal; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _numbers(found: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Decimal]]:
    for where, value in found:
        read = number(value)
        if read is not None:
            yield where, read


def _sum(rule: SumRule) -> Check:
    terms = [Term(each) if isinstance(each, str) else each for each in rule.terms]
    weighted = [(path(each.path), Decimal(each.times), Decimal(each.over)) for each in terms]
    total, tolerance = path(rule.total), Decimal(rule.tolerance)

    def check(node: Any, where: str) -> Found:
        parts = [(at, value * times / over) for way, times, over in weighted for at, value in _numbers(way.select(node, where))]
        if not parts:
            return
        found = sum((value for _, value in parts), Decimal(0))
        expected = [(parts[0][0], Decimal(rule.equals))] if rule.equals is not None else list(_numbers(total.select(node, where)))
        for at, value in expected:
            if abs(found - value) > tolerance:
                yield at, f"the parts add up to {round(found, 5).normalize():f}, not {value:f}"

    return check


def _product(rule: ProductRule) -> Check:
    factors, total, scale, tolerance = (
        [path(each) for each in rule.factors],
        path(rule.total),
        Decimal(rule.scale),
        Decimal(rule.tolerance),
    )

    def check(node: Any, where: str) -> Found:
        values = [next(iter(_numbers(each.select(node))), None) for each in factors]
        product = scale
        for found in values:
            if found is None:
                return
            product *= found[1]
        for at, value in _numbers(total.select(node, where)):
            if abs(product - value) > tolerance:
                yield at, f"{value:f} does not fit; from the other values it is {round(product, 5).normalize():f}"

    return check


def _range(rule: RangeRule) -> Check:
    way, least, most = path(rule.path), _bound(rule.least), _bound(rule.most)

    def check(node: Any, where: str) -> Found:
        for at, value in _numbers(way.select(node, where)):
            if least is not None and value < least:
                yield at, f"{value:f} is under {least:f}"
            if most is not None and value > most:
                yield at, f"{value:f} is over {most:f}"

    return check


def _bound(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _between(rule: BetweenRule) -> Check:
    way, low, high = path(rule.path), path(rule.low or "-"), path(rule.high or "-")

    def check(node: Any, where: str) -> Found:
        for at, value in _numbers(way.select(node, where)):
            for _, bound in _numbers(low.select(node)):
                if value < bound:
                    yield at, f"{value:f} is under the minimum {bound:f}"
            for _, bound in _numbers(high.select(node)):
                if value > bound:
                    yield at, f"{value:f} is over the maximum {bound:f}"

    return check


def _link(rule: LinkRule) -> Check:
    source, target = path(rule.source), path(rule.target)

    def check(node: Any, where: str) -> Found:
        known = [value for _, value in target.select(node)]
        for at, value in source.select(node, where):
            if value not in known:
                yield at, f"{str(value)[:80]} is not among {rule.target}"

    return check


def _unique(rule: UniqueRule) -> Check:
    way = path(rule.path)

    def check(node: Any, where: str) -> Found:
        seen: list[Any] = []
        for at, value in way.select(node, where):
            if value in seen:
                yield at, f"{str(value)[:80]} is there twice"
            seen.append(value)

    return check


def _order(rule: OrderRule) -> Check:
    earlier, later = path(rule.earlier), path(rule.later)

    def check(node: Any, where: str) -> Found:
        firsts = [str(value)[:10] for _, value in earlier.select(node)]
        for at, value in later.select(node, where):
            for first in firsts:
                if str(value)[:10] < first:
                    yield at, f"{str(value)[:10]} is before {first} ({rule.earlier})"

    return check


def _one_of(rule: OneOfRule) -> Check:
    def check(node: Any, where: str) -> Found:
        there = [name for name in rule.members if isinstance(node, dict) and name in node]
        if len(there) != 1:
            yield where, f"exactly one of {', '.join(rule.members)} is expected, found {', '.join(there) or 'none'}"

    return check


def _check_digit(rule: CheckDigitRule) -> Check:
    way = path(rule.path)
    right = _cas if rule.scheme == "cas" else _corporate_number

    def check(node: Any, where: str) -> Found:
        for at, value in way.select(node, where):
            if not isinstance(value, str) or not right(value):
                yield at, f"{str(value)[:40]} has a wrong check digit"

    return check


def _cas(text: str) -> bool:
    digits = text.replace("-", "")
    if not digits.isascii() or not digits.isdigit():
        return False
    return sum(n * int(digit) for n, digit in enumerate(reversed(digits[:-1]), 1)) % 10 == int(digits[-1])


def _corporate_number(text: str) -> bool:
    """法人番号: the first digit is 9 - (sum of the others, the odd ones from the right once, the even ones twice, mod 9)."""
    if not text.isascii() or not text.isdigit() or len(text) != 13:
        return False
    weighted = sum(int(digit) * (2 - n % 2) for n, digit in enumerate(reversed(text[1:]), 1))
    return int(text[0]) == 9 - weighted % 9
