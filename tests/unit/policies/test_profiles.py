"""Profiles as data: the shipped ones, their facts and texts, and a third one that is only a folder."""

import json
from pathlib import Path

import pytest

from policies.odrl import KZ, ODRL, PURPOSE, same_terms
from policies.profiles import BadParameter, ProfileError, UnknownEntry, load, shipped
from policies.profiles.folder import SHIPPED
from policies.profiles.trade import Standing

ROLES = {"RoleCredential": ({"id": "did:web:a", "role": ["cellMaker", "recycler"]},)}
MEMBER = {"MembershipCredential": ({"id": "did:web:a", "memberOf": "space.example"},)}
NUMBER = {
    "LegalRegistrationNumberCredential": (
        {"identifiers": [{"scheme": "eori", "value": "JP1"}, {"scheme": "jp-corporate-number", "value": "7000012050002"}]},
    )
}


def test_shipped_profiles():
    assert set(shipped()) >= {"base", "battery", "steel"}


@pytest.mark.parametrize("name", shipped())
def test_texts_are_complete_and_japanese(name):
    profile = load(name)
    assert profile.texts["en"].keys() == profile.texts["ja"].keys()
    assert all(any("\u3040" <= each <= "\u9fff" for each in text) for text in profile.texts["ja"].values())
    assert profile.title["ja"] == profile.text("title", "ja") != profile.title["en"]


@pytest.mark.parametrize("name", shipped())
def test_scopes_and_claim_tables(name):
    profile = load(name)
    assert profile.scopes == ("org.eclipse.dspace.dcp.vc.type:MembershipCredential:read",)
    assert "org.eclipse.dspace.dcp.vc.type:RoleCredential:read" in profile.optional_scopes
    assert {each.type for each in profile.claim_tables} == set(profile.credential_types)


def test_facts_come_from_credentials_by_path():
    facts = load("base").facts(ROLES | MEMBER | NUMBER, purpose=("x",), participant="did:web:a")
    assert facts == {
        KZ + "recognised": "true",
        KZ + "membership": "active",
        KZ + "memberOf": ("space.example",),
        KZ + "role": ("cellMaker", "recycler"),
        KZ + "corporateNumber": ("7000012050002",),
        KZ + "participant": "did:web:a",
        PURPOSE: ("x",),
    }


def test_what_no_credential_says_is_absent():
    profile = load("base")
    assert profile.facts({}) == {}
    assert profile.facts({"RoleCredential": ()}) == {}
    assert profile.facts({"RoleCredential": ({"roles": ["x"]},)}) == {KZ + "recognised": "true"}
    assert KZ + "role" not in profile.facts({"RoleCredential": ({"role": [{"name": "x"}, None]},)})


def test_unknown_ids_name_the_known_ones():
    profile = load("battery")
    with pytest.raises(UnknownEntry) as caught:
        profile.offer("passport")
    assert "passport-one-up" in caught.value.next_step
    with pytest.raises(UnknownEntry) as caught:
        profile.validate("passport", {})
    assert "battery-passport" in caught.value.next_step


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({}, "role is missing"),
        ({"role": "king"}, "not possible"),
        ({"role": []}, "at least one"),
        ({"role": "oem", "retention": "P1D"}, "not between P30D and P10Y"),
        ({"role": "oem", "retention": "P20Y"}, "not between"),
        ({"role": "oem", "retention": "3 years"}, "ISO 8601"),
        ({"role": "oem", "until": "2027-01-01"}, "zone"),
        ({"role": "oem", "dataSpace": ["a", "b"]}, "one value"),
        ({"role": "oem", "price": "1"}, "unknown parameter price"),
    ],
)
def test_parameters_are_typed_and_bounded(parameters, reason):
    with pytest.raises(BadParameter, match=reason):
        load("battery").offer("passport-one-up", **parameters)


def test_a_template_is_filled():
    profile = load("battery")
    access, contract = profile.offer("passport-one-up", role="packMaker", retention="P1Y", purpose=["cfp.rollup:1"])
    assert access["@id"] != contract["@id"]
    assert access["permission"][0]["constraint"] == [
        {"leftOperand": KZ + "membership", "operator": "eq", "rightOperand": "active"},
        {"leftOperand": KZ + "role", "operator": "isAnyOf", "rightOperand": ["packMaker"]},
    ]
    assert contract["permission"][0]["constraint"][2] == {
        "leftOperand": PURPOSE,
        "operator": "isAnyOf",
        "rightOperand": ["cfp.rollup:1"],
    }
    assert {"action": "distribute"} in contract["prohibition"]
    assert contract["obligation"][0]["constraint"][0] == {
        "leftOperand": ODRL + "elapsedTime",
        "operator": "lteq",
        "rightOperand": "P1Y",
    }
    _, tied = profile.offer("passport-one-up", role="packMaker", dataSpace="space.example", until="2027-01-01T00:00:00+09:00")
    assert [each["leftOperand"].split("/")[-1] for each in tied["permission"][0]["constraint"]] == [
        *("1#membership", "1#memberOf", "1#role", "purpose", "dateTime"),
    ]
    assert same_terms(contract, tied)


