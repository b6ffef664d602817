"""What processes cost, as the kernel counts it: all threads of all given processes."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")
RESOLUTION = 1 / _TICKS  # seconds of CPU that can be told apart


def cpu(pids: list[int]) -> float:
    """CPU seconds used so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def resident(pid: int) -> float:
    """Resident set size in MB."""
    return _status(pid, "VmRSS")


class Peak:
    """The greatest resident set size of a process, in MB, since this was made."""

    def __init__(self, pid: int) -> None:
        self._pid, self.before = pid, resident(pid)
        Path(f"/proc/{pid}/clear_refs").write_text("5")

    @property
    def growth(self) -> float:
        return _status(self._pid, "VmHWM") - self.before


def _status(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


@contextmanager
def paused(pids: list[int]) -> Iterator[None]:
    """These processes stand still meanwhile."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


class Spent:
    """Wall and CPU seconds of a block: `with Spent(pids) as spent`."""

    def __init__(self, pids: list[int]) -> None:
        self._pids, self.seconds, self.cpu = pids, 0.0, 0.0

    def __enter__(self) -> Self:
        self._began, self._before = time.perf_counter(), cpu(self._pids)
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.cpu = time.perf_counter() - self._began, cpu(self._pids) - self._before
