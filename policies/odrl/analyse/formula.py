"""Formulas over variables with finitely many cells, and whether some assignment makes one true.

A literal says that a variable is in one of some cells (a bit mask). A domain is the mask of the cells that are still possible for
each variable. `solve` narrows domains by the first literal that is not decided yet, half by half; a literal over a thousand
intervals costs one step, not a thousand.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

STEPS: Final = 200_000


class Undecided(Exception):
    """The search was given up: too many cases."""


class Lit(Struct, frozen=True, gc=False):
    """The variable is in one of the cells of the mask."""

    variable: int
    mask: int


class All(Struct, frozen=True, gc=False):
    """Every part is true."""

    parts: tuple["Formula", ...]


class Any(Struct, frozen=True, gc=False):
    """Some part is true."""

    parts: tuple["Formula", ...]


class One(Struct, frozen=True, gc=False):
    """Exactly one part is true."""

    parts: tuple["Formula", ...]


class No(Struct, frozen=True, gc=False):
    """The part is not true."""

    part: "Formula"


Formula = Lit | All | Any | One | No
TRUE: Final = All(())
FALSE: Final = Any(())


def truth(formula: Formula, domains: Sequence[int]) -> bool | Lit:
    """True or false where the domains decide it, else a literal to go on with."""
    if isinstance(formula, Lit):
        left = domains[formula.variable]
        if not left & formula.mask:
            return False
        return True if not left & ~formula.mask else formula
    if isinstance(formula, No):
        found = truth(formula.part, domains)
        return found if isinstance(found, Lit) else not found
    if isinstance(formula, One):
        return _one(formula, domains)
    stops = isinstance(formula, Any)
    open_: Lit | None = None
    for part in formula.parts:
        found = truth(part, domains)
        if isinstance(found, Lit):
            open_ = open_ or found
        elif found is stops:
            return stops
    return open_ if open_ is not None else not stops


def _one(formula: One, domains: Sequence[int]) -> bool | Lit:
    found = [truth(part, domains) for part in formula.parts]
    if sum(each is True for each in found) > 1:
        return False
    open_ = next((each for each in found if isinstance(each, Lit)), None)
    return open_ if open_ is not None else True in found


def solve(formula: Formula, domains: Sequence[int], *, steps: int = STEPS) -> list[int] | None:
    """Domains within which the formula is true whatever is chosen, or None. Raises `Undecided`."""
    open_ = [list(domains)]
    while open_:
        steps -= 1
        if steps < 0:
            raise Undecided
        current = open_.pop()
        found = truth(formula, current)
        if isinstance(found, Lit):
            for mask in (current[found.variable] & ~found.mask, current[found.variable] & found.mask):
                narrowed = current.copy()
                narrowed[found.variable] = mask
                open_.append(narrowed)
        elif found:
            return current
    return None
