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
from typing import Any, Final, Literal, Protocol

from msgspec import Struct, field

from policies.odrl.units import quantity
from policies.odrl.values import LONGEST, ORDERED, Since, ValueType, WrongValue, typed
from policies.odrl.vocabulary import DATE_TIME

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


class Asked(Protocol):
    """What a reader looks at: the facts of a request, its moment, and what was read of it already."""

    @property
    def facts(self) -> Mapping[str, Any]: ...

    @property
    def now(self) -> datetime: ...

    @property
    def known(self) -> dict[str, Any]: ...


Reader = Callable[[str, Asked], Any]


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
    def reader(self) -> Reader:
        """What finds the fact of this operand in a request, typed. One name or text is read where it stands; what takes longer is kept in `known`."""
        if self.iri == DATE_TIME:
            return _present
        if self.type == "iri" and not self.many:
            return _name
        if self.type != "string":
            return self._kept
        return _texts if self.many else _text

    def fact(self, value: Any, now: datetime) -> Any:
        """A fact in its type: a frozenset for `many`, else one value; None where it cannot be read, so that nothing is known."""
        if value is None:
            return None
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

    def _kept(self, name: str, asked: Asked) -> Any:
        known = asked.known
        if name not in known:
            known[name] = self.fact(asked.facts.get(name), asked.now)
        return known[name]

    def _one(self, value: Any, now: datetime) -> Any:
        if self.type == "duration" and isinstance(value, datetime):
            if value.tzinfo is None or now.tzinfo is None or value > now:
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


def _present(_: str, asked: Asked) -> Any:
    """The present moment comes from our clock, never from the facts."""
    now = asked.now
    return None if now.tzinfo is None else now


def _text(name: str, asked: Asked) -> Any:
    value = asked.facts.get(name)
    if value.__class__ is str and value and len(value) <= LONGEST:
        return value
    return _TEXT.fact(value, asked.now)


def _name(name: str, asked: Asked) -> Any:
    value = asked.facts.get(name)
    if value.__class__ is str and len(value) <= LONGEST and ":" in value and value.split()[0] == value:
        return value
    return _NAME.fact(value, asked.now)


def _texts(name: str, asked: Asked) -> Any:
    known = asked.known
    if name in known:
        return known[name]
    value: Any = asked.facts.get(name)
    try:  # most are short together: none is looked at alone then
        short = (value.__class__ is tuple or value.__class__ is frozenset) and "" not in value and len("".join(value)) <= LONGEST
    except TypeError:
        short = False
    known[name] = found = frozenset(value) if short else _TEXTS.fact(value, asked.now)
    return found
