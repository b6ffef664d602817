"""The processes of a story: started from the public command line, watched, measured, and ended by their own pid."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from kernel.cli import ManagementClient
from kernel.errors import KizunaError, UnavailableError

READY_SECONDS = 90.0  # a machine under load takes its time


class Node:
    """One running service: its data directory, management API and process."""

    def __init__(self, name: str, directory: Path, run: tuple[str, ...], management: str) -> None:
        self.name = name
        self.directory = directory
        self._run = run
        self._management = management
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def api(self) -> ManagementClient:
        """Its management API with the key of its data directory."""
        key = (self.directory / "management.key").read_text(encoding="ascii").strip()
        return ManagementClient(self._management, key)

    @property
    def log_file(self) -> Path:
        return self.directory.parent / f"{self.directory.name}.log"

    def start(self) -> None:
        """Start the process; its log goes to `log_file`."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                kizuna(*self._run, "--dir", str(self.directory)), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def wait_ready(self) -> None:
        """Return when it answers; raises `UnavailableError` with the end of its log when it does not."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            try:
                self.api.get("/health")
            except (KizunaError, OSError):
                if self._process is not None and self._process.poll() is not None:
                    break
                time.sleep(0.05)
            else:
                return
        tail = self.log_file.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise UnavailableError(f"{self.name} did not start", next_step=f"its log, {self.log_file}, ends: {tail}")

    def stop(self) -> None:
        """End the process and wait for it."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def memory(self) -> float:
        """Proportional set size in MB; 0 where the system does not tell."""
        return pss(self._process.pid) if self._process is not None else 0.0

    def logged(self, **wanted: Any) -> dict[str, Any] | None:
        """The newest log line that has these values."""
        from kernel.wire import loads  # noqa: PLC0415

        for line in reversed(self.log_file.read_bytes().splitlines()):
            if line.startswith(b"{"):
                row: dict[str, Any] = loads(line)
                if all(row.get(key) == value for key, value in wanted.items()):
                    return row
        return None


def kizuna(*arguments: str) -> list[str]:
    """The command line of this very installation."""
    return [sys.executable, "-m", "kernel.cli", *arguments]


def command(*arguments: str) -> str:
    """Run one `kizuna` command, and return what it printed; raises `KizunaError` with what it printed."""
    done = subprocess.run(kizuna(*arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        raise KizunaError(f"kizuna {' '.join(arguments[:2])} failed", next_step=(done.stderr or done.stdout)[-2000:])
    return done.stdout


def pss(pid: int) -> float:
    """Proportional set size of a process in MB; 0 where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Pss:"))


def own_memory() -> float:
    """Proportional set size of this process in MB."""
    return pss(os.getpid())
