"""Terms that both data models share: contexts, media types, times, status entries (identity.md 2.1, 2.2, 2.4).

Rules
- Times are XSD dateTimeStamps: the zone is mandatory.
- A status entry is read strictly: the index is a base-10 integer in a string, without sign, blanks or leading zeros. An entry of an
  unknown type is refused, since a status that nobody reads is no status.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from identity.vc.errors import BadCredential
from kernel.clock import parse_iso
from kernel.errors import BadInput

VC11: Final = "vc11-sl2021/jwt"
VC20: Final = "vc20-bssl/jwt"
VC11_DI: Final = "vc11-sl2021/data-integrity"
VC20_DI: Final = "vc20-bssl/data-integrity"
DOCUMENTS: Final = frozenset({VC11_DI, VC20_DI})  # formats that are JSON documents with a proof; the others are JWTs
CONTEXT_11: Final = "https://www.w3.org/2018/credentials/v1"
CONTEXT_20: Final = "https://www.w3.org/ns/credentials/v2"
DCP_CONTEXT: Final = "https://w3id.org/dspace-dcp/v1.0/dcp.jsonld"
BITSTRING_ENTRY: Final = "BitstringStatusListEntry"
LIST2021_ENTRY: Final = "StatusList2021Entry"
MAX_ENTRIES: Final = 64
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,14}")
_STAMP: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})")
_HEX: Final = re.compile(r"0x[0-9a-fA-F]{1,2}")
_MAX_SIZE: Final = 8


class StatusEntry(Struct, frozen=True, kw_only=True):
    """One position in one status list. `index` counts entries, not bits; `url` is the list credential's address.

    `messages` says what each value means, by value; `references` are addresses of texts about them, never fetched.
    """

    url: str
    index: int
    purpose: str
    type: str = BITSTRING_ENTRY
    id: str | None = None
    size: int = 1
    messages: tuple[str, ...] = ()
    references: tuple[str, ...] = ()


def is_11(format: str) -> bool:
    """Whether a format is of data model 1.1."""
    return format in (VC11, VC11_DI)


def as_jwt(format: str) -> str:
    """The format of the same data model that is a JWT."""
    return VC11 if is_11(format) else VC20


def moment(value: Any, name: str) -> datetime:
    """The time of an XSD dateTimeStamp; raises `BadCredential` (reason `time`)."""
    if not isinstance(value, str) or not _STAMP.fullmatch(value):
        raise BadCredential(f"{name} is no time with a zone", reason="time")
    try:
        return parse_iso(value)
    except BadInput as error:
        raise BadCredential(f"{name}: {error.detail}", reason="time") from error


def texts(value: Any, name: str) -> tuple[str, ...]:
    """One text or a list of texts, without repetition; raises `BadCredential` (reason `form`)."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or len(found) > MAX_ENTRIES or not all(isinstance(each, str) and each for each in found):
        raise BadCredential(f"{name} is no list of texts", reason="form")
    return tuple(dict.fromkeys(found))


def objects(value: Any, name: str) -> tuple[dict[str, Any], ...]:
    """One object or a list of objects; raises `BadCredential` (reason `form`). None is the empty tuple."""
    found = [] if value is None else value if isinstance(value, list) else [value]
    if len(found) > MAX_ENTRIES or not all(isinstance(each, dict) and each for each in found):
        raise BadCredential(f"{name} is no object", reason="form")
    return tuple(found)


def first_context(value: Any, context: str, *, strict: bool = True) -> None:
    """The first context fixes the data model, and all are addresses; raises `BadCredential` (reason `context`).

    A context written out in place could give any claim another meaning (identity.md 6.43). Not `strict`, the model's context may stand
    anywhere and others may be written out: a reader of plain JSON that trusts the signer is not misled by them.
    """
    listed = value if isinstance(value, list) else [value]
    if not strict and context in listed:
        return
    if not all(isinstance(each, str) for each in listed):
        raise BadCredential("a context that is no address", reason="context")
    if not first_is(value, context):
        raise BadCredential(f"the first @context is not {context}", reason="context")


def first_is(value: Any, context: str) -> bool:
    """Whether a document is of the data model of this context."""
    return bool((value[0] if isinstance(value, list) and value else value) == context)


def inner_contexts(value: Any) -> None:
    """Refuse an `@context` inside: it could give the claims another meaning (identity.md 6.43)."""
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, Mapping):
            if "@context" in each:
                raise BadCredential("an inner @context would redefine terms", reason="inner-context")
            stack.extend(each.values())
        elif isinstance(each, Sequence) and not isinstance(each, str):
            stack.extend(each)


def status_entries(value: Any) -> tuple[StatusEntry, ...]:
    """The entries of `credentialStatus`; raises `BadCredential` (reasons `status-type`, `status-index`, `status-form`)."""
    return tuple(_entry(each) for each in objects(value, "credentialStatus"))


def _entry(found: Mapping[str, Any]) -> StatusEntry:
    kind, url, purpose, name = (found.get(key) for key in ("type", "statusListCredential", "statusPurpose", "id"))
    if kind not in (BITSTRING_ENTRY, LIST2021_ENTRY):
        raise BadCredential("a credentialStatus of a kind that is not read", reason="status-type")
    if not (isinstance(url, str) and 0 < len(url) <= 2_048 and isinstance(purpose, str) and purpose):
        raise BadCredential("a credentialStatus lacks its list or purpose", reason="status-form")
    if name is not None and (not isinstance(name, str) or name == url):
        raise BadCredential("the id of a credentialStatus is not its own", reason="status-form")
    index = found.get("statusListIndex")
    if not isinstance(index, str) or not _INDEX.fullmatch(index):
        raise BadCredential("statusListIndex is no integer in a text", reason="status-index")
    size = _size(found, str(kind))
    return StatusEntry(
        url=url,
        index=int(index),
        purpose=purpose,
        type=str(kind),
        id=name,
        size=size,
        messages=_messages(found.get("statusMessage"), size),
        references=texts(found.get("statusReference", []), "statusReference"),
    )


def _size(found: Mapping[str, Any], kind: str) -> int:
    size = found.get("statusSize", 1)
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= _MAX_SIZE or (size > 1 and kind == LIST2021_ENTRY):
        raise BadCredential(f"statusSize is not between 1 and {_MAX_SIZE}", reason="status-form")
    return size


def _messages(value: Any, size: int) -> tuple[str, ...]:
    """The message of every value, in their order; needed when there are more than two (Bitstring Status List 1.0, 2.1)."""
    if value is None and size == 1:
        return ()
    if not isinstance(value, list) or len(value) != 2**size or not all(isinstance(each, Mapping) for each in value):
        raise BadCredential("statusMessage does not name every value", reason="status-form")
    found: dict[int, str] = {}
    for each in value:
        number, text = each.get("status"), each.get("message")
        if not (isinstance(number, str) and _HEX.fullmatch(number) and isinstance(text, str)):
            raise BadCredential("a statusMessage lacks its value or its text", reason="status-form")
        found[int(number, 16)] = text
    if set(found) != set(range(2**size)):
        raise BadCredential("statusMessage does not name every value once", reason="status-form")
    return tuple(found[number] for number in range(2**size))
