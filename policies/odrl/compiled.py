"""Policies read once: a bounded store of parsed policies by what was given, so that no hot path parses twice.

The key is the policy as it stands (members sorted), parties and targets included, so a hit is the same policy; of a long one it is the hash. What every agreement has of its
own, `@id` and `timestamp`, is left out of it where it is a plain text: the policy that was read is given that name and that time.
"""

import hashlib
from collections import OrderedDict
from typing import Any, Final

import orjson
from msgspec.structs import replace

from policies.odrl.errors import PolicyError
from policies.odrl.model import Policy
from policies.odrl.operands import Registry
from policies.odrl.parse import parse

CAPACITY: Final = 4_096
_OWN: Final = ("@id", "timestamp")
_LONGEST: Final = 256  # characters of a name that is put into a policy without reading it again
_SHORT: Final = 1_024  # bytes of a policy that is its own key


class Compiled:
    """Parsed policies of one registry, the least recently used dropped first. Not for several threads."""

    __slots__ = ("_capacity", "_held", "registry")

    def __init__(self, registry: Registry, capacity: int = CAPACITY) -> None:
        self.registry = registry
        self._capacity = capacity
        self._held: OrderedDict[bytes, Policy] = OrderedDict()

    def __call__(self, value: Any) -> Policy:
        """The policy, parsed at most once; raises `PolicyError`."""
        own, terms = _own(value), value
        if own is not None:
            terms = dict(value)
            for name in _OWN:
                terms.pop(name, None)
        text = _text(terms)
        key = text if len(text) <= _SHORT else hashlib.sha256(text).digest()
        found = self._held.get(key)
        if found is None:
            found = self._held[key] = parse(value, operands=self.registry)
            if len(self._held) > self._capacity:
                self._held.popitem(last=False)
            return found
        self._held.move_to_end(key)
        if own is None or own == (found.id, found.timestamp):
            return found
        return replace(found, id=own[0], timestamp=own[1])


def _own(value: Any) -> tuple[str, str] | None:
    """Id and timestamp as `parse` would read them; None where they are to be looked at more closely."""
    if not isinstance(value, dict) or "uid" in value:
        return None
    id_, timestamp = value.get("@id"), value.get("timestamp")
    for each in (id_, timestamp):
        if each is not None and (type(each) is not str or not 0 < len(each) <= _LONGEST):
            return None
    return id_ or "", timestamp or ""


def document_hash(value: Any) -> bytes:
    """The hash of a whole policy document, whatever the order of its members; raises `PolicyError` for what is not JSON."""
    return hashlib.sha256(_text(value)).digest()


def _text(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, UnicodeEncodeError) as error:
        raise PolicyError("", "not JSON") from error
