"""Status list credentials: what their subject holds, and what an entry means in them (identity.md 2.4).

Rules
- The list's kind fits the entry's, its purposes include the entry's, its `id`, where there is one, is the address it was fetched
  from.
- A value other than zero denies for the purposes `revocation` and `suspension`; `refresh` and `message` are told, not fatal.
- `ttl` is ignored, as DCP wants it; the credential's window counts.

Not done here: fetching, signature, issuer, window, age (`identity.statusread`).
"""

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct

from identity.status.bits import MINIMUM_BITS, BitString
from identity.status.errors import BadStatus
from identity.vc.credential import Credential
from identity.vc.model import BITSTRING_ENTRY, LIST2021_ENTRY, VC11, VC20, StatusEntry

BITSTRING: Final = "BitstringStatusList"
LIST2021: Final = "StatusList2021"
DENYING: Final = frozenset({"revocation", "suspension"})
_LISTS: Final = {BITSTRING_ENTRY: BITSTRING, LIST2021_ENTRY: LIST2021}


class StatusList(Struct, frozen=True):
    """A list's kind, purposes and bits."""

    kind: str
    purposes: frozenset[str]
    bits: BitString


def list_type(kind: str) -> str:
    """The credential type of a list: `BitstringStatusListCredential` or `StatusList2021Credential`."""
    return f"{kind}Credential"


def list_format(kind: str) -> str:
    """The data model in which a list of this kind is issued."""
    return VC20 if kind == BITSTRING else VC11


def list_subject(url: str, purpose: str, bits: BitString, *, kind: str = BITSTRING) -> dict[str, Any]:
    """The subject of a list credential, to be issued with `list_type(kind)` and the id `url`."""
    encoded = bits.encode(multibase=kind == BITSTRING)
    return {"id": f"{url}#list", "type": kind, "statusPurpose": purpose, "encodedList": encoded}


def read_list(credential: Credential, url: str, *, minimum_bits: int = MINIMUM_BITS) -> StatusList:
    """The list in a credential fetched from `url`; raises `BadStatus` (`list-type`, `list-id`, `list-form`, or of the bits)."""
    if credential.id is not None and credential.id != url:
        raise BadStatus("the list has another id than its address", reason="list-id")
    if len(credential.subjects) != 1:
        raise BadStatus("the list has not one subject", reason="list-form")
    subject = credential.subject
    kind, purpose, encoded = subject.get("type"), subject.get("statusPurpose"), subject.get("encodedList")
    if kind not in {BITSTRING, LIST2021} or list_type(kind) not in credential.types:
        raise BadStatus("not a status list", reason="list-type")
    purposes = _texts(purpose if isinstance(purpose, list) else [purpose])
    if not isinstance(encoded, str) or not purposes:
        raise BadStatus("the list lacks its purpose or its bits", reason="list-form")
    return StatusList(kind, purposes, BitString.decode(encoded, minimum_bits=minimum_bits))


def value_of(entry: StatusEntry, found: StatusList) -> int:
    """The entry's value; raises `BadStatus` (`list-type`, `purpose`, `range`)."""
    if _LISTS.get(entry.type) != found.kind:
        raise BadStatus("the list is of another kind than the entry", reason="list-type")
    if entry.purpose not in found.purposes:
        raise BadStatus("the list is not for the entry's purpose", reason="purpose")
    return found.bits.get(entry.index, entry.size)


def _texts(values: Iterable[Any]) -> frozenset[str]:
    found = list(values)
    return frozenset(found) if all(isinstance(each, str) and each for each in found) else frozenset()
