"""Where terms came from: what of the policies that a contract was written from does not stand in it. For whoever checks an agreement against their texts.

Rules
- A rule of a parent stands in a policy where one of the same kind says the same (`odrl.terms`), both written as the wire carries them (`odrl.wire`), the parent's
  with what its policy shares with it (`odrl.inherit`).
- A slot of a template stands for whatever was put there, and a constraint with one may have been left out (`templates`).
- What does not stand there was agreed otherwise. That is no fault: terms are negotiated.

Texts are a stranger's: no step here costs more than rules times rules, constraints times constraints.
"""

from collections.abc import Mapping
from typing import Any

from policies.odrl.inherit import rules
from policies.odrl.terms import normal
from policies.odrl.wire import fitted
from policies.profiles.templates import slot


def otherwise(parent: Mapping[str, Any], policy: Mapping[str, Any]) -> tuple[int, int]:
    """How many rules a parent has, and how many of them do not stand in the policy; raises `PolicyError` for what is no policy."""
    wanted, given = _comparable(parent), _comparable(policy)
    missing = sum(_unmatched(each, given.get(kind, [])) for kind, each in wanted.items())
    return sum(map(len, wanted.values())), missing


def _comparable(policy: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Rules by kind, in the form in which terms are compared."""
    shared = rules(dict(policy))
    found = normal(fitted({"@id": "urn:terms", "@type": "Offer", **shared}).policy)
    return {kind: found.get(kind, []) for kind in shared}


def _unmatched(wanted: list[Any], given: list[Any]) -> int:
    left = list(given)
    return sum(not _taken(each, left) for each in wanted)


def _taken(wanted: Any, left: list[Any]) -> bool:
    """Whether something that is left says it; that is taken away."""
    at = next((n for n, each in enumerate(left) if _says(wanted, each)), None)
    if at is not None:
        del left[at]
    return at is not None


def _says(wanted: Any, given: Any, name: str = "") -> bool:
    if slot(wanted):
        return True
    if isinstance(wanted, dict) and isinstance(given, dict):
        return all(_says(wanted.get(key, []), given.get(key, []), key) for key in wanted.keys() | given.keys())
    if not (isinstance(wanted, list) and isinstance(given, list)):
        return bool(wanted == given) and type(wanted) is type(given)
    if name == "andSequence":
        return len(wanted) == len(given) and all(map(_says, wanted, given))
    if any(map(slot, wanted)):
        return len(wanted) == 1  # one slot for all values
    left = list(given)
    exact = sorted(wanted, key=_open)
    return all(_taken(each, left) or _open(each) for each in exact) and not left


def _open(node: Any) -> bool:
    """Whether it is a constraint whose value is a slot."""
    return isinstance(node, dict) and any(map(slot, node.get("rightOperand", ())))
