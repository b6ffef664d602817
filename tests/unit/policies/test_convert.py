"""kizuna policy convert: what comes along, what does not, and that nothing is dropped in silence."""

import json

import pytest
from typer.testing import CliRunner

from kernel.cli import application
from kernel.errors import BadInput
from policies.odrl import KZ, ODRL, same_terms
from policies.profiles import load
from policies.tools.convert import forms, read, write
from tests.support.shared import shared_data

CX = "https://w3id.org/catenax/2025/9/policy/"


@pytest.fixture(scope="module")
def profile():
    return load("battery")


def theirs(*constraints, action="use", **more):
    rule = {"action": action, "constraint": [{"and": list(constraints)}]}
    return {"@context": [CX + "odrl.jsonld", CX + "context.jsonld"], "@type": "Set", "@id": "x", "permission": [rule]} | more


def atom(left, operator, right):
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def effects(found):
    return [(each.path, each.effect) for each in found.losses]


def test_what_has_an_equivalent_comes_along(profile):
    found = read(
        theirs(
            atom("Membership", "eq", "active"),
            atom("FrameworkAgreement", "eq", "DataExchangeGovernance:1.0"),
            atom("UsagePurpose", "isAnyOf", ["cx.pcf.base:1", "cx.circular.dpp:1"]),
            atom("DataUsageEndDate", "eq", "2030-10-04T12:30:00Z"),
            atom("DataUsageEndDurationDays", "eq", 30),
        ),
        "catena-x",
        profile,
    )
    assert not found.losses
    assert found.policy["permission"][0]["constraint"] == [
        atom(KZ + "membership", "eq", "active"),
        atom(KZ + "memberOf", "eq", "DataExchangeGovernance:1.0"),
        atom(ODRL + "purpose", "isAnyOf", ["cfp.rollup:1", "passport.assembly:1"]),
        atom(ODRL + "dateTime", "lt", "2030-10-04T12:30:00Z"),
        atom(ODRL + "elapsedTime", "lteq", "P30D"),
    ]
    assert profile.policy(found.policy).kind == "Set"


def test_a_permission_whose_condition_is_lost_is_left_out(profile):
    given = theirs(
        atom("Membership", "eq", "active"), atom("BusinessPartnerNumber", "isAnyOf", ["BPNL012345678910"]), action="access"
    )
    found = read(given, "catena-x", profile)
    assert effects(found) == [("/permission/0/constraint/0/and/1", "looser")]
    assert "permission" not in found.policy, "nothing may become looser by conversion"
    kept = read(given, "catena-x", profile, keep=True)
    assert kept.policy["permission"][0]["constraint"] == [atom(KZ + "membership", "eq", "active")]


def test_legal_clauses_are_reported_and_do_not_hurt(profile):
    given = theirs(atom("Membership", "eq", "active"), atom("Liability", "eq", "cx.grossNegligence:1"))
    found = read(given, "catena-x", profile)
    assert effects(found) == [("/permission/0/constraint/0/and/1", "legal")]
    assert len(found.policy["permission"][0]["constraint"]) == 1


def test_a_prohibition_by_values_becomes_prohibitions_of_actions(profile):
    rule = {
        "action": "use",
        "constraint": [atom("UsageRestriction", "isAllOf", ["cx.thirdParty.forbidden:1", "cx.moon.forbidden:1"])],
    }
    found = read(theirs(atom("Membership", "eq", "active"), prohibition=[rule]), "catena-x", profile)
    assert found.policy["prohibition"] == [{"action": "distribute"}]
    assert effects(found) == [("/prohibition/0/constraint/0", "looser")]


def test_a_condition_of_a_prohibition_that_is_lost_forbids_more(profile):
    rule = {"action": "use", "constraint": [atom("AffiliatesRegion", "isAnyOf", ["cx.region.asia:1"])]}
    found = read(theirs(atom("Membership", "eq", "active"), prohibition=[rule]), "catena-x", profile)
    assert found.policy["prohibition"] == [{"action": "use"}]


