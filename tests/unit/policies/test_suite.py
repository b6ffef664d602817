"""The public ODRL Test Suite, read from `../shared/data`, and the runner against damaged copies of it."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from kernel.cli import application
from kernel.errors import BadInput
from policies import suite
from policies.suite import LEVELS, run
from policies.suite.report import differences, tree
from tests.support.shared import shared_data

REPORT = "https://w3id.org/force/compliance-report#"
TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"


@pytest.fixture(scope="module")
def directory():
    return shared_data("odrl-test-suite")


@pytest.fixture(scope="module")
def result(directory):
    return run(directory)


def test_the_counts_at_three_levels(result, figure):
    counts = result.counts()
    figure("ODRL Test Suite: " + ", ".join(f"{level} {counts[level]['passed']}/{counts[level]['cases']}" for level in LEVELS))
    assert counts["activation"] == {"passed": 68, "failed": 0, "defect": 0, "mended": 0, "cases": 68}
    assert counts["states"] == {"passed": 67, "failed": 0, "defect": 1, "mended": 0, "cases": 68}
    assert counts["equal"] == {"passed": 64, "failed": 0, "defect": 4, "mended": 0, "cases": 68}
    assert result.expected


def test_the_command_prints_the_counts(directory):
    done = CliRunner().invoke(application(), ["policy", "suite", str(directory), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["counts"]["activation"]["passed"] == 68


def test_what_the_defects_say_is_so(directory, result):
    """065 refers to reports that are not there; the duty of policy-21 is reported by no state of the world."""
    text = (directory / "test_cases" / "testcase-065-alice.ttl").read_text()
    (report,) = (each for each in text.split(".\n") if "a report:PermissionReport" in each)
    premises = [each.strip(" ,;<>") for each in report.split("premiseReport")[1].split(";")[0].split(",")]
    assert sum(f"<{each}> a report" not in text for each in premises) == 3
    duty = "4129123f-d8a8-481e-87fc-aba6dda5b6a5"
    assert duty in (directory / "policies" / "policy-21.ttl").read_text()
    assert not [file for file in (directory / "sotw").glob("*.ttl") if duty in file.read_text()]


def test_the_list_of_defects_is_strict(directory, result, monkeypatch):
    monkeypatch.setattr(suite, "defects", lambda: {"001": {"activation": "an invented one"}})
    found = run(directory)
    assert found.counts()["activation"]["mended"] == 1
    assert found.counts()["equal"]["failed"] == 4
    assert not found.expected


def test_a_changed_policy_is_noticed(directory, tmp_path):
    copy = tmp_path / "suite"
    shutil.copytree(directory, copy)
    policy = copy / "policies" / "policy-14.ttl"
    policy.write_text(policy.read_text().replace("odrl:gteq", "odrl:lt"))
    found = run(copy)
    assert not found.expected
    assert {each.name[9:12] for each in found.cases if each.outcome("activation") == "failed"} <= {
        "042",
        "043",
        "044",
        "045",
        "046",
        "047",
    }
    assert CliRunner().invoke(application(), ["policy", "suite", str(copy)]).exit_code == 1


def test_what_is_no_suite_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no test case"):
        run(tmp_path)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "policy.ttl").write_text("<a> <b")
    with pytest.raises(BadInput, match="not Turtle"):
        run(tmp_path)


def test_reports_are_compared_as_graphs():
    def report(premise, state):
        said = [("r", TYPE, REPORT + "PolicyReport"), ("r", REPORT + "ruleReport", "x"), ("x", TYPE, REPORT + "PermissionReport")]
        said += [("x", REPORT + "premiseReport", premise), (premise, TYPE, REPORT + "ConstraintReport")]
        return tree([*said, (premise, REPORT + "satisfactionState", REPORT + state)], "r")

    assert report("a", "Satisfied") == report("b", "Satisfied")
    assert differences("equal", report("a", "Satisfied"), report("b", "Satisfied")) == []
    assert differences("states", report("a", "Satisfied"), report("a", "Unsatisfied"))
    assert differences("activation", report("a", "Satisfied"), report("a", "Unsatisfied")) == []


def test_a_report_that_contains_itself_ends():
    loop = [("r", TYPE, REPORT + "PolicyReport"), ("r", REPORT + "premiseReport", "r")]
    assert tree(loop, "r")
