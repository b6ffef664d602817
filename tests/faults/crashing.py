"""A connector that dies at the k-th crash point: `crashing.py K --dir DIR` in a fork (`forks`). K = 0 never dies."""

import os
import sys

from connector.__main__ import main  # noqa: F401  what the fork runs
from kernel import faults

LIMIT = int(sys.argv.pop(1))
_passed = 0


def hook(_name: str) -> None:
    global _passed  # noqa: PLW0603  the count of this process
    _passed += 1
    if _passed == LIMIT:
        os._exit(137)


faults.hook = hook
