"""The registry: every left operand, action, profile and reference that policies may use.

Rules
- Nothing is evaluated that is not registered: an unknown left operand, action or profile is refused when a policy is read.
- The 32 operands of ODRL (`core`) are always there; a profile declares further ones, or the same anew.
- An operand that can be known in no phase could never be enforced, and is refused here. So is a hierarchy that closes on itself.
- `actions` maps an action to the one that includes it; `implies` an action to those that are done with it: a prohibition of these
  stands against it too, a permission of it does not grant them.
- `references` gives the values of right operand references, known beforehand: nothing is ever fetched.

Not done here: where facts come from (`policies.profiles`).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from policies.odrl import vocabulary
from policies.odrl.core import CORE, DATE_TIME_OPERAND
from policies.odrl.errors import PolicyError
from policies.odrl.operand import HIERARCHY, OPERATORS, ORDER, PHASES, SETS, Operand, Phase
from policies.odrl.units import DIMENSIONS

__all__ = ["DATE_TIME_OPERAND", "HIERARCHY", "OPERATORS", "ORDER", "PHASES", "SETS", "Operand", "Phase", "Registry"]


_NOWHERE: Final = (frozenset[str](), frozenset[str]())
_T = TypeVar("_T")


class Registry:
    """Operands, actions, profiles and references that policies may use. Immutable."""

    __slots__ = ("_alone", "_operands", "_reach", "_wholes", "actions", "digest", "profiles", "references")

    def __init__(
        self,
        operands: Iterable[Operand],
        actions: Mapping[str, str] | None = None,
        profiles: Iterable[str] = (),
        implies: Mapping[str, tuple[str, ...]] | None = None,
        references: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        """Names in `actions` and `implies` are full IRIs; an action on top has an empty text. Raises `PolicyError`."""
        self.profiles = frozenset(profiles)
        self.references = MappingProxyType(dict(references or {}))
        found = {each.iri: each for each in CORE} | {each.iri: each for each in operands}
        for operand in found.values():
            _sound(operand)
        self._operands = MappingProxyType(found)
        self.actions = MappingProxyType({**vocabulary.ACTIONS, **(actions or {})})
        covers = _closed({name: (above,) if above else () for name, above in self.actions.items()}, "action")
        entails = dict(implies or {})
        unknown = sorted({*entails, *(each for implied in entails.values() for each in implied)} - covers.keys())
        if unknown:
            raise PolicyError("action", f"unknown in implies: {', '.join(unknown)}")
        _closed({name: entails.get(name, ()) for name in covers}, "action")
        forbids = {name: _with_implied(name, covers, entails) for name in covers}
        self._alone = {name: frozenset({name}) for name in covers}
        self._reach = _short({name: (covers[name], forbids[name]) for name in covers})
        self._wholes = {each.iri: _closed(each.narrower, each.iri) for each in found.values() if each.narrower}
        self.digest = hashlib.sha256(
            msgspec.json.encode([list(found.values()), dict(self.actions), implies, dict(self.references)], order="sorted")
        ).hexdigest()

    def __iter__(self) -> Iterator[Operand]:
        return iter(self._operands.values())

    def operand(self, text: str) -> Operand | None:
        """The operand of a name in any of its forms."""
        return self._operands.get(text) or self._operands.get(vocabulary.iri(text))

    def action(self, name: str) -> frozenset[str]:
        """The one action of a full name, as a set that is shared; empty for an unknown one."""
        return self._alone.get(name, frozenset())

    def covering(self, action: str) -> frozenset[str]:
        """The action itself and all that include it: who permits one of them permits it. Empty for an unknown action."""
        return self.reach(action)[0]

    def forbidding(self, action: str) -> frozenset[str]:
        """The actions whose prohibition stands against this one: those that cover it, or cover one that it implies."""
        return self.reach(action)[1]

    def reach(self, action: str) -> tuple[frozenset[str], frozenset[str]]:
        """Both of these."""
        return self._reach.get(action) or self._reach.get(vocabulary.iri(action), _NOWHERE)

    def wholes(self, operand: str) -> Mapping[str, frozenset[str]]:
        """For each ordered value of the operand, itself and everything it is part of."""
        return self._wholes.get(operand, {})


def _sound(operand: Operand) -> None:
    if not operand.phases:
        raise PolicyError(operand.iri, "the operand can be known in no phase, so it would never be enforced")
    if operand.unit and (operand.unit not in DIMENSIONS or operand.type not in ("decimal", "integer")):
        raise PolicyError(operand.iri, f"{operand.unit} is no dimension of a number")


def _closed(above: Mapping[str, tuple[str, ...]], what: str) -> dict[str, frozenset[str]]:
    try:
        return vocabulary.closure(above)
    except ValueError as error:
        raise PolicyError(what, f"{error} is part of itself") from error


def _with_implied(name: str, covers: Mapping[str, frozenset[str]], implies: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """What covers an action, or an action that is done with it."""
    found: set[str] = set()
    open_ = list(covers[name])
    while open_:
        each = open_.pop()
        if each not in found:
            found.add(each)
            open_.extend(above for implied in implies.get(each, ()) for above in covers[implied])
    return frozenset(found)


def _short(found: Mapping[str, _T]) -> dict[str, _T]:
    """The same, under short names of ODRL as well."""
    return {**{vocabulary.term(name): each for name, each in found.items()}, **found}
