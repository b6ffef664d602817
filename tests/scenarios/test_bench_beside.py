"""`./run bench` as a whole: every figure has its line, a benchmark that fails is told of and the next one runs, and figures find their place in a page."""

import json
import platform

import pytest

from tests.perf import __main__ as bench
from tests.perf.measure import compared, told
from tests.perf.record import BEGIN, END, NoPlace, record
from tests.perf.side.interpreter import told as told_build
from tests.perf.size import QUICK

WANTED = {
    "catalog": {"catalog_page", "catalog_walk", "catalog_walk_1000", "catalog_at_once", "catalog_at_once_memory"},
    "transfer": {"transfer_rate", "idle_cpu"},
}


async def test_every_figure_has_its_line(capsys):
    found, _ = await bench.run(list(WANTED), peer="", size=QUICK, as_json=True)
    lines = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert {each["name"] for each in lines} == set().union(*WANTED.values()), lines
    assert all(each["ours"] >= 0 and each["peer"] is None and each["settings"]["ours min..max"] for each in lines if "ours" in each)
    assert len(found) == len(lines)


async def test_a_benchmark_that_fails_is_told_of_and_the_next_one_runs(monkeypatch, capsys):
    async def measures(name, peer, size):
        if name == "catalog":
            raise RuntimeError("no catalog")
        yield told(name, 1, "s")

    monkeypatch.setattr(bench, "_measures", measures)
    _, met = await bench.run(["catalog", "start"], peer="", size=QUICK, as_json=True)
    first, second = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert (first["name"], first["ok"]) == ("catalog", False)
    assert "no catalog" in first["unit"]
    assert second["name"] == "start"
    assert not met


def test_the_build_of_the_interpreter_is_told_as_far_as_it_tells():
    assert told_build("'--enable-shared' '--enable-optimizations' '--with-lto=full'") == "PGO, LTO"
    assert told_build("'--enable-shared' '--without-lto'") == "tells neither PGO nor LTO"


def test_figures_take_the_place_of_the_last_ones(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for rate in (100.0, 200.0):
        figure = compared("transfer_rate", [rate] * 3, [10.0] * 3, "transfers/s", 6, more_is_better=True, ratio_like_for_like=9)
        record(page, [figure, compared("idle_memory", [120.0], [200.0], "MB", 2, most=100)], command="./run bench")
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "| `transfer_rate`, transfers/s | 200 (200..200) | 10 (10..10) | 20; like for like 9 | 6 | met |" in text
    assert "| `idle_memory`, MB | 120 (120..120) | 200 (200..200) | 1.67 | 2, at most 100 | MISSED |" in text
    line = json.loads(text.split("```")[1].splitlines()[1])
    assert line["ours"] == 200
    assert platform.python_version() in line["settings"]["python"]
    assert line["settings"]["python_loop_ms"] > 0
    page.write_text("no marks")
    with pytest.raises(NoPlace):
        record(page, [], command="./run bench")
