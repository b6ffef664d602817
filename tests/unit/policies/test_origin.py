"""How much of a policy that terms were written from stands in them (`policies.profiles.origin`)."""

import pytest

from policies.odrl import PolicyError, frozen
from policies.odrl.wire import fitted
from policies.profiles.origin import otherwise


def atom(left, right, operator="eq"):
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def use(*constraints):
    return {"action": "use", "constraint": list(constraints)}


PARENT = {
    "@type": "Set",
    "permission": [use(atom("count", "3", "lteq"), {"or": [atom("purpose", "a"), atom("purpose", "b")]})],
    "prohibition": [{"action": "sell"}, {"action": "distribute"}],
}


def agreed(policy):
    return {"@id": "urn:a", "@type": "Agreement", "target": "urn:d", "assigner": "did:web:p", "assignee": "did:web:c", **policy}


def test_what_was_written_out_and_fitted_stands_there_whatever_else_does():
    child = {"@id": "urn:o", "@type": "Offer", "inheritFrom": "urn:p", "permission": [use(atom("count", "9", "lteq"))]}
    policy = agreed(fitted(frozen(child, {"urn:p": PARENT}).policy).policy)
    assert otherwise(PARENT, policy) == (3, 0)
    assert otherwise(policy, PARENT) == (4, 1)


@pytest.mark.parametrize(
    ("parent", "policy"),
    [
        ({"permission": [use(atom("a", "1"), atom("b", "2"))]}, {"permission": [use(atom("b", "2"), atom("a", "1"))]}),
        ({"action": "use", "permission": [{"constraint": [atom("count", 3)]}]}, {"permission": [use(atom("count", "3"))]}),
        ({"permission": [{"action": ["use", "sell"]}]}, {"permission": [{"action": "sell"}, {"action": "use"}]}),
        (
            {"permission": [{"action": {"rdf:value": {"@id": "odrl:use"}, "refinement": [atom("count", "3")]}}]},
            {"permission": [use(atom("count", "3"))]},
        ),
        ({"target": "urn:d", "prohibition": [{"action": "sell"}]}, {"prohibition": [{"action": "odrl:sell"}]}),
        ({"permission": [use(atom("role", "{role}"))]}, {"permission": [use(atom("role", ["x", "y"]))]}),
        ({"permission": [use(atom("role", "{role}"), atom("a", "1"))]}, {"permission": [use(atom("a", "1"))]}),
        (
            {"permission": [use({"or": [atom("role", "{role}"), atom("a", "1")]})]},
            {"permission": [use({"or": [atom("a", "1"), atom("role", "x")]})]},
        ),
        (
            {"permission": [use({"andSequence": [atom("a", "1"), atom("b", "2")]})]},
            {"permission": [use({"andSequence": [atom("a", "1"), atom("b", "2")]})]},
        ),
        ({"permission": [{"action": "use", "duty": [{"action": "inform"}]}]}, {"permission": [{"action": "use", "duty": {"action": "inform"}}]}),
        ({}, {"permission": [use()]}),
    ],
)  # fmt: skip
def test_the_same_said_otherwise_is_the_same(parent, policy):
    total, missing = otherwise(parent, agreed(policy))
    assert (missing, total) == (0, sum(len(policy.get(kind, ())) for kind in ("permission", "prohibition")) if parent else 0)


@pytest.mark.parametrize(
    ("parent", "policy"),
    [
        ({"permission": [use(atom("count", "3"))]}, {"permission": [use(atom("count", "4"))]}),
        ({"permission": [use(atom("count", "3"))]}, {"permission": [use(atom("count", "3", "lteq"))]}),
        ({"permission": [use(atom("count", "3"))]}, {"permission": [use(atom("count", "3"), atom("a", "1"))]}),
        ({"permission": [use(atom("count", "3"), atom("a", "1"))]}, {"permission": [use(atom("count", "3"))]}),
        ({"permission": [use(atom("role", "{role}"))]}, {"permission": [use(atom("purpose", "x"))]}),
        ({"permission": [use(atom("role", "{role}", "neq"))]}, {"permission": [use(atom("role", "x"))]}),
        ({"permission": [use(atom("role", ["x", "y"]))]}, {"permission": [use(atom("role", "x"))]}),
        ({"permission": [use({"or": [atom("a", "1")]})]}, {"permission": [use({"and": [atom("a", "1")]})]}),
        (
            {"permission": [use({"andSequence": [atom("a", "1"), atom("b", "2")]})]},
            {"permission": [use({"andSequence": [atom("b", "2"), atom("a", "1")]})]},
        ),
        ({"permission": [{"action": "use", "duty": [{"action": "inform"}]}]}, {"permission": [{"action": "use"}]}),
        ({"prohibition": [{"action": "sell"}]}, {"permission": [{"action": "sell"}]}),
    ],
)
def test_what_was_agreed_otherwise_is_counted(parent, policy):
    assert otherwise(parent, agreed(policy)) == (1, 1)


def test_one_rule_stands_for_one():
    twice = {"prohibition": [{"action": "sell", "@id": "urn:1"}, {"action": "sell", "@id": "urn:2"}]}
    assert otherwise(twice, agreed({"prohibition": [{"action": "sell"}]})) == (2, 1)


def test_what_is_no_policy_is_refused():
    with pytest.raises(PolicyError):
        otherwise({"permission": [5]}, agreed({}))
