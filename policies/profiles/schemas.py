"""Payload schemas of a profile: JSON Schema 2020-12 by jsonschema-rs, offline.

A schema may refer to another of the same profile by its `$id`; every other reference is refused when the profile is loaded.
Patterns are run by an engine without backtracking, so that no payload can make them slow. Formats are checked.
"""

from collections.abc import Mapping
from typing import Any, Final

import jsonschema_rs

from policies.profiles.errors import ProfileError
from policies.profiles.rules import Violation

MOST: Final = 100
_REASON: Final = 300


class Schemas:
    """The compiled schemas of a profile, by their id in `profile.toml`."""

    __slots__ = ("_validators", "documents")

    def __init__(self, sources: Mapping[str, tuple[str, dict[str, Any]]]) -> None:
        """`sources` maps an id to its file (for errors) and its document; raises `ProfileError`."""
        resources = [(str(each["$id"]), each) for _, each in sources.values() if "$id" in each]
        registry = jsonschema_rs.Registry(resources) if resources else None
        self.documents: Mapping[str, dict[str, Any]] = dict(resources)  # by their `$id`
        self._validators = {id_: _compiled(file, each, registry) for id_, (file, each) in sources.items()}

    def __contains__(self, schema: str) -> bool:
        return schema in self._validators

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._validators)

    def violations(self, schema: str, payload: Any) -> tuple[Violation, ...]:
        """What is wrong with the payload, at most a hundred; KeyError for an unknown schema."""
        found: list[Violation] = []
        for error in self._validators[schema].iter_errors(payload):
            found.append(Violation(_pointer(error.instance_path), error.message[:_REASON]))
            if len(found) == MOST:
                break
        return tuple(found)


def _compiled(file: str, document: dict[str, Any], registry: "jsonschema_rs.Registry | None") -> Any:
    try:
        return jsonschema_rs.Draft202012Validator(
            document,
            registry=registry,
            retriever=_refuse,
            validate_formats=True,
            pattern_options=jsonschema_rs.RegexOptions(),
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise ProfileError(file, f"not a usable JSON Schema: {str(error)[:_REASON]}") from error


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is not part of the profile")


def _pointer(steps: list[str | int]) -> str:
    return "".join(f"/{str(each).replace('~', '~0').replace('/', '~1')}" for each in steps)
