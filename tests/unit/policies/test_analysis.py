"""policies.odrl.analyse: each kind of finding, and what a comparison shows, on policies as people write them."""

import pytest

from policies.odrl import KZ, Operand, Registry, parse
from policies.odrl.analyse import compared, findings
from policies.odrl.analyse.formula import STEPS, All, Any, Lit, No, Undecided, solve

REGISTRY = Registry(
    [
        Operand(iri=KZ + "role", many=True, phases=("catalog", "negotiation", "transfer")),
        Operand(iri=KZ + "region"),
        Operand(iri=KZ + "share", type="decimal"),
        Operand(iri=KZ + "day", type="date"),
        Operand(iri=KZ + "ready", type="boolean"),
    ]
)


def atom(left, operator, right, **more):
    return {"leftOperand": left if ":" in left else KZ + left, "operator": operator, "rightOperand": right, **more}


def rule(action, *constraints, **more):
    return {"action": action, **({"constraint": list(constraints)} if constraints else {}), **more}


def policy(permission=(), prohibition=(), **more):
    return parse({"permission": list(permission), "prohibition": list(prohibition), **more}, operands=REGISTRY)


def kinds(found):
    return [(each.kind, each.path) for each in findings(found)]


NEVER = [
    (atom("share", "lt", "1"), atom("share", "gt", "2")),
    (atom("role", "eq", "a"), atom("role", "isNoneOf", ["a", "b"])),
    (atom("role", "isAllOf", ["a", "b"]), atom("role", "neq", "b")),
    (atom("region", "eq", "x"), atom("region", "eq", "y")),
    (atom("day", "gt", "2026-01-01"), atom("day", "lt", "2026-01-02")),
    (atom("odrl:count", "gt", "1"), atom("odrl:count", "lt", "2")),
    (atom("odrl:dateTime", "lt", "2026-01-01T00:00:00+09:00"), atom("odrl:dateTime", "gteq", "2025-12-31T15:00:00Z")),
    (atom("odrl:elapsedTime", "lt", "P1M"), atom("odrl:elapsedTime", "gt", "P40D")),
    (atom("odrl:payAmount", "gt", "5", unit="EUR"), atom("odrl:payAmount", "lt", "4", unit="EUR")),
    (atom("odrl:payAmount", "eq", "5", unit="EUR"), atom("odrl:payAmount", "eq", "5", unit="JPY")),
    (atom("ready", "neq", "true"), atom("ready", "neq", "false")),
]


@pytest.mark.parametrize("constraints", NEVER)
def test_a_permission_that_can_never_hold(constraints):
    assert kinds(policy([rule("use", *constraints)])) == [("never", "/permission/0"), ("nothing", "")]


POSSIBLE = [
    (atom("share", "gt", "1"), atom("share", "lt", "2")),
    (atom("day", "gt", "2026-01-01"), atom("day", "lt", "2026-01-03")),
    (atom("odrl:count", "gt", "1"), atom("odrl:count", "lt", "3")),
    (atom("odrl:dateTime", "gt", "2026-01-01T00:00:00Z"), atom("odrl:dateTime", "lt", "2026-01-01T00:00:01Z")),
    (atom("odrl:elapsedTime", "lt", "P1M"), atom("odrl:elapsedTime", "gt", "P20D")),
    (atom("odrl:payAmount", "gt", "5", unit="EUR"), atom("odrl:payAmount", "lt", "6", unit="EUR")),
    (atom("odrl:absoluteSize", "lteq", "2", unit="kBy"), atom("odrl:absoluteSize", "gteq", "1500", unit="By")),
    (atom("role", "isAnyOf", ["a", "b"]), atom("role", "neq", "a")),
]


@pytest.mark.parametrize("constraints", POSSIBLE)
def test_a_permission_that_may_hold_is_left_alone(constraints):
    assert kinds(policy([rule("use", *constraints)])) == []


def test_constraints_that_say_nothing_and_parts_that_cannot_be():
    always = {"or": [atom("share", "lt", "5"), atom("share", "gteq", "5")]}
    dead = {"or": [atom("region", "eq", "x"), atom("region", "eq", "y")]}
    found = policy([rule("use", always, atom("region", "eq", "x"), dead)])
    assert kinds(found) == [("always", "/permission/0/constraint/0"), ("implied", "/permission/0/constraint/2")]
    inside = {"or": [{"and": [atom("share", "lt", "1"), atom("share", "gt", "2")]}, atom("region", "eq", "y")]}
    assert ("never", "/permission/0/constraint/0/or/0") in kinds(policy([rule("use", inside)]))


