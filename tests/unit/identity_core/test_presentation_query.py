"""The query that the verifier sends has the official form (DCP 1.0 schemas; `presentationDefinition` is never sent)."""

from typing import Any

import jsonschema_rs
import pytest

from identity.verify import authenticate
from tests.unit.identity_core.world import ROLE, World

shared = pytest.importorskip("tests.support.shared", reason="no shared data")


async def test_query_message_validates() -> None:
    import json

    folder = shared.shared_data("dcp-1.0")
    schema = json.loads((folder / "presentation/presentation-query-message-schema.json").read_text())
    context = json.loads((folder / "common/context-schema.json").read_text())
    properties: dict[str, Any] = schema["definitions"]["PresentationQueryMessage"]["properties"]
    properties["@context"] = context["definitions"]["ContextSchema"]
    properties["presentationDefinition"] = {"type": "object"}
    world = World()
    world.demand(optional=(ROLE,))
    await authenticate(world.door, world.member.caller(), fresh=True)
    jsonschema_rs.validator_for(schema).validate(world.member.queries[0][1])
