"""A connector that dies at the k-th crash point: `python crashing.py K --dir DIR`. K = 0 never dies."""

import os
import sys

from kernel import faults

LIMIT = int(sys.argv.pop(1))
_passed = 0


def hook(_name: str) -> None:
    global _passed  # noqa: PLW0603  the count of this process
    _passed += 1
    if _passed == LIMIT:
        os._exit(137)


faults.hook = hook

if __name__ == "__main__":
    from connector.__main__ import main

    sys.exit(main())
