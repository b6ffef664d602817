"""`./run bench identity --json`: its lines have the form that is promised. Whether this machine is quick enough is not a test's business."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_bench_identity_prints_a_line_for_every_figure():
    done = subprocess.run(
        [sys.executable, "-m", "tests.perf", "identity", "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=240,
    )
    lines = [json.loads(each) for each in done.stdout.splitlines()]
    assert [set(each) for each in lines] == [{"name", "value", "unit", "target", "ok"}] * 6, done.stdout + done.stderr
    assert {(each["unit"], each["target"]) for each in lines} == {("1/s and core", 3000), ("1/s", 150), ("ms", 5), ("s", 5)}
    assert all(each["value"] > 0 for each in lines)
    assert done.returncode == (0 if all(each["ok"] for each in lines) else 1)


def test_a_bench_that_is_not_there_is_named():
    done = subprocess.run([sys.executable, "-m", "tests.perf", "nothing"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert "identity" in done.stderr
