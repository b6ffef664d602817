"""New policies from templates, the JSON Schema that editors use, and how fast a policy decides."""

import time
from typing import Any, Final

from policies.odrl import Policy, Request, evaluate
from policies.odrl.vocabulary import term
from policies.profiles import Profile

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
ROUNDS: Final = 2_000


def schema(profile: Profile) -> dict[str, Any]:
    """A JSON Schema of policies under a profile, for completion and first checks; `kizuna policy check` is the whole check."""
    operands = sorted(each.iri for each in profile.operands)
    actions = sorted({term(each) for each in profile.operands.actions})
    rules = {"type": "array", "minItems": 1}
    return {
        "$schema": DRAFT,
        "$id": f"{profile.id}/policy.schema.json",
        "title": profile.text("title"),
        "type": "object",
        "required": ["@type"],
        "properties": {
            "@context": {},
            "@id": {"type": "string"},
            "@type": {"enum": ["Set", "Offer", "Agreement", "Request"]},
            "profile": {"enum": sorted(profile.operands.profiles)},
            "conflict": {"enum": ["prohibit", "perm", "invalid"]},
            **{name: {"type": "string"} for name in ("assigner", "assignee", "target", "timestamp")},
            "permission": rules | {"items": {"$ref": "#/$defs/permission"}},
            "prohibition": rules | {"items": {"$ref": "#/$defs/prohibition"}},
            "obligation": rules | {"items": {"$ref": "#/$defs/duty"}},
        },
        "$defs": {
            "action": {
                "anyOf": [{"enum": actions}, {"type": "string", "pattern": ":"}, {"type": "object", "required": ["refinement"]}]
            },
            "permission": _rule("duty"),
            "prohibition": _rule("remedy"),
            "duty": _rule("consequence"),
            "constraints": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/constraint"}},
            "constraint": {
                "oneOf": [
                    *({"$ref": f"#/$defs/{n}"} for n in range(len(operands))),
                    {
                        "type": "object",
                        "minProperties": 1,
                        "maxProperties": 1,
                        "properties": {name: {"$ref": "#/$defs/constraints"} for name in ("and", "or", "xone", "andSequence")},
                        "additionalProperties": False,
                    },
                ]
            },
        }
        | {str(n): _constraint(profile, iri) for n, iri in enumerate(operands)},
    }


def _rule(nested: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["action"],
        "properties": {
            "action": {"$ref": "#/$defs/action"},
            "constraint": {"$ref": "#/$defs/constraints"},
            nested: {"type": "array", "items": {"$ref": "#/$defs/duty"}},
        },
    }


def _constraint(profile: Profile, iri: str) -> dict[str, Any]:
    operand = profile.operands.operand(iri)
    if operand is None:
        raise KeyError(iri)
    value: dict[str, Any] = (
        {"enum": sorted(operand.values)} if operand.values else {"type": ["string", "number", "boolean", "object"]}
    )
    return {
        "type": "object",
        "required": ["leftOperand", "operator", "rightOperand"],
        "description": operand.source,
        "properties": {
            "leftOperand": {"enum": sorted({iri, term(iri)})},
            "operator": {"enum": sorted(operand.operators)},
            "rightOperand": {"anyOf": [value, {"type": "array", "items": value, "minItems": 1}]},
            "unit": {"type": "string"},
            "dataType": {"type": "string"},
            "status": {},
        },
        "additionalProperties": False,
    }


def measured(policy: Policy, request: Request) -> dict[str, float]:
    """Microseconds of a decision on this machine: p50, p99 and the number of rounds. Facts are read anew in each."""
    found = []
    for _ in range(ROUNDS):
        asked = Request(request.action, request.phase, request.facts, request.now, request.party, request.target)
        began = time.perf_counter_ns()
        evaluate(policy, asked)
        found.append(time.perf_counter_ns() - began)
    found.sort()
    return {"p50_us": found[ROUNDS // 2] / 1000, "p99_us": found[ROUNDS * 99 // 100] / 1000, "rounds": float(ROUNDS)}
