"""Ports of stories and tests: nobody else is given them, also when no process has taken them yet."""

import subprocess
import sys

import pytest

from deploy.demo import ports
from deploy.demo.ports import ROW, reserve
from kernel.errors import InUse
from tests.support.ports import free_ports

ASK = "from deploy.demo.ports import reserve; print(reserve())"


def test_others_are_given_other_ports_until_this_process_ends():
    mine = {reserve(), reserve()}
    theirs = [int(subprocess.run([sys.executable, "-c", ASK], capture_output=True, check=True).stdout) for _ in range(2)]
    assert len(mine) == 2
    assert not mine & set(theirs)
    assert all(each % ROW == 0 for each in (*mine, *theirs))


def test_a_row_with_a_listener_is_passed_over(monkeypatch):
    base = reserve()
    monkeypatch.setattr(ports, "free", lambda port: port >= base + ROW)
    assert reserve() > base


def test_where_nothing_is_free_that_is_said(monkeypatch):
    monkeypatch.setattr(ports, "free", lambda _port: False)
    with pytest.raises(InUse, match="no 20 free ports"):
        reserve()


def test_ports_of_a_test_differ():
    assert len(set(free_ports(100))) == 100
