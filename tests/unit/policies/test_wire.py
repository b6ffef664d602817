"""What fits DSP 2025-1, what is rewritten to an equivalent, what is refused; against the official schema where it is here."""

import json

import jsonschema_rs
import pytest

from policies.odrl import KZ, ODRL, Operand, PolicyError, Registry, parse
from policies.odrl.wire import fitted
from tests.support.shared import shared_data

REGISTRY = Registry([Operand(iri=KZ + "role", many=True), Operand(iri=KZ + "granularity")], profiles=["https://example.org/p"])
ROLE = {"leftOperand": KZ + "role", "operator": "eq", "rightOperand": "a"}
PER_SUPPLIER = {"leftOperand": KZ + "granularity", "operator": "eq", "rightOperand": "per-supplier"}


def offer(**members):
    return {"@id": "urn:uuid:1", "@type": "Offer", "permission": [{"action": "use"}]} | members


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (
            offer(
                prohibition=[
                    {"action": [{"rdf:value": {"@id": "odrl:derive"}, "refinement": [PER_SUPPLIER]}], "constraint": [ROLE]}
                ]
            ),
            offer(prohibition=[{"action": "derive", "constraint": [PER_SUPPLIER, ROLE]}]),
        ),
        (
            offer(permission=[{"action": ["use", "aggregate"], "constraint": ROLE}]),
            offer(permission=[{"action": "use", "constraint": [ROLE]}, {"action": "aggregate", "constraint": [ROLE]}]),
        ),
        (offer(permission={"action": {"@id": "use"}}, prohibition=[], obligation=[]), offer()),
        (offer(conflict="odrl:prohibit"), offer()),
        ({**offer(permission=[{}]), "action": "use"}, offer()),
        (
            offer(permission=[{"action": "use", "target": "urn:x"}], prohibition=[{"action": "sell", "target": {"@id": "urn:x"}}]),
            None,
        ),
        (
            offer(permission=[{"action": "use", "target": "urn:x"}], prohibition=[{"action": "sell", "target": "urn:x"}]),
            offer(prohibition=[{"action": "sell"}], target="urn:x"),
        ),
        (
            offer(
                permission=[
                    {
                        "action": "use",
                        "constraint": [{"leftOperand": {"@id": "count"}, "operator": "odrl:lteq", "rightOperand": 5}],
                    }
                ]
            ),
            offer(
                permission=[{"action": "use", "constraint": [{"leftOperand": "count", "operator": "lteq", "rightOperand": "5"}]}]
            ),
        ),
        (offer(uid="urn:uuid:1"), offer()),
        ({"@context": "x", **offer(profile="https://example.org/p")}, offer(profile="https://example.org/p")),
    ],
)
def test_what_has_an_equivalent_is_rewritten(given, sent):
    if sent is None:
        assert not fitted(given).sendable
        return
    given = {key: value for key, value in given.items() if not (key == "@id" and "uid" in given)}
    found = fitted(given)
    assert found.sendable, found.misfits
    assert found.policy == sent
    assert fitted(sent).policy == sent
    assert fitted(sent).changes == ()


