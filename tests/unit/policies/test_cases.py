"""The engine's own suite, case by case (odrl.md 1.4: 68 of 68 in the public one is a floor)."""

import pytest

from policies import odrl
from tests.unit.policies.cases.decisions import DECISIONS, MISSING, OWED
from tests.unit.policies.cases.operators import OPERATORS
from tests.unit.policies.cases.refusals import REFUSALS
from tests.unit.policies.cases.running import Suite

SUITE = Suite(odrl)


def named(cases):
    return [pytest.param(*rest, id=str(name)) for name, *rest in cases]


@pytest.mark.parametrize(("constraint", "fact", "expected"), named(OPERATORS))
def test_operator(constraint, fact, expected):
    assert SUITE.operator(constraint, fact) is expected


@pytest.mark.parametrize(("policy", "asked", "expected"), named(DECISIONS))
def test_decision(policy, asked, expected):
    assert SUITE.decide(policy, asked).permitted is expected


@pytest.mark.parametrize(("policy", "asked", "expected"), MISSING)
def test_missing(policy, asked, expected):
    decision = SUITE.decide(policy, asked)
    assert decision.missing == expected
    assert tuple(each.operand for each in odrl.needs(decision)) == expected
    assert all(each.source for each in odrl.needs(decision))


@pytest.mark.parametrize(("policy", "asked", "expected"), OWED)
def test_owed(policy, asked, expected):
    assert SUITE.decide(policy, asked).duties == expected


@pytest.mark.parametrize(("policy", "path", "reason"), named(REFUSALS))
def test_refused(policy, path, reason):
    found = SUITE.refused(policy)
    assert found is not None
    assert found[0] == path
    assert reason in found[1]


def test_there_are_enough_of_them_and_each_is_another(figure):
    names = [name for cases in (OPERATORS, DECISIONS, REFUSALS) for name, *_ in cases]
    total = len(names) + len(MISSING) + len(OWED)
    figure(f"own policy suite: {total} cases")
    assert total >= 400
    assert len(set(names)) == len(names)
    assert list(SUITE.failures()) == []


@pytest.mark.parametrize(("policy", "asked"), [each[1:3] for each in DECISIONS])
def test_every_decision_can_be_explained_replayed_and_told_the_peer(policy, asked):
    decision = SUITE.decide(policy, asked)
    assert decision.explain()
    assert decision.minimal() in ("permitted", "the terms of the offer are not met")
    kept = odrl.record(decision, policy)
    assert odrl.replay(kept, policy, SUITE.registry) == []
    explained = odrl.tree(decision)
    granting = [each for each in explained.rules if each.kind == "permission" and each.active]
    forbidding = [each for each in explained.rules if each.kind == "prohibition" and each.active]
    wins = decision.policy.conflict == "perm" or not forbidding
    assert decision.permitted is (bool(granting) and wins and not explained.void)
