"""Cells of an operand: sets of facts that no constraint of the policies at hand can tell apart, each with one fact to show.

Rules
- One value: cells are found by trying facts, with the very tests of the evaluator: every bound, something just below and above it,
  something between two bounds, and something that nobody mentions. Facts that answer every test alike are one cell.
- A set: the values that stand in the same bounds are one group. A group is absent, partly or wholly in the fact; that is all that
  `isAnyOf`, `isNoneOf` and `isAllOf` can see.
- A test may leave a fact unknown (euro against yen, a month against thirty days): such a cell is in neither mask of "true" and
  "false", and counts for a prohibition and against a permission, as in the evaluator.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from msgspec import Struct

from policies.odrl.analyse.formula import All, Lit
from policies.odrl.analyse.formula import Any as Some
from policies.odrl.model import Atomic
from policies.odrl.operand import HIERARCHY, Operand
from policies.odrl.values import Duration, Quantity

OTHER: Final = "anything else"
ABSENT, PARTLY, WHOLLY = 1, 2, 4


class Variable(Struct, frozen=True, kw_only=True):
    """What an operand may be: `shown[n]` is a fact of cell n, in words. `group` names the values that a set variable is about."""

    operand: str
    shown: tuple[str, ...]
    group: tuple[str, ...] = ()

    @property
    def domain(self) -> int:
        """All cells. A group of one value is absent or wholly there."""
        return ABSENT | WHOLLY if len(self.group) == 1 else (1 << len(self.shown)) - 1


Key = tuple[str, tuple[str, ...], str]


class Meaning(Struct, frozen=True):
    """An atomic constraint as formulas: when it is true, and when it is not known to be false."""

    true: Lit | All | Some
    possible: Lit | All | Some


def meanings(operand: Operand, found: Sequence[Atomic], first: int) -> tuple[list[Variable], dict[Key, Meaning]]:
    """Variables of an operand, numbered from `first`, and the meaning of each constraint (by `key`)."""
    return _set(operand, found, first) if operand.many else _single(operand, found, first)


def key(atom: Atomic) -> Key:
    """What two constraints on one operand have in common when they mean the same."""
    return atom.operator, atom.right, atom.unit


# one value -----------------------------------------------------------------------------------------------------------


def _single(operand: Operand, found: Sequence[Atomic], first: int) -> tuple[list[Variable], dict[Key, Meaning]]:
    distinct = list({key(each): each for each in found}.values())
    cells: dict[tuple[bool | None, ...], str] = {}
    for fact in _facts(operand, distinct):
        cells.setdefault(tuple(each.test(fact, each.bound) for each in distinct), _shown(fact))
    answers = list(cells)
    masks = [
        (_mask(answer[n] is True for answer in answers), _mask(answer[n] is not False for answer in answers))
        for n in range(len(distinct))
    ]
    variable = Variable(operand=operand.iri, shown=tuple(cells.values()))
    return [variable], {
        key(atom): Meaning(Lit(first, true), Lit(first, possible)) for atom, (true, possible) in zip(distinct, masks, strict=True)
    }


def _mask(bits: Iterable[bool]) -> int:
    return sum(1 << n for n, bit in enumerate(bits) if bit)


def _bounds(found: Sequence[Atomic]) -> list[Any]:
    mentioned: dict[Any, None] = {}
    for each in found:
        for value in each.bound if isinstance(each.bound, frozenset) else (each.bound,):
            mentioned[value] = None
    return list(mentioned)


def _facts(operand: Operand, found: Sequence[Atomic]) -> Iterator[Any]:
    bounds = _bounds(found)
    yield from bounds
    if operand.type == "boolean":
        yield from (True, False)
    elif operand.type in ("string", "iri"):
        yield OTHER
    elif operand.unit:
        yield from _quantities(bounds)
    elif operand.type == "duration":
        yield from _durations(bounds)
    else:
        whole = operand.type == "integer"
        yield from _between(bounds, {"dateTime": _moments, "date": _days}.get(operand.type, _whole if whole else _numbers))


def _between(bounds: list[Any], near: Callable[[Any, Any], Iterator[Any]]) -> Iterator[Any]:
    ordered = sorted(bounds)
    yield from near(None, ordered[0])
    for low, high in pairwise(ordered):
        yield from near(low, high)
    yield from near(ordered[-1], None)


def _numbers(low: Decimal | None, high: Decimal | None) -> Iterator[Decimal]:
    if low is None or high is None:
        yield (high or Decimal(0)) - 1 if low is None else low + 1
    else:
        yield (low + high) / 2


def _whole(low: Decimal | None, high: Decimal | None) -> Iterator[Decimal]:
    if low is None or high is None:
        yield from _numbers(low, high)
    elif high - low > 1:
        yield low + 1


def _days(low: date | None, high: date | None) -> Iterator[date]:
    yield from _moments(low, high, timedelta(days=1))


def _moments(low: Any, high: Any, tick: timedelta = timedelta(microseconds=1)) -> Iterator[Any]:
    step = max(tick, timedelta(days=1))
    try:
        if low is None:
            yield high - step
        elif high is None:
            yield low + step
        elif high - low > tick:
            yield low + (tick if not isinstance(low, datetime) else (high - low) / 2)
    except OverflowError:
        return


def _durations(bounds: list[Duration]) -> Iterator[Duration]:
    yield Duration(0, 0)
    for each in bounds:
        yield Duration(each.months, each.seconds + 1)
        if each.seconds:
            yield Duration(each.months, each.seconds - 1)
        elif each.months:
            yield Duration(each.months - 1, 27 * 86_400)
    yield Duration(max(each.months for each in bounds) + 12_000, max(each.seconds for each in bounds))


def _quantities(bounds: list[Quantity]) -> Iterator[Quantity]:
    for base in dict.fromkeys(each.base for each in bounds):
        values = [each.value for each in bounds if each.base == base]
        yield from (Quantity(value, base) for value in _between(values, _numbers))
    yield Quantity(Decimal(0), OTHER)


def _shown(fact: Any) -> str:
    if isinstance(fact, datetime):
        return fact.isoformat().replace("+00:00", "Z")
    if isinstance(fact, Duration):
        return f"P{fact.months}M" * bool(fact.months) + f" PT{fact.seconds}S" * bool(fact.seconds or not fact.months)
    if isinstance(fact, Quantity):
        return OTHER if fact.base == OTHER else f"{fact.value.normalize():f} {fact.base}"
    if isinstance(fact, bool):
        return str(fact).lower()
    return f"{fact.normalize():f}" if isinstance(fact, Decimal) else str(fact)


# a set ---------------------------------------------------------------------------------------------------------------


def _set(operand: Operand, found: Sequence[Atomic], first: int) -> tuple[list[Variable], dict[Key, Meaning]]:
    distinct = list({key(each): each for each in found}.values())
    seen: dict[Any, tuple[int, ...]] = {}
    for n, each in enumerate(distinct):
        for value in _values(each):
            seen[value] = (*seen.get(value, ()), n)
    groups: dict[tuple[int, ...], list[str]] = {}
    for value, signature in seen.items():
        groups.setdefault(signature, []).append(_shown(value))
    variables = [_group(operand.iri, tuple(values)) for values in groups.values()]
    meaning = {}
    for n, each in enumerate(distinct):
        inside = [first + at for at, signature in enumerate(groups) if n in signature]
        true = _seen(each, inside)
        meaning[key(each)] = Meaning(true, true)
    return variables, meaning


def _values(atom: Atomic) -> tuple[Any, ...]:
    return tuple(atom.bound) if isinstance(atom.bound, frozenset) else (atom.bound,)


def _group(operand: str, values: tuple[str, ...]) -> Variable:
    """Absent, partly, wholly; a group of one has no "partly"."""
    every = ", ".join(values[:5]) + (", ..." if len(values) > 5 else "")
    shown = (f"without {every}", values[0], every) if len(values) > 1 else (f"without {every}", every, every)
    return Variable(operand=operand, shown=shown, group=values)


def _seen(atom: Atomic, groups: list[int]) -> All | Some:
    operator = "isAnyOf" if atom.operator in HIERARCHY or atom.operator == "eq" else atom.operator
    if operator in ("neq", "isNoneOf"):
        return All(tuple(Lit(each, ABSENT) for each in groups))
    if operator == "isAllOf":
        return All(tuple(Lit(each, WHOLLY) for each in groups))
    return Some(tuple(Lit(each, PARTLY | WHOLLY) for each in groups))
