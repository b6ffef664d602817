"""The JSON forms of ODRL terms, read strictly: members by their short names, lists, texts, references.

Members may be written short (`permission`), prefixed (`odrl:permission`) or as IRI, once. One value may stand for a list of one,
`{"@id": x}` for `x`. Everything else is a `PolicyError` with a JSON Pointer.
"""

from collections.abc import Mapping
from typing import Any

from policies.odrl.errors import PolicyError
from policies.odrl.vocabulary import iri, term


def members(value: Any, path: str, known: frozenset[str]) -> dict[str, Any]:
    """The members of an object under their short names; an unknown or doubled one is refused."""
    if not isinstance(value, dict):
        raise PolicyError(path, "an object is expected")
    found: dict[str, Any] = {}
    for key, each in value.items():
        name = term(key).removeprefix("rdf:") if isinstance(key, str) else ""
        if name not in known:
            raise PolicyError(f"{path}/{pointer(str(key))}", "is not understood here, so nothing is granted on it")
        if name in found:
            raise PolicyError(f"{path}/{pointer(str(key))}", f"{name} is there twice")
        found[name] = each
    return found


def pointer(key: str) -> str:
    """A member name as a step of a JSON Pointer."""
    return key[:200].replace("~", "~0").replace("/", "~1")


def listed(value: Any, path: str) -> list[Any]:
    """A list, from a list, an RDF list, one value, or nothing."""
    if value is None:
        return []
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("@list", "@set"):
        value = next(iter(value.values()))
    found = value if isinstance(value, list) else [value]
    if any(each is None or isinstance(each, list) for each in found):
        raise PolicyError(path, "null or a list in a list")
    return found


def text(value: Any, path: str) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise PolicyError(path, "a text is expected")
    return value


def named(value: Any, path: str) -> str:
    """A name, from a text or a reference."""
    return text(value.get("@id") if isinstance(value, dict) and len(value) == 1 else value, path)


def short(value: Any, path: str) -> str:
    """A term in its short form."""
    return term(named(value, path))


def full(value: Any, path: str) -> str:
    """A term as a full IRI."""
    return iri(named(value, path))


def reference(node: Mapping[str, Any], name: str, path: str) -> str:
    """The name that a member gives, or an empty text without the member."""
    value = node.get(name)
    return "" if value is None else named(value, f"{path}/{name}")
