"""Decision records: what was decided, by what, from which facts; replayable, and chained by hash.

Rules
- A record holds the hash of the whole policy document and of the registry, what was asked, and of the facts those that the policy
  reads. It holds the answer and both masks, so that a replay compares every constraint.
- `hash` is over everything else in the record in one fixed form, `previous` is the hash of the record before. A record that was
  changed, left out or put elsewhere breaks the chain from there.
- A replay with another policy or another registry is refused: it would say nothing about that decision.

Not done here: storing records, signing the last hash.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec
import orjson
from msgspec import Struct
from msgspec.structs import asdict, replace

from policies.odrl.compiled import document_hash
from policies.odrl.errors import PolicyError
from policies.odrl.evaluate import Decision, DutyState, Request, evaluate
from policies.odrl.operand import Phase
from policies.odrl.operands import Registry
from policies.odrl.parse import parse
from policies.odrl.vocabulary import DATE_TIME

ENGINE: Final = "1"
FIRST: Final = "0" * 64


class Record(Struct, frozen=True, kw_only=True):
    """One decision. Masks are hexadecimal, moments ISO 8601; a fact that is a moment stands as `{"began": ...}`."""

    previous: str
    engine: str
    policy: str
    registry: str
    action: str
    phase: Phase
    now: str
    party: str
    target: str
    facts: dict[str, Any]
    part_of: dict[str, list[str]]
    duties: dict[str, DutyState]
    since: dict[str, str]
    remedied: bool
    permitted: bool
    held: str
    unknown: str
    hash: str = ""


def record(decision: Decision, document: Any, previous: str = FIRST) -> Record:
    """The record of a decision by the policy that was read from `document`."""
    request, policy = decision.request, decision.policy
    read = {atom.operand.iri for atom in policy.atoms()} - {DATE_TIME}
    duties = dict(sorted(request.duties.items()))
    found = Record(
        previous=previous,
        engine=ENGINE,
        policy=document_hash(document).hex(),
        registry=policy.registry.digest,
        action=request.action,
        phase=request.phase,
        now=request.now.isoformat(),
        party=request.party,
        target=request.target,
        facts={iri: _plain(request.facts[iri]) for iri in sorted(read & request.facts.keys())},
        part_of={name: sorted(each) for name, each in request.part_of.items()},
        duties=duties,
        since={iri: request.since[iri].isoformat() for iri in sorted(read & request.since.keys())},
        remedied=request.remedied,
        permitted=decision.permitted,
        held=f"{decision.held:x}",
        unknown=f"{decision.unknown:x}",
    )
    return replace(found, hash=_hash(found))


def replay(kept: Record, document: Any, registry: Registry) -> list[str]:
    """Decide again from the record; what came out differently, as lines. Raises `PolicyError` for another policy or registry."""
    if document_hash(document).hex() != kept.policy:
        raise PolicyError("", "it is not the policy that this record is about")
    if registry.digest != kept.registry:
        raise PolicyError("", "the registry of operands is another one than that of the record")
    again = record(evaluate(parse(document, operands=registry), _request(kept)), document, kept.previous)
    before, now = asdict(kept), asdict(again)
    return [f"{name}: {before[name]!r}, now {now[name]!r}" for name in before if before[name] != now[name]]


def broken(records: Iterable[Record], previous: str = FIRST) -> int | None:
    """The place of the first record that does not follow from the one before, or None where the chain holds."""
    for place, each in enumerate(records):
        if each.previous != previous or each.hash != _hash(each):
            return place
        previous = each.hash
    return None


def _hash(found: Record) -> str:
    return hashlib.sha256(orjson.dumps(msgspec.to_builtins(replace(found, hash="")), option=orjson.OPT_SORT_KEYS)).hexdigest()


def _request(kept: Record) -> Request:
    return Request(
        action=kept.action,
        phase=kept.phase,
        facts={iri: _fact(each) for iri, each in kept.facts.items()},
        now=datetime.fromisoformat(kept.now),
        party=kept.party,
        target=kept.target,
        part_of={name: frozenset(each) for name, each in kept.part_of.items()},
        duties=kept.duties,
        since={iri: datetime.fromisoformat(each) for iri, each in kept.since.items()},
        remedied=kept.remedied,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"began": value.isoformat()}
    if isinstance(value, set | frozenset):
        return sorted((_plain(each) for each in value), key=repr)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return value if isinstance(value, str | int | float | bool) else str(value)


def _fact(value: Any) -> Any:
    if isinstance(value, dict):
        return datetime.fromisoformat(value["began"]) if value.keys() == {"began"} else value
    return [_fact(each) for each in value] if isinstance(value, list) else value
