"""What a payment makes of duties to compensate, rule by rule (policies.duties.compensation)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from policies.duties import Evidence, account, compensated, fulfilled, opened, ticked, waived
from policies.duties.compensation import amount
from policies.duties.counters import PAID, Counter
from policies.odrl import Registry, parse

AT = datetime(2026, 1, 31, 9, tzinfo=UTC)
PAYEE = "did:web:seller.example"
DAY = timedelta(days=1)
HAND = Evidence(kind="E1", by="did:web:buyer.example", at="2026-02-01T09:00:00.000Z", statement="wired")


def c(left, operator, right, **members):
    return {"leftOperand": left, "operator": operator, "rightOperand": str(right), **members}


def due(days):
    return c("elapsedTime", "lteq", f"P{days}D")


def pay(value, *constraints, operator="eq", unit="EUR", **members):
    return {"action": "compensate", "constraint": [c("payAmount", operator, value, unit=unit), *constraints], **members}


def policy(*duties, **members):
    return parse({"permission": [{"action": "use", "duty": list(duties)}], **members}, operands=Registry([]))


def only(found):
    return amount(found.permissions[0].duties[0], PAYEE)


def paying(entries, found, total, day=0, key="p"):
    """The entries after the sum has become `total`, so many days after the beginning."""
    shown = Evidence(kind="E1", by=PAYEE, at="", statement=f"{total}", payment=key)
    return compensated(
        entries, found, Counter(agreement="a", operand=PAID, limit="", used=str(total), unit="EUR"), PAYEE, shown, AT + day * DAY
    )


def said(entries):
    return [(each.state, each.note.removesuffix(" EUR paid")) for each in entries]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (pay(100), (Decimal(100), "EUR", False)),
        (pay("99.5", operator="gteq"), (Decimal("99.5"), "EUR", False)),
        (pay("0.5"), (Decimal("0.5"), "EUR", False)),
        (pay(100, operator="gt"), (Decimal(100), "EUR", True)),
        ({"action": {"@id": "compensate", "refinement": [c("payAmount", "eq", 5, unit="JPY")]}}, (Decimal(5), "JPY", False)),
        (pay(100, compensatedParty=PAYEE), (Decimal(100), "EUR", False)),
        (pay(100, compensatedParty="did:web:third.example"), None),
        (pay(100, assignee=PAYEE), None),
        (pay(100, operator="lteq"), None),
        (pay(0), None),
        (pay(100, c("payAmount", "gteq", 5, unit="EUR")), None),
        (
            {
                "action": "compensate",
                "constraint": [{"or": [c("payAmount", "eq", 5, unit="EUR"), c("payAmount", "eq", 6, unit="USD")]}],
            },
            None,
        ),
        ({"action": "compensate"}, None),
        ({"action": "inform", "constraint": [c("payAmount", "eq", 5, unit="EUR")]}, None),
    ],
)
def test_what_an_amount_is(made, expected):
    found = only(policy(made))
    assert (None if found is None else (found.value, found.unit, found.more)) == expected


def test_the_account_has_the_unit_of_the_first_duty_that_asks_for_an_amount():
    assert account("a", policy({"action": "inform"}), PAYEE) is None
    assert account("a", policy(pay(5, unit="JPY"), pay(5)), PAYEE) == Counter(agreement="a", operand=PAID, limit="", unit="JPY")
    after = {"action": "inform", "constraint": [due(3)], "consequence": [pay(5)]}
    assert account("a", policy(after), PAYEE).unit == "EUR"
    assert account("a", policy(pay(5, compensatedParty=PAYEE)), PAYEE).unit == "EUR"


def test_a_duty_that_names_who_is_paid_is_paid_like_any_other():
    found = policy(pay(100, compensatedParty=PAYEE))
    assert said(paying(opened("a", found, AT), found, 100)) == [("fulfilled", "100 of 100")]


def test_a_consequence_that_the_clock_alone_has_begun_does_not_end_the_row():
    found = policy(pay(100, due(10), consequence=[pay(5, due(1))]), pay(7, due(30)))
    after = paying(opened("a", found, AT), found, 50, day=11)
    assert said(after) == [("active", "50 of 100"), ("inactive", ""), ("active", "0 of 7")]


def test_paid_at_the_very_moment_is_late_as_the_clock_has_it():
    found = policy(pay(100, due(10)))
    late, _ = ticked(opened("a", found, AT), found, AT + 12 * DAY)
    assert [each.state for each in paying(late, found, 100, day=10)] == ["late"]


def test_what_follows_from_a_late_payment_begins_however_late_it_is_itself():
    found = policy(pay(100, due(10), consequence=[{"action": "inform", "constraint": [due(1)]}]))
    assert [each.state for each in paying(opened("a", found, AT), found, 100, day=12)] == ["late", "active"]


def test_a_consequence_that_is_not_owed_after_all_is_as_it_was_and_no_other_duty_is():
    wait = {"action": "inform", "constraint": [c("elapsedTime", "gteq", "P3D")]}
    found = policy(pay(100, due(10), consequence=[wait]), {"action": "inform"})
    begun = opened("a", found, AT)
    late, _ = ticked(begun, found, AT + 11 * DAY)
    assert late[1].until
    heard = paying(late, found, 100, day=9)
    assert heard[1:] == begun[1:]
    assert heard[0].state == "fulfilled"


def test_a_sum_that_reaches_the_amount_fulfils_and_one_that_does_not_is_noted():
    found = policy(pay(100))
    entries = paying(opened("a", found, AT), found, "60.50")
    assert said(entries) == [("active", "60.50 of 100")]
    assert entries[0].evidence == ()
    (entry,) = paying(entries, found, 100, key="second")
    assert (entry.state, entry.note, entry.evidence[-1].payment) == ("fulfilled", "100 of 100 EUR paid", "second")
    assert said(paying([entry], found, 250)) == [("fulfilled", "100 of 100")]
    assert len(paying([entry], found, 250)[0].evidence) == 1


def test_more_than_the_amount_where_the_policy_says_so():
    found = policy(pay(100, operator="gt"))
    entries = paying(opened("a", found, AT), found, 100)
    assert said(entries) == [("active", "100 of 100")]
    assert said(paying(entries, found, "100.01")) == [("fulfilled", "100 of 100")]


def test_the_earliest_due_is_paid_first_each_in_full():
    found = policy(pay(100, due(30)), pay(50, due(10)))
    entries = opened("a", found, AT)
    assert said(paying(entries, found, 49)) == [("active", "0 of 100"), ("active", "49 of 50")]
    assert said(paying(entries, found, 149)) == [("active", "99 of 100"), ("fulfilled", "50 of 50")]
    both = paying(entries, found, 150)
    assert said(both) == [("fulfilled", "100 of 100"), ("fulfilled", "50 of 50")]
    assert said(paying(both, found, 149)) == [("active", "99 of 100"), ("fulfilled", "50 of 50")], (
        "the latest due is owed again first"
    )


def test_without_dates_the_order_is_that_of_the_policy():
    found = policy(pay(10), pay(10))
    assert [each.state for each in paying(opened("a", found, AT), found, 10)] == ["fulfilled", "active"]


def test_what_was_done_is_not_put_behind_a_duty_that_begins_later_and_is_due_sooner():
    found = policy(
        pay(100, due(30)), prohibition=[{"action": "sell", "remedy": [pay(100, c("dateTime", "lteq", "2026-02-05T00:00:00Z"))]}]
    )
    done = paying(opened("a", found, AT), found, 100)
    remedy = next(each for each in done if each.origin == "remedy")
    begun = [
        replace(each, state="active", triggered="2026-02-01T00:00:00Z", due="2026-02-05T00:00:00Z") if each is remedy else each
        for each in done
    ]
    assert said(paying(begun, found, 150)) == [("fulfilled", "100 of 100"), ("active", "50 of 100")]


def test_a_correction_takes_back_what_payments_have_shown():
    found = policy(pay(100, due(10)))
    done = paying(opened("a", found, AT), found, 100, day=1, key="one")
    (again,) = paying(done, found, 40, day=2, key="two")
    assert (again.state, again.note, [each.payment for each in again.evidence]) == ("active", "40 of 100 EUR paid", ["one", "two"])
    ((late,), _) = ticked([again], found, AT + 11 * DAY)
    assert late.state == "overdue"
    (late,) = paying([late], found, 100, day=12)
    assert late.state == "late"
    (owed,) = paying([late], found, 99, day=13)
    assert (owed.state, len(owed.evidence)) == ("overdue", 4)


def test_a_correction_leaves_other_evidence_and_waivers_alone():
    found = policy(pay(100), pay(50), pay(20))
    first, second, third = opened("a", found, AT)
    entries = [fulfilled(first, HAND, AT), waived(second, PAYEE, "a gift"), third]
    after = paying(entries, found, 20)
    assert after[:2] == entries[:2]
    assert said(after)[2] == ("active", "0 of 20"), "a hundred of what comes in is for the duty that was done"
    after = paying(after, found, 120)
    assert said(after)[2] == ("fulfilled", "20 of 20")
    assert paying(after, found, 0)[:2] == entries[:2]


def test_evidence_by_hand_after_a_correction_is_what_counts():
    found = policy(pay(100))
    again = paying(paying(opened("a", found, AT), found, 100), found, 10)
    done = [fulfilled(again[0], HAND, AT)]
    assert paying(done, found, 0) == done


def test_another_unit_is_left_to_evidence_by_hand():
    found = policy(pay(100, unit="JPY"))
    entries = opened("a", found, AT)
    assert paying(entries, found, 100) == entries


def test_what_must_not_be_done_before_a_time_is_left_to_evidence_by_hand():
    found = policy(pay(100, c("elapsedTime", "gteq", "P5D")))
    entries = opened("a", found, AT)
    assert paying(entries, found, 100, day=1) == entries


def test_late_by_a_clock_that_nobody_has_looked_at_begins_the_consequence():
    found = policy(pay(100, due(10), consequence=[pay(5, due(10))]), {"action": "inform", "constraint": [due(10)]})
    entries = paying(opened("a", found, AT), found, 100, day=11)
    assert {each.path.removeprefix("/permission/0"): each.state for each in entries} == {
        "/duty/0": "late",
        "/duty/0/consequence/0": "active",
        "/duty/1": "active",
    }, "what else is overdue is the monitor's"
    both = paying(opened("a", found, AT), found, 105, day=11)
    assert {each.state for each in both if each.action.endswith("compensate")} == {"late", "fulfilled"}
    assert said(paying(opened("a", found, AT), found, 50, day=11))[0] == ("active", "50 of 100"), "not written as overdue here"


def test_paid_in_time_though_our_clock_had_it_overdue_before_we_heard():
    found = policy(pay(100, due(10), consequence=[{"action": "delete", "constraint": [due(1)]}, {"action": "inform"}]))
    late, _ = ticked(opened("a", found, AT), found, AT + 12 * DAY)
    assert [each.state for each in late] == ["overdue", "overdue", "active"]
    heard = paying(late, found, 100, day=9)
    assert [each.state for each in heard] == ["fulfilled", "inactive", "inactive"]
    assert {(each.triggered, each.due) for each in heard[1:]} == {("", "")}
    assert ticked(heard, found, AT + 20 * DAY) == (heard, [])


MOVES = st.lists(st.tuples(st.integers(-60, 120), st.integers(0, 3)), max_size=12)


@given(MOVES)
def test_the_duties_that_are_shown_by_payments_are_never_worth_more_than_the_sum(moves):
    found = policy(pay(50, due(5)), pay(30, due(9), consequence=[pay(10, due(5))]), pay(70))
    worth = dict(zip([each.path for each in opened("a", found, AT)], (50, 30, 10, 70), strict=True))
    entries, total, day = opened("a", found, AT), 0, 0
    for change, days in moves:
        total, day = max(0, total + change), day + days
        entries, _ = ticked(entries, found, AT + day * DAY)
        before = entries
        entries = paying(entries, found, total, day=day)
        done = [each for each in entries if each.state in ("fulfilled", "late")]
        owed = [each for each in entries if each.state in ("active", "overdue")]
        assert sum(worth[each.path] for each in done) <= total
        assert not owed or total - sum(worth[each.path] for each in done) < max(worth[each.path] for each in owed)
        assert paying(entries, found, total, day=day) == entries, "the same sum again changes nothing"
        assert [each.path for each in entries] == [each.path for each in before]
