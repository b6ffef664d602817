"""What a benchmark says: one line per figure, with its target."""

import json
from dataclasses import asdict, dataclass


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


def told(name: str, value: float, unit: str) -> Measure:
    return Measure(name, round(value, 3), unit, None, True)
