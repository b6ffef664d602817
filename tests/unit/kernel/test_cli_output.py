"""What people read: results without the marks of a programming language, errors with cause and next step."""

from kernel.cli import print_result, report
from kernel.errors import NotFound


def test_nested_values_are_shown_in_words(capsys):
    print_result(
        {"did": "did:web:a", "title": {"en": "Passport"}, "credentials": [{"type": "A", "until": None}], "scopes": ()},
        as_json=False,
    )
    shown = capsys.readouterr().out
    assert [line.split(maxsplit=1) for line in shown.splitlines()] == [
        ["did", "did:web:a"], ["title", "en Passport"], ["credentials", "type A, until"], ["scopes"],
    ]  # fmt: skip


def test_a_list_is_a_table_and_an_empty_one_says_so(capsys):
    print_result([{"id": "1", "title": {"en": "Passport"}, "reason": None}], as_json=False)
    print_result([], as_json=False)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["id", "title", "reason"], ["1", "en", "Passport"], ["nothing", "there"],
    ]  # fmt: skip


def test_an_error_says_cause_and_next_step(capsys):
    report(NotFound("no transfer 1", next_step="see `kizuna transfer list`"))
    report(NotFound("no transfer 1"))
    assert capsys.readouterr().err == "kizuna: no transfer 1\n  next: see `kizuna transfer list`\nkizuna: no transfer 1\n"
