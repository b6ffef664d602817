"""The pilots' sample payloads are valid, realistic in size, and any single change that breaks them is caught with its path."""

import copy
import hashlib
import json
from pathlib import Path

import pytest

from kernel import wire
from policies.profiles import load

PILOTS = Path(__file__).parents[3] / "deploy" / "pilots"
SAMPLES = [
    ("battery", "battery-passport", "battery-passport"),
    ("battery", "battery-passport-public", "battery-passport-public"),
    ("steel", "mill-certificate", "mill-certificate"),
    ("steel", "mill-certificate-public", "mill-certificate-public"),
]


def sample(profile, name):
    return wire.loads((PILOTS / profile / "samples" / f"{name}.json").read_bytes(), limit=1 << 20)


def places(node, path=()):
    """Every place of a document: (path, value), containers too."""
    yield path, node
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(value, (*path, key))


def changed(document, path, act):
    found = copy.deepcopy(document)
    node = found
    for step in path[:-1]:
        node = node[step]
    act(node, path[-1])
    return found


@pytest.mark.parametrize(("profile", "schema", "name"), SAMPLES)
def test_samples_are_valid(profile, schema, name):
    assert load(profile).validate(schema, sample(profile, name)) == ()


@pytest.mark.parametrize(
    ("profile", "name", "least"), [("battery", "battery-passport", 15_000), ("steel", "mill-certificate", 8_000)]
)
def test_samples_have_the_size_of_real_ones(profile, name, least):
    assert least < (PILOTS / profile / "samples" / f"{name}.json").stat().st_size < 40_000


@pytest.mark.parametrize(("profile", "schema", "name"), SAMPLES)
def test_every_value_of_another_json_type_is_caught(profile, schema, name):
    loaded, document = load(profile), sample(profile, name)
    for path, value in places(document):
        if path:
            other = 7 if isinstance(value, str | bool | dict | list) else "seven"
            broken = changed(document, path, lambda node, key, other=other: node.__setitem__(key, other))
            found = loaded.validate(schema, broken)
            assert found, path
            assert found[0].path.startswith(pointer(path)), (path, found[0])
            assert found[0].reason


@pytest.mark.parametrize(("profile", "schema", "name"), SAMPLES)
def test_every_unknown_member_is_caught(profile, schema, name):
    loaded, document = load(profile), sample(profile, name)
    for path, value in places(document):
        if isinstance(value, dict):
            broken = copy.deepcopy(document)
            node = broken
            for step in path:
                node = node[step]
            node["supplierSecret"] = "x"
            assert loaded.validate(schema, broken), path


@pytest.mark.parametrize(("profile", "schema", "name"), SAMPLES)
def test_every_member_of_the_top_is_required(profile, schema, name):
    document = sample(profile, name)
    for key in document:
        (found,) = load(profile).validate(schema, {each: value for each, value in document.items() if each != key})
        assert found.path == ""
        assert key in found.reason


def pointer(path):
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


