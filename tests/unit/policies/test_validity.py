"""When a policy ends by its own terms."""

from datetime import UTC, datetime

import pytest

from policies.odrl import ends, same_terms, without_end

END = "2026-12-31T00:00:00Z"
MOMENT = datetime(2026, 12, 31, tzinfo=UTC)


def until(value=END, operator="lteq", left="dateTime"):
    return {"leftOperand": left, "operator": operator, "rightOperand": value}


def policy(*constraints):
    return {"permission": [{"action": "use", "constraint": list(constraints)}]}


@pytest.mark.parametrize(
    "constraint",
    [
        until(),
        until(operator="odrl:lt"),
        until(left="http://www.w3.org/ns/odrl/2/dateTime"),
        until({"@value": END, "@type": "xsd:dateTime"}),
        {"and": [until(), until("2027-01-01T00:00:00Z")]},
    ],
)
def test_an_upper_bound_of_every_permission_is_the_end(constraint):
    assert ends(policy(constraint)) == MOMENT


@pytest.mark.parametrize(
    "found",
    [
        policy(),
        policy(until(operator="gteq")),
        policy({"or": [until(), until()]}),
        policy(until("whenever")),
        {"permission": [*policy(until())["permission"], {"action": "use"}]},
        {"prohibition": [{"action": "use", "constraint": [until()]}]},
    ],
)
def test_what_is_not_sure_to_end_does_not_end(found):
    assert ends(found) is None


def test_the_latest_of_several_permissions_counts():
    assert ends({"permission": [*policy(until("2020-01-01T00:00:00Z"))["permission"], *policy(until())["permission"]]}) == MOMENT


def test_policies_that_differ_in_their_end_alone_are_the_same_without_it():
    role = {"leftOperand": "role", "operator": "eq", "rightOperand": "a"}
    first, second = policy(role, until()), policy(role, until("2030-01-01T00:00:00Z"))
    assert same_terms(first, second)
    assert same_terms(without_end(first), without_end(second)) == []
    assert same_terms(without_end(first), without_end(policy(until())))
