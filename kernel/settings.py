"""Settings: one frozen value per service, from a TOML file and environment variables, read once at start.

Rules: an unknown key stops the start and names the nearest known one; an environment variable `<PREFIX><FIELD>` overrides a
plain field; every field has a description (`Annotated[..., Meta(description=...)]`), from which `reference` makes the docs page.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, get_type_hints

import msgspec

from kernel.errors import Misconfigured

T = TypeVar("T", bound=msgspec.Struct)


def load(cls: type[T], path: Path, *, env_prefix: str, environment: Mapping[str, str] = os.environ) -> T:
    """Read `path` into `cls`; raises `Misconfigured` with cause and next step."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Misconfigured(f"no settings: {path}", next_step="make the data directory with `init`") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(f"{path}: {error}") from error
    names = [each.name for each in msgspec.structs.fields(cls)]
    for key in found:
        if key not in names:
            raise Misconfigured(f"{path}: unknown setting {key}", next_step=_nearest(key, names))
    for key in environment:
        if key.startswith(env_prefix) and key[len(env_prefix) :].lower() not in names:
            raise Misconfigured(f"unknown setting {key}", next_step=_nearest(key[len(env_prefix) :].lower(), names))
    try:
        for each in msgspec.structs.fields(cls):  # a variable is text and read loosely; the file says what it means
            if env_prefix + each.name.upper() in environment:
                found[each.name] = msgspec.convert(environment[env_prefix + each.name.upper()], each.type, strict=False)
        return msgspec.convert(found, cls)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"{path}: {error}", next_step="see docs/reference for what each setting takes") from error


def _nearest(key: str, names: list[str]) -> str:
    close = difflib.get_close_matches(key, names, n=1)
    return f"did you mean {close[0]}?" if close else f"known settings: {', '.join(names)}"


def reference(cls: type[msgspec.Struct], env_prefix: str) -> str:
    """A Markdown table of all fields: name, environment variable, default, meaning."""
    hints = get_type_hints(cls, include_extras=True)
    lines = ["| setting | environment | default | meaning |", "|---|---|---|---|"]
    for each in msgspec.structs.fields(cls):
        meta = next((m for m in getattr(hints[each.name], "__metadata__", ()) if isinstance(m, msgspec.Meta)), None)
        made = each.default_factory() if each.default_factory is not msgspec.NODEFAULT else each.default
        default = "(needed)" if each.required else f"`{made!r}`"
        meaning = (meta.description if meta else None) or ""
        lines.append(f"| `{each.name}` | `{env_prefix}{each.name.upper()}` | {default} | {meaning} |")
    return "\n".join(lines) + "\n"
