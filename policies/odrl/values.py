"""Typed values of operands: what a text on the wire or a verified fact means, and what can be compared.

Rules
- Each left operand declares one type. A right operand that does not fit is refused when the policy is read; a fact that does not
  fit makes the constraint unknown.
- Moments carry a zone; so does a day (`day`), which is all of it there, from midnight to midnight. Numbers are decimals. Durations are ISO 8601 and compare only where the calendar leaves no doubt: P1M is
  more than P27D and less than P32D, and nothing is known against P30D.
- A duration that still runs is given as the moment it began (`Since`): it is compared by adding the bound to that moment in its own
  zone, so that P1M means a month of the calendar (31 January + P1M = 28 February), and the answer is always known.
- Quantities with a unit (`units`) compare within one base: bytes with kilobytes, never euro with yen.
- A number or a truth value may be given as text, since DSP 2025-1 carries right operands as texts only.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, Final, Literal

from msgspec import Struct

ValueType = Literal["string", "iri", "decimal", "integer", "boolean", "dateTime", "date", "duration"]
ORDERED: Final = frozenset({"decimal", "integer", "dateTime", "date", "duration"})
DATATYPES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "string": frozenset({"string"}),
        "iri": frozenset({"anyURI", "string"}),
        "decimal": frozenset({"decimal", "integer", "double", "float"}),
        "integer": frozenset({"integer", "nonNegativeInteger", "positiveInteger", "int", "long"}),
        "boolean": frozenset({"boolean"}),
        "dateTime": frozenset({"dateTime", "dateTimeStamp"}),
        "date": frozenset({"date"}),
        "duration": frozenset({"duration", "dayTimeDuration", "yearMonthDuration"}),
    }
)
LONGEST: Final = 1_024
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?")
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})")
_WHOLE_DAY: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(Z|[+-][0-9]{2}:[0-9]{2})?")
_DURATION: Final = re.compile(
    r"P(?=.)(?:(\d{1,4})Y)?(?:(\d{1,5})M)?(?:(\d{1,5})W)?(?:(\d{1,6})D)?(?:T(?=.)(?:(\d{1,7})H)?(?:(\d{1,7})M)?(?:(\d{1,9})S)?)?",
    re.ASCII,
)
_DAY: Final = 86_400


class WrongValue(ValueError):
    """A value that is not of the declared type; the text says why."""


class Duration(Struct, frozen=True):
    """An ISO 8601 duration: months of the calendar and seconds of the clock."""

    months: int
    seconds: int


class Since(Struct, frozen=True):
    """A duration that runs: when it began (with its zone), and the moment of the question."""

    began: datetime
    now: datetime


class Quantity(Struct, frozen=True):
    """A number of a unit, already converted to the base: a currency code, or the first unit of a dimension."""

    value: Decimal
    base: str


def typed(kind: ValueType, value: Any) -> Any:
    """The value as its type says; raises `WrongValue`. Lists are the caller's business."""
    return _READERS[kind](value)


def ordered(left: Any, right: Any) -> int | None:
    """-1, 0 or 1, or None where the order cannot be known (months against days)."""
    if isinstance(left, Duration) and isinstance(right, Duration):
        return _durations(left, right)
    if isinstance(left, Since) and isinstance(right, Duration):
        return ordered(left.now, after(left.began, right))
    if isinstance(left, Quantity) and isinstance(right, Quantity):
        return ordered(left.value, right.value) if left.base == right.base else None
    try:
        return int(left > right) - int(left < right)
    except TypeError:
        return None


def same(left: Any, right: Any) -> bool | None:
    """Whether two values of one type are equal; None where that cannot be known (P1M and P30D, euro and yen)."""
    if isinstance(left, Duration | Since | Quantity):
        found = ordered(left, right)
        return None if found is None else found == 0
    return bool(left == right)


def after(moment: datetime, duration: Duration) -> datetime:
    """The moment a duration later, months by the calendar of the moment's zone; the end of time where that is beyond it."""
    months = moment.year * 12 + moment.month - 1 + duration.months
    year, month = months // 12, months % 12 + 1
    try:
        day = min(moment.day, monthrange(year, month)[1])
        return moment.replace(year=year, month=month, day=day) + timedelta(seconds=duration.seconds)
    except (ValueError, OverflowError):
        return datetime.max.replace(tzinfo=UTC)


def _durations(left: Duration, right: Duration) -> int | None:
    months, seconds = left.months - right.months, left.seconds - right.seconds
    if months == 0:
        return (seconds > 0) - (seconds < 0)
    sign = 1 if months > 0 else -1
    least, most = abs(months) * 28 * _DAY + sign * seconds, abs(months) * 31 * _DAY + sign * seconds
    if least > 0:
        return sign
    return -sign if most < 0 else None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > LONGEST:
        raise WrongValue(f"a text of 1 to {LONGEST} characters is expected")
    return value


def _iri(value: Any) -> str:
    text = _text(value)
    if ":" not in text or text.split() != [text]:
        raise WrongValue("an IRI is expected")
    return text


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise WrongValue("a number is expected")
    text = str(value)
    if not _NUMBER.fullmatch(text):
        raise WrongValue("a number in plain decimal form is expected")
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise WrongValue("a number is expected") from error


def _integer(value: Any) -> Decimal:
    found = _decimal(value)
    if found != found.to_integral_value():
        raise WrongValue("a whole number is expected")
    return found


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise WrongValue("true or false is expected")
    return bool(value == "true")


def named_day(value: Any) -> bool:
    """Whether a text names a day, with or without a zone."""
    return isinstance(value, str) and _WHOLE_DAY.fullmatch(value) is not None


def day(value: Any) -> tuple[datetime, datetime] | None:
    """The beginning of a day in its zone and that of the next one (xsd:date); None for what is no day. Raises `WrongValue` without a zone."""
    found = _WHOLE_DAY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    if not found[2]:
        raise WrongValue(f"a day begins and ends somewhere: a zone is missing ({found[1]}+09:00)")
    try:
        begin = datetime.fromisoformat(f"{found[1]}T00:00:00{found[2]}")
        return begin, begin + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise WrongValue("no such day") from error


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise WrongValue("a moment without a zone means nothing")
        return value
    text = _text(value)
    if not _MOMENT.fullmatch(text):
        raise WrongValue("a moment with date, time and zone is expected (2026-11-24T09:00:00+09:00)")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise WrongValue("no such moment") from error


def _date(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    text = _text(value)
    try:
        return date(int(text[:4]), int(text[5:7]), int(text[8:])) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else _bad()
    except ValueError as error:
        raise WrongValue("a date is expected (2026-11-24)") from error


def _bad() -> date:
    raise WrongValue("a date is expected (2026-11-24)")


def _duration(value: Any) -> Duration:
    found = _DURATION.fullmatch(_text(value))
    if not found:
        raise WrongValue("an ISO 8601 duration is expected (P30D)")
    years, months, weeks, days, hours, minutes, seconds = (int(each or 0) for each in found.groups())
    return Duration(years * 12 + months, (weeks * 7 + days) * _DAY + hours * 3600 + minutes * 60 + seconds)


_READERS: Final[Mapping[ValueType, Callable[[Any], Any]]] = MappingProxyType(
    {
        "string": _text,
        "iri": _iri,
        "decimal": _decimal,
        "integer": _integer,
        "boolean": _boolean,
        "dateTime": _moment,
        "date": _date,
        "duration": _duration,
    }
)
