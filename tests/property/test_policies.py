"""Policies under random input: only typed errors, no fact missing ever helps, evaluation equals a naive reference."""

from contextlib import suppress
from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policies.odrl import KZ, PHASES, PURPOSE, Operand, PolicyError, Registry, Request, digest, evaluate, parse, same_terms
from policies.odrl.limits import limited

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
TREE = {"b": ("a",), "c": ("b",)}
OPERANDS = [
    Operand(iri=KZ + "one"),
    Operand(iri=KZ + "many", many=True, narrower=TREE),
    Operand(iri=KZ + "count", type="integer"),
    Operand(iri=PURPOSE, many=True, phases=("negotiation", "transfer")),
]
REGISTRY = Registry(OPERANDS)
ACTIONS = ("use", "read", "play", "display", "distribute", "transfer", "sell")
KEYS = (
    "permission",
    "prohibition",
    "obligation",
    "constraint",
    "action",
    "leftOperand",
    "operator",
    "rightOperand",
    "and",
    "or",
    "@id",
)
WORDS = (*KEYS, *ACTIONS, "eq", "isAnyOf", "odrl:use", KZ + "one", KZ + "count", "Offer", "Agreement", "@value", "@type", "1", "")


def values_of(operand):
    return st.integers(0, 3).map(str) if operand.type == "integer" else st.sampled_from("abc")


@st.composite
def atoms(draw):
    operand = draw(st.sampled_from(OPERANDS))
    operator = draw(st.sampled_from(sorted(operand.operators)))
    many = operator in ("isAnyOf", "isNoneOf", "isAllOf")
    right = draw(st.lists(values_of(operand), min_size=1, max_size=3) if many else values_of(operand))
    return {"leftOperand": operand.iri, "operator": operator, "rightOperand": right}


