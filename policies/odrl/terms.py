"""Comparing policies term by term: is what the other side agreed to what was offered.

Rules
- Compared are profiles, rules, constraints, duties and their values. Ids, types and, on the policy, parties, target and timestamp
  are not terms.
- The order of rules, constraints and set values means nothing (but that of `andSequence`). A list of one and its one element, short
  and prefixed names, `{"@value": x}` and `x` are the same. Everything else is a difference: a member that is not known too.
- `digest` is equal for two policies exactly when `same_terms` finds no difference.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import orjson
from msgspec import Struct

from policies.odrl.errors import PolicyError
from policies.odrl.limits import limited
from policies.odrl.operand import OPERATORS
from policies.odrl.vocabulary import XSD, iri, term

OPERATOR_TERMS: Final[Mapping[str, str]] = MappingProxyType({name: name for name in OPERATORS} | {"term-lteq": "lteq"})
_NOT_TERMS: Final = frozenset({"@id", "@type", "uid"})
_NOT_POLICY_TERMS: Final = _NOT_TERMS | {"@context", "assigner", "assignee", "target", "timestamp"}
_LISTS: Final = frozenset(
    {
        *("permission", "prohibition", "obligation", "duty", "remedy", "consequence"),
        *("constraint", "refinement", "action", "profile", "and", "or", "xone", "rightOperand"),
    }
)
_SHOWN: Final = 200
_SMALL: Final = 4_096  # bytes


class Difference(Struct, frozen=True):
    """One term that is not the same; None where one side does not have it.

    `path` is a JSON pointer into the compared form, `about` names the rule and the constraint in words (`permission use: dateTime lt`).
    """

    path: str
    first: Any = None
    second: Any = None
    about: str = ""

    def __str__(self) -> str:
        where = f"{self.path} ({self.about})" if self.about else self.path
        if self.first is None or self.second is None:
            side, value = ("second", self.second) if self.first is None else ("first", self.first)
            return f"{where}: only in the {side}: {_show(value)}"
        return f"{where}: {_show(self.second)} instead of {_show(self.first)}"


def differences(first: Any, second: Any) -> list[Difference]:
    """What is not the same in the terms of two policies; none: the terms are the same."""
    bare, other = _bare(_object_of(first)), _bare(_object_of(second))
    if bare == other:
        return []
    mine, theirs = _bytes(bare), _bytes(other)
    small = len(mine) + len(theirs) <= _SMALL
    return list(_compared(mine, theirs)) if small else _differences("", normal(first), normal(second))


def same_terms(first: Any, second: Any) -> list[str]:
    """The differences as lines `path: what`."""
    return [str(each) for each in differences(first, second)]


def _bare(policy: dict[str, Any]) -> dict[str, Any]:
    """A policy without what is no term of it, as it stands."""
    return {key: each for key, each in policy.items() if key not in _NOT_POLICY_TERMS}


def digest(value: Any) -> str:
    """`sha256:<hex>` over the terms of a policy."""
    return "sha256:" + hashlib.sha256(_bytes(_made(_checked(value)))).hexdigest()


def normal(policy: Any) -> Any:
    """The form in which policies are compared, for reading only. Small ones are kept: one offer is compared with every agreement under it."""
    bare = orjson.dumps(_bare(_checked(policy)))
    return _kept(bare) if len(bare) <= _SMALL else _made(policy)


def _checked(policy: Any) -> dict[str, Any]:
    limited(policy)
    return _object_of(policy)


def _object_of(policy: Any) -> dict[str, Any]:
    if not isinstance(policy, dict):
        raise PolicyError("", "an object is expected")
    return policy


@lru_cache(maxsize=512)
def _compared(first: bytes, second: bytes) -> tuple[Difference, ...]:
    """The differences of small policies, kept: one offer is compared with every agreement under it."""
    return tuple(_differences("", _kept(first), _kept(second)))


@lru_cache(maxsize=512)
def _kept(bare: bytes) -> dict[str, Any]:
    return _made(_checked(orjson.loads(bare)))


def _made(policy: dict[str, Any]) -> dict[str, Any]:
    found = _object(policy, _NOT_POLICY_TERMS)
    if found.get("conflict") == "prohibit":
        del found["conflict"]
    return found


def _object(value: dict[str, Any], ignored: frozenset[str]) -> dict[str, Any]:
    found = {}
    for key, each in value.items():
        name = term(str(key)).removeprefix("rdf:")
        if name in ignored:
            continue
        if name in found:
            raise PolicyError(f"/{name}", "is there twice")
        normal = _member(name, each)
        if normal not in (None, []):
            found[name] = normal
    return found


def _member(name: str, value: Any) -> Any:
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("@list", "@set"):
        value = next(iter(value.values()))
    if name in _LISTS or isinstance(value, list):
        parts = [_value(name, each) for each in (value if isinstance(value, list) else [value]) if each is not None]
        return parts if name == "andSequence" else sorted(parts, key=_bytes)
    return _value(name, value)


def _value(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_value(name, each) for each in value]
    if isinstance(value, dict):
        bare = _unwrapped(name, value)
        return _named(name, bare) if isinstance(bare, str) else _wrapped(name, bare)
    return _named(name, value) if isinstance(value, str) else value


def _wrapped(name: str, value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if name == "rightOperand":
        return {key: iri(each, XSD) if key == "@type" and isinstance(each, str) else each for key, each in value.items()}
    return _object(value, _NOT_TERMS if name != "action" else frozenset())


def _unwrapped(name: str, value: dict[str, Any]) -> Any:
    """The one value of `{"@id": x}` or `{"@value": x}` where a value is expected."""
    if len(value) == 1 and (name in ("action", "leftOperand", "operator", "rightOperand", "profile", "value", "conflict")):
        (key,) = value
        if key in ("@id", "@value"):
            return value[key]
    return value


def _named(name: str, value: str) -> str:
    if name in ("action", "leftOperand", "value"):
        return iri(value)
    if name == "operator":
        return OPERATOR_TERMS.get(term(value), value)
    return term(value) if name == "conflict" else value


def _differences(path: str, first: Any, second: Any, about: str = "") -> list[Difference]:
    if isinstance(first, dict) and isinstance(second, dict):
        about = _about(path, about, first)
        names = sorted(first.keys() | second.keys())
        return [each for name in names for each in _differences(f"{path}/{name}", first.get(name), second.get(name), about)]
    if isinstance(first, list) and isinstance(second, list) and not path.endswith("/andSequence"):
        return _unmatched(path, first, second, about)
    if first == second and type(first) is type(second):
        return []
    return [Difference(path, first, second, about)]


def _about(path: str, about: str, node: dict[str, Any]) -> str:
    """What a rule or a constraint is about, in words, after what it stands in."""
    if "leftOperand" in node:
        words = (short(str(node["leftOperand"])), str(node.get("operator", "")))
    elif "action" in node and path:
        actions = node["action"] if isinstance(node["action"], list) else [node["action"]]
        words = (path.rsplit("/", 2)[-2], " ".join(short(each) for each in actions if isinstance(each, str)))
    else:
        return about
    return f"{about}: {' '.join(filter(None, words))}" if about else " ".join(filter(None, words))


def short(iri_: str) -> str:
    """The last part of an IRI, as people say it."""
    return iri_.replace("#", "/").replace(":", "/").rpartition("/")[2]


def _unmatched(path: str, first: list[Any], second: list[Any], about: str) -> list[Difference]:
    """What stands in one list and not in the other; what is left on both sides is compared pair by pair."""
    rest: dict[bytes, list[Any]] = {}
    for each in second:
        rest.setdefault(_bytes(each), []).append(each)
    left = [each for each in first if not (rest.get(_bytes(each)) and rest[_bytes(each)].pop())]
    right = [each for some in rest.values() for each in some]
    found: list[Difference] = []
    for n in range(max(len(left), len(right))):
        a, b = (left[n] if n < len(left) else None), (right[n] if n < len(right) else None)
        found += _differences(f"{path}/{n}", a, b, about)
    return found


def _bytes(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, UnicodeEncodeError) as error:
        raise PolicyError("", "not JSON") from error


def _show(value: Any) -> str:
    return _bytes(value).decode()[:_SHOWN]