BROKEN = [
    # B-P2, B-P3, B-P9, B-P10 of pilots.md 4.7, and links between parts of the document
    ("battery", "carbonFootprint.total", "64.50", "footprint-stages"),
    ("battery", "carbonFootprint.stages.1.value", "19.32", "footprint-stages"),
    ("battery", "carbonFootprint.stages.0.share", "65.30", "footprint-shares"),
    ("battery", "carbonFootprint.stages.3.stage", "distribution", "footprint-stage-once"),
    ("battery", "carbonFootprint.stages.0.dataQuality.temporal", "5.1", "quality-temporal"),
    ("battery", "carbonFootprint.stages.0.dataQuality.geographical", "0", "quality-geographical"),
    ("battery", "carbonFootprint.period.end", "2025-09-30", "footprint-period"),
    ("battery", "carbonFootprint.plants.0", "urn:jp:plant:other", "footprint-plant"),
    ("battery", "materials.composition.3.share", "28.60", "composition-shares"),
    ("battery", "materials.composition.3.mass", "2.0081", "composition-mass"),
    ("battery", "materials.composition.3.cas", "7782-42-6", "composition-cas"),
    ("battery", "materials.hazardous.1.cas", "616-38-7", "hazardous-cas"),
    ("battery", "materials.recycledContent.1.virgin", "75.90", "recycled-content"),
    ("battery", "performance.rated.energy.value", "1024", "rated-energy"),
    ("battery", "performance.rated.voltage.nominal", "3.7", "rated-voltage"),
    ("battery", "performance.rated.temperature", "80", "rated-temperature"),
    ("battery", "performance.cycleTests.0.points.0.sample", "S-2699", "cycle-samples"),
    ("battery", "identification.manufacturer.corporateNumber", "4012300045687", "maker-number"),
    ("battery", "identification.issued", "2026-10-06", "issued-after-made"),
    ("battery", "identification.expires", "2026-10-29", "expires-after-issued"),
    ("battery", "identification.serials.1", "KC280B6J418201", "serials-once"),
    ("battery", "conformity.testReports.0.document", "TR-0", "report-documents"),
    ("battery", "conformity.dueDiligence.report", "DD-2025", "diligence-report"),
    # S-P2, S-P3, S-P5 of pilots.md 4.7; the fraud classes of 2.2
    ("steel", "product.pieces.0.heat", "6K2499", "heat-of-piece"),
    ("steel", "tensileTests.0.heat", "6K2499", "heat-of-test"),
    ("steel", "tensileTests.0.piece", "H61004799-1", "piece-of-test"),
    ("steel", "dimensions.0.piece", "H61004799-1", "piece-of-inspection"),
    ("steel", "heats.0.heat", "6K2499", "heat-of-piece"),
    ("steel", "heats.1.heat", "6K2417", "heats-once"),
    ("steel", "product.pieces.1.id", "H61004711-1", "pieces-once"),
    ("steel", "tensileTests.1.test", "T26-10430", "tests-once"),
    ("steel", "heats.0.analysis.0.value", "0.142", "analysis-limits"),
    ("steel", "heats.0.analysis.3.value", "0.046", "analysis-limits"),
    ("steel", "heats.0.carbonEquivalent", "0.132", "carbon-equivalent"),
    ("steel", "tensileTests.2.tensileStrength.value", "269", "tensile-limits"),
    ("steel", "tensileTests.2.elongation.value", "30", "elongation-limits"),
    ("steel", "tensileTests.2.yieldRatio", "75.0", "yield-ratio"),
    ("steel", "dimensions.0.measured.0.value", "3.43", "dimension-limits"),
    ("steel", "product.totalMass", 89001, "total-mass"),
    ("steel", "manufacturer.company.corporateNumber", "6234500011121", "maker-number"),
    ("steel", "certificate.date", "2026-09-27", "issued-after-cast"),
    ("steel", "validation.date", "2026-10-02", "signed-after-test"),
]
SCHEMAS = {"battery": "battery-passport", "steel": "mill-certificate"}


@pytest.mark.parametrize(("profile", "where", "value", "rule"), BROKEN)
def test_a_change_that_only_contradicts_the_rest_is_caught(profile, where, value, rule):
    steps = tuple(int(step) if step.isdigit() else step for step in where.split("."))
    schema = SCHEMAS[profile]
    broken = changed(sample(profile, schema), steps, lambda node, key: node.__setitem__(key, value))
    found = load(profile).validate(schema, broken)
    assert rule in {each.reason.split(":")[0] for each in found}, found
    assert all(each.path.startswith("/") for each in found)


def test_one_of_yield_point_and_proof_strength():
    document = sample("steel", "mill-certificate")
    both = changed(document, ("tensileTests", 0), lambda node, key: node[key].update(proofStrength={"value": "236", "unit": "MPa"}))
    neither = changed(document, ("tensileTests", 0), lambda node, key: node[key].pop("yieldPoint"))
    for broken in (both, neither):
        (found,) = load("steel").validate("mill-certificate", broken)
        assert (found.path, found.reason.split(":")[0]) == ("/tensileTests/0", "yield-or-proof")


@pytest.mark.parametrize("profile", ["battery", "steel"])
def test_the_public_schema_has_no_place_for_the_restricted_document(profile):
    name = SCHEMAS[profile]
    assert load(profile).validate(f"{name}-public", sample(profile, name))


def test_public_part_says_the_same_as_the_whole():
    whole, public = sample("battery", "battery-passport"), sample("battery", "battery-passport-public")
    for path, value in places(public):
        if not isinstance(value, dict | list):
            node = whole
            for step in path:
                node = node[step]
            assert node == value, path
    assert "serials" not in public["identification"]


def test_document_hashes_are_distinct():
    documents = sample("battery", "battery-passport")["documents"]
    assert len({each["sha256"] for each in documents}) == len(documents)
    assert hashlib.sha256().hexdigest() not in json.dumps(documents)
