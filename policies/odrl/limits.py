"""How large a policy may be, looked at before anything walks into it: 256 KiB as JSON, 32 levels deep."""

from typing import Any, Final

import orjson

from policies.odrl.errors import PolicyError

MAX_BYTES: Final = 262_144
MAX_DEPTH: Final = 32


def limited(value: Any) -> None:
    """Refuse what is too deep, too large or not JSON; raises `PolicyError`. Few brackets cannot be deep; else every level is looked at."""
    try:
        text = orjson.dumps(value)
    except (orjson.JSONEncodeError, UnicodeEncodeError) as error:  # also what is deeper than it goes
        _shallow(value)
        raise PolicyError("", "not JSON") from error
    if text.count(b"{") + text.count(b"[") >= MAX_DEPTH:
        _shallow(value)
    if len(text) > MAX_BYTES:
        raise PolicyError("", f"{len(text)} bytes, at most {MAX_BYTES} are read")


def _shallow(value: Any) -> None:
    """Walks level by level, so depth costs no stack."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [part for each in level if isinstance(each, dict | list) for part in _parts(each)]
        if not level:
            break
    else:
        raise PolicyError("", f"nested deeper than {MAX_DEPTH} levels")


def _parts(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value
