"""The next instant at which an answer can change: first, exact, by the calendar, and none where time changes nothing."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from policies.odrl import KZ, ODRL, Operand, Registry, Request, evaluate, next_change, parse, timeline
from policies.odrl.timeline import MOST, STEP

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
JST = timezone(timedelta(hours=9))
REGISTRY = Registry([Operand(iri=KZ + "role", many=True), Operand(iri=KZ + "age", type="duration", many=True)])
ELAPSED = ODRL + "elapsedTime"


def time(operator, moment):
    return {"leftOperand": "dateTime", "operator": operator, "rightOperand": moment}


def role(value):
    return {"leftOperand": KZ + "role", "operator": "eq", "rightOperand": value}


def elapsed(operator, length):
    return {"leftOperand": "elapsedTime", "operator": operator, "rightOperand": length}


def following(*constraints, facts=None, now=NOW, action="use", phase="transfer", **members):
    policy = parse({"permission": [{"action": "use", "constraint": list(constraints)}], **members}, operands=REGISTRY)
    return next_change(policy, Request(action, phase, facts or {}, now))


@pytest.mark.parametrize(("constraint", "evaluated"), [(role("smelter"), 0), (time("lt", "2026-11-25T00:00:00Z"), 2)])
def test_where_time_changes_nothing_nothing_is_evaluated(monkeypatch, constraint, evaluated):
    asked = []
    monkeypatch.setattr(timeline, "evaluate", lambda policy, request: asked.append(request) or evaluate(policy, request))
    following(constraint)
    assert len(asked) == evaluated


@pytest.mark.parametrize(
    ("operator", "bound", "expected"),
    [
        ("lt", "2026-11-25T00:00:00Z", "2026-11-25T00:00:00+00:00"),
        ("lteq", "2026-11-25T00:00:00Z", "2026-11-25T00:00:00.000001+00:00"),
        ("gteq", "2026-11-25T00:00:00+09:00", "2026-11-24T15:00:00+00:00"),
        ("gt", "2026-11-25T00:00:00Z", "2026-11-25T00:00:00.000001+00:00"),
        ("eq", "2026-11-25T00:00:00Z", "2026-11-25T00:00:00+00:00"),
        ("eq", "2026-11-24T09:00:00Z", "2026-11-24T09:00:00.000001+00:00"),
        ("neq", "2026-11-25T00:00:00Z", "2026-11-25T00:00:00+00:00"),
        ("isAnyOf", "2026-11-25T00:00:00Z", "2026-11-25T00:00:00+00:00"),
        ("lt", "2026-11-24T09:00:00Z", None),
        ("gteq", "2026-11-24T09:00:00Z", None),
        ("lt", "2020-01-01T00:00:00Z", None),
    ],
)
def test_a_bound_of_the_present_moment(operator, bound, expected):
    found = following(time(operator, bound))
    assert (found and found.isoformat()) == expected


def test_the_first_of_several_bounds():
    assert following(time("lt", "2027-01-01T00:00:00Z"), time("lt", "2026-12-01T00:00:00Z")) == datetime(2026, 12, 1, tzinfo=UTC)


def test_a_bound_that_changes_nothing_is_passed_over():
    late = {"or": [time("lt", "2026-12-01T00:00:00Z"), time("lt", "2027-01-01T00:00:00Z")]}
    assert following(late) == datetime(2027, 1, 1, tzinfo=UTC)


def test_time_that_cannot_help_is_none():
    assert following(role("a"), time("gteq", "2027-01-01T00:00:00Z")) is None
    assert following(role("a"), time("gteq", "2027-01-01T00:00:00Z"), facts={KZ + "role": ["a"]}) == datetime(
        2027, 1, 1, tzinfo=UTC
    )
    assert following(time("lt", "2027-01-01T00:00:00Z"), action="sell") is None
    assert following() is None


def test_prohibitions_count():
    until = {"action": "use", "constraint": [time("lt", "2026-12-01T00:00:00Z")]}
    assert following(prohibition=[until]) == datetime(2026, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("operator", "length", "began", "expected"),
    [
        ("lteq", "P30D", datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC) + STEP),
        ("lt", "P1M", datetime(2026, 10, 31, 0, 0, tzinfo=JST), datetime(2026, 11, 29, 15, 0, tzinfo=UTC)),  # 30 November, clamped
        ("gteq", "PT1H", NOW, NOW + timedelta(hours=1)),
        ("lteq", "P1Y", NOW + timedelta(days=1), NOW + timedelta(days=1)),  # it has yet to begin
        ("lteq", "P1D", datetime(2020, 1, 1, tzinfo=UTC), None),
    ],
)
def test_a_running_duration_ends_by_the_calendar(operator, length, began, expected):
    assert following(elapsed(operator, length), facts={ELAPSED: began}) == expected


def test_what_cannot_be_known_in_the_phase_does_not_count():
    assert following(elapsed("lteq", "P1D"), facts={ELAPSED: NOW}, phase="catalog") is None


def test_a_set_of_running_durations():
    age = {"leftOperand": KZ + "age", "operator": "eq", "rightOperand": "P1D"}
    assert following(age, facts={KZ + "age": [NOW, NOW - timedelta(hours=1)]}) == NOW + timedelta(hours=23)


def test_looking_ahead_is_bounded_and_goes_on():
    many = [time("neq", (NOW + timedelta(days=1 + n)).isoformat()) for n in range(MOST)]
    none = following({"and": [role("a"), *many]}, facts={KZ + "role": []})
    assert none is not None
    assert NOW < none < NOW + timedelta(days=MOST)
    policy = parse({"permission": [{"action": "use", "constraint": [{"and": [role("a"), *many]}]}]}, operands=REGISTRY)
    now, steps = NOW, 0
    while (found := next_change(policy, Request("use", "transfer", {KZ + "role": []}, now))) is not None:
        assert found > now
        now, steps = found, steps + 1
    assert steps == 1


def test_between_now_and_then_nothing_changes():
    policy = parse({"permission": [{"action": "use", "constraint": [time("lt", "2026-11-25T00:00:00Z")]}]}, operands=REGISTRY)
    found = next_change(policy, Request("use", "transfer", {}, NOW))
    before, at = (evaluate(policy, Request("use", "transfer", {}, each)).permitted for each in (found - STEP, found))
    assert (before, at) == (True, False)


def test_the_end_of_time_is_no_error():
    assert following(elapsed("lteq", "P9999Y"), facts={ELAPSED: NOW}) is None
    assert following(time("lteq", "9999-12-31T23:59:59Z")) is not None
