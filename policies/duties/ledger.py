"""The duties of an agreement as entries of a ledger (odrl.md 3): trigger, due date, evidence, state, consequence.

    inactive -> active -> fulfilled
                active -> overdue -> late (done after its time)
                active | overdue -> waived (by the side that it is owed to)

Rules
- Obligations and duties of permissions begin with the agreement. A consequence begins when its duty is overdue, a remedy when its
  prohibition is violated (`violated`), both with that moment as their trigger.
- Due is the earliest moment that a constraint of the duty gives: `dateTime lt|lteq T`, `elapsedTime|delayPeriod lt|lteq P` after the
  trigger. Months follow the calendar of the zone in which the trigger is written. A duty without such a limit is never overdue.
- `elapsedTime|dateTime gt|gteq` is a duty to keep: it holds until then, nobody can fulfil it sooner, and time fulfils it.
- Evidence has a class, E0 said by the owing side, E1 a signed statement, E2 made by a system that did it, E3 attested by a third
  party; each action wants at least one (`LEAST`), and less is refused.
- Every change of an entry is a new version of it (`moved`), so that two changes at once cannot both be written.
- Overdue acts once: what follows is returned as `Act`s, for the side that keeps the ledger to do.
- What comes for a duty (evidence, a waiver) meets it as the clock has it, whether anybody has looked since or not (`answered`): evidence after its time is late, and its
  consequences begin with what comes. They begin as active even where they are overdue already, since that acts: the next `ticked` says so.

Not done here: storing entries, waking up (`next_instant` says when), deleting data.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from kernel.clock import iso, parse_iso
from kernel.errors import BadInput, Conflict
from policies.odrl import DATE_TIME, Duty, DutyState, Policy
from policies.odrl.model import Atomic, atoms
from policies.odrl.values import Duration, after
from policies.odrl.vocabulary import ODRL, term

EvidenceClass = Literal["E0", "E1", "E2", "E3"]
Origin = Literal["obligation", "duty", "consequence", "remedy"]
LEAST: Final[Mapping[str, EvidenceClass]] = {ODRL + "delete": "E1", ODRL + "compensate": "E1", ODRL + "anonymize": "E1"}
_TIMED: Final = re.compile("urn:uuid:([0-9a-f]{8})-([0-9a-f]{4})-7")
_BEFORE: Final = frozenset({"lt", "lteq"})
_RUNNING: Final = frozenset({ODRL + "elapsedTime", ODRL + "delayPeriod"})
_OPEN: Final = frozenset({"active", "overdue"})


class Evidence(Struct, frozen=True, kw_only=True):
    """What shows that a duty was done. `statement` is free text or a JWS, by class; `digest` that of what was acted on; `payment` the id of one that it is about."""

    kind: EvidenceClass
    by: str
    at: str
    statement: str = ""
    digest: str = ""
    payment: str = ""


class Entry(Struct, frozen=True, kw_only=True):
    """One duty of one agreement. Moments are ISO 8601; empty where there is none."""

    agreement: str
    path: str
    action: str
    origin: Origin
    state: DutyState
    parent: str = ""  # path of the duty or prohibition that it follows
    triggered: str = ""
    due: str = ""
    until: str = ""  # a duty to keep ends then
    evidence: tuple[Evidence, ...] = ()
    note: str = ""
    version: int = 0

    @property
    def id(self) -> str:
        """The same on both sides of the agreement. It begins with the time where the agreement's does (UUIDv7): what is concluded together stands together in an index."""
        made = _TIMED.match(self.agreement)
        return (made[1] + made[2] if made else "") + hashlib.sha256(f"{self.agreement}\n{self.path}".encode()).hexdigest()[:24]

    @property
    def instant(self) -> str:
        """When time alone changes it; empty: never."""
        return (self.due or self.until) if self.state == "active" else ""


class Act(Struct, frozen=True):
    """What follows when a duty is overdue: a consequence that has begun, or `end` where the policy names none."""

    entry: Entry
    what: Literal["consequence", "end"]


def opened(agreement: str, policy: Policy, at: datetime) -> list[Entry]:
    """Entries of a new agreement."""
    found: list[Entry] = []
    for each in policy.obligations:
        found += _with_consequences(agreement, each, "obligation", at)
    for permission in policy.permissions:
        for each in permission.duties:
            found += _with_consequences(agreement, each, "duty", at)
    for prohibition in policy.prohibitions:
        for each in prohibition.remedies:
            found += _with_consequences(agreement, each, "remedy", None, prohibition.path)
    return list({each.path: each for each in found}.values())


def _with_consequences(agreement: str, duty: Duty, origin: Origin, at: datetime | None, parent: str = "") -> Iterator[Entry]:
    entry = Entry(agreement=agreement, path=duty.path, action=duty.action, origin=origin, state="inactive", parent=parent)
    yield _begun(entry, duty, at) if at is not None else entry
    for each in duty.consequences:
        yield from _with_consequences(agreement, each, "consequence", None, duty.path)


def _begun(entry: Entry, duty: Duty, at: datetime) -> Entry:
    if not duty.constraints:
        return replace(entry, state="active", triggered=iso(at))
    limits = [each for constraint in duty.constraints for each in _limits(atoms(constraint), at)]
    due = min((moment for before, moment in limits if before), default=None)
    until = max((moment for before, moment in limits if not before), default=None)
    return replace(entry, state="active", triggered=iso(at), due=iso(due) if due else "", until=iso(until) if until else "")


