"""What a benchmark says: one line per figure, with its target."""

import json
from dataclasses import asdict, dataclass
from statistics import median

from tests.perf.side.interpreter import interpreter


@dataclass(frozen=True)
class Measure:
    """One figure. `target` is what it has to reach, None where it is told for the record alone."""

    name: str
    value: float
    unit: str
    target: float | None
    ok: bool

    def line(self, *, as_json: bool) -> str:
        if as_json:
            return json.dumps(asdict(self))
        goal = "" if self.target is None else f"   (target {self.target:,.6g} {self.unit}: {'met' if self.ok else 'MISSED'})"
        return f"{self.name}: {self.value:,.6g} {self.unit}{goal}"


def at_least(name: str, value: float, unit: str, target: float) -> Measure:
    return Measure(name, round(value, 3), unit, target, value >= target)


def at_most(name: str, value: float, unit: str, target: float) -> Measure:
    return Measure(name, round(value, 3), unit, target, value <= target)


def failed(name: str, why: str) -> Measure:
    """A benchmark that gave no figure."""
    return Measure(name, 0.0, f"failed: {why}", None, False)


def told(name: str, value: float, unit: str) -> Measure:
    return Measure(name, round(value, 3), unit, None, True)


@dataclass(frozen=True)
class Comparison:
    """One figure of ours beside a peer's (None: nobody was measured beside us), medians of alternating rounds. `ratio` is how many times better ours is.

    `settings` says how both ran, with the least and the greatest round, CPU per operation, the ratio like for like where there is one, and our Python.
    """

    name: str
    ours: float
    peer: float | None
    ratio: float | None
    unit: str
    settings: dict
    wanted: float = 0.0  # the ratio that has to be reached
    most: float | None = None  # what ours may be at most, whatever the peer's is

    @property
    def ok(self) -> bool:
        return (self.ratio is None or self.ratio >= self.wanted) and (self.most is None or self.ours <= self.most)

    def line(self, *, as_json: bool) -> str:
        if as_json:
            return json.dumps(asdict(self))
        beside = (
            ""
            if self.peer is None
            else f", peer {self.peer:,.6g}: {self.ratio:,.4g} times (at least {self.wanted:g}: {'met' if self.ok else 'MISSED'})"
        )
        beside += "" if self.most is None else f", at most {self.most:g}: {'met' if self.ours <= self.most else 'MISSED'}"
        more = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        return f"{self.name}: {self.ours:,.6g} {self.unit}{beside}   ({more})"


def compared(
    name: str,
    ours: list[float],
    peer: list[float],
    unit: str,
    wanted: float,
    *,
    more_is_better: bool = False,
    floor: float = 1e-9,
    most: float | None = None,
    **settings: object,
) -> Comparison:
    """The comparison of rounds; `wanted` is the ratio to reach, `floor` the least that can be told from nothing."""
    mine, theirs = median(ours), median(peer) if peer else None
    ratio = None if theirs is None else (mine / theirs if more_is_better else theirs / max(mine, floor))
    spread = {"ours min..max": _spread(ours), **({"peer min..max": _spread(peer)} if peer else {})}
    rounded = None if ratio is None else round(ratio, 2)
    return Comparison(
        name,
        round(mine, 5),
        None if theirs is None else round(theirs, 5),
        rounded,
        unit,
        spread | settings | interpreter(),
        wanted,
        most,
    )


def _spread(values: list[float]) -> str:
    return f"{min(values):.5g}..{max(values):.5g}"
