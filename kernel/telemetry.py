"""Structured logs: one JSON object per line, with the context of the work in hand, and no secret in any of them.

Rules: values under a telling name (`token`, `authorization`, `key`, `secret`, `password` and compounds) and values that look like
a token (three base64url parts) or a private key are replaced before anything is written. `bound` adds context
(pid, peer, state, message id) to every line of a block.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from functools import lru_cache
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
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(level: str = "info", stream: TextIO | None = None, *, final: bool = False) -> None:
    """Set up logging of this process: JSON lines to `stream` (standard error). `final`: it stays so, and each logger is made once."""
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, *_written()],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=final,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_for_libraries(stream or sys.stderr)], force=True)


def _for_libraries(stream: TextIO) -> logging.Handler:
    """What libraries log, in the same form and as clean."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_written()],
        )
    )
    return handler


def _written() -> tuple[structlog.typing.Processor, ...]:
    return structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"), structlog.processors.format_exc_info, redact, _json


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry the module's name."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(module=name))


def bound(**context: Any) -> AbstractContextManager[None]:
    """Every line logged inside the block carries this context."""
    return cast("AbstractContextManager[None]", structlog.contextvars.bound_contextvars(**context))


def _json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    try:
        return orjson.dumps(event, default=str).decode()
    except TypeError:  # a lone surrogate, a number of more than 64 bits
        return json.dumps(event, default=str)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace secrets by name and by shape, at any depth."""
    for key, value in event.items():
        event[key] = value if key == "module" else _clean(key, value)  # a dotted name looks like a token
    return event


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
