"""Credential definitions as data: what the issuer offers and how a claim is taken from the member's record.

Rules
- `definitions.toml` holds `[[credential]]` tables: `id`, `type`, `format`, `days`, optional `schema` and `contexts`, and `claims`.
- A claim value that starts with `$` names a field of the member's record (`FIELDS`); `$$` escapes. Lists and tables nest.
- A definition is supported by a record when every field that it names is there and not empty. Nothing else decides it: a
  member without roles gets no credential about roles.
- `id` of the subject is always the holder's DID and cannot be mapped.
- Formats are the two profile aliases of DCP 1.0 (identity.md 1.7), and documents with a Data Integrity proof of either data model.

Not done here: signing (`delivery`), the answer to a request (`requests`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

from kernel.errors import BadInput, Misconfigured

FILE: Final = "definitions.toml"
VC20: Final = "vc20-bssl/jwt"
VC11: Final = "vc11-sl2021/jwt"
Format = Literal["vc20-bssl/jwt", "vc11-sl2021/jwt", "vc20-bssl/data-integrity", "vc11-sl2021/data-integrity"]
FIELDS: Final = frozenset({"did", "name", "memberNumber", "corporateNumber", "roles", "since", "dataSpace"})
_MAX_DAYS: Final = 3660
_DEPTH: Final = 8


class Definition(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One kind of credential: its identifier in metadata and requests, type, format, life in days and claims."""

    id: str
    type: str
    format: Format = VC20
    days: int = 90
    schema: str = ""
    contexts: tuple[str, ...] = ()
    claims: dict[str, Any] = field(default_factory=dict)


class Unsupported(BadInput):
    """The member's record lacks what a definition needs. `detail` is fit for the holder."""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    credential: tuple[Definition, ...]


def read(text: str) -> dict[str, Definition]:
    """Definitions by id, in file order; raises `Misconfigured` naming the entry and what is wrong."""
    try:
        found = msgspec.toml.decode(text, type=_File).credential
    except msgspec.DecodeError as error:
        raise _wrong(f"definitions: {error}") from error
    by_id = {one.id: one for one in found}
    if len(by_id) != len(found):
        raise _wrong("definitions: two entries have the same id")
    if not found:
        raise _wrong("definitions: no entry")
    for one in found:
        _check(one)
    return by_id


def load(path: Path) -> dict[str, Definition]:
    """Read the file; raises `Misconfigured`, also when the file cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise _wrong(f"{path}: {error.strerror}") from error
    return read(text)


def subject(definition: Definition, record: Mapping[str, Any]) -> dict[str, Any]:
    """Claims about the holder, `id` first; raises `Unsupported` naming the field that is missing in the record."""
    claims = _fill(definition.claims, record, definition)
    return {"id": record["did"], **claims}


def schema(definition: Definition) -> dict[str, Any]:
    """JSON Schema (2020-12) of the subject: its claims are all required, further ones are allowed."""
    properties: dict[str, Any] = {"id": {"type": "string"}}
    for name, value in definition.claims.items():
        properties[name] = {"type": _json_type(value)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": definition.type,
        "type": "object",
        "properties": {"credentialSubject": {"type": "object", "properties": properties, "required": list(properties)}},
        "required": ["credentialSubject"],
    }


def _json_type(value: Any) -> str:
    if isinstance(value, str):
        return "array" if value == "$roles" else "string"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "number"


def _fill(value: Any, record: Mapping[str, Any], definition: Definition) -> Any:
    if isinstance(value, dict):
        return {key: _fill(inner, record, definition) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, record, definition) for inner in value]
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    if value.startswith("$$"):
        return value[1:]
    found = record.get(value[1:])
    if not found:
        raise Unsupported(
            f"{definition.type} needs {value[1:]}, which the member's record does not hold",
            definition=definition.id,
            field=value[1:],
        )
    return found


def _check(one: Definition) -> None:
    if not one.id or not one.id.isascii() or set(one.id) & set("/?#% "):
        raise _wrong(f"definition {one.id!r}: the id must be plain ASCII without / ? # % or space")
    if not one.type.isidentifier() or one.type == "VerifiableCredential":
        raise _wrong(f"definition {one.id}: type must be one word and not VerifiableCredential")
    if not 1 <= one.days <= _MAX_DAYS:
        raise _wrong(f"definition {one.id}: days must lie between 1 and {_MAX_DAYS}")
    if "id" in one.claims:
        raise _wrong(f"definition {one.id}: the claim id is always the holder's DID")
    for name in _references(one.claims, _DEPTH):
        if name not in FIELDS:
            raise _wrong(f"definition {one.id}: ${name} is no field of a member's record ({', '.join(sorted(FIELDS))})")


def _references(value: Any, depth: int) -> set[str]:
    if depth == 0:
        raise _wrong("definitions: claims are nested too deeply")
    if isinstance(value, dict):
        return set().union(*(_references(inner, depth - 1) for inner in value.values()))
    if isinstance(value, list):
        return set().union(*(_references(inner, depth - 1) for inner in value))
    if isinstance(value, str) and value.startswith("$") and not value.startswith("$$"):
        return {value[1:]}
    return set()


def _wrong(detail: str) -> Misconfigured:
    return Misconfigured(detail, next_step="correct the definitions file; its form is described in identity.service.issuer")