# A profile that is only a folder ------------------------------------------------------------------------------------------

TOY = """
id = "https://example.org/profile/flowers/1"
version = "0.1.0"
extends = "base"

[[credential]]
type = "GardenCredential"
claims = { beds = { form = "number", required = true } }

[[operand]]
name = "https://example.org/flowers#beds"
type = "integer"
source = { credential = "GardenCredential", path = "beds" }

[[schema]]
id = "bouquet"
file = "bouquet.json"

[[rule]]
kind = "sum"
id = "stems"
schemas = ["bouquet"]
terms = ["flowers[].stems"]
total = "stems"

[[template]]
id = "gardeners"
file = "gardeners.json"
"""
TEXTS = {
    "title": ("Flowers", "花"),
    "schema.bouquet": ("Bouquet", "花束"),
    "rule.stems": ("Stems add up.", "本数の合計が一致すること。"),
    "operand.beds": ("beds in the garden credential", "庭園クレデンシャルの花壇数"),
    "template.gardeners": ("For gardeners", "園芸家向け"),
    "template.gardeners.terms": ("Gardeners may use it.", "園芸家は利用できる。"),
}
CONSTRAINT = {"leftOperand": "https://example.org/flowers#beds", "operator": "gteq", "rightOperand": "{least}"}
GARDENERS = {
    "version": "0.1.0",
    "parameters": {"least": {"type": "integer", "least": "1", "most": "99"}},
    "access": {"permission": [{"action": "use", "constraint": [CONSTRAINT]}]},
    "contract": {"permission": [{"action": "use", "constraint": [CONSTRAINT]}], "prohibition": [{"action": "sell"}]},
}
BOUQUET = {
    "type": "object",
    "required": ["stems", "flowers"],
    "properties": {"stems": {"type": "integer"}, "flowers": {"type": "array", "items": {"type": "object"}}},
}


@pytest.fixture
def toy(tmp_path):
    for name in ("schemas", "templates", "texts"):
        (tmp_path / name).mkdir()
    (tmp_path / "profile.toml").write_text(TOY)
    (tmp_path / "schemas/bouquet.json").write_text(json.dumps(BOUQUET))
    (tmp_path / "templates/gardeners.json").write_text(json.dumps(GARDENERS))
    for n, language in enumerate(("en", "ja")):
        lines = [f"{json.dumps(key)} = {json.dumps(both[n])}" for key, both in TEXTS.items()]
        (tmp_path / f"texts/{language}.toml").write_text("\n".join(lines))
    return tmp_path


def test_a_third_sector_is_a_folder(toy):
    profile = load(toy)
    assert profile.schema_ids == ("bouquet",)
    assert set(profile.templates) == {"public", "members", "gardeners"}
    assert profile.facts({"GardenCredential": ({"beds": 5},)})["https://example.org/flowers#beds"] == 5
    access, contract = profile.offer("gardeners", least=3)
    assert profile.policy(access).permissions
    assert profile.policy(contract).prohibitions
    assert profile.validate("bouquet", {"stems": 3, "flowers": [{"stems": 1}, {"stems": 2}]}) == ()
    (broken,) = profile.validate("bouquet", {"stems": 4, "flowers": [{"stems": 1}, {"stems": 2}]})
    assert (broken.path, broken.reason) == ("/stems", "stems: the parts add up to 3, not 4")


