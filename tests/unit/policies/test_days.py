"""A day (xsd:date) where a moment is expected: it has a zone, and is the whole of it there (odrl.md 6)."""

from datetime import UTC, datetime

import pytest

from policies.odrl import PolicyError, Request, ends, evaluate, next_change, parse
from policies.odrl.wire import fitted
from policies.profiles import load

BASE = load("base")
BEGIN, END = datetime(2026, 12, 30, 15, tzinfo=UTC), datetime(2026, 12, 31, 15, tzinfo=UTC)  # 31 December in Japan
BEFORE, NOON, LAST = (
    datetime(2026, 12, 30, 14, 59, 59, tzinfo=UTC),
    datetime(2026, 12, 31, 3, tzinfo=UTC),
    datetime(2026, 12, 31, 14, 59, 59, 999999, tzinfo=UTC),
)
DAY = "2026-12-31+09:00"


def policy(operator, value=DAY):
    constraint = {"leftOperand": "dateTime", "operator": operator, "rightOperand": value}
    return {"@type": "Set", "permission": [{"action": "use", "constraint": [constraint]}]}


def permitted(value, now):
    return evaluate(parse(value, operands=BASE.operands), Request("use", "transfer", {}, now)).permitted


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("lt", [True, False, False, False, False]),
        ("lteq", [True, True, True, True, False]),
        ("gteq", [False, True, True, True, True]),
        ("gt", [False, False, False, False, True]),
    ],
)
def test_a_day_is_all_of_it_where_it_is(operator, expected):
    typed = {"@value": DAY, "@type": "xsd:date"}
    for value in (DAY, typed):
        assert [permitted(policy(operator, value), now) for now in (BEFORE, BEGIN, NOON, LAST, END)] == expected


@pytest.mark.parametrize(("operator", "expected"), [("lt", BEGIN), ("lteq", END)])
def test_its_end_is_known_to_the_monitor_and_to_renewals(operator, expected):
    found = parse(policy(operator), operands=BASE.operands)
    assert next_change(found, Request("use", "transfer", {}, BEFORE)) == expected
    assert ends(policy(operator)) == expected


def test_what_travels_means_the_same():
    value = policy("lteq", {"@value": DAY, "@type": "xsd:date"}) | {"@type": "Offer", "@id": "urn:uuid:1"}
    sent = fitted(value)
    assert not sent.reasons
    assert [permitted(sent.policy, now) for now in (LAST, END)] == [True, False]


@pytest.mark.parametrize(
    ("operator", "value", "said"),
    [
        ("lteq", "2026-12-31", "zone"),
        ("lteq", {"@value": "2026-12-31", "@type": "xsd:date"}, "zone"),
        ("lteq", "2026-02-30+09:00", "no such day"),
        ("lteq", "9999-12-31+00:00", "no such day"),
        ("lteq", "2026-12-31+25:00", "no such day"),
        ("eq", DAY, "a day has many"),
        ("neq", DAY, "a day has many"),
        ("isAnyOf", [DAY, "2027-01-01+09:00"], "a day has many"),
    ],
)
def test_a_day_without_a_zone_none_at_all_and_equality_are_refused(operator, value, said):
    with pytest.raises(PolicyError, match=said) as refused:
        parse(policy(operator, value), operands=BASE.operands)
    assert refused.value.path.startswith("/permission/0/constraint/0")