def _limits(found: Iterable[Atomic], at: datetime) -> Iterator[tuple[bool, datetime]]:
    """(whether it must be before, the moment) of every limit in time."""
    for atom in found:
        if atom.operator not in ("lt", "lteq", "gt", "gteq"):
            continue
        if atom.operand.iri == DATE_TIME:
            yield atom.operator in _BEFORE, atom.bound
        elif atom.operand.iri in _RUNNING and isinstance(atom.bound, Duration):
            yield atom.operator in _BEFORE, after(at, atom.bound)


def violated(entries: Iterable[Entry], policy: Policy, prohibition: str, now: datetime) -> list[Entry]:
    """The entries after a prohibition (by path) was violated: its remedies begin."""
    duties = by_path(policy)
    return [
        _begun(each, duties[each.path], now) if each.parent == prohibition and each.state == "inactive" else each
        for each in entries
    ]


def ticked(entries: Iterable[Entry], policy: Policy, now: datetime) -> tuple[list[Entry], list[Act]]:
    """The entries at a moment: kept long enough is fulfilled, too late is overdue and has its consequences. Repeating changes nothing."""
    found = list(entries)
    duties, acts = by_path(policy), []
    changed = True
    while changed:  # a consequence may itself be overdue at once
        changed = False
        for n, each in enumerate(found):
            if each.state != "active":
                continue
            if each.until and parse_iso(each.until) <= now and not each.due:
                found[n], changed = replace(each, state="fulfilled"), True
            elif each.due and parse_iso(each.due) <= now:
                found[n], changed = replace(each, state="overdue"), True
                following = [m for m, other in enumerate(found) if other.parent == each.path]
                for m in following:
                    if found[m].state == "inactive":  # one that was done already does not begin again
                        found[m] = _begun(found[m], duties[found[m].path], parse_iso(each.due))
                        acts.append(Act(found[m], "consequence"))
                if not following:
                    acts.append(Act(found[n], "end"))
    return found, acts


def answered(entries: Sequence[Entry], policy: Policy, now: datetime, path: str, answer: Callable[[Entry], Entry]) -> list[Entry]:
    """The entries after something came for one duty: what `answer` makes of it as it is now, with the consequences that have begun by its being overdue.

    What time has made of other duties is left as it is given: that acts.
    """
    clocked, found = ticked(entries, policy, now)[0], {each.path: each for each in entries}
    found[path] = answer(next(each for each in clocked if each.path == path))
    found |= begun_by(path, found, clocked)
    return [found[each.path] for each in entries]


def begun_by(path: str, found: Mapping[str, Entry], clocked: Iterable[Entry]) -> dict[str, Entry]:
    """The consequences of a duty that the clock has begun, where `found` does not have that yet."""
    late = (each for each in clocked if each.parent == path and each.triggered and found[each.path].state == "inactive")
    return {each.path: replace(each, state="active") for each in late}


def fulfilled(entry: Entry, evidence: Evidence, now: datetime) -> Entry:
    """The entry with evidence that it was done; raises `Conflict` where it is not open, `BadInput` for evidence that is too weak."""
    least = LEAST.get(entry.action, "E0")
    if entry.state not in _OPEN:
        raise Conflict(f"the duty to {term(entry.action)} is {entry.state}", next_step="see `kizuna duty list`")
    if entry.until and parse_iso(entry.until) > now:
        raise Conflict(f"the duty to {term(entry.action)} ends at {entry.until}, not before")
    if evidence.kind < least:
        raise BadInput(
            f"evidence of class {evidence.kind} is too weak for {term(entry.action)}", next_step=f"give at least class {least}"
        )
    state: DutyState = "late" if entry.state == "overdue" else "fulfilled"
    return replace(entry, state=state, evidence=(*entry.evidence, evidence))


def waived(entry: Entry, by: str, reason: str) -> Entry:
    """The entry, no longer owed; who it is owed to says so. Raises `Conflict`."""
    if entry.state not in _OPEN:
        raise Conflict(f"the duty to {term(entry.action)} is {entry.state}")
    return replace(entry, state="waived", note=f"waived by {by}: {reason}")


def states(entries: Iterable[Entry]) -> dict[str, DutyState]:
    """States by path, as a decision asks for them."""
    return {each.path: each.state for each in entries}


def next_instant(entries: Iterable[Entry]) -> datetime | None:
    """When `ticked` changes something next; None: never by time alone."""
    return min((parse_iso(each.instant) for each in entries if each.instant), default=None)


def moved(before: Iterable[Entry], after: Iterable[Entry]) -> list[Entry]:
    """The entries that are not as they were, each with the version that follows."""
    known = {each.path: each for each in before}
    return [replace(each, version=each.version + 1) for each in after if known.get(each.path) != each]


def retained(entries: Iterable[Entry], now: datetime) -> datetime | None:
    """Until when what was received must be kept; None: it may be deleted now."""
    until = [parse_iso(each.until) for each in entries if each.until and each.state == "active"]
    latest = max(until, default=None)
    return latest if latest is not None and latest > now.astimezone(UTC) else None


def by_path(policy: Policy) -> dict[str, Duty]:
    """All duties of a policy, consequences too."""
    found: dict[str, Duty] = {}
    open_ = list(policy.duties())
    while open_:
        each = open_.pop()
        found[each.path] = each
        open_ += each.consequences
    return found
