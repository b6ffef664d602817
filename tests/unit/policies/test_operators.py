"""The twelve operators in three values, each against single and set-valued facts (ODRL 2.2, 2.5.1; odrl.md 6)."""

from datetime import UTC, datetime

import pytest

from policies.odrl import DATE_TIME, KZ, Operand, PolicyError, Registry, Request, evaluate, parse

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
TREE = {"steel.flat.coil": ("steel.flat",), "steel.flat": ("steel",), "steel.long": ("steel",)}
REGISTRY = Registry(
    [
        Operand(iri=KZ + "one"),
        Operand(iri=KZ + "many", many=True),
        Operand(iri=KZ + "count", type="integer"),
        Operand(iri=KZ + "price", type="decimal"),
        Operand(iri=KZ + "day", type="date"),
        Operand(iri=KZ + "age", type="duration"),
        Operand(iri=KZ + "flag", type="boolean"),
        Operand(iri=KZ + "kind", many=True, narrower=TREE),
    ]
)


def policy(left, operator, right):
    constraint = {"leftOperand": left, "operator": operator, "rightOperand": right}
    return parse({"permission": [{"action": "use", "constraint": [constraint]}]}, operands=REGISTRY)


def decide(left, operator, right, fact):
    facts = {} if fact is None else {KZ + left: fact}
    found = evaluate(policy(KZ + left, operator, right), Request("use", "negotiation", facts, NOW))
    return None if found.missing else found.permitted


@pytest.mark.parametrize(
    ("left", "operator", "right", "fact", "expected"),
    [
        ("one", "eq", "a", "a", True),
        ("one", "eq", "a", "b", False),
        ("one", "eq", "a", ["a", "b"], None),  # several where one is meant: not known which
        ("one", "eq", "a", [], None),
        ("one", "neq", "a", "b", True),
        ("one", "neq", "a", "a", False),
        ("one", "neq", "a", ["b", "c"], None),
        ("one", "neq", "a", [], None),
        ("one", "isAnyOf", ["a", "b"], "b", True),
        ("one", "isAnyOf", ["a", "b"], "c", False),
        ("one", "isNoneOf", ["a", "b"], "c", True),
        ("one", "isNoneOf", ["a", "b"], "b", False),
        ("one", "isNoneOf", ["a", "b"], None, None),  # the fail-open trap of a default ""
        ("one", "neq", "a", None, None),
        ("many", "eq", "a", ["a", "b"], True),
        ("many", "eq", "a", ["b"], False),
        ("many", "eq", "a", [], False),
        ("many", "neq", "a", ["b", "c"], True),
        ("many", "neq", "a", ["a", "c"], False),
        ("many", "isAnyOf", ["a", "x"], ["b", "a"], True),
        ("many", "isAnyOf", ["x", "y"], ["b", "a"], False),
        ("many", "isNoneOf", ["x", "y"], ["b", "a"], True),
        ("many", "isNoneOf", ["x", "a"], ["b", "a"], False),
        ("many", "isAllOf", ["a", "b"], ["a", "b", "c"], True),
        ("many", "isAllOf", ["a", "b"], ["a"], False),
        ("count", "lt", "10", 9, True),  # as numbers: as texts "9" would be more
        ("count", "lt", "10", 10, False),
        ("count", "lteq", "10", 10, True),
        ("count", "term-lteq", "10", "10", True),
        ("count", "gt", "10", 11, True),
        ("count", "gt", "10", 10, False),
        ("count", "gteq", "10", 10, True),
        ("count", "gteq", "10", "many", None),
        ("count", "gteq", "10", True, None),
        ("price", "eq", "0.30", "0.3", True),
        ("price", "lteq", "0.3", 0.3, True),
        ("day", "lt", "2026-11-25", "2026-11-24", True),
        ("day", "gteq", "2026-11-25", "2026-11-24", False),
        ("age", "lteq", "P30D", "P4W", True),
        ("age", "gt", "P27D", "P1M", True),
        ("age", "gt", "P30D", "P1M", None),  # the calendar decides, so nobody knows
        ("age", "lt", "P1Y", "P11M", True),
        ("flag", "eq", "true", True, True),
        ("flag", "eq", "true", "false", False),
        ("kind", "isA", "steel", ["steel.flat.coil"], True),
        ("kind", "isA", "steel.flat", ["steel.long"], False),
        ("kind", "isA", "steel.flat.coil", ["steel"], False),
        ("kind", "isPartOf", "steel", ["steel.long"], True),
        ("kind", "isPartOf", "steel.long", ["steel"], False),
        ("kind", "hasPart", "steel.flat.coil", ["steel"], True),
        ("kind", "hasPart", "steel", ["steel.flat"], False),
        ("kind", "hasPart", "steel.flat", ["steel.flat"], True),
    ],
)
def test_operator_in_three_values(left, operator, right, fact, expected):
    assert decide(left, operator, right, fact) is expected


@pytest.mark.parametrize("form", ["eq", "odrl:eq", "http://www.w3.org/ns/odrl/2/eq", {"@id": "odrl:eq"}])
def test_term_forms_of_an_operator_mean_the_same(form):
    assert decide("one", form, "a", "a") is True


@pytest.mark.parametrize(
    ("left", "operator"),
    [
        ("one", "lt"),
        ("flag", "gteq"),
        ("one", "isA"),
        ("many", "gt"),
        ("count", "hasPart"),
        ("one", "isAllOf"),
        ("many", "isPartOf"),
    ],
)
def test_operator_that_means_nothing_for_the_operand_is_refused(left, operator):
    with pytest.raises(PolicyError, match="means nothing") as caught:
        policy(KZ + left, operator, "1")
    assert caught.value.path == "/permission/0/constraint/0/operator"


@pytest.mark.parametrize(
    ("bound", "now", "expected"),
    [
        ("2026-11-24T18:00:01+09:00", NOW, True),
        ("2026-11-24T18:00:00+09:00", NOW, False),  # the same instant in another zone is not before
        ("2026-11-24T09:00:00.5Z", NOW, True),
    ],
)
def test_moments_compare_across_zones(bound, now, expected):
    found = evaluate(policy(DATE_TIME, "lt", bound), Request("use", "transfer", {}, now))
    assert found.permitted is expected


def test_the_present_moment_is_not_taken_from_the_facts():
    facts = {DATE_TIME: datetime(2020, 1, 1, tzinfo=UTC)}
    assert not evaluate(policy(DATE_TIME, "lt", "2026-01-01T00:00:00Z"), Request("use", "transfer", facts, NOW)).permitted
