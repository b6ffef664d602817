"""The own suite as one test that stops at the first failure: what mutation testing runs (`./run mutants`)."""

from policies import odrl
from tests.unit.policies.cases.running import Suite


def test_no_case_fails():
    assert next(Suite(odrl).failures(), None) is None
