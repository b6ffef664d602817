"""The public ODRL Test Suite, run through this engine: 68 cases of policy, request, state of the world and expected report.

    result = run(Path("odrl-test-suite"))
    result.counts()       # {"activation": {...}, "states": {...}, "equal": {...}}

Rules
- A case is compared at three levels: the activation of each rule; that and the state of each constraint; the whole report as a graph.
- A policy of the suite becomes ODRL in JSON and goes through `policies.odrl.parse` and `evaluate` like any other. Three things are
  the suite's own: a rule without an action is about every action; the deprecated action `write` is known; a duty of which the world
  says nothing is not in force, since the suite reports a duty that is not set as no hindrance.
- `defects.toml` names the cases that cannot pass, each with what is wrong in the suite. The list is strict: a case on it that passes
  is a failure, so that a repaired file is noticed.

Not done here: fetching the suite. RDF is read lazily; nothing that serves imports this.
"""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from msgspec import Struct

from policies.suite.decide import decided
from policies.suite.graph import Suite
from policies.suite.report import LEVELS, Level, differences

__all__ = ["LEVELS", "CaseResult", "SuiteResult", "run"]

WORDS: Final = ("passed", "failed", "defect", "mended")


class CaseResult(Struct, frozen=True):
    """One case: `levels` maps a level to the differences found there, none where it passes; `defect` says what is wrong upstream."""

    name: str
    title: str
    levels: dict[Level, list[str]]
    defect: dict[Level, str]

    def outcome(self, level: Level) -> str:
        """`passed`, `failed`, `defect` (fails as expected) or `mended` (passes, though it is on the list)."""
        if self.levels[level]:
            return "defect" if level in self.defect else "failed"
        return "mended" if level in self.defect else "passed"


class SuiteResult(Struct, frozen=True):
    """All cases."""

    cases: list[CaseResult]

    def counts(self) -> dict[str, dict[str, int]]:
        """For each level, how many cases came out how, and how many there are."""
        return {
            level: {word: sum(each.outcome(level) == word for each in self.cases) for word in WORDS} | {"cases": len(self.cases)}
            for level in LEVELS
        }

    @property
    def expected(self) -> bool:
        """Whether every case came out as it should."""
        return bool(self.cases) and all(each.outcome(level) in ("passed", "defect") for each in self.cases for level in LEVELS)


def run(directory: Path) -> SuiteResult:
    """Run all cases of a suite directory; raises `BadInput` where it is not one."""
    suite, known = Suite.read(directory), defects()
    found = []
    for case in suite.cases:
        report = decided(case)
        levels = {level: differences(level, report, case.expected) for level in LEVELS}
        found.append(CaseResult(case.name, case.title, levels, dict(known.get(case.number, {}))))
    return SuiteResult(found)


def defects() -> Mapping[str, Mapping[Level, str]]:
    """The strict list: number of a case, level, what is wrong there."""
    found: dict[str, dict[Level, str]] = tomllib.loads((files("policies.suite") / "defects.toml").read_text(encoding="utf-8"))
    return found
