"""Inheritance (ODRL 2.2, 2.9), written out: a policy with `inheritFrom` becomes one that stands by itself, before anybody signs it.

Rules
- Parents are given by name; what is unknown or inherits from itself is refused. A parent that is reached twice counts once.
- Rules of parents come first, each once; what their policy shares (action, target, parties) goes with them. So does the profile.
- Where policies differ on `conflict`, the merged one would be void (2.11): it is refused instead.
- References of right operands are replaced by the values known for them.
- What comes out has no `inheritFrom`; its hash covers all terms. `Frozen.parents` says what each parent was: the digest of its canonical form (RFC 8785), so that
  whoever has the text can check it. All of them go into a signature (`connector.processes.evidence`), so their names together are bounded.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from msgspec import Struct

from kernel import wire
from kernel.errors import BadInput
from policies.odrl.errors import PolicyError
from policies.odrl.forms import full, listed, named, short
from policies.odrl.limits import limited
from policies.odrl.terms import digest
from policies.odrl.vocabulary import term

MAX_PARENTS: Final = 32
MAX_NAMES: Final = 2_000  # characters, of all parents together
_RULES: Final = ("permission", "prohibition", "obligation")
_SHARED: Final = ("action", "target", "assignee")


class Frozen(Struct, frozen=True):
    """A policy without anything outside itself, its digest, and the digest of each policy that it inherited from, by name."""

    policy: dict[str, Any]
    digest: str
    parents: dict[str, str]


def frozen(
    value: dict[str, Any], known: Mapping[str, dict[str, Any]], references: Mapping[str, tuple[str, ...]] | None = None
) -> Frozen:
    """Write out what a policy inherits; raises `PolicyError`."""
    limited(value)
    parents: dict[str, dict[str, Any]] = {}
    own = _named(value)
    _gather(own, known, parents, ())
    if sum(map(len, parents)) > MAX_NAMES:
        raise PolicyError("/inheritFrom", f"the names of its parents are longer than {MAX_NAMES} characters together")
    line = [*parents.values(), own]
    found = {key: each for key, each in own.items() if key not in ("inheritFrom", *_RULES)}
    found |= _profiles(line) | _conflict(line)
    split = bool(parents) and any(name in each for each in line for name in _SHARED)
    for name in _RULES:
        every = (each for policy in line for each in _rules(policy, name, split=split))
        once = {orjson.dumps(each, option=orjson.OPT_SORT_KEYS): each for each in every}
        if once:
            found[name] = list(once.values())
    if split:
        agreed = term(str(own.get("@type", ""))) == "Agreement"  # an agreement keeps its parties
        found = {key: each for key, each in found.items() if key not in _SHARED or (agreed and key == "assignee")}
    resolved: dict[str, Any] = _resolved(found, references or {}, "")
    return Frozen(resolved, digest(resolved), {name: _hashed(known[name]) for name in parents})


def _named(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PolicyError("", "an object is expected")
    return {term(str(key)).removeprefix("rdf:"): each for key, each in value.items()}


def _gather(
    policy: dict[str, Any], known: Mapping[str, dict[str, Any]], found: dict[str, dict[str, Any]], above: tuple[str, ...]
) -> None:
    for each in listed(policy.get("inheritFrom"), "/inheritFrom"):
        name = named(each, "/inheritFrom")
        if name in above:
            raise PolicyError("/inheritFrom", f"{name[:200]} inherits from itself")
        if name not in known:
            raise PolicyError("/inheritFrom", f"unknown policy {name[:200]!r}; nothing is fetched")
        if name not in found:
            limited(known[name])
            parent = _named(known[name])
            _gather(parent, known, found, (*above, name))
            found[name] = parent
        if len(found) > MAX_PARENTS:
            raise PolicyError("/inheritFrom", f"more than {MAX_PARENTS} parents")


def _profiles(line: list[dict[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(named(each, "/profile") for policy in line for each in listed(policy.get("profile"), "/profile"))
    return {"profile": list(names)} if names else {}


def _conflict(line: list[dict[str, Any]]) -> dict[str, Any]:
    found = {short(each["conflict"], "/conflict") for each in line if each.get("conflict") is not None}
    if len(found) > 1:
        raise PolicyError(
            "/conflict", f"the inherited policies differ ({', '.join(sorted(found))}), so the merged one would be void"
        )
    return {"conflict": found.pop()} if found else {}


def rules(policy: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The rules of a policy by kind, each with what its policy shares with it: as they stand in what inherits from it. Raises `PolicyError`."""
    found = _named(policy)
    return {name: _rules(found, name, split=True) for name in _RULES}


def _rules(policy: dict[str, Any], kind: str, *, split: bool) -> list[dict[str, Any]]:
    return [_alone(rule, policy, split=split) for rule in listed(policy.get(kind), f"/{kind}")]


def _hashed(policy: dict[str, Any]) -> str:
    try:
        return wire.digest(policy)
    except BadInput as error:
        raise PolicyError("/inheritFrom", error.detail) from error


def _alone(rule: Any, policy: dict[str, Any], *, split: bool) -> dict[str, Any]:
    """A rule with what its policy shares with it."""
    own = _named(rule)
    if not split:
        return own
    return {name: policy[name] for name in _SHARED if name in policy} | own


def _resolved(node: Any, references: Mapping[str, tuple[str, ...]], path: str) -> Any:
    if isinstance(node, list):
        return [_resolved(each, references, f"{path}/{n}") for n, each in enumerate(node)]
    if not isinstance(node, dict):
        return node
    found = {
        key: _resolved(each, references, f"{path}/{key}") for key, each in node.items() if term(key) != "rightOperandReference"
    }
    for key, each in node.items():
        if term(key) == "rightOperandReference":
            values: list[str] = []
            for one in listed(each, f"{path}/{key}"):
                name = full(one, f"{path}/{key}")
                if name not in references:
                    raise PolicyError(f"{path}/{key}", f"unknown reference {name[:200]!r}; nothing is fetched")
                values += references[name]
            found["rightOperand"] = values[0] if len(values) == 1 else values
    return found
