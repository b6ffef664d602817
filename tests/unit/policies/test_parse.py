"""What is refused when a policy is read, each with path and reason (odrl.md 2 notes 1 to 7, 6)."""

import pytest

from policies.odrl import KZ, PURPOSE, Compiled, Operand, PolicyError, Registry, parse

REGISTRY = Registry(
    [
        Operand(iri=KZ + "role", many=True),
        Operand(iri=KZ + "count", type="integer"),
        Operand(iri=KZ + "until", type="dateTime"),
        Operand(iri=KZ + "state", values=frozenset({"active"})),
        Operand(iri=PURPOSE, many=True, phases=("negotiation", "transfer")),
    ],
    profiles=["https://example.org/profile"],
)
ROLE = {"leftOperand": KZ + "role", "operator": "eq", "rightOperand": "a"}


def rule(*constraints, **members):
    return {"action": "use", "constraint": list(constraints), **members}


def read(value):
    return parse(value, operands=REGISTRY)


def test_a_whole_policy_is_read():
    found = read(
        {
            "@context": "http://www.w3.org/ns/odrl.jsonld",
            "@id": "urn:uuid:1",
            "@type": "Offer",
            "profile": "https://example.org/profile",
            "target": "urn:uuid:2",
            "permission": [rule({"and": [ROLE, {"or": [ROLE, ROLE]}]}, duty=[{"action": "attribute"}])],
            "prohibition": {"action": "odrl:distribute", "remedy": {"action": "delete"}},
            "obligation": [{"action": "delete", "consequence": [{"action": "compensate"}]}],
        }
    )
    assert (found.id, found.kind, found.target) == ("urn:uuid:1", "Offer", "urn:uuid:2")
    assert len(found.atoms()) == 3
    assert found.permissions[0].duties[0].action == "http://www.w3.org/ns/odrl/2/attribute"
    assert found.prohibitions[0].remedies[0].path == "/prohibition/0/remedy/0"
    assert found.obligations[0].consequences[0].action.endswith("compensate")


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        ([], "", "object"),
        ({"permission": [{}]}, "/permission/0/action", "has an action"),
        ({"permission": [{"action": "fly"}]}, "/permission/0/action", "unknown action"),
        ({"permission": ["use"]}, "/permission/0", "object"),
        ({"permission": [None]}, "/permission", "null"),
        ({"permissions": []}, "/permissions", "not understood"),
        ({"@type": "Ticket"}, "/@type", "not one of"),
        ({"@type": "Agreement", "assigner": "did:web:a"}, "", "assigner and its assignee"),
        ({"profile": "https://example.org/other"}, "/profile", "unknown profile"),
        ({"conflict": "last"}, "/conflict", "not one of"),
        ({"inheritFrom": "urn:uuid:9"}, "/inheritFrom", "inherited"),
        ({"target": "urn:y", "permission": [rule(target="urn:x")]}, "/permission/0/target", "another target"),
        ({"assignee": "did:web:y", "permission": [rule(assignee="did:web:x")]}, "/permission/0/assignee", "another assignee"),
        ({"permission": [rule(target={"@type": "AssetCollection"})]}, "/permission/0/target", "no id and no source"),
        ({"permission": [rule(target={"@type": "Policy", "@id": "urn:x"})]}, "/permission/0/target/@type", "not one of"),
        ({"permission": [rule(informedParty="urn:x")]}, "/permission/0/informedParty", "not understood"),
        ({"prohibition": [rule(duty=[])]}, "/prohibition/0/duty", "not understood"),
        ({"permission": [], "odrl:permission": []}, "/odrl:permission", "twice"),
        (
            {"permission": [rule({**ROLE, "leftOperand": "device"})]},
            "/permission/0/constraint/0/leftOperand",
            "deprecated, write systemDevice",
        ),
        ({"permission": [rule({**ROLE, "leftOperand": 5})]}, "/permission/0/constraint/0/leftOperand", "text"),
        ({"permission": [rule({**ROLE, "operator": "like"})]}, "/permission/0/constraint/0/operator", "unknown operator"),
        ({"permission": [rule({**ROLE, "rightOperand": []})]}, "/permission/0/constraint/0/rightOperand", "missing"),
        ({"permission": [rule({**ROLE, "rightOperand": ["a", "b"]})]}, "/permission/0/constraint/0/rightOperand", "one value"),
        ({"permission": [rule({**ROLE, "unit": "EUR"})]}, "/permission/0/constraint/0/unit", "no unit"),
        ({"permission": [rule({**ROLE, "and": [ROLE]})]}, "/permission/0/constraint/0", "one operator and nothing else"),
        ({"permission": [rule({"and": [ROLE], "or": [ROLE]})]}, "/permission/0/constraint/0", "one operator and nothing else"),
        ({"permission": [rule({"xone": []})]}, "/permission/0/constraint/0/xone", "has parts"),
        ({"permission": [rule({"or": [ROLE, {"and": [5]}]})]}, "/permission/0/constraint/0/or/1/and/0", "object"),
        ({"obligation": [{"action": ["delete", "inform"]}]}, "/obligation/0/action", "one action"),
    ],
)
def test_refused_with_path_and_reason(value, path, reason):
    with pytest.raises(PolicyError, match=reason) as caught:
        read(value)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("left", "right", "reason"),
    [
        ("until", "2026-11-24T09:00:00", "zone"),
        ("until", "2026-11-24", "zone"),
        ("until", "2026-02-30T09:00:00Z", "no such moment"),
        ("until", {"@value": "2026-11-24T09:00:00Z", "@type": "xsd:date"}, "datatype"),
        ("count", "1.5", "whole"),
        ("count", "1e3", "plain decimal"),
        ("count", "９", "plain decimal"),
        ("count", {"@value": 5, "@language": "en"}, "expected"),
        ("count", {"@value": {"@value": 5}}, "expected"),
        ("role", "", "1 to"),
        ("role", {"a": 1}, "expected"),
        ("state", "activ", "not one of the values"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(left, right, reason):
    with pytest.raises(PolicyError, match=reason):
        read({"permission": [rule({"leftOperand": KZ + left, "operator": "eq", "rightOperand": right})]})


@pytest.mark.parametrize(
    "right",
    [
        "5",
        5,
        5.0,
        {"@value": "5"},
        {"@value": 5, "@type": "xsd:integer"},
        {"@value": 5, "@type": "http://www.w3.org/2001/XMLSchema#int"},
    ],
)
def test_forms_of_one_value(right):
    assert read({"permission": [rule({"leftOperand": KZ + "count", "operator": "eq", "rightOperand": right})]}).permissions


def nested(levels):
    found = ROLE
    for _ in range(levels):
        found = {"and": [found]}
    return {"permission": [rule(found)]}


def test_limits():
    assert read(nested(10))
    for value, reason in (
        (nested(20), "nested deeper than 32"),
        (nested(600), "nested deeper than 32"),
        ({"permission": [rule()] * 201}, "200 rules"),
        ({"permission": [rule(*[ROLE] * 2001)]}, "2000 constraints"),
        ({"permission": [rule({**ROLE, "operator": "isAnyOf", "rightOperand": ["a"] * 10_001})]}, "10000 values"),
        ({"permission": [rule({**ROLE, "rightOperand": "a" * 262_144})]}, "bytes"),
        ({"permission": [rule({**ROLE, "rightOperand": "\ud800"})]}, "not JSON"),
        ({"permission": [rule({**ROLE, "rightOperand": 2**70})]}, "not JSON"),
    ):
        with pytest.raises(PolicyError, match=reason):
            read(value)


def test_an_operand_that_is_known_in_no_phase_cannot_be_registered():
    with pytest.raises(PolicyError, match="never be enforced"):
        Registry([Operand(iri=KZ + "x", phases=())])


@pytest.mark.parametrize("target", ["d", "d" * 5_000], ids=["short", "long"])
def test_a_policy_is_parsed_once(target):
    compiled = Compiled(REGISTRY, capacity=2)
    first = compiled({"@id": "a", "permission": [rule(ROLE)], "target": target})
    assert compiled({"target": target, "permission": [rule(ROLE)], "@id": "a"}) is first
    assert compiled({"@id": "a", "permission": [rule(ROLE)], "target": f"{target}e"}) is not first
    compiled({"@id": "a", "target": target})
    assert compiled({"@id": "a", "permission": [rule(ROLE)], "target": target}) is not first


@pytest.mark.parametrize(
    "own", [{}, {"@id": "b"}, {"@id": "b", "timestamp": "2026-11-24T09:00:00Z"}, {"uid": "b"}, {"@id": {"@id": "b"}}]
)
def test_the_same_terms_under_another_name_are_read_as_if_alone(own):
    compiled, terms = Compiled(REGISTRY), {"permission": [rule(ROLE)]}
    compiled({"@id": "a", "timestamp": "2026-11-24T08:00:00Z"} | terms)
    assert compiled(own | terms) == read(own | terms)


@pytest.mark.parametrize("own", [{"@id": ""}, {"@id": 5}, {"timestamp": ["x"]}])
def test_a_name_that_cannot_be_read_is_refused_whatever_was_read_before(own):
    compiled, terms = Compiled(REGISTRY), {"permission": [rule(ROLE)]}
    compiled({"@id": "a"} | terms)
    with pytest.raises(PolicyError):
        compiled(own | terms)


def test_the_purposes_that_terms_allow():
    purpose = {"leftOperand": "purpose", "operator": "isAnyOf", "rightOperand": ["x", "y"]}
    never = {"leftOperand": "purpose", "operator": "isNoneOf", "rightOperand": ["z"]}
    found = read({"permission": [rule({"and": [ROLE, purpose]}, never)], "prohibition": [rule(purpose)]})
    assert found.values(PURPOSE) == ("x", "y")
