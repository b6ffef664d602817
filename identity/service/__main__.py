"""`python -m identity.service --dir DIR`: the serving process of `kizuna identity run`.

Ends with the exit code of the error that stopped the start (`kernel.errors`), its cause and next step on standard error.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from identity.service.app import run
from identity.service.settings import ROLES
from kernel.errors import KizunaError


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="identity.service")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--role", action="append", choices=ROLES, default=[])
    found = parser.parse_args()
    directory: Path = found.dir
    try:
        asyncio.run(run(directory, tuple(dict.fromkeys(found.role))))
    except KizunaError as error:
        sys.stderr.write(f"kizuna: {error.detail or error.code}\n")
        if error.next_step:
            sys.stderr.write(f"  next: {error.next_step}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
