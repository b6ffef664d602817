"""Who calls a management API, and what that caller may do: roles and scopes.

Rules
- A role contains the ones before it: read < operate < admin. A scope is a family of resources, the ones of the route table. A grant is a role
  in some scopes, or in all of them.
- A route names one role and one scope; a caller may use it when one of its grants has both. A route without a scope is for every caller.
- Nobody hands out more than it has: a new key's grant must be covered by one of its maker's.

Not done here: how a caller proves who it is (`door`), which route needs what (the route tables).
"""

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

from kernel.errors import BadInput, Forbidden

Role = Literal["read", "operate", "admin"]
ROLES: Final[tuple[Role, ...]] = ("read", "operate", "admin")


class Grant(Struct, frozen=True):
    """A role in these scopes; without scopes, in all."""

    role: Role
    scopes: tuple[str, ...] = ()

    def holds(self, role: str, scope: str) -> bool:
        """Whether it contains the role in the scope; an empty scope is any."""
        return ROLES.index(self.role) >= ROLES.index(role) and (not self.scopes or not scope or scope in self.scopes)

    def covers(self, other: "Grant") -> bool:
        """Whether everything that `other` holds is held here too."""
        within = not self.scopes or (bool(other.scopes) and set(other.scopes) <= set(self.scopes))
        return within and ROLES.index(self.role) >= ROLES.index(other.role)


class Principal(Struct, frozen=True):
    """A caller that has proven itself. `who` is what the audit log keeps: `file`, `key:<id>` or `oidc:<subject>`."""

    who: str
    name: str
    grants: tuple[Grant, ...]

    def may(self, role: str, scope: str) -> bool:
        return any(each.holds(role, scope) for each in self.grants)

    def check(self, role: str, scope: str) -> None:
        """Raises `Forbidden`, naming what is missing."""
        if not self.may(role, scope):
            needed = f"role {role}" + (f" in scope {scope}" if scope else "")
            raise Forbidden(f"{self.name} has not the {needed}", next_step="use a key or an account that has it", who=self.who)

    def check_giving(self, grant: Grant) -> None:
        """Raises `Forbidden` when the grant is more than this caller has."""
        if not any(each.covers(grant) for each in self.grants):
            raise Forbidden(f"{self.name} cannot give more than it has", next_step="ask an administrator for the key", who=self.who)

    @property
    def role(self) -> str:
        """The highest role among the grants, for the audit log; empty without grants."""
        return max((each.role for each in self.grants), key=ROLES.index, default="")


def grant(role: str, scopes: Iterable[str], known: frozenset[str]) -> Grant:
    """A grant as it was asked for; raises `BadInput` for a role or scope that does not exist."""
    found = next((each for each in ROLES if each == role), None)
    if found is None:
        raise BadInput(f"no role {role[:40]!r}", next_step=f"roles: {', '.join(ROLES)}")
    wanted = tuple(sorted(set(scopes)))
    for each in wanted:
        if each not in known:
            raise BadInput(f"no scope {each[:40]!r}", next_step=f"scopes: {', '.join(sorted(known))}; none means all")
    return Grant(found, wanted)
