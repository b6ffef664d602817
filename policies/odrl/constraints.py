"""Reading constraints (ODRL 2.2, 2.5): atomic and logical ones, with units, data types, status and references of the right operand.

Rules
- At most 2,000 constraints and 10,000 right values in a policy.
- One logical operator in an object, and nothing beside it; it has parts.
- Left operand and operator are registered, and mean something together. The right operand fits the operand's type, its unit the
  operand's dimension. Whoever writes a data type writes one that fits.
- Where a moment is expected a day with its zone will do (`2026-12-31+09:00`): up to it means until it is over there, from it since it began.
- A reference (`rightOperandReference`) stands for the values that the registry knows for it. Nothing is fetched.
"""

from collections.abc import Mapping
from typing import Any, Final, get_args

from policies.odrl.errors import PolicyError
from policies.odrl.forms import full, listed, members, short, text
from policies.odrl.model import Atomic, Conjunction, Constraint, Logical, LogicalKind
from policies.odrl.operands import SETS, Operand, Registry
from policies.odrl.operators import compiled
from policies.odrl.terms import OPERATOR_TERMS
from policies.odrl.values import DATATYPES, ValueType, WrongValue, day, named_day
from policies.odrl.vocabulary import DEPRECATED, XSD, iri

MAX_CONSTRAINTS: Final = 2_000
MAX_VALUES: Final = 10_000
NODE: Final = frozenset({"@id", "@type", "uid"})
_LOGICAL: Final[tuple[LogicalKind, ...]] = get_args(LogicalKind)
_ATOMIC: Final = NODE | {"leftOperand", "operator", "rightOperand", "rightOperandReference", "unit", "dataType", "status"}
_KNOWN: Final = _ATOMIC | set(_LOGICAL)
_OF_DAYS: Final = {
    "lt": ("lt", 0),
    "gteq": ("gteq", 0),
    "lteq": ("lt", 1),
    "gt": ("gteq", 1),
}  # the operator, and which end of the day
_BARE = int | float | str | bool


class ConstraintReader:
    """Reads the constraints of one policy, and counts what is limited."""

    __slots__ = ("_bit", "_constraints", "_values", "deciding", "registry")

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.deciding = True  # false while a duty is read: its constraints have no place in the masks of a decision
        self._bit = 1
        self._constraints = 0
        self._values = 0

    def all(self, value: Any, path: str) -> tuple[Constraint, ...]:
        """The constraints of a list; raises `PolicyError`."""
        return tuple(self.one(each, f"{path}/{n}") for n, each in enumerate(listed(value, path)))

    def one(self, value: Any, path: str) -> Constraint:
        """One constraint; raises `PolicyError`."""
        self._constraints += 1
        if self._constraints > MAX_CONSTRAINTS:
            raise PolicyError(path, f"more than {MAX_CONSTRAINTS} constraints")
        node = members(value, path, _KNOWN)
        logical = [name for name in _LOGICAL if name in node]
        if not logical:
            return self._atomic(node, path)
        if len(node.keys() - NODE) != 1:
            raise PolicyError(path, "a logical constraint has one operator and nothing else")
        where = f"{path}/{logical[0]}"
        parts = self.all(node[logical[0]], where)
        if not parts:
            raise PolicyError(where, "a logical constraint has parts")
        return Logical(kind=logical[0], parts=parts, branches=_branches(logical[0], parts), path=path)

    def _atomic(self, node: Mapping[str, Any], path: str) -> Atomic:
        operand = self._operand(node, path)
        given = short(node.get("operator"), path + "/operator")
        operator = OPERATOR_TERMS.get(given, "")
        if not operator:
            raise PolicyError(path + "/operator", f"unknown operator {given[:80]!r}")
        if operator not in operand.operators:
            raise PolicyError(path + "/operator", f"{operator} means nothing for {operand.iri}")
        unit = text(_code(node["unit"]), path + "/unit") if "unit" in node else ""
        operator, texts, right = self._right(node, operand, operator, unit, path)
        if operator not in SETS and len(set(right)) != 1:
            raise PolicyError(path + "/rightOperand", f"{operator} takes one value")
        right = tuple(dict.fromkeys(right))
        test, bound = compiled(operator, operand, right, self.registry.wholes(operand.iri))
        return Atomic(
            operand=operand,
            left=operand.iri,
            operator=operator,
            right=texts,
            path=path,
            read=operand.reader,
            test=test,
            bound=bound,
            bit=self._place(),
            unit=unit,
            status=_status(node, operand, unit, path),
        )

    def _place(self) -> int:
        if not self.deciding:
            return 0
        found, self._bit = self._bit, self._bit << 1
        return found

    def _operand(self, node: Mapping[str, Any], path: str) -> Operand:
        name = short(node.get("leftOperand"), path + "/leftOperand")
        operand = self.registry.operand(name)
        if operand is None:
            instead = DEPRECATED.get(iri(name))
            hint = f"; it is deprecated, write {instead}" if instead else ""
            raise PolicyError(path + "/leftOperand", f"unknown left operand {name[:200]!r}{hint}")
        return operand

    def _right(
        self, node: Mapping[str, Any], operand: Operand, operator: str, unit: str, path: str
    ) -> tuple[str, tuple[str, ...], tuple[Any, ...]]:
        """The operator, the right values as texts, and in their type."""
        where = path + "/rightOperand"
        if "rightOperandReference" in node:
            given, where = self._referred(node, path), where + "Reference"
        else:
            given = listed(node.get("rightOperand"), where)
        self._values += len(given)
        if not given:
            raise PolicyError(where, "a right operand is missing")
        if self._values > MAX_VALUES:
            raise PolicyError(where, f"more than {MAX_VALUES} values")
        for each in given:
            _fits(node.get("dataType"), operand, path + "/dataType", each.get("@value") if isinstance(each, dict) else each)
        bare = [_bare(each, operand, f"{where}/{n}") for n, each in enumerate(given)]
        try:
            if operand.type == "dateTime":
                operator, bare = _moments(operator, bare)
            return operator, tuple(map(_written, bare)), tuple(operand.right(each, unit) for each in bare)
        except WrongValue as error:
            raise PolicyError(path + "/unit" if "unit" in str(error) else where, str(error)) from error

    def _referred(self, node: Mapping[str, Any], path: str) -> list[Any]:
        where = path + "/rightOperandReference"
        if "rightOperand" in node:
            raise PolicyError(where, "stands beside a right operand; one of the two is meant")
        found: list[Any] = []
        for each in listed(node["rightOperandReference"], where):
            name = full(each, where)
            if name not in self.registry.references:
                raise PolicyError(where, f"unknown reference {name[:200]!r}; nothing is fetched")
            found += self.registry.references[name]
        return found


