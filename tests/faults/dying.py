"""A process of the identity service that dies at a named crash point: `python -m tests.faults.dying NAME --dir DIR`."""

import os
import sys

from identity.service.__main__ import main
from kernel import faults

NAME = sys.argv.pop(1)


def hook(name: str) -> None:
    if name == NAME:
        os._exit(137)


faults.hook = hook

if __name__ == "__main__":
    sys.exit(main())
