"""Is what was agreed what was offered (odrl.md 2 note 6)."""

import pytest

from policies.odrl import KZ, PolicyError, digest, same_terms, terms

ROLE = {"leftOperand": KZ + "role", "operator": "isAnyOf", "rightOperand": ["a", "b"]}
TIME = {"leftOperand": "odrl:dateTime", "operator": "lt", "rightOperand": "2027-01-01T00:00:00Z"}
OFFER = {
    "@id": "urn:uuid:1",
    "@type": "Offer",
    "permission": [{"action": "use", "constraint": [ROLE, TIME]}],
    "prohibition": [{"action": "distribute"}],
    "obligation": [{"action": "delete"}],
}
SAME = [
    OFFER | {"@type": "Agreement", "@id": "x", "assigner": "a", "assignee": "b", "target": "t", "timestamp": "now"},
    OFFER | {"permission": [{"constraint": [TIME, ROLE], "action": "use"}]},
    OFFER | {"permission": {"action": {"@id": "odrl:use"}, "constraint": [ROLE, TIME], "duty": []}},
    OFFER | {"permission": [{"action": "use", "constraint": [ROLE | {"rightOperand": ["b", "a"]}, TIME]}]},
    OFFER | {"permission": [{"action": "use", "constraint": [ROLE, TIME | {"rightOperand": {"@value": TIME["rightOperand"]}}]}]},
    OFFER | {"permission": [{"action": "use", "constraint": [ROLE | {"operator": {"@id": "odrl:isAnyOf"}}, TIME]}]},
    OFFER | {"conflict": "prohibit"},
]
OTHER = [
    (OFFER | {"prohibition": []}, "/prohibition: only in the first"),
    (OFFER | {"prohibition": [{"action": "sell"}]}, "/prohibition/0/action"),
    (
        OFFER | {"permission": [{"action": "use", "constraint": [ROLE]}]},
        "/permission/0/constraint/0 (permission use): only in the first",
    ),
    (
        OFFER | {"permission": [{"action": "use", "constraint": [ROLE, TIME, TIME]}]},
        "/permission/0/constraint/0 (permission use): only in the second",
    ),
    (OFFER | {"permission": [{"action": "use", "constraint": [ROLE | {"rightOperand": ["a"]}, TIME]}]}, "rightOperand"),
    (OFFER | {"permission": [{"action": "use", "constraint": [ROLE | {"operator": "isNoneOf"}, TIME]}]}, "operator"),
    (OFFER | {"obligation": [{"action": "delete"}, {"action": "inform"}]}, "/obligation"),
    (OFFER | {"profile": "https://example.org/p"}, "/profile: only in the second"),
    (OFFER | {"remark": "x"}, "/remark"),
    (OFFER | {"permission": [OFFER["permission"][0] | {"target": "x"}]}, "/permission/0/target"),
]


@pytest.mark.parametrize("other", SAME)
def test_the_same_terms(other):
    assert same_terms(OFFER, other) == same_terms(other, OFFER) == []
    assert digest(OFFER) == digest(other)


@pytest.mark.parametrize(("other", "where"), OTHER)
def test_other_terms_are_named(other, where):
    found = same_terms(OFFER, other)
    assert len(found) == 1
    assert where in found[0]
    assert digest(OFFER) != digest(other)


def test_the_order_of_a_sequence_is_a_term():
    first, second = (
        {"permission": [{"action": "use", "constraint": [{"andSequence": each}]}]} for each in ([ROLE, TIME], [TIME, ROLE])
    )
    assert same_terms(first, second)


def test_what_cannot_be_compared_is_refused():
    deep = []
    for _ in range(500):
        deep = [deep]
    forty: list = []
    for _ in range(40):
        forty = [forty]
    for value in ([], {"permission": deep}, {"x": float}, {"x": forty}, {"x": forty, "y": "y" * 10_000}, {"x": "y" * 300_000}):
        for _ in range(2):
            with pytest.raises(PolicyError):
                same_terms(OFFER, value)


@pytest.mark.parametrize("large", ["", "y" * 10_000])
def test_small_policies_are_compared_once_and_large_ones_in_the_same_way(monkeypatch, large):
    made, real = [], terms._made
    monkeypatch.setattr(terms, "_made", lambda policy: made.append(policy) or real(policy))
    terms._compared.cache_clear()
    first, second = OFFER | {"title": large}, OFFER | {"title": f"{large}!", "permission": []}
    for number in range(3):
        found = same_terms(first, second | {"@id": f"urn:{number}", "timestamp": str(number)})
        assert [each.partition(":")[0] for each in found] == ["/permission", "/title"]
    assert len(made) == (6 if large else 2)
