"""How large a policy may be, looked at before anything walks into it: 256 KiB as JSON, 32 levels deep."""

from typing import Any, Final

import orjson

from policies.odrl.errors import PolicyError

MAX_BYTES: Final = 262_144
MAX_DEPTH: Final = 32


def limited(value: Any) -> None:
    """Refuse what is too deep, too large or not JSON; raises `PolicyError`. Walks level by level, so depth costs no stack."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [part for each in level if isinstance(each, dict | list) for part in _parts(each)]
        if not level:
            break
    else:
        raise PolicyError("", f"nested deeper than {MAX_DEPTH} levels")
    try:
        size = len(orjson.dumps(value))
    except (orjson.JSONEncodeError, UnicodeEncodeError) as error:
        raise PolicyError("", "not JSON") from error
    if size > MAX_BYTES:
        raise PolicyError("", f"{size} bytes, at most {MAX_BYTES} are read")


def _parts(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value
