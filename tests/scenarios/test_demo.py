"""`kizuna demo` as a person runs it: what it prints for machines, and what is left when it is ended."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def nodes_below(place: Path) -> list[str]:
    """Command lines of processes that work in this directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if "--dir" in command and str(place) in command and "demo" not in command.split(" --dir")[0]:
            found.append(command)
    return found


def test_nothing_is_left_running_when_a_kept_demo_is_ended(tmp_path):
    place = tmp_path / "space"
    command = [sys.executable, "-m", "kernel.cli", "demo", "--keep", "--json", "--dir", str(place)]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"KIZUNA_LANGUAGE": "en"})
    steps = []
    try:
        for line in demo.stdout:
            steps.append(json.loads(line))
            if steps[-1].get("step") == "outsider":
                break
        assert len(nodes_below(place)) == 4
        demo.send_signal(signal.SIGTERM)
        last = json.loads(demo.stdout.read().splitlines()[-1])
        assert demo.wait(timeout=60) in (0, 130)
    finally:
        demo.kill()
        demo.wait()
        demo.stdout.close()
    assert nodes_below(place) == []
    assert all({"step", "ok", "ms"} <= set(step) for step in steps)
    assert set(last) >= {"story", "ok"}
