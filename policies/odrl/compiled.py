"""Policies read once: a bounded store of parsed policies by what was given, so that no hot path parses twice.

The key is the hash of the whole policy as it stands (members sorted), ids and parties included, so a hit is the same policy.
"""

import hashlib
from collections import OrderedDict
from typing import Any, Final

import orjson

from policies.odrl.errors import PolicyError
from policies.odrl.model import Policy
from policies.odrl.operands import Registry
from policies.odrl.parse import parse

CAPACITY: Final = 4_096


class Compiled:
    """Parsed policies of one registry, the least recently used dropped first. Not for several threads."""

    __slots__ = ("_capacity", "_held", "registry")

    def __init__(self, registry: Registry, capacity: int = CAPACITY) -> None:
        self.registry = registry
        self._capacity = capacity
        self._held: OrderedDict[bytes, Policy] = OrderedDict()

    def __call__(self, value: Any) -> Policy:
        """The policy, parsed at most once; raises `PolicyError`."""
        key = document_hash(value)
        found = self._held.get(key)
        if found is None:
            found = self._held[key] = parse(value, operands=self.registry)
            if len(self._held) > self._capacity:
                self._held.popitem(last=False)
        else:
            self._held.move_to_end(key)
        return found


def document_hash(value: Any) -> bytes:
    """The hash of a whole policy document, whatever the order of its members; raises `PolicyError` for what is not JSON."""
    try:
        return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).digest()
    except (orjson.JSONEncodeError, UnicodeEncodeError) as error:
        raise PolicyError("", "not JSON") from error
