"""Processes that are forked from one that has imported the connector already: half of a start is imports, and these tests start hundreds.

`python forks.py` is that process: it reads orders from standard input, a JSON line each, and answers each with a line. `Forks` is its other end, `Fork` has what the tests
use of `subprocess.Popen`. A fork begins with fresh arguments, environment, log and session of its own; it shares no open file and no thread with its origin.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path


class Fork:
    """One forked process."""

    def __init__(self, forks: "Forks", pid: int) -> None:
        self.pid, self.returncode, self._forks = pid, None, forks

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._forks.order({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float = 60.0) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("fork", timeout)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forks:
    """The origin of forks; ends when it is closed."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__))]
        self._origin = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )

    def start(self, script: Path, *arguments: str, log: Path, environment: dict[str, str]) -> Fork:
        """Run a script's `main` in a fork, after its top level; what it prints goes to `log`."""
        return Fork(self, self.order({"script": str(script), "arguments": arguments, "log": str(log), "environment": environment}))

    def order(self, order: dict) -> int | None:
        assert self._origin.stdin is not None
        assert self._origin.stdout is not None
        self._origin.stdin.write(json.dumps(order) + "\n")
        self._origin.stdin.flush()
        return json.loads(self._origin.stdout.readline())

    def close(self) -> None:
        self._origin.communicate(timeout=10)


def _serve() -> None:
    """Fork what is ordered, until the input ends."""
    while line := sys.stdin.readline():
        order = json.loads(line)
        if "poll" in order:
            pid, status = os.waitpid(order["poll"], os.WNOHANG)
            sys.stdout.write(json.dumps(os.waitstatus_to_exitcode(status) if pid else None) + "\n")
        else:
            pid = os.fork()
            if pid == 0:
                os._exit(_child(order))
            sys.stdout.write(json.dumps(pid) + "\n")
        sys.stdout.flush()


def _child(order: dict) -> int:
    """The exit code of the script's `main`."""
    null, log = os.open(os.devnull, os.O_RDONLY), os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(number, target)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = [order["script"], *order["arguments"]]
    try:
        scope = {"__name__": "fork", "__file__": order["script"]}
        exec(compile(Path(order["script"]).read_text(encoding="utf-8"), order["script"], "exec"), scope)
        return scope["main"]()
    except BaseException:  # noqa: BLE001  the code of a process that ended in an unexpected way
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import connector.__main__
    import connector.app
    import connector.store.sqlite  # noqa: F401

    _serve()