def test_a_permission_behind_a_prohibition():
    open_ = rule("use", atom("role", "eq", "a"))
    assert kinds(policy([open_], [rule("use")])) == [("shadowed", "/permission/0"), ("nothing", "")]
    assert kinds(policy([rule("distribute")], [rule("use")])) == [("shadowed", "/permission/0"), ("nothing", "")]
    assert kinds(policy([open_], [rule("use")], conflict="perm")) == []
    assert kinds(policy([open_], [rule("distribute")])) == [], "an exception is not a conflict"


def test_a_conflict_comes_with_a_case():
    found = policy([rule("use", atom("role", "eq", "a"))], [rule("use", atom("region", "eq", "x"))])
    (only,) = findings(found)
    assert (only.kind, only.path, only.other) == ("conflict", "/permission/0", "/prohibition/0")
    assert only.witness.action == "use"
    assert dict(only.witness.facts) == {KZ + "role": "a", KZ + "region": "x"}


def test_a_permission_that_another_grants_already():
    narrow, wide = rule("read", atom("role", "eq", "a")), rule("use", atom("role", "isAnyOf", ["a", "b"]))
    assert kinds(policy([narrow, wide])) == [("covered", "/permission/0")]
    assert kinds(policy([narrow, wide | {"duty": [{"action": "inform"}]}])) == []
    assert kinds(policy([narrow, narrow])) == [("covered", "/permission/1")], "of two equal ones the first stays"


def test_targets_and_assignees_are_told_apart():
    mine = rule("use", assignee="did:web:a.example", target="urn:x")
    other = rule("use", assignee="did:web:b.example", target="urn:x")
    assert kinds(policy([mine, other])) == []
    assert kinds(policy([mine, rule("use")])) == [("covered", "/permission/0")]
    group = {"@type": "PartyCollection", "@id": "urn:group", "refinement": [atom("region", "eq", "x")]}
    assert kinds(policy([rule("use", assignee=group)], [rule("use", atom("region", "eq", "x"))])) == [
        ("shadowed", "/permission/0"), ("nothing", ""),
    ]  # fmt: skip


def test_a_change_is_shown_with_a_case_for_each_direction():
    before = policy([rule("use", atom("role", "isAnyOf", ["a", "b"]), atom("odrl:dateTime", "lt", "2027-01-01T00:00:00Z"))])
    after = policy([rule("use", atom("role", "isAnyOf", ["b", "c"]), atom("odrl:dateTime", "lt", "2027-01-01T00:00:00Z"))])
    found = compared(before, after)
    assert found.verdict == "incomparable"
    assert {"action": "use", "role": "c"}.items() <= {
        "action": found.opened[0].action,
        "role": dict(found.opened[0].facts)[KZ + "role"].split("; ")[-1],
    }.items()
    assert "without" in dict(found.closed[0].facts)[KZ + "role"]
    assert compared(before, before).verdict == "equal"
    longer = policy([rule("use", atom("role", "isAnyOf", ["a", "b"]), atom("odrl:dateTime", "lt", "2028-01-01T00:00:00Z"))])
    (opened,) = compared(before, longer).opened
    assert "2027-01-01T00:00:00Z" <= dict(opened.facts)["dateTime"] < "2028"
    assert compared(longer, before).verdict == "stricter"
    assert compared(policy([rule("read")]), policy([rule("use")])).verdict == "looser"


def test_duties_that_came_and_went_are_listed():
    duty = {"action": "delete", "constraint": [atom("odrl:elapsedTime", "lteq", "P30D")]}
    before, after = policy([rule("use")]), policy([rule("use", duty=[duty, {"action": "inform", "informedParty": "urn:us"}])])
    found = compared(before, after)
    assert found.verdict == "equal"
    assert found.duties_added == ("delete; elapsedTime lteq P30D", "inform; informedParty urn:us")
    assert compared(after, before).duties_removed == found.duties_added


def test_a_thousand_intervals_are_few_steps():
    weeks = [{"and": [atom("odrl:count", "gteq", str(10 * n)), atom("odrl:count", "lt", str(10 * n + 5))]} for n in range(500)]
    assert kinds(policy([rule("use", {"or": weeks})])) == []


def test_what_cannot_be_told_in_bounded_time_is_not_guessed():
    pigeons = All(tuple(Any(tuple(Lit(6 * p + h, 2) for h in range(6))) for p in range(7)))
    holes = [No(All((Lit(6 * p + h, 2), Lit(6 * q + h, 2)))) for h in range(6) for p in range(7) for q in range(p)]
    with pytest.raises(Undecided):
        solve(All((pigeons, *holes)), [3] * 42, steps=500)
    assert STEPS >= 100_000
