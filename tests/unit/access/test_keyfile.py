"""The key in the data directory: read when its file has changed, and not before."""

import os
import time
from pathlib import Path

import pytest

from identity.access import keyfile
from identity.access.keyfile import KeyFile
from kernel.errors import Misconfigured


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "management.key"
    found.write_text("first\n")
    found.chmod(0o600)
    return found


@pytest.fixture
def reads(monkeypatch):
    """Files that are read from now on; what was written is old enough at once."""
    found, real = [], Path.read_text

    def read_text(self, *args, **more):
        found.append(self)
        return real(self, *args, **more)

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(keyfile, "SETTLED", -1)
    return found


def test_it_is_read_once_while_nothing_is_written(path, reads):
    key = KeyFile(path)
    assert [key() for _ in range(3)] == ["first"] * 3
    assert reads == [path]


def written(path):
    path.write_text("other\n")


def replaced(path):
    work = path.with_name("work")
    work.write_text("other\n")
    work.chmod(0o600)
    stat = path.stat()
    os.utime(work, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    work.replace(path)


@pytest.mark.parametrize("change", [written, replaced])
def test_a_new_key_counts_from_the_next_call_on(path, reads, change):
    key = KeyFile(path)
    assert key() == "first"
    time.sleep(0.02)  # the clock of a file system is coarse
    change(path)
    assert [key(), key()] == ["other"] * 2
    assert reads == [path] * 2


def test_what_was_written_a_moment_ago_is_read_again(path, reads, monkeypatch):
    monkeypatch.setattr(keyfile, "SETTLED", 3_600_000_000_000)
    key = KeyFile(path)
    assert [key() for _ in range(3)] == ["first"] * 3
    assert reads == [path] * 3


def test_a_file_that_others_may_read_or_that_is_gone_opens_nothing(path):
    key = KeyFile(path)
    key()
    path.chmod(0o640)
    with pytest.raises(Misconfigured, match="readable by others"):
        key()
    path.chmod(0o600)
    assert key() == "first"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        key()
