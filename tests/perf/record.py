"""Figures in a page of the documentation: a table and the lines as they came, between two marks. What stands around the marks stays."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.perf.measure import Comparison, Measure
from tests.perf.side.interpreter import interpreter

BEGIN, END = "<!-- figures: ./run bench --record -->", "<!-- end of figures -->"


class NoPlace(Exception):
    """The page has no marks between which figures go."""


def record(page: Path, found: Sequence[Comparison | Measure], *, command: str) -> None:
    """Replace what stands between the marks; raises `NoPlace`."""
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise NoPlace(f"{page} needs one line {BEGIN} and, behind it, one line {END}")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    page.write_text(f"{before}\n{block(found, command)}\n{after}", encoding="utf-8")


def block(found: Sequence[Comparison | Measure], command: str) -> str:
    """What goes between the marks."""
    lines = [f"`{command}`, {machine()}.", "", "| figure | ours | peer | ratio | wanted | |", "|---|---|---|---|---|---|"]
    lines += [_row(each) for each in found]
    return "\n".join([*lines, "", "```", *(each.line(as_json=True) for each in found), "```"])


def _row(each: Comparison | Measure) -> str:
    met = "met" if each.ok else "MISSED"
    if isinstance(each, Measure):
        goal = "-" if each.target is None else f"{each.target:g}"
        return f"| `{each.name}`, {each.unit} | {each.value:.4g} | - | - | {goal} | {met} |"
    spread = {side: each.settings.get(f"{side} min..max", "") for side in ("ours", "peer")}
    peer, ratio = (
        ("-", "-") if each.peer is None or each.ratio is None else (f"{each.peer:.4g} ({spread['peer']})", f"{each.ratio:g}")
    )
    like = each.settings.get("ratio_like_for_like")
    goal = f"{each.wanted:g}" + ("" if each.most is None else f", at most {each.most:g}")
    beside = f"{ratio}; like for like {like}" if like else ratio
    return f"| `{each.name}`, {each.unit} | {each.ours:.4g} ({spread['ours']}) | {peer} | {beside} | {goal} | {met} |"


def machine() -> str:
    """When and on what it was measured."""
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())[1]) / 1024**2
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    cores = f"{os.cpu_count()} cores ({model[1].strip() if model else platform.machine()})"
    python = interpreter()
    ran = f"{python['python']} ({python['python_build']}; loop {python['python_loop_ms']} ms)"
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {cores}, {memory:.0f} GB, {ran}, commit {commit or 'unknown'}"
