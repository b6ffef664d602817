"""Credential definitions as data."""

import pytest

from identity.service.issuer.definitions import VC11, VC20, Unsupported, load, read, schema, subject
from kernel.errors import Misconfigured

TEXT = """
[[credential]]
id = "membership"
type = "MembershipCredential"
claims = { holderIdentifier = "$memberNumber", memberOf = "$dataSpace", since = "$since", price = "$$5" }

[[credential]]
id = "role"
type = "RoleCredential"
format = "vc11-sl2021/jwt"
days = 30
claims = { role = "$roles" }

[[credential]]
id = "number"
type = "LegalRegistrationNumberCredential"
[[credential.claims.identifiers]]
scheme = "jp-corporate-number"
value = "$corporateNumber"
"""
RECORD = {
    "did": "did:web:a.example",
    "name": "A",
    "memberNumber": "M000001",
    "corporateNumber": "7123456789012",
    "roles": ["recycler"],
    "since": "2026-11-24",
    "dataSpace": "Test",
}


def test_claims_are_taken_from_the_record_and_the_subject_is_the_holder():
    found = read(TEXT)
    assert list(found) == ["membership", "role", "number"]
    assert subject(found["membership"], RECORD) == {
        "id": "did:web:a.example",
        "holderIdentifier": "M000001",
        "memberOf": "Test",
        "since": "2026-11-24",
        "price": "$5",
    }
    assert subject(found["role"], RECORD) == {"id": "did:web:a.example", "role": ["recycler"]}
    assert subject(found["number"], RECORD)["identifiers"] == [{"scheme": "jp-corporate-number", "value": "7123456789012"}]


def test_the_default_format_is_data_model_2():
    found = read(TEXT)
    assert (found["membership"].format, found["role"].format) == (VC20, VC11)
    assert (found["membership"].days, found["role"].days) == (90, 30)


@pytest.mark.parametrize("empty", [[], None, ""])
def test_a_record_without_a_field_does_not_support_the_definition(empty):
    with pytest.raises(Unsupported) as refused:
        subject(read(TEXT)["role"], RECORD | {"roles": empty})
    assert refused.value.facts["field"] == "roles"


def test_the_schema_names_every_claim():
    shape = schema(read(TEXT)["role"])["properties"]["credentialSubject"]
    assert shape["required"] == ["id", "role"]
    assert shape["properties"]["role"] == {"type": "array"}


ENTRY = '[[credential]]\nid = "a"\ntype = "A"\n'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "missing required field"),
        ("credential = []", "no entry"),
        (ENTRY + ENTRY, "same id"),
        (ENTRY + 'format = "vc10-sl2021/jwt"', "Invalid enum"),
        (ENTRY + "days = 0", "days"),
        (ENTRY + "days = 100000", "days"),
        (ENTRY + 'colour = "red"', "colour"),
        (ENTRY + 'claims = { id = "did:web:other.example" }', "claim id"),
        (ENTRY + 'claims = { x = "$password" }', "password"),
        (ENTRY + 'claims = { x = [{ y = "$nothing" }] }', "nothing"),
        (ENTRY + "claims = { x = [[[[[[[[[[1]]]]]]]]]] }", "nested"),
        ('[[credential]]\nid = "a/b"\ntype = "A"', "plain ASCII"),
        ('[[credential]]\nid = "a"\ntype = "A B"', "one word"),
        ('[[credential]]\nid = "a"\ntype = "VerifiableCredential"', "VerifiableCredential"),
        ("[[credential]", "definitions"),
    ],
)
def test_a_wrong_file_stops_the_start_and_says_why(text, reason):
    with pytest.raises(Misconfigured, match=reason):
        read(text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(Misconfigured, match=r"absent\.toml"):
        load(tmp_path / "absent.toml")
