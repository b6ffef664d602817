"""What these tests start is stopped also when their set-up fails: a process that is left over would hold ports and CPU of every later test."""

from pathlib import Path

import pytest

from tests.faults import consortium as made


def running(place):
    """Command lines of the processes that work in a folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes().decode().split("\0")
        except OSError:
            continue
        found += [words] if any(word.startswith(str(place)) for word in words) else []
    return found


@pytest.mark.parametrize("fails", ["join", "on_server"])
def test_a_set_up_that_fails_leaves_no_process(tmp_path, monkeypatch, fails):
    seen, databases = [], {"provider": "postgresql://nowhere"} if fails == "on_server" else {}

    def fail(*_args, **_more):
        seen.append(len(running(tmp_path)))
        raise RuntimeError("no")

    monkeypatch.setattr(made, fails, fail)
    with pytest.raises(RuntimeError, match="no"), made.consortium(tmp_path / "w", databases):
        pytest.fail("it cannot come so far")
    assert seen == [2 if fails == "join" else 1]
    assert running(tmp_path) == []
