"""Entries and counters field by field: what mutation of `policies.duties` showed that nobody looked at."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from kernel.errors import BadInput, Conflict
from policies.duties import Evidence, Exhausted, counted, fulfilled, granted, opened, retained, ticked, waived
from policies.duties.counters import COUNT, PAID, Counter, facts, recorded, returned
from policies.duties.ledger import Act, Entry, moved, violated
from policies.odrl import ODRL, Registry, parse

AT = datetime(2026, 1, 31, 9, tzinfo=UTC)
WRITTEN = "2026-01-31T09:00:00.000Z"


def c(left, operator, right, **members):
    return {"leftOperand": left, "operator": operator, "rightOperand": right, **members}


def duty(action, *constraints, **members):
    return {"action": action, "constraint": list(constraints), **members}


def policy(**members):
    return parse({"permission": [{"action": "use"}], **members}, operands=Registry([]))


LATER = c("elapsedTime", "lteq", "P1D")
ALL = policy(
    obligation=[duty("delete", LATER, consequence=[duty("compensate")]), duty("inform")],
    permission=[{"action": "use", "duty": [duty("attribute"), duty("watermark")]}],
    prohibition=[{"action": "sell", "remedy": [duty("compensate"), duty("inform")]}],
)


def entry(**members):
    return Entry(
        **{"agreement": "a", "path": "/obligation/0", "action": ODRL + "inform", "origin": "obligation", "state": "active"}
        | members
    )


def test_every_entry_of_an_agreement_to_the_field():
    found = {each.path: each for each in opened("urn:a", ALL, AT)}
    told = {
        path: (each.action.removeprefix(ODRL), each.origin, each.state, each.parent, each.triggered) for path, each in found.items()
    }
    assert told == {
        "/obligation/0": ("delete", "obligation", "active", "", WRITTEN),
        "/obligation/0/consequence/0": ("compensate", "consequence", "inactive", "/obligation/0", ""),
        "/obligation/1": ("inform", "obligation", "active", "", WRITTEN),
        "/permission/0/duty/0": ("attribute", "duty", "active", "", WRITTEN),
        "/permission/0/duty/1": ("watermark", "duty", "active", "", WRITTEN),
        "/prohibition/0/remedy/0": ("compensate", "remedy", "inactive", "/prohibition/0", ""),
        "/prohibition/0/remedy/1": ("inform", "remedy", "inactive", "/prohibition/0", ""),
    }
    assert {each.agreement for each in found.values()} == {"urn:a"}
    assert len({each.id for each in found.values()}) == 7


def test_a_remedy_begins_with_the_violation():
    found = {each.path: each for each in violated(opened("a", ALL, AT), ALL, "/prohibition/0", AT + timedelta(days=1))}
    assert found["/prohibition/0/remedy/1"].triggered == "2026-02-01T09:00:00.000Z"
    assert found["/obligation/0/consequence/0"].state == "inactive"


@pytest.mark.parametrize(
    ("constraints", "due", "until"),
    [
        ([c("elapsedTime", "lt", "P1D")], "2026-02-01T09:00:00.000Z", ""),
        ([c("delayPeriod", "gt", "P1D")], "", "2026-02-01T09:00:00.000Z"),
        ([c("dateTime", "gteq", "2027-01-01T00:00:00Z")], "", "2027-01-01T00:00:00.000Z"),
        ([c("elapsedTime", "neq", "P1D"), c("elapsedTime", "lteq", "P2D")], "2026-02-02T09:00:00.000Z", ""),
        ([{"and": [c("elapsedTime", "neq", "P1D"), c("elapsedTime", "lteq", "P2D")]}], "2026-02-02T09:00:00.000Z", ""),
        ([c("meteredTime", "lteq", "P1D")], "", ""),
        ([c("elapsedTime", "isAnyOf", ["P1D"])], "", ""),
        ([c("count", "lteq", "5")], "", ""),
        ([c("elapsedTime", "lteq", "P1D"), c("dateTime", "lteq", "2026-01-31T10:00:00Z")], "2026-01-31T10:00:00.000Z", ""),
    ],
)
def test_limits_in_time(constraints, due, until):
    (found,) = opened("a", policy(obligation=[duty("delete", *constraints)]), AT)
    assert (found.due, found.until) == (due, until)


def test_ticking_goes_past_what_is_not_active_and_acts_at_the_moment_itself():
    entries = opened("a", ALL, AT)
    done = [replace(each, state="fulfilled") if each.path == "/obligation/1" else each for each in entries]
    found, acts = ticked(list(reversed(done)), ALL, AT + timedelta(days=1))
    states = {each.path: each.state for each in found}
    assert (states["/obligation/0"], states["/obligation/0/consequence/0"], states["/prohibition/0/remedy/0"]) == (
        "overdue",
        "active",
        "inactive",
    )
    (act,) = acts
    assert (act.what, act.entry.path, act.entry.triggered) == (
        "consequence",
        "/obligation/0/consequence/0",
        "2026-02-01T09:00:00.000Z",
    )
    assert ticked(found, ALL, AT + timedelta(days=1)) == (found, [])
    assert ticked(entries, ALL, AT + timedelta(hours=23)) == (entries, [])


def test_without_a_consequence_the_overdue_entry_itself_is_what_ends():
    plain = policy(obligation=[duty("delete", LATER)])
    found, acts = ticked(opened("a", plain, AT), plain, AT + timedelta(days=1))
    assert acts == [Act(found[0], "end")]
    assert found[0].state == "overdue"


def test_a_consequence_that_is_overdue_at_once_is_followed_in_the_same_tick():
    chain = policy(obligation=[duty("delete", LATER, consequence=[duty("compensate", c("elapsedTime", "lteq", "PT1H"))])])
    found, acts = ticked(opened("a", chain, AT), chain, AT + timedelta(days=2))
    assert [each.state for each in found] == ["overdue", "overdue"]
    assert [each.what for each in acts] == ["consequence", "end"]
    turned, _ = ticked(list(reversed(opened("a", chain, AT))), chain, AT + timedelta(days=2))
    assert [each.state for each in turned] == ["overdue", "overdue"]


def test_a_duty_to_keep_is_fulfilled_by_time_alone_and_one_with_a_due_date_is_not():
    keep = policy(obligation=[duty("archive", c("elapsedTime", "gteq", "P1D")), duty("inform")])
    found, acts = ticked(opened("a", keep, AT), keep, AT + timedelta(days=1))
    assert [each.state for each in found] == ["fulfilled", "active"]
    assert acts == []
    both = policy(obligation=[duty("archive", c("elapsedTime", "gteq", "P1D"), c("elapsedTime", "lteq", "P9D"))])
    assert ticked(opened("a", both, AT), both, AT + timedelta(days=2))[0][0].state == "active"


def evidence(kind="E1"):
    return Evidence(kind=kind, by="did:web:c", at=WRITTEN)


def test_what_cannot_be_fulfilled_says_why_and_what_next():
    with pytest.raises(Conflict) as caught:
        fulfilled(entry(state="waived"), evidence(), AT)
    assert (caught.value.detail, caught.value.next_step) == ("the duty to inform is waived", "see `kizuna duty list`")
    with pytest.raises(Conflict) as caught:
        fulfilled(entry(until="2026-02-01T00:00:00Z"), evidence(), AT)
    assert caught.value.detail == "the duty to inform ends at 2026-02-01T00:00:00Z, not before"
    with pytest.raises(BadInput) as caught:
        fulfilled(entry(action=ODRL + "delete"), evidence("E0"), AT)
    assert (caught.value.detail, caught.value.next_step) == (
        "evidence of class E0 is too weak for delete",
        "give at least class E1",
    )
    assert fulfilled(entry(until=WRITTEN), evidence(), AT).state == "fulfilled"


def test_what_cannot_be_waived_says_why():
    with pytest.raises(Conflict) as caught:
        waived(entry(state="fulfilled"), "did:web:p", "x")
    assert caught.value.detail == "the duty to inform is fulfilled"
    found = waived(entry(state="overdue"), "did:web:p", "agreed")
    assert (found.state, found.note) == ("waived", "waived by did:web:p: agreed")


def test_what_moved_has_the_next_version():
    one, two = entry(version=3), entry(path="/obligation/1")
    changed = replace(one, state="fulfilled")
    assert moved([one, two], [changed, two]) == [replace(changed, version=4)]
    assert moved([one], [one, two]) == [replace(two, version=1)]
    assert moved([one, two], [one, two]) == []


def test_until_when_data_are_kept():
    later = (AT + timedelta(days=1)).isoformat()
    assert retained([entry(until=later), entry()], AT) == AT + timedelta(days=1)
    assert retained([entry(until=later, state="fulfilled")], AT) is None
    assert retained([entry(until=WRITTEN)], AT) is None
    assert retained([entry(until=(AT - timedelta(days=1)).isoformat())], AT) is None
    assert retained([], AT) is None


# counters --------------------------------------------------------------------------------------------------------------


def counters(*constraints):
    permissions = [{"action": "use", "constraint": [each]} for each in constraints]
    return counted("urn:a", parse({"permission": permissions}, operands=Registry([])))


def test_counters_of_an_agreement_to_the_field():
    paid = c("payAmount", "lteq", "100", unit="EUR", status="20")
    assert counters(c("count", "lt", "5"), paid, c("dateTime", "lt", "2027-01-01T00:00:00Z"), c("count", "gteq", "1")) == [
        Counter(agreement="urn:a", operand=COUNT, limit="4", used="0", unit="", version=0),
        Counter(agreement="urn:a", operand=PAID, limit="100", used="20", unit="EUR", version=0),
    ]


def test_of_several_limits_the_widest_and_of_equal_ones_the_first():
    assert [each.limit for each in counters(c("count", "lteq", "5"), c("count", "eq", "9"), c("count", "lteq", "7"))] == ["9"]
    assert [each.used for each in counters(c("count", "lteq", "5", status="1"), c("count", "lteq", "5", status="2"))] == ["1"]


def test_what_has_to_be_paid_first_is_counted_without_a_limit():
    least = Counter(agreement="urn:a", operand=PAID, limit="", used="0", unit="EUR", version=0)
    for operator in ("gt", "gteq"):
        assert counters(c("payAmount", operator, "100", unit="EUR")) == [least]
    assert counters(c("payAmount", "gteq", "100", unit="EUR", status="20")) == [replace(least, used="20")]
    assert counters(c("payAmount", "gteq", "100", unit="EUR"), c("payAmount", "gteq", "7", unit="JPY")) == [least]
    assert least.left == Decimal("Infinity")


def test_neither_other_operands_nor_other_operators_make_a_counter():
    assert counters(c("count", "gt", "1"), c("count", "gteq", "1"), c("payAmount", "neq", "1", unit="EUR")) == []


def test_a_limit_counts_more_than_what_has_to_be_paid_first():
    limit, least = c("payAmount", "lteq", "100", unit="EUR"), c("payAmount", "gteq", "10", unit="EUR")
    limited = [Counter(agreement="urn:a", operand=PAID, limit="100", used="0", unit="EUR", version=0)]
    assert counters(limit, least) == limited
    assert counters(least, limit) == limited


def test_what_was_entered():
    one = Counter(agreement="a", operand=PAID, limit="5", used="3", unit="EUR", version=7)
    assert recorded(one, Decimal("0.5"), "EUR") == replace(one, used="3.5", version=8)
    assert recorded(one, Decimal(-3), "EUR").used == "0"
    assert facts([recorded(one, Decimal(9), "EUR")]) == {PAID: {"value": "12", "unit": "EUR"}}
    with pytest.raises(Conflict) as caught:
        recorded(one, Decimal("-3.1"), "EUR")
    assert (caught.value.detail, caught.value.next_step) == ("only 3 EUR were entered", "see `kizuna payment list`")
    for unit, told in (("JPY", "JPY"), ("", "nothing")):
        with pytest.raises(BadInput) as refused:
            recorded(one, Decimal(1), unit)
        assert refused.value.detail == f"the agreement counts in EUR, not in {told}"
        assert refused.value.next_step == "give the amount in EUR"


def test_what_is_exhausted_says_how_far():
    (one,) = counters(c("count", "lteq", "1"))
    (after,) = granted([one])
    assert (after.used, after.version) == ("1", 1)
    with pytest.raises(Exhausted) as caught:
        granted([after])
    assert (caught.value.detail, caught.value.next_step) == ("count: 1 of 1 are used", "ask for a new contract")


def test_what_is_given_back():
    one = Counter(agreement="a", operand=COUNT, limit="5", used="3", version=7)
    assert returned(one, Decimal(3)) == replace(one, used="0", version=8)
    assert returned(one, Decimal(0)).used == "3"
    assert returned(one, Decimal("0.5")).used == "2.5"
    for amount in (Decimal("3.1"), Decimal("-0.1")):
        with pytest.raises(Conflict) as caught:
            returned(one, amount)
        assert caught.value.detail == "more is given back than was taken"