def _branches(kind: LogicalKind, parts: tuple[Constraint, ...]) -> tuple[Conjunction, ...]:
    """What is decided each for itself; an `and` among alternatives is one already."""
    if kind in ("and", "andSequence"):
        return (Conjunction.of(parts),)
    return tuple(
        [each.branches[0] if isinstance(each, Logical) and each.kind == "and" else Conjunction.of((each,)) for each in parts]
    )


def _moments(operator: str, bare: list[_BARE]) -> tuple[str, list[_BARE]]:
    """A comparison with a day, as one with the moment at which that day begins or has ended."""
    days = [found for each in bare if (found := day(each)) is not None]
    if not days:
        return operator, bare
    if len(bare) != 1 or operator not in _OF_DAYS:
        raise WrongValue(f"{operator} compares moments, and a day has many; write gteq and lteq with it")
    same, end = _OF_DAYS[operator]
    return same, [days[0][end].isoformat()]


def _status(node: Mapping[str, Any], operand: Operand, unit: str, path: str) -> str:
    if "status" not in node:
        return ""
    bare = _bare(node["status"], operand, path + "/status")
    try:
        operand.right(bare, unit)
    except WrongValue as error:
        raise PolicyError(path + "/status", str(error)) from error
    return _written(bare)


def _code(value: Any) -> Any:
    return value.get("@id") if isinstance(value, dict) and value.keys() == {"@id"} else value


def _fits(datatype: Any, operand: Operand, path: str, value: Any) -> None:
    if datatype is None:
        return
    name = iri(text(_code(datatype), path), XSD)
    wanted: ValueType = "date" if operand.type == "dateTime" and named_day(value) else operand.type
    if name.removeprefix(XSD) not in DATATYPES[wanted]:
        raise PolicyError(path, f"datatype {name[:200]} does not fit, {wanted} is expected")


def _bare(value: Any, operand: Operand, path: str) -> _BARE:
    """The value itself out of a JSON-LD value or reference; its datatype must be one of the operand's."""
    if isinstance(value, dict):
        if value.keys() == {"@id"}:
            value = value["@id"]
        elif "@value" in value and value.keys() <= {"@value", "@type"}:
            _fits(value.get("@type"), operand, path, value["@value"])
            value = value["@value"]
    if not isinstance(value, _BARE):
        raise PolicyError(path, "a text, a number, a typed value or a reference is expected")
    return value


def _written(value: _BARE) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
