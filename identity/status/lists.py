"""Status list credentials: what their subject holds, and what an entry means in them (identity.md 2.4).

Rules
- The list's kind fits the entry's, its purposes include the entry's, its `id`, where there is one, is the address it was fetched
  from.
- The list has at least the minimum of entries, each of the entry's size.
- A value other than zero denies for the purposes `revocation` and `suspension`; `refresh` and `message` are told, not fatal.
- `ttl` never prolongs anything (DCP: the credential's window counts); it is an age at which a list is asked for again.

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
    """A list's kind, purposes, bits, and the seconds after which its issuer wants it asked for again (`ttl`)."""

    kind: str
    purposes: frozenset[str]
    bits: BitString
    ttl: float | None = None


class StatusValue(Struct, frozen=True):
    """What one entry of a credential says now; zero is the good case. `message` is the entry's text for the value, if it has any."""

    purpose: str
    value: int
    message: str = ""

    @property
    def denies(self) -> bool:
        return self.value != 0 and self.purpose in DENYING


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


def read_list(credential: Credential, url: str) -> StatusList:
    """The list in a credential fetched from `url`; raises `BadStatus` (`list-type`, `list-id`, `list-form`, or of the bits)."""
    if credential.id is not None and credential.id != url:
        raise BadStatus("the list has another id than its address", reason="list-id")
    if len(credential.subjects) != 1:
        raise BadStatus("the list has not one subject", reason="list-form")
    subject = credential.subject
    kind, purpose, encoded = subject.get("type"), subject.get("statusPurpose"), subject.get("encodedList")
    if kind not in (BITSTRING, LIST2021) or list_type(kind) not in credential.types:
        raise BadStatus("not a status list", reason="list-type")
    purposes = _texts(purpose if isinstance(purpose, list) else [purpose])
    if not isinstance(encoded, str) or not purposes:
        raise BadStatus("the list lacks its purpose or its bits", reason="list-form")
    return StatusList(kind, purposes, BitString.decode(encoded, minimum_bits=0), _ttl(subject.get("ttl")))


def value_of(entry: StatusEntry, found: StatusList, *, minimum_bits: int = MINIMUM_BITS) -> StatusValue:
    """What the entry says; raises `BadStatus` (`list-type`, `purpose`, `length`, `range`). `minimum_bits` counts entries."""
    if _LISTS.get(entry.type) != found.kind:
        raise BadStatus("the list is of another kind than the entry", reason="list-type")
    if entry.purpose not in found.purposes:
        raise BadStatus("the list is not for the entry's purpose", reason="purpose")
    if len(found.bits) // entry.size < minimum_bits:
        raise BadStatus(f"a list of {len(found.bits) // entry.size} entries, at least {minimum_bits} are wanted", reason="length")
    value = found.bits.get(entry.index, entry.size)
    return StatusValue(entry.purpose, value, entry.messages[value] if entry.messages else "")


def _ttl(value: Any) -> float | None:
    """Seconds of a `ttl` in milliseconds."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
        raise BadStatus("the ttl is no number of milliseconds", reason="list-form")
    return None if value is None else value / 1000


def _texts(values: Iterable[Any]) -> frozenset[str]:
    found = list(values)
    return frozenset(found) if all(isinstance(each, str) and each for each in found) else frozenset()
