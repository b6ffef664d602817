"""Credential definitions as data: what the issuer offers and how a claim is taken from the member's record.

Rules
- `definitions.toml` holds `[[credential]]` tables: `id`, `type`, `format`, `days`, optional `schema` and `contexts`, `statuses`, `approval`, `rule` and
  `claims`.
- A claim value that starts with `$` names a field of the member's record; `$$` escapes. Lists and tables nest. Sources: the register (`FIELDS`), and what the
  operator has attested of the member (`$attested.NAME`, set by `kizuna member attest`).
- A definition is supported by a record when every field that it names is there and not empty, and every rule holds: a member without roles
  gets no credential about roles.
- A rule names a field and one condition: `equals`, `one_of` (the value is one of these), `contains` (the list has this entry), `at_least` (a number).
- `approval = "person"`: the request waits until the operator approves or rejects it; `"rule"`, the default: the record decides at once.
- `statuses`: the purposes of its status entries, `revocation` and `suspension` unless fewer are named.
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
ATTESTED: Final = "attested."
_MAX_DAYS: Final = 3660
_DEPTH: Final = 8


class Rule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A condition on one field of the record."""

    field: str
    equals: str | int | bool | None = None
    one_of: tuple[str, ...] = ()
    contains: str = ""
    at_least: float | None = None

    def holds(self, record: Mapping[str, Any]) -> bool:
        """Whether the record fulfils it; a field that is not there fulfils nothing."""
        found = value_of(record, self.field)
        if found is None:
            return False
        if self.one_of:
            return found in self.one_of
        if self.contains:
            return isinstance(found, list) and self.contains in found
        if self.at_least is not None:
            return isinstance(found, int | float) and not isinstance(found, bool) and found >= self.at_least
        return bool(found == self.equals)


class Definition(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One kind of credential: its identifier in metadata and requests, type, format, life in days and claims."""

    id: str
    type: str
    format: Format = VC20
    days: int = 90
    schema: str = ""
    contexts: tuple[str, ...] = ()
    statuses: tuple[Literal["revocation", "suspension"], ...] = ("revocation", "suspension")
    approval: Literal["rule", "person"] = "rule"
    rule: tuple[Rule, ...] = ()
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
    for rule in definition.rule:
        if not rule.holds(record):
            raise Unsupported(
                f"{definition.type} is not given to this member: {rule.field} does not fulfil the issuer's rule",
                definition=definition.id,
                field=rule.field,
            )
    claims = _fill(definition.claims, record, definition)
    return {"id": record["did"], **claims}


def value_of(record: Mapping[str, Any], name: str) -> Any:
    """A field of the record, also `attested.NAME`; None when it is not there."""
    group, dot, rest = name.partition(".")
    return (record.get(group) or {}).get(rest) if dot else record.get(name)


def schema(definition: Definition) -> dict[str, Any]:
    """JSON Schema (2020-12) of the subject: its claims are all required, further ones are allowed."""
    properties: dict[str, Any] = {"id": {"type": "string"}}
    for name, value in definition.claims.items():
        attested = isinstance(value, str) and value.startswith(f"${ATTESTED}")  # its form is the operator's
        properties[name] = {} if attested else {"type": _json_type(value)}
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
    found = value_of(record, value[1:])
    if found in (None, "", [], {}):
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
    for rule in one.rule:
        if sum([rule.equals is not None, bool(rule.one_of), bool(rule.contains), rule.at_least is not None]) != 1:
            raise _wrong(f"definition {one.id}: a rule on {rule.field} has not exactly one of equals, one_of, contains, at_least")
    if len(set(one.statuses)) != len(one.statuses):
        raise _wrong(f"definition {one.id}: a status purpose is named twice")
    for name in _references(one.claims, _DEPTH) | {rule.field for rule in one.rule}:
        if name not in FIELDS and not (name.startswith(ATTESTED) and name.removeprefix(ATTESTED).isidentifier()):
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