@pytest.mark.parametrize(
    ("value", "path", "level"),
    [
        (offer(**{"@type": "Set"}), "/@type", "refused"),
        ({"@type": "Offer", "permission": [{"action": "use"}]}, "/@id", "refused"),
        (offer(permission=[], obligation=[{"action": "delete"}]), "", "refused"),
        (offer(inheritFrom="urn:x"), "/inheritFrom", "refused"),
        (offer(permission=[{"action": "use", "target": "a"}, {"action": "use", "target": "b"}]), "/permission/0/target", "refused"),
        (offer(permission=[{"action": "use", "target": "a"}, {"action": "use"}]), "/permission/0/target", "refused"),
        (offer(target={"@type": "AssetCollection", "@id": "a", "refinement": [ROLE]}), "/target", "refused"),
        (offer(permission=[{"action": "use", "assignee": "did:web:x"}]), "/permission/0/assignee", "refused"),
        (
            offer(obligation=[{"action": {"@id": "compensate", "refinement": [ROLE]}}]),
            "/obligation/0/action",
            "refused",
        ),
        (
            offer(permission=[{"action": "use", "duty": [{"action": {"@id": "compensate", "refinement": [ROLE]}}]}]),
            "/permission/0/duty/0/action",
            "refused",
        ),
        (
            offer(
                permission=[
                    {"action": "use", "constraint": [{"leftOperand": "count", "operator": "eq", "rightOperandReference": "urn:x"}]}
                ]
            ),
            "/permission/0/constraint/0/rightOperandReference",
            "refused",
        ),
        (offer(permission=[{"action": "use", "duty": [{"action": "delete"}]}]), "/permission/0/duty", "undescribed"),
        (offer(prohibition=[{"action": "sell", "remedy": [{"action": "delete"}]}]), "/prohibition/0/remedy", "undescribed"),
        (offer(obligation=[{"action": "inform", "informedParty": "did:web:x"}]), "/obligation/0/informedParty", "undescribed"),
        (
            offer(obligation=[{"action": "delete", "consequence": [{"action": "compensate"}]}]),
            "/obligation/0/consequence",
            "undescribed",
        ),
        (
            offer(
                permission=[
                    {
                        "action": "use",
                        "constraint": [{"leftOperand": "payAmount", "operator": "eq", "rightOperand": "5", "unit": "EUR"}],
                    }
                ]
            ),
            "/permission/0/constraint/0/unit",
            "undescribed",
        ),
        (offer(conflict="perm"), "/conflict", "undescribed"),
    ],
)
def test_what_does_not_fit_is_said(value, path, level):
    found = fitted(value)
    assert (path, level) in {(each.path, each.level) for each in found.misfits}
    assert found.sendable is (level == "undescribed")
    assert bool(found.reasons) is (level == "refused")


def test_the_pilots_policy_as_it_stands_is_rewritten():
    """Several actions, a duty with an own data type, a refined prohibition (pilots.md 4.4)."""
    kept = {"leftOperand": "elapsedTime", "operator": "lteq", "rightOperand": {"@value": "P3Y", "@type": "xsd:duration"}}
    value = offer(
        permission=[
            {"action": ["use", "aggregate"], "constraint": [{"and": [ROLE]}], "duty": [{"action": "delete", "constraint": [kept]}]}
        ],
        prohibition=[{"action": "distribute"}, {"action": [{"rdf:value": {"@id": "odrl:derive"}, "refinement": [PER_SUPPLIER]}]}],
        target="urn:uuid:2",
    )
    found = fitted(value)
    assert found.sendable
    assert [rule["action"] for rule in found.policy["permission"]] == ["use", "aggregate"]
    assert found.policy["prohibition"][1] == {"action": "derive", "constraint": [PER_SUPPLIER]}
    assert parse(found.policy, operands=REGISTRY).permissions[1].duties[0].action == ODRL + "delete"


@pytest.mark.parametrize("value", [offer(permission=["use"]), offer(permission=[{"action": "use", "constraint": [5]}])])
def test_what_is_no_policy_is_refused(value):
    with pytest.raises(PolicyError, match="object"):
        fitted(value)


def test_what_is_sendable_fits_the_official_schema():
    validator = jsonschema_rs.validator_for(json.loads(shared_data("dsp-2025-1/negotiation/contract-schema.json").read_bytes()))
    given = offer(
        permission=[
            {"action": [{"@id": "use", "refinement": ROLE}, "read"], "constraint": {"xone": [ROLE, {"andSequence": ROLE}]}}
        ],
        prohibition={"action": "sell"},
        obligation=[{"action": "delete", "constraint": [{"leftOperand": "count", "operator": "term-lteq", "rightOperand": 5}]}],
        target="urn:uuid:2",
    )
    assert list(validator.iter_errors(given))
    assert not list(validator.iter_errors(fitted(given).policy))
