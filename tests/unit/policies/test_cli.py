"""`kizuna policy check`: findings with path and reason, exit codes, the wire."""

import json

import pytest
from typer.testing import CliRunner

from kernel.cli import application
from kernel.errors import BadInput
from policies.odrl import KZ

GOOD = {
    "@id": "urn:uuid:1",
    "@type": "Offer",
    "permission": [
        {"action": "use", "constraint": [{"leftOperand": KZ + "membership", "operator": "eq", "rightOperand": "active"}]}
    ],
}


def check(tmp_path, value, *options):
    file = tmp_path / "policy.json"
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    return CliRunner().invoke(application(), ["policy", "check", str(file), *options])


def test_a_good_policy_has_no_findings(tmp_path):
    done = check(tmp_path, GOOD, "--wire", "dsp-2025-1")
    assert done.exit_code == 0
    assert "1 checked, 0 findings" in done.output


def test_a_finding_has_file_path_and_reason(tmp_path):
    broken = GOOD | {
        "permission": [{"action": "use", "constraint": [{"leftOperand": "moon", "operator": "eq", "rightOperand": "x"}]}]
    }
    done = check(tmp_path, broken, "--json")
    assert done.exit_code == 1
    (found,) = json.loads(done.output)["findings"]
    assert (found["path"], found["level"]) == ("/permission/0/constraint/0/leftOperand", "error")
    assert "moon" in found["reason"]
    assert found["file"].endswith("policy.json")


def test_the_wire_is_looked_at_when_asked(tmp_path):
    party = GOOD | {"permission": [GOOD["permission"][0] | {"assignee": "did:web:x"}]}
    assert check(tmp_path, party).exit_code == 0
    done = check(tmp_path, party, "--wire", "dsp-2025-1")
    assert done.exit_code == 1
    assert "/permission/0/assignee" in done.output
    remedy = GOOD | {"prohibition": [{"action": "sell", "remedy": [{"action": "delete"}]}]}
    done = check(tmp_path, remedy, "--wire", "dsp-2025-1", "--json")
    assert done.exit_code == 0, "what a peer may drop is said, and is no failure"
    assert json.loads(done.output)["findings"][0]["level"] == "undescribed"


def test_directories_and_standard_input(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("x.json", "a/y.json"):
        (tmp_path / name).write_text(json.dumps(GOOD))
    done = CliRunner().invoke(application(), ["policy", "check", str(tmp_path), "--json"])
    assert json.loads(done.output) == {"files": 2, "findings": []}
    done = CliRunner().invoke(application(), ["policy", "check", "-"], input=json.dumps(GOOD))
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("value", "options", "reason"),
    [("{", (), "not JSON"), ('{"a":1,"a":2}', (), "not JSON"), (GOOD, ("--wire", "dsp-0.8"), "no such wire")],
)
def test_what_cannot_be_read_is_bad_input(tmp_path, value, options, reason):
    done = check(tmp_path, value, *options)
    assert isinstance(done.exception, BadInput)
    assert reason in done.exception.detail
    assert done.exception.exit_code == 2


def test_a_file_that_is_not_there(tmp_path):
    done = CliRunner().invoke(application(), ["policy", "check", str(tmp_path / "none.json")])
    assert "cannot be read" in done.exception.detail
    (tmp_path / "empty").mkdir()
    done = CliRunner().invoke(application(), ["policy", "check", str(tmp_path / "empty")])
    assert "no policy file" in done.exception.detail


TRAIN = {"action": "kz:trainModel", "constraint": [{"leftOperand": "kz:role", "operator": "eq", "rightOperand": "maker"}]}


def files(tmp_path, *policies):
    for n, each in enumerate(policies):
        (tmp_path / f"{n}.json").write_text(json.dumps(each))
    return [str(tmp_path / f"{n}.json") for n in range(len(policies))]


def told(*words):
    return CliRunner().invoke(application(), ["policy", *words, "--profile", "steel"]).output


def test_people_read_terms_as_authors_write_them_and_programs_get_whole_names(tmp_path):
    duty = {"action": "inform", "constraint": [{"leftOperand": "kz:memberOf", "operator": "eq", "rightOperand": "x"}]}
    given = files(tmp_path, GOOD, GOOD | {"permission": [*GOOD["permission"], TRAIN], "obligation": [duty]})
    text = told("diff", *given)
    assert "+ kz:trainModel: " in text
    assert "kz:role = maker" in text
    assert "inform; kz:memberOf eq x" in text
    assert KZ not in text
    found = json.loads(told("diff", *given, "--json"))
    assert {each["action"] for each in found["opened"]} >= {KZ + "trainModel"}
    assert (KZ + "role", "maker") in [tuple(fact) for each in found["opened"] for fact in each["facts"]]
    assert found["duties_added"] == [f"inform; {KZ}memberOf eq x"]


def test_lint_and_analyze_too(tmp_path):
    member = {"leftOperand": "kz:memberOf", "operator": "eq", "rightOperand": "x"}
    clash = GOOD | {"permission": [TRAIN], "prohibition": [{"action": "kz:trainModel", "constraint": [member]}]}
    (file,) = files(tmp_path, clash)
    shown = json.loads(told("lint", file, "--json"))["findings"]
    assert any(KZ in json.dumps(each.get("witness")) for each in shown), shown
    text = told("lint", file)
    assert KZ not in text
    assert "kz:trainModel" in text
    assert "kz:role" in told("analyze", file)
    assert KZ not in told("analyze", file)
    assert KZ + "role" in json.loads(told("analyze", file, "--json"))["reports"][0]["facts"]
