"""A connector that is killed or stopped at a named point: `halting.py kill|stop POINT NTH ARMED --dir DIR` in a fork (`forks`).

It counts from the moment that the file ARMED is there, so that what happens at its start does not count. With NTH = 0 it never halts.
"""

import os
import signal
import sys
from pathlib import Path

from connector.__main__ import main  # noqa: F401  what the fork runs
from kernel import faults

HOW, POINT, NTH, ARMED = sys.argv.pop(1), sys.argv.pop(1), int(sys.argv.pop(1)), Path(sys.argv.pop(1))
_passed = 0


def hook(name: str) -> None:
    global _passed  # noqa: PLW0603  the count of this process
    if name != POINT or not ARMED.exists():
        return
    _passed += 1
    if _passed == NTH:
        os.kill(os.getpid(), signal.SIGKILL if HOW == "kill" else signal.SIGSTOP)


faults.hook = hook
