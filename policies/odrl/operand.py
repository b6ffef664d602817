"""One left operand: what values it takes on both sides of an operator, and when its fact can be known.

Rules
- An operand names the phases in which its fact can be known.
- `many`: the fact is a set (roles of a member); `eq` then means "has". Other operands have exactly one value, and several are unknown.
- `unit` names a dimension (`units`): both sides then carry a unit. An operand without one takes none.
- `narrower` orders the values (value -> its wholes or classes) for `isA`, `isPartOf` and `hasPart`; without it these three are
  refused. `values`, where given, are the only values that may stand on the right.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Literal

from msgspec import Struct, field

from policies.odrl.units import quantity
from policies.odrl.values import LONGEST, ORDERED, Since, ValueType, WrongValue, typed

Phase = Literal["catalog", "negotiation", "transfer", "monitoring", "consumer"]
PHASES: Final[tuple[Phase, ...]] = ("catalog", "negotiation", "transfer", "monitoring", "consumer")
EQUALITY: Final = frozenset({"eq", "neq", "isAnyOf", "isNoneOf"})
ORDER: Final = frozenset({"lt", "lteq", "gt", "gteq"})
HIERARCHY: Final = frozenset({"isA", "isPartOf", "hasPart"})
SETS: Final = frozenset({"isAnyOf", "isNoneOf", "isAllOf"})
OPERATORS: Final = EQUALITY | ORDER | HIERARCHY | SETS
_COLLECTIONS: Final = (list, tuple, set, frozenset)
_NOT_BEGUN: Final = "it has not begun, or in no zone"
_NO_QUANTITY: Final = "a quantity has a value and a unit"


class Operand(Struct, frozen=True, kw_only=True):
    """A left operand. `source` says in words where the fact comes from, `credential` names the credential type that would supply it."""

    iri: str
    type: ValueType = "string"
    many: bool = False
    unit: str = ""
    phases: tuple[Phase, ...] = PHASES
    source: str = ""
    credential: str = ""
    values: frozenset[str] = frozenset()
    narrower: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def operators(self) -> frozenset[str]:
        """The operators that mean something for this operand."""
        ordered = ORDER if self.type in ORDERED and not self.many else frozenset()
        return EQUALITY | ordered | (SETS if self.many else frozenset()) | (HIERARCHY if self.narrower else frozenset())

    @property
    def exact(self) -> bool:
        """Whether equality of two values is always known; not for durations and quantities."""
        return self.type != "duration" and not self.unit

    def right(self, value: Any, unit: str = "") -> Any:
        """A right operand in its type; raises `WrongValue`."""
        found = typed(self.type, value)
        if self.values and value not in self.values:
            raise WrongValue(f"{str(value)[:80]!r} is not one of the values of this operand")
        if unit and not self.unit:
            raise WrongValue("this operand has no unit")
        if self.unit and not unit:
            raise WrongValue(f"a unit of {self.unit} is missing")
        return quantity(found, unit, self.unit) if self.unit else found

    @property
    def reader(self) -> Callable[[Any, datetime], Any]:
        """What `fact` does, as one function; texts, which are most facts, without detours."""
        if self.type == "iri" and not self.many:
            return _name
        if self.type != "string":
            return self.fact
        return _texts if self.many else _text

    def fact(self, value: Any, now: datetime) -> Any:
        """A fact in its type: a frozenset for `many`, else one value; None where it cannot be read, so that nothing is known."""
        try:
            if self.many:
                return frozenset([self._one(each, now) for each in (value if isinstance(value, _COLLECTIONS) else (value,))])
            if isinstance(value, _COLLECTIONS):
                if len(value) != 1:
                    return None
                (value,) = value
            return self._one(value, now)
        except WrongValue:
            return None

    def _one(self, value: Any, now: datetime) -> Any:
        if self.type == "duration" and isinstance(value, datetime):
            if value.tzinfo is None or value > now:
                raise WrongValue(_NOT_BEGUN)
            return Since(value, now)
        if self.unit:
            if not isinstance(value, Mapping) or not isinstance(value.get("unit"), str):
                raise WrongValue(_NO_QUANTITY)
            return quantity(typed(self.type, value.get("value")), value["unit"], self.unit)
        return typed(self.type, value)


_TEXT: Final = Operand(iri="")
_NAME: Final = Operand(iri="", type="iri")
_TEXTS: Final = Operand(iri="", many=True)


def _text(value: Any, now: datetime) -> Any:
    if value.__class__ is str and 0 < len(value) <= LONGEST:
        return value
    return _TEXT.fact(value, now)


def _name(value: Any, now: datetime) -> Any:
    if value.__class__ is str and 0 < len(value) <= LONGEST and ":" in value and value.split() == [value]:
        return value
    return _NAME.fact(value, now)


def _texts(value: Any, now: datetime) -> Any:
    if value.__class__ is tuple or value.__class__ is frozenset:
        try:
            if len("".join(value)) <= LONGEST and "" not in value:
                return frozenset(value)
        except TypeError:
            return None
    return _TEXTS.fact(value, now)
