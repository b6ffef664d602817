"""The official JSON Schemas of DSP 2025-1, compiled. Two transfer schemas refer to `transfer-schema.json#definitions/...`, without the slash that a JSON pointer
needs; that is mended in memory."""

import json
from functools import cache

import jsonschema_rs

from tests.support.shared import shared_data


@cache
def _registry():
    files = sorted(shared_data("dsp-2025-1").rglob("*-schema.json"))
    schemas = [json.loads(path.read_text().replace("schema.json#definitions", "schema.json#/definitions")) for path in files]
    return jsonschema_rs.Registry([(schema["$id"], schema) for schema in schemas]), {schema["$id"]: schema for schema in schemas}


@cache
def validator(name):
    """The validator of `negotiation/contract-request-message` and the like."""
    registry, schemas = _registry()
    return jsonschema_rs.validator_for(schemas[f"https://w3id.org/dspace/2025/1/{name}-schema.json"], registry=registry)


def example(name):
    return json.loads(shared_data(f"dsp-2025-1/{name}.json").read_text())
