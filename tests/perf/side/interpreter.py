"""Which Python runs: figures of two runs can be compared where it is the same one, or as quick.

Whether it was built with a profile (PGO) stands in its configuration only where whoever built it used configure's option: the packages of Debian are quick and do not tell.
So a loop of what our code does most, objects, calls, dicts and texts, is timed as well.
"""

import platform
import sysconfig
import time
from functools import cache

_OPTIONS = {"--enable-optimizations": "PGO", "--with-lto": "LTO"}
_STEPS, _TRIES = 40_000, 9


@cache
def interpreter() -> dict[str, str | float]:
    """The settings that name it. `python_loop_ms`: least CPU time of the loop."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
        "python_build": told(sysconfig.get_config_var("CONFIG_ARGS") or ""),
        "python_loop_ms": round(min(_loop() for _ in range(_TRIES)), 1),
    }


def told(configured: str) -> str:
    """What the options of its build say about it."""
    return ", ".join(name for option, name in _OPTIONS.items() if option in configured) or "tells neither PGO nor LTO"


class _Row:
    def __init__(self, number: int) -> None:
        self.number, self.following = number, None

    def step(self, more: int) -> dict[str, int | str]:
        return {"number": self.number + more, "text": str(self.number)}


def _loop() -> float:
    began, total = time.process_time(), 0
    for number in range(_STEPS):
        total += _Row(number).step(1)["number"]
    assert total == _STEPS * (_STEPS + 1) // 2
    return (time.process_time() - began) * 1e3
