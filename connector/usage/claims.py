"""The verified claims that a running transfer relies on, each with the end of the credential that holds it.

    shown      {credential type: [[end, subject], ...]}       as the process keeps it; `end` is ISO 8601, empty where the credential has none
    valid      {credential type: [subject, ...]}              those that count at a moment, for a decision

A credential counts until its end and not at that moment any more. Where two credentials say the same, the later end counts.

Not done here: verifying (`identity.verify`), deciding (`usage.decide`), what follows when one has ended (`usage.running`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from identity.verify import VerifiedParticipant
from kernel.clock import iso, parse_iso

Claims = Mapping[str, Sequence[Mapping[str, Any]]]
Shown = Mapping[str, Sequence[Sequence[Any]]]


def shown(who: VerifiedParticipant) -> dict[str, list[list[Any]]]:
    """What a caller has shown, in the form that is kept."""
    return {name: [[_end(who, subject), dict(subject)] for subject in subjects] for name, subjects in who.claims.items()}


def valid(found: Shown, now: datetime) -> dict[str, list[dict[str, Any]]]:
    """The claims that count at a moment."""
    kept = {name: [subject for end, subject in each if not end or parse_iso(end) > now] for name, each in found.items()}
    return {name: each for name, each in kept.items() if each}


def ever(found: Shown) -> dict[str, list[dict[str, Any]]]:
    """All claims, as if none had ended."""
    return {name: [subject for _, subject in each] for name, each in found.items()}


def lapse(found: Shown, now: datetime) -> datetime | None:
    """The next moment at which one of them ends; None: never."""
    return min((end for end in _ends(found) if end > now), default=None)


def without(found: Shown, types: Collection[str] | None) -> Shown:
    """What is left when credentials of these types (None: all) do not count any more."""
    return {} if types is None else {name: each for name, each in found.items() if name not in types}


def _end(who: VerifiedParticipant, subject: Mapping[str, Any]) -> str:
    ends = [each.valid_until for each in who.credentials if subject in each.subjects]
    dated = [each for each in ends if each is not None]
    return iso(max(dated)) if dated and len(dated) == len(ends) else ""


def _ends(found: Shown) -> Iterator[datetime]:
    return (parse_iso(end) for each in found.values() for end, _ in each if end)
