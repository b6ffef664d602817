"""`python -m connector --dir DIR`: the serving process of `kizuna connector run`, without the command line's memory.

Takes as many file descriptors as the system lets it have: a connection is one, a busy peer keeps up to `kernel.http.PER_HOST` open, and the usual soft limit is
1,024. Ends with the exit code of the error that stopped the start, its cause and next step on standard error.
"""

import argparse
import resource
import sys
from pathlib import Path

import uvloop

from connector.host import run
from kernel.errors import KizunaError


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="connector")
    parser.add_argument("--dir", type=Path, required=True, action="append", help="again for further participants in this process")
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
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
