"""When an answer can change by itself: a pure function of policy, facts and now, so that nobody needs to poll.

Rules
- Time moves an answer where a constraint compares the present moment with a bound, or a running duration (`values.Since`: a fact that
  is the moment something began) with its length. Everything else changes by an event, which wakes whoever waits.
- The instant returned is the first at which the decision differs, all facts staying as they are. A decision is constant between now
  and then. Where many bounds change nothing, looking further ends after `MOST`; then the last one looked at is returned, and asking
  again there goes on.
- `lt b` ends at b, `lteq b` just behind it: a microsecond is the least step of time here.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec.structs import replace

from policies.odrl.evaluate import Decision, Request, evaluate
from policies.odrl.model import Atomic, Policy
from policies.odrl.values import Duration, after
from policies.odrl.vocabulary import DATE_TIME

MOST: Final = 64
STEP: Final = timedelta(microseconds=1)


def next_change(policy: Policy, request: Request) -> datetime | None:
    """The next instant at which the decision can differ from now's; None where time alone never changes it."""
    instants = sorted({each for atom in policy.atoms() for each in _instants(atom, request) if each > request.now})
    if not instants:
        return None
    now = _answer(evaluate(policy, request))
    for instant in instants[:MOST]:
        if _answer(evaluate(policy, replace(request, now=instant, known={}))) != now:
            return instant
    return instants[MOST] if len(instants) > MOST else None


def _answer(decision: Decision) -> tuple[Any, ...]:
    return decision.permitted, decision.void, tuple(each.path for each in decision.owed)


def _instants(atom: Atomic, request: Request) -> Iterator[datetime]:
    """The moments at which one constraint may change."""
    if request.phase not in atom.operand.phases:
        return
    bounds = atom.bound if isinstance(atom.bound, frozenset) else (atom.bound,)
    if atom.operand.iri == DATE_TIME:
        for bound in bounds:
            yield from _around(bound)
    elif atom.operand.type == "duration":
        facts = request.facts.get(atom.operand.iri)
        for began in facts if isinstance(facts, list | tuple | set | frozenset) else (facts,):
            if isinstance(began, datetime) and began.tzinfo is not None:
                yield began.astimezone(UTC)
                for bound in bounds:
                    if isinstance(bound, Duration):
                        yield from _around(after(began, bound))


def _around(bound: datetime) -> Iterator[datetime]:
    moment = bound.astimezone(UTC)
    yield moment
    if moment < datetime.max.replace(tzinfo=UTC):
        yield moment + STEP
