"""One way to write a policy: members in one order, ODRL terms in their short form, sets of values and constraints sorted.

Formatting twice changes nothing more, and the terms stay the same (`terms.digest`). The order of rules is the author's: paths of
duties are kept by it. Members that are not known are kept where they sort.
"""

import json
from typing import Any, Final

from policies.odrl.terms import digest
from policies.odrl.vocabulary import term

_ORDER: Final = (
    *("@context", "@id", "uid", "@type", "profile", "inheritFrom", "conflict", "assigner", "assignee", "target", "timestamp"),
    *("action", "leftOperand", "operator", "rightOperand", "rightOperandReference", "dataType", "unit", "status"),
    *("permission", "prohibition", "obligation", "constraint", "refinement", "duty", "remedy", "consequence"),
)
_RANK: Final = {name: n for n, name in enumerate(_ORDER)}
_TERMS: Final = frozenset({"action", "leftOperand", "operator", "conflict", "@type"})
_SORTED: Final = frozenset({"constraint", "refinement", "and", "or", "xone", "rightOperand", "profile"})


def formatted(value: Any) -> str:
    """The policy as text, with a line feed at its end; raises `PolicyError` for what is no policy object."""
    before = digest(value)
    found = _node("", value)
    if digest(found) != before:
        raise AssertionError("formatting changed the terms")
    return json.dumps(found, ensure_ascii=False, indent=2) + "\n"


def _node(name: str, value: Any, *, inner: bool = False) -> Any:
    if isinstance(value, dict):
        members = {_key(key): each for key, each in value.items()}
        return {key: _node(key, members[key]) for key in sorted(members, key=lambda key: (_RANK.get(key, len(_ORDER)), key))}
    if isinstance(value, list):
        parts = [_node(name, each, inner=True) for each in value]
        return sorted(parts, key=_text) if name in _SORTED and not inner else parts  # a list within a list has an order of its own
    return term(value) if name in _TERMS and isinstance(value, str) else value


def _key(key: str) -> str:
    return key if key.startswith("@") else term(key).removeprefix("rdf:")


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
