"""The analysis of policies against two oracles: every world tried one by one with the evaluator, and z3."""

from itertools import chain, combinations, product

import z3
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.odrl import KZ, PURPOSE, Request, evaluate, parse
from policies.odrl.analyse import compared, findings
from tests.property.test_policies import ACTIONS, INCLUDED, NOW, REGISTRY, TREE, policies

LETTERS = ("a", "b", "c")
SUBSETS = [list(each) for each in chain.from_iterable(combinations(LETTERS, n) for n in range(4))]
WORLDS = [
    {KZ + "one": one, KZ + "many": many, KZ + "count": number, PURPOSE: purpose}
    for one, many, number, purpose in product(("a", "b", "c", "x"), SUBSETS, ("-1", "0", "1", "2", "3", "4"), SUBSETS)
]
with_conflict = st.tuples(policies, st.sampled_from(["prohibit", "perm", "invalid"])).map(
    lambda both: both[0] | {"conflict": both[1]}
)


def permitted(policy, action):
    """In which worlds the evaluator says yes."""
    return [evaluate(policy, Request(action, "transfer", world, NOW)).permitted for world in WORLDS]


@settings(max_examples=25, deadline=None)
@given(with_conflict, with_conflict)
def test_a_comparison_says_what_trying_every_world_says(first, second):
    before, after = parse(first, operands=REGISTRY), parse(second, operands=REGISTRY)
    found = compared(before, after)
    opened = closed = False
    for action in ACTIONS:
        for old, new in zip(permitted(before, action), permitted(after, action), strict=True):
            opened, closed = opened or (new and not old), closed or (old and not new)
    assert (bool(found.opened), bool(found.closed)) == (opened, closed)
    assert (found.verdict == "equal") is not (opened or closed)


@settings(max_examples=200, deadline=None)
@given(with_conflict, with_conflict)
def test_a_comparison_agrees_with_z3(first, second):
    found = compared(parse(first, operands=REGISTRY), parse(second, operands=REGISTRY))
    opened = any(satisfiable(z3.And(permits(second, each), z3.Not(permits(first, each)))) for each in ACTIONS)
    closed = any(satisfiable(z3.And(permits(first, each), z3.Not(permits(second, each)))) for each in ACTIONS)
    assert (bool(found.opened), bool(found.closed)) == (opened, closed)


@settings(max_examples=200, deadline=None)
@given(policies)
def test_findings_agree_with_z3(policy):
    found = findings(parse(policy, operands=REGISTRY))
    never = {each.path for each in found if each.kind == "never"}
    for name in ("permission", "prohibition"):
        for n, rule in enumerate(policy[name]):
            assert (f"/{name}/{n}" in never) is not satisfiable(every(rule))
            if f"/{name}/{n}" in never:
                continue
            for m, constraint in enumerate(rule["constraint"]):
                always = not satisfiable(z3.Not(truth(constraint)))
                assert any(each.kind == "always" and each.path == f"/{name}/{n}/constraint/{m}" for each in found) is always
    nothing = not any(satisfiable(permits(policy, each)) for each in ACTIONS)
    assert any(each.kind == "nothing" for each in found) is nothing


# The policy once more, for z3.

one_of, count = z3.Int("one"), z3.Int("count")
MEMBER = {(name, value): z3.Bool(f"{name}-{value}") for name in (KZ + "many", PURPOSE) for value in LETTERS}


def satisfiable(formula):
    solver = z3.Solver()
    solver.add(formula, one_of >= 0, one_of <= 3)
    return solver.check() == z3.sat


def covering(action):
    found = {action}
    while action in INCLUDED:
        action = INCLUDED[action]
        found.add(action)
    return found


def permits(policy, action):
    granting = [rule for rule in policy["permission"] if rule["action"] in covering(action)]
    forbidding = [rule for rule in policy["prohibition"] if rule["action"] in covering(action)]
    granted, forbidden = z3.Or(*map(every, granting)), z3.Or(*map(every, forbidding))
    conflict = policy.get("conflict", "prohibit")
    if conflict == "perm":
        return granted
    if conflict == "prohibit":
        return z3.And(granted, z3.Not(forbidden))
    meeting = [
        z3.And(every(one), every(other))
        for one, other in product(policy["permission"], policy["prohibition"])
        if one["action"] in covering(other["action"]) or other["action"] in covering(one["action"])
    ]
    return z3.And(granted, z3.Not(forbidden), z3.Not(z3.Or(*meeting)))


def every(rule):
    return z3.And(*map(truth, rule["constraint"]))


def truth(constraint):
    if "leftOperand" in constraint:
        return atom(constraint["leftOperand"], constraint["operator"], constraint["rightOperand"])
    ((kind, parts),) = constraint.items()
    found = [truth(each) for each in parts]
    if kind == "xone":
        return z3.PbEq([(each, 1) for each in found], 1)
    return z3.Or(*found) if kind == "or" else z3.And(*found)


def atom(left, operator, right):
    values = right if isinstance(right, list) else [right]
    if left == KZ + "count":
        numbers = [int(each) for each in values]
        (first, *_) = numbers
        ordered = {"lt": count < first, "lteq": count <= first, "gt": count > first, "gteq": count >= first}
        return ordered[operator] if operator in ordered else equality(operator, z3.Or(*(count == each for each in numbers)))
    if left == KZ + "one":
        return equality(operator, z3.Or(*(one_of == LETTERS.index(each) for each in values)))
    if operator in ("isA", "isPartOf"):
        values = [each for each in LETTERS if not below(each).isdisjoint(values)]
    elif operator == "hasPart":
        values = [each for value in values for each in below(value)]
    members = [MEMBER[left, each] for each in values]
    return z3.And(*members) if operator == "isAllOf" else equality(operator, z3.Or(*members))


def equality(operator, formula):
    return z3.Not(formula) if operator in ("neq", "isNoneOf") else formula


def below(value):
    """The value and everything that it is part of."""
    found, open_ = {value}, [value]
    while open_:
        for each in TREE.get(open_.pop(), ()):
            found.add(each)
            open_.append(each)
    return found
