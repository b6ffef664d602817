"""Structured logs: one JSON object per line, with the context of the work in hand, and no secret in any of them.

Rules: values under a telling name (`token`, `authorization`, `key`, `secret`, `password` and compounds) and values that look like
a token (three base64url parts) or a private key are replaced before anything is written. `bound` adds context
(pid, peer, state, message id) to every line of a block. A line is made in one step, and only where it is written.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TextIO, cast

import orjson
import structlog

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


def configure(level: str = "info", stream: TextIO | None = None, *, final: bool = False) -> None:
    """Set up logging of this process: JSON lines to `stream` (standard error). `final`: it stays so, and each logger is made once."""
    structlog.configure(
        processors=[_line],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=final,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_for_libraries(stream or sys.stderr)], force=True)


def _for_libraries(stream: TextIO) -> logging.Handler:
    """What libraries log, in the same form and as clean."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _line])
    )
    return handler


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry the module's name."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(module=name))


class bound(AbstractContextManager[None]):  # noqa: N801  read like a function
    """Every line logged inside the block carries this context."""

    __slots__ = ("_before", "_own")

    def __init__(self, **context: Any) -> None:
        self._own = context

    def __enter__(self) -> None:
        self._before = _CONTEXT.set({**_CONTEXT.get(), **self._own})

    def __exit__(self, *_: object) -> None:
        _CONTEXT.reset(self._before)


def _line(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    """The line of an event: with its context, level and time, and clean."""
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(logger, method, event)
    now = datetime.now(UTC).isoformat()
    line = redact({**_CONTEXT.get(), **event, "level": method, "at": now[:-6] + "Z"})
    try:
        return orjson.dumps(line, default=str).decode()
    except TypeError:  # a lone surrogate, a number of more than 64 bits
        return json.dumps(line, default=str)


def redact(line: dict[str, Any]) -> dict[str, Any]:
    """Replace secrets by name and by shape, at any depth."""
    for key, value in line.items():
        if type(value) is not str or _told(key):
            line[key] = _clean(key, value)
        elif len(value) >= _SHORTEST and key != "module":  # a dotted name looks like a token
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