@pytest.mark.parametrize(
    ("file", "before", "after", "reason"),
    [
        ("profile.toml", "id =", "ident =", "ident"),
        ("profile.toml", 'version = "0.1.0"', 'version = "one"', "version"),
        ("profile.toml", 'extends = "base"', 'extends = "basis"', "no such profile"),
        ("profile.toml", 'kind = "sum"', 'kind = "average"', "average"),
        ("profile.toml", "flowers[].stems", "flowers[*].stems", "not a step"),
        ("profile.toml", 'schemas = ["bouquet"]', 'schemas = ["bunch"]', "unknown schema bunch"),
        ("profile.toml", 'file = "bouquet.json"', 'file = "../bouquet.json"', "file"),
        ("profile.toml", 'file = "bouquet.json"', 'file = "missing.json"', "No such file"),
        ("profile.toml", 'credential = "GardenCredential", path', 'credential = "ParkCredential", path', "ParkCredential"),
        ("profile.toml", 'credential = "GardenCredential", path = "beds"', 'request = "mood"', "no request has mood"),
        ("profile.toml", 'credential = "GardenCredential", path = "beds"', 'ledger = "gossip"', "no ledger is called gossip"),
        ("profile.toml", 'path = "beds"', 'path = "beds", about = "product"', "about the product"),
        ("profile.toml", 'credential = "GardenCredential", path = "beds"', 'ledger = "relations", about = "beds"', "nothing else"),
        ("profile.toml", 'type = "integer"', 'type = "integer"\nphases = []', "no phase"),
        ("schemas/bouquet.json", '"object"', '"thing"', "JSON Schema"),
        (
            "schemas/bouquet.json",
            '"items": {"type": "object"}',
            '"items": {"$ref": "https://example.org/x"}',
            "not part of the profile",
        ),
        ("schemas/bouquet.json", '"type"', "type", "not JSON"),
        ("templates/gardeners.json", '"gteq"', '"like"', "unknown operator"),
        ("templates/gardeners.json", '"{least}"', '"{least}", "rightOperandReference": "urn:x"', "beside a right operand"),
        ("templates/gardeners.json", '"{least}"', '"{most}"', "no parameter fills most"),
        ("templates/gardeners.json", '"version"', '"optional": true, "version"', "optional"),
        ("templates/gardeners.json", '"use"', '"use", "assignee": "did:web:x"', "DSP 2025-1 cannot carry it: .*parties"),
        ("templates/gardeners.json", "https://example.org/flowers#beds", PURPOSE, "means nothing|cannot be decided"),
        ("texts/ja.toml", '"rule.stems"', '"rule.stem"', "missing: rule.stems"),
        ("texts/en.toml", '"rule.stems"', "rule.stems", "not a text"),
    ],
)
def test_a_wrong_profile_stops_with_file_and_reason(toy, file, before, after, reason):
    text = (toy / file).read_text()
    assert before in text
    (toy / file).write_text(text.replace(before, after))
    with pytest.raises(ProfileError, match=reason):
        load(toy)


def test_an_operand_may_ask_a_ledger_about_the_product_of_the_dataset():
    profile = load("base")
    relations = ("customer:a", "supplier")
    towards = Standing.of(relations).towards(("a", "b"))
    found = profile.facts({}, relations=relations, towards=towards)
    assert (found[KZ + "tradeRelation"], found[KZ + "productRelation"]) == (("customer:a", "supplier"), ("customer", "supplier"))
    assert KZ + "productRelation" not in profile.facts({}, relations=relations)
    assert profile.about({}, towards) == {KZ + "productRelation": ("customer", "supplier")}
    assert profile.about({}, ()) == {}
    assert profile.by_product == {KZ + "productRelation"}


@pytest.mark.parametrize(
    ("relations", "products", "found"),
    [
        ((), ("a",), ()),
        (("customer",), (), ()),
        (("customer:a",), (), ()),
        (("customer",), ("a",), ("customer",)),
        (("customer:a",), ("a",), ("customer",)),
        (("customer:a",), ("b",), ()),
        (("customer:a", "supplier:b"), ("a", "b", "c"), ("customer", "supplier")),
        (("customer:a", "supplier"), ("a",), ("customer", "supplier")),
        (("customer:a", "supplier"), ("b",), ("supplier",)),
        (("customer:urn:x:a",), ("urn:x:a",), ("customer",)),
        (("customer:urn:x:a",), ("urn",), ()),
    ],
)
def test_what_a_participant_is_for_the_products_of_a_dataset(relations, products, found):
    assert Standing.of(relations).towards(products) == found


def test_terms_that_permit_nothing_without_a_product():
    profile = load("base")
    buyer = {"leftOperand": KZ + "productRelation", "operator": "eq", "rightOperand": "customer"}
    member = {"leftOperand": KZ + "membership", "operator": "eq", "rightOperand": "active"}

    def needs(*permissions):
        return profile.needs_product(
            profile.policy({"permission": [{"action": "use", "constraint": list(each)} for each in permissions]})
        )

    assert needs([member, buyer])
    assert not needs([member, buyer], [member])
    assert not needs([{"or": [member, buyer]}])
    assert not needs([member])
    assert profile.reads_product(profile.policy({"permission": [{"action": "use", "constraint": [{"or": [member, buyer]}]}]}))


def test_a_profile_that_is_not_there_names_those_that_are():
    with pytest.raises(ProfileError) as caught:
        load("/nowhere")
    assert "battery" in caught.value.next_step
    assert caught.value.exit_code == 3


def test_no_profile_extends_itself(toy):
    (toy / "profile.toml").write_text(TOY.replace('extends = "base"', f'extends = "{toy}"'))
    with pytest.raises(ProfileError, match="itself"):
        load(toy)


def test_shipped_folders_hold_data_only():
    folders = [each.parent for each in SHIPPED.glob("*/profile.toml")]
    assert not [file for folder in folders for file in Path(folder).rglob("*.py")]