constraints = st.recursive(
    atoms(),
    lambda inner: st.builds(
        lambda kind, parts: {kind: parts},
        st.sampled_from(["and", "or", "xone", "andSequence"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)
rules = st.fixed_dictionaries({"action": st.sampled_from(ACTIONS), "constraint": st.lists(constraints, max_size=3)})
policies = st.fixed_dictionaries({"permission": st.lists(rules, max_size=3), "prohibition": st.lists(rules, max_size=2)})
facts = st.fixed_dictionaries(
    {},
    optional={
        each.iri: st.lists(values_of(each), max_size=3) if each.many else st.one_of(values_of(each), st.just("x"))
        for each in OPERANDS
    },
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=4),
    max_leaves=25,
)


@settings(max_examples=400, deadline=None)
@given(policies, facts, st.sampled_from(ACTIONS), st.sampled_from(PHASES), st.data())
def test_removing_facts_never_turns_a_denial_into_a_permission(policy, given_facts, action, phase, data):
    parsed = parse(policy, operands=REGISTRY)
    before = evaluate(parsed, Request(action, phase, given_facts, NOW)).permitted
    fewer = {key: value for key, value in given_facts.items() if data.draw(st.booleans())}
    after = evaluate(parsed, Request(action, phase, fewer, NOW)).permitted
    assert before or not after


@settings(max_examples=400, deadline=None)
@given(policies, facts, st.sampled_from(ACTIONS))
def test_nothing_is_hidden_in_the_catalog_that_could_be_had_later(policy, given_facts, action):
    """A no in the catalog is a no in the negotiation, unless a missing fact stood beside what is evaluated later."""
    parsed = parse(policy, operands=REGISTRY)
    catalog = evaluate(parsed, Request(action, "catalog", given_facts, NOW))
    assume(not catalog.permitted and not catalog.missing)
    assert not evaluate(parsed, Request(action, "negotiation", given_facts, NOW)).permitted


@settings(max_examples=400, deadline=None)
@given(policies, facts, st.sampled_from(ACTIONS))
def test_evaluation_equals_a_naive_reference(policy, given_facts, action):
    decided = evaluate(parse(policy, operands=REGISTRY), Request(action, "negotiation", given_facts, NOW))
    assert decided.permitted is reference(policy, given_facts, action)
    assert decided.permitted or decided.minimal() == "the terms of the offer are not met"
    assert decided.explain()


# The reference: no compilation, written from the table of operators, Kleene logic by cases.

INCLUDED = {"read": "use", "play": "use", "display": "play", "distribute": "use", "sell": "transfer"}


def reference(policy, given_facts, action):
    covering = {action}
    while action in INCLUDED:
        action = INCLUDED[action]
        covering.add(action)
    granted = any(every(rule, given_facts) is True for rule in policy["permission"] if rule["action"] in covering)
    forbidden = any(every(rule, given_facts) is not False for rule in policy["prohibition"] if rule["action"] in covering)
    return granted and not forbidden


def every(rule, given_facts):
    return conjunction([holds(each, given_facts) for each in rule["constraint"]])


def conjunction(states):
    return False if False in states else None if None in states else True


def holds(constraint, given_facts):
    if "leftOperand" in constraint:
        return atom(constraint, given_facts)
    ((kind, parts),) = constraint.items()
    states = [holds(each, given_facts) for each in parts]
    if kind in ("and", "andSequence"):
        return conjunction(states)
    if kind == "or":
        return True if True in states else None if None in states else False
    if states.count(True) > 1:
        return False
    return None if None in states else states.count(True) == 1


def above(value):
    return {value}.union(*(above(each) for each in TREE.get(value, ())))


def atom(constraint, given_facts):
    operand = next(each for each in OPERANDS if each.iri == constraint["leftOperand"])
    found = given_facts.get(operand.iri)
    right = constraint["rightOperand"] if isinstance(constraint["rightOperand"], list) else [constraint["rightOperand"]]
    if found is None:
        return None
    found = found if isinstance(found, list) else [found]
    if operand.type == "integer":
        if "x" in found:
            return None
        found, right = [int(each) for each in found], [int(each) for each in right]
    operator = constraint["operator"]
    table = {
        "eq": lambda: right[0] in found,
        "neq": lambda: right[0] not in found,
        "isAnyOf": lambda: bool(set(found) & set(right)),
        "isNoneOf": lambda: not set(found) & set(right),
        "isAllOf": lambda: set(right) <= set(found),
        "lt": lambda: found[0] < right[0],
        "lteq": lambda: found[0] <= right[0],
        "gt": lambda: found[0] > right[0],
        "gteq": lambda: found[0] >= right[0],
        "isA": lambda: any(right[0] in above(each) for each in found),
        "isPartOf": lambda: any(right[0] in above(each) for each in found),
        "hasPart": lambda: bool(above(right[0]) & set(found)),
    }
    return table[operator]()


@given(st.integers(0, 40), st.integers(0, 40), st.sampled_from([[], {}, [1], {"a": "{"}]), st.booleans())
def test_a_document_may_have_32_levels_however_many_brackets(deep, beside, inner, named):
    for _ in range(deep):
        inner = {"[": inner} if named else [inner]
    document = [inner, *({} for _ in range(beside))]
    if _levels(document) <= 32:
        limited(document)
        return
    with pytest.raises(PolicyError, match="nested deeper than 32 levels"):
        limited(document)


def _levels(value):
    return 1 + max(map(_levels, value.values() if isinstance(value, dict) else value if isinstance(value, list) else []), default=0)


TEXTS = st.text(st.characters() | st.sampled_from(": \t\u2003\x1c"), max_size=6) | st.sampled_from(
    ["x" * 1_024, "x:" * 512, "x:" * 513]
)
GIVEN = st.one_of(TEXTS, st.none(), st.integers(), st.booleans(), st.lists(st.one_of(TEXTS, st.none(), st.integers()), max_size=3))


@given(GIVEN | GIVEN.map(lambda value: tuple(value) if isinstance(value, list) else value) | st.frozensets(TEXTS, max_size=3))
def test_the_short_ways_of_reading_a_fact_read_what_the_long_one_reads(value):
    for type_, many in product(("string", "iri"), (False, True)):
        operand = Operand(iri="x", type=type_, many=many)
        assert operand.reader("x", Request("use", "catalog", {"x": value}, NOW)) == operand.fact(value, NOW)


@settings(max_examples=500, deadline=None)
@given(json_values)
def test_random_json_gives_a_policy_or_a_typed_error(value):
    for read in (lambda: parse(value, operands=REGISTRY), lambda: same_terms(value, value)):
        with suppress(PolicyError):
            read()


@settings(max_examples=300, deadline=None)
@given(policies, st.randoms(use_true_random=False))
def test_order_and_ids_are_no_terms(policy, random):
    other = {key: [shuffled(each, random) for each in random.sample(part, len(part))] for key, part in policy.items()}
    assert same_terms(policy, other | {"@id": "urn:x", "@type": "Agreement", "target": "t"}) == []
    assert digest(policy) == digest(other)


def shuffled(rule, random):
    return rule | {"constraint": random.sample(rule["constraint"], len(rule["constraint"])), "@type": "Permission"}


@settings(max_examples=300, deadline=None)
@given(policies, policies)
def test_no_difference_exactly_when_the_digests_are_equal(first, second):
    assert (same_terms(first, second) == []) is (digest(first) == digest(second))
    assert bool(same_terms(first, second)) is bool(same_terms(second, first))
