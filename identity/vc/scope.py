"""DCP scopes (DCP 1.0, 5.2; identity.md 1.2): `alias:discriminator` and, as peers write it, `alias:discriminator:operation`.

The text is split at the first colon, and at the last one only when an operation follows, since an id may hold colons. Types and
ids are compared as whole texts: no prefix, no wildcard, no substring.
"""

from typing import Final

from msgspec import Struct

from identity.vc.errors import BadCredential

TYPE_ALIAS: Final = "org.eclipse.dspace.dcp.vc.type"
ID_ALIAS: Final = "org.eclipse.dspace.dcp.vc.id"
OPERATIONS: Final = frozenset({"read", "write", "*", "all"})
_MAX: Final = 1_024


class Scope(Struct, frozen=True):
    """A scope in its parts; `operation` is empty in the two-part form."""

    alias: str
    discriminator: str
    operation: str = ""

    @property
    def reads(self) -> bool:
        return self.operation != "write"


def parse_scope(text: str) -> Scope:
    """Read a scope of either form; raises `BadCredential` (reason `scope`). An unknown alias is no error."""
    alias, mark, rest = text.partition(":")
    head, last, tail = rest.rpartition(":")
    operation = tail if last and head and tail in OPERATIONS else ""
    discriminator = head if operation else rest
    if not mark or not alias or not discriminator or len(text) > _MAX or any(each.isspace() for each in text):
        raise BadCredential("not a scope", reason="scope")
    return Scope(alias, discriminator, operation)


def scope_for_type(kind: str) -> str:
    """The three-part scope that asks for a credential type."""
    return f"{TYPE_ALIAS}:{kind}:read"
