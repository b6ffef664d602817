"""Typed values: what is read, what is refused, and what can be compared."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from policies.odrl.values import Duration, WrongValue, ordered, typed


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", "a b", "a b"),
        ("iri", "did:web:a", "did:web:a"),
        ("decimal", "-1.50", Decimal("-1.5")),
        ("integer", 7, Decimal(7)),
        ("boolean", "false", False),
        ("boolean", True, True),
        ("dateTime", "2026-11-24T18:00:00+09:00", datetime(2026, 11, 24, 9, tzinfo=UTC)),
        ("dateTime", datetime(2026, 11, 24, 18, tzinfo=timezone(timedelta(hours=9))), datetime(2026, 11, 24, 9, tzinfo=UTC)),
        ("date", "2026-11-24", date(2026, 11, 24)),
        ("date", date(2026, 11, 24), date(2026, 11, 24)),
        ("duration", "P1Y2M3W4DT5H6M7S", Duration(14, 25 * 86_400 + 18_367)),
        ("duration", "PT0S", Duration(0, 0)),
    ],
)
def test_read(kind, value, expected):
    assert typed(kind, value) == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("string", each) for each in ("", 5, None, "x" * 1_025)),
        *(("iri", each) for each in ("a", "a: b")),
        *(("decimal", each) for each in ("NaN", "1e5", float("inf"), True, "1" * 31, None, "1,5", [])),
        *(("integer", each) for each in ("1.5", 0.5)),
        *(("boolean", each) for each in ("yes", 1, None)),
        *(("dateTime", each) for each in ("2026-11-24", "2026-11-24T09:00:00", "0001-01-01T00:00:00+14:00", datetime(2026, 1, 1))),  # noqa: DTZ001
        *(("date", each) for each in ("2026-13-01", "2026-1-1", "tomorrow", 5)),
        *(("duration", each) for each in ("P", "PT", "1D", "P1.5D", "P-1D", "p1d", "P٣D")),
    ],
)
def test_refused(kind, value):
    with pytest.raises(WrongValue):
        typed(kind, value)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("P1M", "P28D", None),
        ("P1M", "P27D", 1),
        ("P1M", "P32D", -1),
        ("P27D", "P1M", -1),
        ("P32D", "P1M", 1),
        ("P31D", "P1M", None),
        ("P12M", "P1Y", 0),
        ("P1W", "P7D", 0),
        ("PT24H", "P1D", 0),
        ("P1D", "PT25H", -1),
        ("P1M1D", "P1M", 1),
    ],
)
def test_durations_compare_where_the_calendar_leaves_no_doubt(left, right, expected):
    assert ordered(typed("duration", left), typed("duration", right)) == expected


def test_unlike_values_have_no_order():
    assert ordered(Decimal(1), "a") is None
    assert ordered(Duration(0, 1), Decimal(1)) is None
