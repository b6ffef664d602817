"""Structured logs: one JSON object per line, with the context of the work in hand, and no secret in any of them.

Rules: values under a telling name (`token`, `authorization`, `key`, `secret`, `password` and compounds) and values that look like
a token (three base64url parts) or a private key are replaced before anything is written. `bound` adds context
(pid, peer, state, message id) to every line of a block. A line is made only where it is written, and has left the process when the call
that wrote it returns: a crash takes none away (ADR 29).
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TextIO

import orjson

from kernel.clock import iso

REDACTED = "[redacted]"
_NAMES = re.compile(
    r"(?i:(^|[_-])(token|authorization|secret|password|key|jwt|cookie)$|^(access|refresh)token$)"
    r"|[a-z0-9](Token|Authorization|Secret|Password|Key|Jwt|JWT|Cookie)$"
)
_VALUES = re.compile(
    r"kzk_[A-Za-z0-9_-]{20,}|[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*"
)
_SHORTEST = 24  # characters of the shortest value that `_VALUES` knows
_CONTEXT: ContextVar[Mapping[str, Any]] = ContextVar("context of log lines", default=MappingProxyType({}))
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Logger:
    """Writes the lines of one module; those below the chosen level are not made."""

    __slots__ = ("_module",)
    least = 20
    stream: TextIO | None = None  # None: standard error, as it is when a line is written

    def __init__(self, module: str) -> None:
        self._module = module

    def info(self, event: str, /, **facts: Any) -> None:
        if Logger.least <= 20:
            self._write("info", event, facts)

    def warning(self, event: str, /, **facts: Any) -> None:
        if Logger.least <= 30:
            self._write("warning", event, facts)

    def error(self, event: str, /, **facts: Any) -> None:
        if Logger.least <= 40:
            self._write("error", event, facts)

    def exception(self, event: str, /, **facts: Any) -> None:
        """An error, with the exception that is being handled."""
        self.error(event, exc_info=sys.exc_info()[1], **facts)

    def critical(self, event: str, /, **facts: Any) -> None:
        self._write("critical", event, facts)

    def _write(self, level: str, event: str, facts: dict[str, Any]) -> None:
        stream = Logger.stream or sys.stderr
        stream.write(_line({**_CONTEXT.get(), "module": self._module, **facts, "event": event, "level": level}) + "\n")
        stream.flush()


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Set up logging of this process: JSON lines to `stream` (standard error)."""
    Logger.least, Logger.stream = _LEVELS[level], stream
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_OfLibraries())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


class _OfLibraries(logging.Formatter):
    """What libraries log, in the same form and as clean."""

    def format(self, record: logging.LogRecord) -> str:
        said = {"event": record.getMessage(), "level": record.levelname.lower()}
        return _line({**_CONTEXT.get(), "exc_info": record.exc_info and record.exc_info[1], **said})


get = Logger


class bound:  # noqa: N801  read like a function
    """Every line logged inside the block carries this context."""

    __slots__ = ("_before", "_own")

    def __init__(self, **context: Any) -> None:
        self._own = context

    def __enter__(self) -> None:
        self._before = _CONTEXT.set({**_CONTEXT.get(), **self._own})

    def __exit__(self, *_: object) -> None:
        _CONTEXT.reset(self._before)


def _line(line: dict[str, Any]) -> str:
    """The text of a line, with its time and clean."""
    error = line.pop("exc_info", None)
    if error is not None:
        line["exception"] = "".join(traceback.format_exception(error)).rstrip("\n")
    redact(line)["at"] = datetime.now(UTC)
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z).decode()
    except TypeError:  # a lone surrogate, a number of more than 64 bits
        return json.dumps(line, default=iso)


def redact(line: dict[str, Any]) -> dict[str, Any]:
    """Replace secrets by name and by shape, at any depth."""
    for key, value in line.items():
        if type(value) is not str or _told(key):
            line[key] = _clean(key, value)
        elif key != "module" and ("." in value or "kzk_" in value or "-----BEGIN" in value):  # a dotted name looks like a token
            line[key] = _without(value)
    return line


@lru_cache(maxsize=1024)
def _told(key: str) -> bool:
    """Whether a name says that its value is a secret."""
    return _NAMES.search(key) is not None


def _without(text: str) -> str:
    """A text without what `_VALUES` finds; most have nothing that could be it."""
    possible = len(text) >= _SHORTEST and (text.count(".") > 1 or "kzk_" in text or "-----BEGIN" in text)
    return _VALUES.sub(REDACTED, text) if possible else text


def _clean(key: str, value: Any) -> Any:
    if value and _told(key):
        return REDACTED
    if type(value) is str:
        return _without(value)
    return value if value is None or isinstance(value, bool | int | float) else _cleaned(value)


def _cleaned(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return _VALUES.sub(REDACTED, value.decode("utf-8", "replace"))
    if isinstance(value, Mapping):
        return {_VALUES.sub(REDACTED, str(name)): _clean(str(name), each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", each) for each in value]
    return _without(str(value))
