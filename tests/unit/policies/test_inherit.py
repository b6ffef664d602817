"""Inherited terms are written out once, before a signature, and hashed (ODRL 2.2, 2.9; odrl.md 2)."""

import pytest

from kernel import wire
from policies.odrl import ODRL, PolicyError, Registry, digest, frozen, parse

REGISTRY = Registry([], profiles=["https://example.org/a", "https://example.org/b"])
PARENT = {
    "@id": "urn:parent",
    "target": "urn:asset",
    "profile": "https://example.org/a",
    "permission": [{"action": "use"}],
    "prohibition": [{"action": "sell"}],
}
CHILD = {
    "@id": "urn:child",
    "@type": "Offer",
    "inheritFrom": "urn:parent",
    "permission": [{"action": "use"}, {"action": "transfer"}],
}


def test_rules_profile_and_shared_members_come_along():
    found = frozen(CHILD | {"profile": ["https://example.org/b"]}, {"urn:parent": PARENT})
    policy = parse(found.policy, operands=REGISTRY)
    assert policy.profiles == ("https://example.org/a", "https://example.org/b")
    assert [(sorted(each.actions), [t.id for t in each.targets]) for each in policy.permissions] == [
        ([ODRL + "use"], ["urn:asset"]),
        ([ODRL + "use"], []),
        ([ODRL + "transfer"], []),
    ]
    assert policy.prohibitions[0].targets[0].id == "urn:asset"
    assert found.parents == {"urn:parent": wire.digest(PARENT)}, "of its canonical form, which anybody can compute"
    assert found.digest == digest(found.policy) == policy.digest


def test_a_policy_without_parents_stays_as_it_is():
    policy = {key: each for key, each in CHILD.items() if key != "inheritFrom"} | {"target": "urn:x"}
    assert frozen(policy, {}).policy == policy


def test_equal_rules_and_diamonds_count_once():
    known = {
        "urn:top": {"prohibition": [{"action": "sell"}]},
        "urn:left": {"inheritFrom": "urn:top", "permission": [{"action": "read"}]},
        "urn:right": {"inheritFrom": ["urn:top"], "permission": [{"action": "read"}]},
    }
    found = frozen({"inheritFrom": ["urn:left", "urn:right"]}, known)
    assert found.policy == {"permission": [{"action": "read"}], "prohibition": [{"action": "sell"}]}
    assert list(found.parents) == ["urn:top", "urn:left", "urn:right"]


def test_the_digest_moves_with_a_parent():
    other = PARENT | {"prohibition": [{"action": "distribute"}]}
    assert frozen(CHILD, {"urn:parent": PARENT}).digest != frozen(CHILD, {"urn:parent": other}).digest


def test_an_agreement_keeps_its_parties():
    child = CHILD | {"@type": "Agreement", "assigner": "did:web:p", "assignee": "did:web:c", "target": "urn:asset"}
    policy = parse(frozen(child, {"urn:parent": PARENT}).policy, operands=REGISTRY)
    assert (policy.assigner, policy.assignee) == ("did:web:p", "did:web:c")
    assert all(each.assignees[0].id == "did:web:c" for each in policy.permissions)
    other = PARENT | {"assignee": "did:web:other"}
    with pytest.raises(PolicyError, match="another assignee"):
        parse(frozen(child, {"urn:parent": other}).policy, operands=REGISTRY)


def test_references_are_replaced_by_what_is_known():
    limit = {"leftOperand": "count", "operator": "lteq", "rightOperandReference": "urn:limit"}
    policy = {"permission": [{"action": "use", "constraint": [{"or": [limit]}]}]}
    found = frozen(policy, {}, {"urn:limit": ("5",)}).policy
    assert found["permission"][0]["constraint"][0]["or"][0] == {"leftOperand": "count", "operator": "lteq", "rightOperand": "5"}
    assert parse(found, operands=REGISTRY).atoms()[0].right == ("5",)
    known = Registry([], references={"urn:limit": ("5",)})
    assert parse(policy, operands=known).atoms()[0].right == ("5",)
    for read in (lambda: frozen(policy, {}), lambda: parse(policy, operands=REGISTRY)):
        with pytest.raises(PolicyError, match="unknown reference"):
            read()


@pytest.mark.parametrize(
    ("known", "child", "reason"),
    [
        ({}, CHILD, "unknown policy"),
        ({"urn:parent": PARENT | {"inheritFrom": "urn:parent"}}, CHILD, "inherits from itself"),
        ({"urn:parent": {"inheritFrom": "urn:b"}, "urn:b": {"inheritFrom": "urn:parent"}}, CHILD, "inherits from itself"),
        ({"urn:parent": PARENT | {"conflict": "perm"}}, CHILD | {"conflict": "prohibit"}, "void"),
        ({f"urn:{n}": {} for n in range(40)}, {"inheritFrom": [f"urn:{n}" for n in range(40)]}, "more than 32"),
        (
            {f"urn:{'x' * 90}{n}": {} for n in range(30)},
            {"inheritFrom": [f"urn:{'x' * 90}{n}" for n in range(30)]},
            "longer than 2000",
        ),
        ({"urn:parent": PARENT | {"permission": [{"action": "use", "n": 2**60}]}}, CHILD, "canonical"),
        ({"urn:parent": 5}, CHILD, "object"),
        ({}, [], "object"),
    ],
)
def test_what_cannot_be_merged_is_refused(known, child, reason):
    with pytest.raises(PolicyError, match=reason):
        frozen(child, known)


def test_a_policy_that_still_inherits_is_not_read():
    with pytest.raises(PolicyError, match="write them out"):
        parse(CHILD, operands=REGISTRY)
