"""What a new version of a policy changes: for whom it opens something, for whom it closes something, with a case for each.

`looser`: whatever was permitted still is, and more. `stricter`: the reverse. `incomparable`: both. Duties are compared by their
terms: those that came and those that went are listed, and do not enter the verdict.
"""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from policies.odrl.analyse.formula import All, No, Undecided
from policies.odrl.analyse.worlds import Witness, Worlds, actions
from policies.odrl.model import Atomic, Constraint, Duty, Policy
from policies.odrl.vocabulary import term

Verdict = Literal["equal", "looser", "stricter", "incomparable", "undecided"]


class Comparison(Struct, frozen=True):
    """`opened` and `closed` hold one case for each way in which actions are covered; duties are lines of text."""

    verdict: Verdict
    opened: tuple[Witness, ...] = ()
    closed: tuple[Witness, ...] = ()
    duties_added: tuple[str, ...] = ()
    duties_removed: tuple[str, ...] = ()


def compared(before: Policy, after: Policy) -> Comparison:
    """Compare two policies that were read with the same registry."""
    was, now = (tuple(dict.fromkeys(_lines(each.duties()))) for each in (before, after))
    added, removed = tuple(each for each in now if each not in was), tuple(each for each in was if each not in now)
    worlds = Worlds([before, after])
    opened, closed = [], []
    try:
        for action in actions([before, after]):
            old, new = worlds.permits(before, action), worlds.permits(after, action)
            opened.append(worlds.find(All((new, No(old))), action))
            closed.append(worlds.find(All((old, No(new))), action))
    except Undecided:
        return Comparison("undecided", duties_added=added, duties_removed=removed)
    more, less = tuple(filter(None, opened)), tuple(filter(None, closed))
    verdict: Verdict = "incomparable" if more and less else "looser" if more else "stricter" if less else "equal"
    return Comparison(verdict, more, less, added, removed)


def _lines(duties: Iterable[Duty], after: str = "") -> Iterable[str]:
    for each in duties:
        said = [_text(constraint) for constraint in (*each.refinements, *each.constraints)]
        parties = [f"{name} {party}" for name, party in each.parties]
        yield f"{after}{term(each.action)}" + "".join(f"; {part}" for part in sorted(said) + parties)
        yield from _lines(each.consequences, f"{after}{term(each.action)} > ")


def _text(constraint: Constraint) -> str:
    if isinstance(constraint, Atomic):
        right = ", ".join(sorted(constraint.right))
        return f"{term(constraint.operand.iri)} {constraint.operator} {right}{' ' * bool(constraint.unit)}{constraint.unit}"
    return f"{constraint.kind}({', '.join(map(_text, constraint.parts))})"