def test_ids_contracts(profile):
    given = {
        "@context": {"ids": "https://w3id.org/idsa/core/", "idsc": "https://w3id.org/idsa/code/"},
        "@type": "ids:ContractOffer",
        "@id": "https://x.example/contract",
        "ids:contractStart": {"@value": "2026-01-01T00:00:00Z"},
        "ids:permission": [
            {
                "ids:action": [{"@id": "idsc:USE"}],
                "ids:constraint": [
                    {
                        "@type": "ids:Constraint",
                        "ids:leftOperand": {"@id": "idsc:POLICY_EVALUATION_TIME"},
                        "ids:operator": {"@id": "idsc:BEFORE"},
                        "ids:rightOperand": {"@value": "2030-01-01T00:00:00Z", "@type": "xsd:dateTimeStamp"},
                    },
                    {
                        "ids:leftOperand": {"@id": "https://w3id.org/idsa/code/COUNT"},
                        "ids:operator": {"@id": "idsc:LTEQ"},
                        "ids:rightOperand": {"@value": "5"},
                    },
                ],
                "ids:postDuty": [{"ids:action": [{"@id": "idsc:DELETE"}]}],
            }
        ],
        "ids:obligation": [{"ids:action": [{"@id": "idsc:ENCRYPT"}]}],
    }
    found = read(given, "ids", profile)
    assert found.policy["@type"] == "Offer"
    (rule,) = found.policy["permission"]
    assert rule["constraint"] == [atom(ODRL + "dateTime", "lt", "2030-01-01T00:00:00Z"), atom(ODRL + "count", "lteq", "5")]
    assert rule["duty"] == [{"action": "delete"}]
    assert effects(found) == [("/contractStart", "legal"), ("/obligation/0/action", "dropped")]
    again = read(write(found.policy, "ids", profile).policy, "ids", profile)
    assert same_terms(again.policy, found.policy) == []


def test_claims_by_path(profile):
    ours = {
        "@type": "Set",
        "permission": [
            {
                "action": "use",
                "constraint": [atom(KZ + "role", "isAnyOf", ["oem"]), atom(ODRL + "dateTime", "lt", "2030-01-01T00:00:00Z")],
            }
        ],
    }
    written = write(ours, "gaia-x", profile)
    assert not written.losses
    first = written.policy["permission"][0]["constraint"][0]
    assert first["ovc:leftOperand"] == "$.credentialSubject.role"
    assert first["ovc:credentialSubjectType"] == "RoleCredential"
    again = read(written.policy, "gaia-x", profile)
    assert same_terms(again.policy, ours) == []
    strange = {
        "permission": [
            {
                "action": "use",
                "constraint": [{"ovc:leftOperand": "$.credentialSubject.shoeSize", "operator": "eq", "rightOperand": "43"}],
            }
        ]
    }
    assert effects(read(strange, "gaia-x", profile)) == [("/permission/0/constraint/0", "looser")]


def test_writing_loses_a_permission_rather_than_its_condition(profile):
    ours = {
        "@type": "Offer",
        "permission": [
            {"action": "use", "constraint": [atom(KZ + "role", "eq", "oem")]},
            {"action": "use", "constraint": [atom(KZ + "membership", "eq", "active"), atom(ODRL + "elapsedTime", "lteq", "P30D")]},
        ],
        "prohibition": [{"action": "distribute"}, {"action": "sell"}],
    }
    found = write(ours, "catena-x", profile)
    assert len(found.policy["permission"]) == 1
    assert found.policy["prohibition"] == [
        {"action": "use", "constraint": [atom("UsageRestriction", "isAllOf", ["cx.thirdParty.forbidden:1"])]}
    ]
    assert effects(found) == [("/permission/0/constraint/0", "stricter"), ("/prohibition/1/action", "looser")]
    assert read(found.policy, "catena-x", profile).policy["permission"][0]["constraint"][1]["rightOperand"] == "P30D"


def test_every_official_sample_is_read_or_told(profile):
    folder = shared_data("catena-x/cx-odrl-profile/schema/samples")
    for path in sorted(folder.glob("*.json")):
        value = json.loads(path.read_text(encoding="utf-8"))
        if "permission" not in value:
            value = theirs(value)
        found = read(value, "catena-x", profile, keep=True)
        profile.policy(found.policy)
        count = json.dumps(value).count('"leftOperand"')
        assert (
            len(found.losses) + json.dumps(found.policy).count('"leftOperand"') + len(found.policy.get("prohibition", ())) >= count
        ), path.name


@pytest.mark.parametrize("form", list(forms()))
def test_odd_input_gives_a_report_or_an_error_and_never_a_crash(form, profile):
    for value in (
        [],
        "x",
        {"permission": "x"},
        {"permission": [{"action": None, "constraint": [{}]}]},
        {"permission": [{"constraint": [[]]}]},
    ):
        try:
            found = read(value, form, profile)
        except BadInput:
            continue
        assert found.losses or "permission" not in found.policy


def test_the_command(tmp_path):
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps(theirs(atom("Membership", "eq", "active"))))

    def run(*words):
        return CliRunner().invoke(application(), ["policy", "convert", str(file), *words])

    done = run("--from", "catena-x", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["policy"]["permission"][0]["constraint"] == [atom(KZ + "membership", "eq", "active")]
    file.write_text(json.dumps(theirs(atom("BusinessPartnerGroup", "isAnyOf", ["x"]))))
    done = run("--from", "catena-x")
    assert done.exit_code == 1
    assert "more would be permitted" in done.output
    assert isinstance(run().exception, BadInput)
    assert isinstance(run("--from", "moon").exception, BadInput)
