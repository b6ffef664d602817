"""The report of `./run mutants`: survivors are counted, an unexplained one fails, and so does a share above the limit."""

import pytest

from tests.mutants import __main__ as mutants


@pytest.fixture
def changes(monkeypatch):
    found = {}
    monkeypatch.setattr(mutants, "added", lambda name: found.get(name, "something else"))
    return found


def verdicts(count, **others):
    return {f"policies.odrl.evaluate.x_every__mutmut_{n}": 1 for n in range(count)} | others


def test_all_killed(changes, capsys):
    assert mutants.reported(verdicts(100)) == 0
    assert "100 mutants,   0 survive" in capsys.readouterr().out


def test_an_explained_survivor_is_let_pass(changes, capsys):
    name = "policies.odrl.evaluate.x_every__mutmut_1000"
    changes[name] = "if state <= worst:"
    assert mutants.reported(verdicts(100, **{name: 0})) == 0
    assert "equal states" in capsys.readouterr().out


@pytest.mark.parametrize("code", [0, 33, None])
def test_an_unexplained_one_fails_and_one_that_no_test_reaches(changes, capsys, code):
    assert mutants.reported(verdicts(100, **{"policies.odrl.evaluate.x_evaluate__mutmut_9": code})) == 1
    assert "NOT EXPLAINED" in capsys.readouterr().out


def test_too_many_fail_even_explained(changes):
    others = {f"policies.odrl.evaluate.x_every__mutmut_{n}": 0 for n in range(1000, 1004)}
    changes.update(dict.fromkeys(others, "if state <= worst:"))
    assert mutants.reported(verdicts(100, **others)) == 1
