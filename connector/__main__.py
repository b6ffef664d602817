"""`python -m connector --dir DIR`: the serving process of `kizuna connector run`, without the command line's memory.

Ends with the exit code of the error that stopped the start, its cause and next step on standard error.
"""

import argparse
import sys
from pathlib import Path

import uvloop

from connector.host import run
from kernel.errors import KizunaError


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="connector")
    parser.add_argument("--dir", type=Path, required=True, action="append", help="again for further participants in this process")
    try:
        uvloop.run(run(*parser.parse_args().dir))
    except KizunaError as error:
        sys.stderr.write(f"kizuna: {error.detail or error.code}\n")
        if error.next_step:
            sys.stderr.write(f"  next: {error.next_step}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
