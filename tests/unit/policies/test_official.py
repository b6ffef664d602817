"""Against the official files: every template fits the DSP 2025-1 contract schema, and our samples the facts of neighbouring models.

The files are read from `../shared/data` and skipped where that is absent; nothing of them is in the project.
"""

import json
from decimal import Decimal

import jsonschema_rs
import pytest

from policies.odrl import ODRL, Registry, parse, same_terms, undecidable
from policies.profiles import load, shipped
from policies.profiles.folder import SHIPPED
from tests.support.shared import shared_data
from tests.unit.policies.test_samples import sample

TEMPLATES = [(name, template) for name in shipped() for template in load(name).templates]


def official(path):
    return json.loads(shared_data(path).read_bytes())


def filled(name, template):
    """A template with every parameter at a trial value, and with the required ones only."""
    profile = load(name)
    parameters = profile.templates[template].parameters
    every = {key: each.trial() for key, each in parameters.items()}
    yield profile, profile.offer(template, **every)
    yield profile, profile.offer(template, **{key: value for key, value in every.items() if not parameters[key].optional})


@pytest.mark.parametrize(("name", "template"), TEMPLATES)
def test_every_template_fits_the_contract_schema(name, template):
    validator = jsonschema_rs.validator_for(official("dsp-2025-1/negotiation/contract-schema.json"))
    for _, policies in filled(name, template):
        for policy in policies:
            # The root schema is an Offer with and one without a target; both must take it, one at a time.
            for wire in (
                policy | {"target": "urn:uuid:1"},
                policy | {"@type": "Agreement", "target": "t", "assigner": "a", "assignee": "b"},
            ):
                assert not list(validator.iter_errors(wire))


@pytest.mark.parametrize(("name", "template"), TEMPLATES)
def test_a_policy_survives_the_wire(name, template):
    for profile, (_, contract) in filled(name, template):
        agreement = json.loads(json.dumps(contract)) | {"@type": "Agreement", "assigner": "did:web:a", "assignee": "did:web:b"}
        assert same_terms(contract, agreement) == []
        assert parse(agreement, operands=profile.operands).digest == profile.policy(contract).digest


def test_the_official_example_catalog_is_read_and_its_place_of_use_is_left_to_the_consumer():
    offer = official("dsp-2025-1/catalog/example/catalog.json")["dataset"][0]["hasPolicy"][0]
    found = parse(offer, operands=Registry([]))
    assert undecidable(found, "transfer") == (ODRL + "spatial",)
    assert undecidable(found, "consumer") == ()


def test_the_life_cycle_and_blocks_are_those_of_the_neighbouring_passport():
    schema = official("catena-x/io.catenax.battery.battery_pass/6.1.0/BatteryPass-schema.json")
    blocks = set(schema["properties"])
    passport = sample("battery", "battery-passport")
    same = {"identification", "characteristics", "materials", "performance", "conformity", "handling"}
    assert same <= blocks
    assert same <= passport.keys()
    text = json.dumps(schema)
    assert all(stage in text for stage in ("raw material", "main product production", "distribution", "recycling"))
    assert len(passport["carbonFootprint"]["stages"]) == 4


def test_categories_are_known_to_the_neighbouring_passport():
    text = json.dumps(official("catena-x/io.catenax.battery.battery_pass/6.1.0/BatteryPass-schema.json")).lower()
    own = json.loads((SHIPPED / "battery/schemas/battery-passport.json").read_text())
    for category in ("ev", "lmt", "industrial"):
        assert category in own["$defs"]["identification"]["properties"]["category"]["enum"]
        assert f'"{category}"' in text


def test_the_certificate_carries_what_en_10168_requires():
    """The required fields of the official certificate, each by its code in ours, and a converted chemical analysis that fits it."""
    schema = official("steel/en10168-0.5.0/schema.json")
    certificate = sample("steel", "mill-certificate")
    ours = {
        "A01": certificate["manufacturer"]["company"],
        "A02": certificate["certificate"]["type"],
        "A03": certificate["certificate"]["number"],
        "A04": certificate["manufacturer"]["mark"],
        "A05": certificate["manufacturer"]["works"],
        "A06": certificate["order"]["purchaser"],
        "A07": certificate["order"]["purchaseOrder"],
        "B01": certificate["product"]["name"],
        "B02": certificate["product"]["grade"],
        "B07": [each["heat"] for each in certificate["product"]["pieces"]],
        "B09": certificate["product"]["form"],
        "Z01": certificate["validation"]["statement"],
        "Z02": certificate["validation"]["date"],
    }
    required = set(required_fields(schema)) & {f"{group}{n:02}" for group in "ABZ" for n in range(100)}
    assert required <= ours.keys(), required - ours.keys()
    assert all(ours.values())


def required_fields(node):
    if isinstance(node, dict):
        yield from (each for each in node.get("required", ()) if isinstance(each, str))
        for value in node.values():
            yield from required_fields(value)
    elif isinstance(node, list):
        for value in node:
            yield from required_fields(value)


def test_heats_are_linked_which_no_official_fixture_does():
    certificate = sample("steel", "mill-certificate")
    heats = {each["heat"] for each in certificate["heats"]}
    assert (
        {each["heat"] for each in certificate["tensileTests"]}
        == heats
        == {each["heat"] for each in certificate["product"]["pieces"]}
    )


def test_values_are_plausible_for_the_grade():
    """SPHC of JIS G 3131: C at most 0.12, Mn 0.60, P 0.045, S 0.035; tensile strength at least 270 MPa."""
    certificate = sample("steel", "mill-certificate")
    limits = {"C": "0.12", "Mn": "0.60", "P": "0.045", "S": "0.035"}
    for heat in certificate["heats"]:
        stated = {each["symbol"]: each.get("maximum") for each in heat["analysis"]}
        assert {symbol: stated[symbol] for symbol in limits} == limits
    assert all(Decimal(each["tensileStrength"]["minimum"]) == 270 for each in certificate["tensileTests"])
