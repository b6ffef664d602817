"""JSON-LD with a frozen loader: only contexts that a package has registered, never the network.

Not on any hot path: messages that use the pinned context are read as plain JSON (DESIGN: hop 1).
"""

from pathlib import Path
from typing import Any

from kernel import wire
from kernel.errors import BadInput

_CONTEXTS: dict[str, Path] = {}


def register_context(url: str, path: Path) -> None:
    """Make the context document at `path` known under `url`."""
    _CONTEXTS[url] = path


def expand(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The expanded form; raises `BadInput` for a context that is not registered."""
    from pyld import jsonld  # noqa: PLC0415

    try:
        found: list[dict[str, Any]] = jsonld.expand(document, {"documentLoader": _load})
    except jsonld.JsonLdError as error:
        raise BadInput(f"JSON-LD: {error.type}") from error
    return found


def _load(url: str, _options: Any) -> dict[str, Any]:
    if url not in _CONTEXTS:
        raise BadInput(f"unknown JSON-LD context {url[:200]}")
    return {
        "contextUrl": None,
        "documentUrl": url,
        "document": wire.loads(_CONTEXTS[url].read_bytes()),
        "contentType": "application/ld+json",
    }
