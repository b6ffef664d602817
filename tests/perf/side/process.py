"""What processes cost, as the kernel counts it: all threads of all given processes."""

import os
import time
from pathlib import Path
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu(pids: list[int]) -> float:
    """CPU seconds used so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def resident(pid: int) -> float:
    """Resident set size in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


class Spent:
    """Wall and CPU seconds of a block: `with Spent(pids) as spent`."""

    def __init__(self, pids: list[int]) -> None:
        self._pids, self.seconds, self.cpu = pids, 0.0, 0.0

    def __enter__(self) -> Self:
        self._began, self._before = time.perf_counter(), cpu(self._pids)
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.cpu = time.perf_counter() - self._began, cpu(self._pids) - self._before
