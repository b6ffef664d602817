"""The operand registry: every left operand and action that a policy may use, with type, source and phases.

Rules
- Nothing is evaluated that is not registered: an unknown left operand or action is refused when a policy is read.
- An operand names the phases in which its fact can be known. One that can be known in no phase could never be enforced, and is
  refused here.
- `many`: the fact is a set (roles of a member); `eq` then means "has". Other operands have exactly one value.
- `narrower` orders the values (value -> its wholes or classes) for `isA`, `isPartOf` and `hasPart`; without it these three are
  refused. `values`, where given, are the only values that may stand on the right.

Not done here: where facts come from (`policies.profiles`).
"""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

from msgspec import Struct, field

from policies.odrl import vocabulary
from policies.odrl.errors import PolicyError
from policies.odrl.values import ORDERED, ValueType, WrongValue, typed

Phase = Literal["catalog", "negotiation", "transfer"]
PHASES: Final[tuple[Phase, ...]] = ("catalog", "negotiation", "transfer")
EQUALITY: Final = frozenset({"eq", "neq", "isAnyOf", "isNoneOf"})
ORDER: Final = frozenset({"lt", "lteq", "gt", "gteq"})
HIERARCHY: Final = frozenset({"isA", "isPartOf", "hasPart"})
SETS: Final = frozenset({"isAnyOf", "isNoneOf", "isAllOf"})
OPERATORS: Final = EQUALITY | ORDER | HIERARCHY | SETS


class Operand(Struct, frozen=True, kw_only=True):
    """A left operand. `source` says in words where the fact comes from; it is shown to our own side when it is missing."""

    iri: str
    type: ValueType = "string"
    many: bool = False
    phases: tuple[Phase, ...] = PHASES
    source: str = ""
    values: frozenset[str] = frozenset()
    narrower: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def operators(self) -> frozenset[str]:
        """The operators that mean something for this operand."""
        ordered = ORDER if self.type in ORDERED and not self.many else frozenset()
        return EQUALITY | ordered | (SETS if self.many else frozenset()) | (HIERARCHY if self.narrower else frozenset())

    def right(self, value: Any) -> Any:
        """A right operand in its type; raises `WrongValue`."""
        found = typed(self.type, value)
        if self.values and value not in self.values:
            raise WrongValue(f"{str(value)[:80]!r} is not one of the values of this operand")
        return found


DATE_TIME_OPERAND: Final = Operand(iri=vocabulary.DATE_TIME, type="dateTime", source="our own clock")


class Registry:
    """Operands and actions that policies may use. Immutable. The present moment (`odrl:dateTime`) is always known."""

    __slots__ = ("_covers", "_operands", "_wholes", "profiles")

    def __init__(self, operands: Iterable[Operand], actions: Mapping[str, str] | None = None, profiles: Iterable[str] = ()) -> None:
        """`actions` maps further actions (full IRIs) to the action that includes each, or to an empty text.

        `profiles` are the ODRL profiles that policies may name.
        """
        self.profiles = frozenset(profiles)
        found = {vocabulary.DATE_TIME: DATE_TIME_OPERAND}
        for operand in operands:
            if not operand.phases:
                raise PolicyError(operand.iri, "the operand can be known in no phase, so it would never be enforced")
            found[operand.iri] = operand
        self._operands = MappingProxyType(found)
        self._covers = vocabulary.closure({**vocabulary.ACTIONS, **(actions or {})})
        self._wholes = {each.iri: _wholes(each.narrower) for each in found.values() if each.narrower}

    def __iter__(self) -> Iterator[Operand]:
        return iter(self._operands.values())

    def operand(self, text: str) -> Operand | None:
        """The operand of a name in any of its forms."""
        return self._operands.get(text) or self._operands.get(vocabulary.iri(text))

    def covering(self, action: str) -> frozenset[str]:
        """The action itself and all that include it; empty for an unknown action."""
        return self._covers.get(vocabulary.iri(action), frozenset())

    def wholes(self, operand: str) -> Mapping[str, frozenset[str]]:
        """For each ordered value of the operand, itself and everything it is part of."""
        return self._wholes.get(operand, {})


def _wholes(narrower: Mapping[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for value in narrower:
        seen: set[str] = set()
        open_ = [value]
        while open_:
            each = open_.pop()
            if each not in seen:
                seen.add(each)
                open_.extend(narrower.get(each, ()))
        found[value] = frozenset(seen)
    return found
