"""policies.duties: entries of an agreement through their life, counters that cannot be overdrawn."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from kernel.errors import BadInput, Conflict
from policies.duties import Evidence, Exhausted, counted, fulfilled, granted, next_instant, opened, retained, states, ticked, waived
from policies.duties.counters import COUNT, PAID, facts, returned
from policies.duties.ledger import violated
from policies.odrl import Registry, Request, evaluate, parse

REGISTRY = Registry([])
TOKYO = timezone(timedelta(hours=9))
AT = datetime(2026, 1, 31, 9, tzinfo=TOKYO)
BY = "did:web:consumer.example"


def atom(left, operator, right, **more):
    return {"leftOperand": left, "operator": operator, "rightOperand": right} | more


def duty(action, *constraints, **more):
    return {"action": action, **({"constraint": list(constraints)} if constraints else {}), **more}


def policy(**more):
    return parse({"@type": "Set", "permission": [{"action": "use"}]} | more, operands=REGISTRY)


def evidence(kind="E1"):
    return Evidence(kind=kind, by=BY, at="2026-02-01T00:00:00Z")


def one(found, path):
    return next(each for each in found if each.path == path)


def test_due_dates_follow_the_calendar_of_the_trigger():
    found = policy(
        obligation=[
            duty("delete", atom("elapsedTime", "lteq", "P1M")),
            duty("inform", atom("dateTime", "lt", "2026-03-01T00:00:00+09:00"), atom("elapsedTime", "lteq", "P1Y")),
            duty("archive", atom("elapsedTime", "gteq", "P10Y")),
            duty("attribute"),
        ]
    )
    entries = opened("a", found, AT)
    assert [each.due for each in entries[:2]] == ["2026-02-28T00:00:00.000Z", "2026-02-28T15:00:00.000Z"]
    assert entries[2].until == "2036-01-31T00:00:00.000Z"
    assert (entries[3].due, entries[3].until, entries[3].state) == ("", "", "active")
    assert next_instant(entries) == datetime(2026, 2, 28, tzinfo=UTC)
    assert next_instant(entries[3:]) is None


def test_overdue_acts_once_and_its_consequence_begins():
    found = policy(
        obligation=[
            duty(
                "delete", atom("elapsedTime", "lteq", "P30D"), consequence=[duty("compensate", atom("delayPeriod", "lteq", "P10D"))]
            ),
            duty("inform", atom("elapsedTime", "lteq", "P60D")),
        ]
    )
    entries = opened("a", found, AT)
    assert states(entries) == {"/obligation/0": "active", "/obligation/0/consequence/0": "inactive", "/obligation/1": "active"}
    later, acts = ticked(entries, found, AT + timedelta(days=31))
    assert [(each.entry.path, each.what) for each in acts] == [("/obligation/0/consequence/0", "consequence")]
    assert one(later, "/obligation/0").state == "overdue"
    assert one(later, "/obligation/0/consequence/0").due == "2026-03-12T00:00:00.000Z"
    assert ticked(later, found, AT + timedelta(days=31)) == (later, [])
    _, acts = ticked(entries, found, AT + timedelta(days=365))
    assert [each.what for each in acts] == ["consequence", "end", "end"], "a consequence may be overdue at once"
    assert fulfilled(one(later, "/obligation/0"), evidence(), AT).state == "late"


def test_evidence_that_is_too_weak_or_comes_for_nothing_is_refused():
    found = policy(obligation=[duty("delete", atom("elapsedTime", "lteq", "P30D")), duty("inform")])
    delete, inform = opened("a", found, AT)
    with pytest.raises(BadInput, match="E0 is too weak"):
        fulfilled(delete, evidence("E0"), AT)
    done = fulfilled(delete, evidence("E2"), AT)
    assert (done.state, done.evidence[0].kind) == ("fulfilled", "E2")
    with pytest.raises(Conflict):
        fulfilled(done, evidence(), AT)
    with pytest.raises(Conflict):
        waived(done, BY, "no need")
    assert fulfilled(inform, evidence("E0"), AT).state == "fulfilled"
    assert waived(inform, BY, "no need").note == f"waived by {BY}: no need"


def test_a_duty_to_keep_is_fulfilled_by_time_and_by_nothing_else():
    found = policy(obligation=[duty("archive", atom("elapsedTime", "gteq", "P1Y"))])
    entries = opened("a", found, AT)
    assert retained(entries, AT) == datetime(2027, 1, 31, tzinfo=UTC)
    with pytest.raises(Conflict, match="not before"):
        fulfilled(entries[0], evidence("E3"), AT)
    later, acts = ticked(entries, found, datetime(2027, 1, 31, tzinfo=UTC))
    assert (later[0].state, acts) == ("fulfilled", [])
    assert retained(later, datetime(2027, 1, 31, tzinfo=UTC)) is None


def test_remedies_begin_with_the_violation():
    found = policy(prohibition=[{"action": "distribute", "remedy": [duty("delete", atom("delayPeriod", "lteq", "P3D"))]}])
    (remedy,) = opened("a", found, AT)
    assert remedy.state == "inactive"
    (begun,) = violated([remedy], found, "/prohibition/0", AT)
    assert (begun.state, begun.due) == ("active", "2026-02-03T00:00:00.000Z")
    assert violated([remedy], found, "/prohibition/1", AT) == [remedy]


def test_states_are_what_a_decision_asks_for():
    found = policy(permission=[{"action": "use", "duty": [duty("compensate", atom("elapsedTime", "lteq", "P30D"))]}])
    entries = opened("a", found, AT)

    def permitted(now):
        current, _ = ticked(entries, found, now)
        return evaluate(found, Request("use", "transfer", {}, now, duties=states(current))).permitted

    assert permitted(AT)
    assert not permitted(AT + timedelta(days=31))


def test_counters_begin_with_the_policy_and_cannot_be_overdrawn():
    found = policy(
        permission=[
            {"action": "use", "constraint": [atom("count", "lteq", "2"), atom("payAmount", "lteq", "10.5", unit="EUR")]},
            {"action": "read", "constraint": [atom("count", "lt", "4", status="1")]},
        ]
    )
    counters = {each.operand: each for each in counted("a", found)}
    assert (counters[COUNT].limit, counters[COUNT].used) == ("3", "1")
    assert (counters[PAID].limit, counters[PAID].unit) == ("10.5", "EUR")
    once = granted(counters.values(), {PAID: Decimal(10)})
    assert [(each.used, each.version) for each in once] == [("2", 1), ("10", 1)]
    with pytest.raises(Exhausted, match="payAmount"):
        granted(once, {PAID: Decimal("0.6")})
    twice = granted(once)
    with pytest.raises(Exhausted, match="count: 3 of 3"):
        granted(twice)
    assert twice[0].left == 0
    assert returned(twice[0], Decimal(1)).used == "2"
    with pytest.raises(Conflict):
        returned(twice[0], Decimal(4))


def test_a_grant_is_decided_with_what_it_would_make():
    found = policy(permission=[{"action": "use", "constraint": [atom("count", "lteq", "1")]}])
    counters = counted("a", found)

    def permitted(after):
        return evaluate(found, Request("use", "transfer", facts(after), AT)).permitted

    assert permitted(granted(counters))
    assert counted("a", policy()) == []
    paid = policy(permission=[{"action": "use", "constraint": [atom("payAmount", "lteq", "5", unit="EUR")]}])
    assert evaluate(paid, Request("use", "transfer", facts(granted(counted("a", paid), {PAID: Decimal(5)})), AT)).permitted
