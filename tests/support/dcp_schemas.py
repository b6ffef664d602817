"""The official JSON Schemas of DCP 1.0, compiled, with their known defects waived (identity.md 1.8)."""

import json
from functools import cache

import jsonschema_rs
import pytest

from tests.support.shared import SHARED

PE = [
    f"https://identity.foundation/presentation-exchange/schemas/presentation-{each}.json" for each in ("definition", "submission")
]
BASE = "https://w3id.org/dspace-dcp/v1.0"


@cache
def _schemas():
    anything = {"type": "object", "properties": {"presentation_submission": {}}}  # presentation definitions are never sent
    found = {each: {"$id": each, **anything} for each in PE}
    for path in sorted((SHARED / "dcp-1.0").rglob("*-schema.json")):
        schema = json.loads(path.read_text())
        name = f"{BASE}/{path.parent.name}/{path.name}"  # two have the name of something else
        schema["$id"] = name
        found[name] = json.loads(
            json.dumps(schema).replace(f"{BASE}/presentation/credential-message", f"{BASE}/issuance/credential-message")
        )
    return found


def checked(value, name):
    """Raise when `value` has not the form of the message `name` (`issuance/issuer-metadata`); the same value. Nothing is checked without the official data."""
    if not (SHARED / "dcp-1.0").exists():
        return value
    registry = jsonschema_rs.Registry(list(_schemas().items()))
    jsonschema_rs.validator_for(_schemas()[f"{BASE}/{name}-schema.json"], registry=registry).validate(value)
    return value


def needs_schemas():
    """Skip where the official data is not."""
    if not (SHARED / "dcp-1.0").exists():
        pytest.skip("official data not here: ../shared/data/dcp-1.0")
