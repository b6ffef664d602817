"""Files of the data plane: payloads by their digest, received data by transfer. Ids of others never become paths.

Rules: a file is written beside its place, flushed to disk, verified, renamed. A partial file is never seen under a final name.
"""

import base64
import hashlib
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from kernel.errors import BadInput, StorageFull, TooLarge
from kernel.faults import crashpoint

CHUNK: Final = 256 * 1024
_FULL: Final = frozenset({28, 122, 27})  # ENOSPC, EDQUOT, EFBIG


class Written(Struct, frozen=True):
    """A finished file, its digest (hexadecimal SHA-256) and size in bytes."""

    path: Path
    sha256: str
    size: int


class Spool:
    """A file in the making: `add` bytes, then `keep` it under a name, or `drop` it."""

    def __init__(self, directory: Path, limit: int) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory, self._limit = directory, limit
        self.path = directory / f".{uuid.uuid4().hex}.part"
        self._file = self.path.open("xb")
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def add(self, data: bytes) -> None:
        """Append; raises `TooLarge` or `StorageFull`."""
        self.size += len(data)
        if self.size > self._limit:
            raise TooLarge(f"more than {self._limit} bytes", next_step="raise max_payload")
        try:
            self._file.write(data)
        except OSError as error:
            raise _storage(error) from error
        self._digest.update(data)

    def done(self) -> None:
        """Flush to disk."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise _storage(error) from error

    def keep(self, name: str) -> Written:
        """Give the flushed file its name in the directory."""
        final = self._directory / name
        crashpoint("files:before-rename")
        self.path.replace(final)
        crashpoint("files:after-rename")
        return Written(final, self.sha256, self.size)

    def drop(self) -> None:
        """Remove what is there."""
        self._file.close()
        self.path.unlink(missing_ok=True)


async def spooled(parts: AsyncIterator[bytes], directory: Path, limit: int) -> Spool:
    """All parts in a flushed spool; on any error nothing is left."""
    spool = Spool(directory, limit)
    try:
        async for part in parts:
            spool.add(part)
        spool.done()
    except BaseException:
        spool.drop()
        raise
    return spool


def sweep(directory: Path, *, untouched: float = 0.0) -> None:
    """Remove what a crash left unfinished: parts that nobody has written to for `untouched` seconds."""
    for part in directory.glob(".*.part"):
        with suppress(FileNotFoundError):  # another replica was faster
            if part.stat().st_mtime <= time.time() - untouched:
                part.unlink()


def safe_name(key: str) -> str:
    """A file name for one of our own ids."""
    name = key.removeprefix("urn:uuid:")
    if not name or not all(each.isascii() and (each.isalnum() or each == "-") for each in name):
        raise BadInput("not an id of ours")
    return name


def digest_header(sha256: str) -> str:
    """RFC 9530 `sha-256=:...:` of a hexadecimal digest."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode('ascii')}:"


def _storage(error: OSError) -> Exception:
    if error.errno in _FULL:
        return StorageFull("the disk is full; nothing was kept", next_step="make space, then try again")
    return error
