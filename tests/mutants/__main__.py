"""`./run mutants [--report]`: the policy engine, changed in one place at a time, against its own suite.

mutmut makes the mutants and runs them (`[tool.mutmut]` in pyproject.toml says which modules and tests). Printed are the figures and every mutant that
survived. Exit code 1 when more than 3 % survive, or one that `equivalent.toml` does not explain. With `--report` the last run is read, and nothing run.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST = 0.03
SURVIVED, UNTESTED = (0,), (33, 5)


def main() -> int:
    if "--report" not in sys.argv:
        shutil.rmtree(ROOT / "mutants", ignore_errors=True)
        command = ["nice", "-n", "5", sys.executable, "-m", "mutmut", "run", "--max-children", str(os.cpu_count() or 1)]
        with (ROOT / ".mutmut.log").open("wb") as log:
            subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False)
    verdicts = dict(
        each for file in (ROOT / "mutants").rglob("*.meta") for each in json.loads(file.read_text())["exit_code_by_key"].items()
    )
    if not verdicts:
        print("no mutants were made; see .mutmut.log")
        return 1
    return reported(verdicts)


def reported(verdicts: dict[str, int | None]) -> int:
    """Print figures and survivors; the exit code."""
    survivors = [name for name, code in verdicts.items() if code in SURVIVED or code in UNTESTED or code is None]
    explained = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text(encoding="utf-8"))["mutant"]
    per_module = Counter(name.split(".")[2] for name in verdicts)
    left = Counter(name.split(".")[2] for name in survivors)
    unexplained = 0
    for name in survivors:
        change = added(name)
        reasons = [each["reason"] for each in explained if each["function"] in name and each["change"] in change]
        unexplained += not reasons
        print(f"{name.removeprefix('policies.odrl.')}\n    {change}\n    {reasons[0] if reasons else 'NOT EXPLAINED'}")
    for module, count in sorted(per_module.items()):
        print(f"{module:<12} {count:>4} mutants, {left[module]:>3} survive")
    share = len(survivors) / len(verdicts)
    print(
        f"{'all':<12} {len(verdicts):>4} mutants, {len(survivors):>3} survive: {share:.1%} (at most {MOST:.0%}), {unexplained} not explained"
    )
    return int(share > MOST or unexplained > 0)


def added(name: str) -> str:
    """The changed line of a mutant."""
    shown = subprocess.run(
        [sys.executable, "-m", "mutmut", "show", name], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    return " ".join(line[1:].strip() for line in shown.splitlines() if line.startswith("+") and not line.startswith("+++"))


if __name__ == "__main__":
    sys.exit(main())
