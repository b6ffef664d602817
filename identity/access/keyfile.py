"""The key in the data directory, as it stands there at every call.

It is read again when the file is another or has been written to, by what the file system says of it; so a key that was replaced or made readable to others counts, or does
not count, from the next call on. What was written within the last second is read at every call: two writes may bear the same time.
"""

import os
import time
from pathlib import Path
from typing import Final

from kernel.errors import Misconfigured

SETTLED: Final = 1_000_000_000  # nanoseconds
_NONE: Final = (0, 0, 0, 0)


class KeyFile:
    """`KeyFile(path)()` is the key; raises `Misconfigured` where others may read the file, `OSError` where there is none."""

    def __init__(self, path: Path) -> None:
        self._path, self._seen, self._key = path, _NONE, ""

    def __call__(self) -> str:
        found = os.stat(self._path)  # noqa: PTH116  at every call, and three times as fast as by the path
        if found.st_mode & 0o077:
            raise Misconfigured(f"{self._path} is readable by others", next_step=f"chmod 600 {self._path}")
        seen = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
        if seen != self._seen:
            self._key = self._path.read_text(encoding="ascii").strip()
            self._seen = seen if time.time_ns() - found.st_ctime_ns > SETTLED else _NONE
        return self._key
