"""RDF canonicalisation of a JSON-LD document (RDFC-1.0), under rules that make the signature cover what we read (identity.md 2.3).

Rules
- The `@context` is exactly one of the known lists; contexts are bundled, nothing is ever fetched. There is no inner `@context` but that of
  the credentials in a presentation, for which the same holds.
- Members are terms: a name with `@` or `:` in it is refused. Else a member could be written as its full IRI, with the same signature,
  and vanish from the eyes of a reader of plain JSON (a status entry, say).
- No thing is described in two places: RDF joins them, so parts of one description could be moved to where no reader looks.
- Every member and every type is defined by the contexts, no value is null and no IRI is relative: JSON-LD drops all these silently,
  and what is dropped is not signed.
- The number of values is capped, and the work on blank nodes: expanding a long list takes quadratic time, and a few blank nodes can be arranged so that
  canonicalising takes for ever.

pyld does the expansion and the algorithm, imported at the first use: issuing and all other formats live without it.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from identity.vc.contexts import Contexts
from identity.vc.errors import BadCredential
from identity.vc.model import inner_contexts, objects

_MOST_STEPS: Final = 1_000  # hashes of blank nodes that look alike
_MOST_VALUES: Final = 500
_BASE: Final = "https://relative.invalid/"  # what a relative address would become, to be recognised


def canonical_rdf(document: Mapping[str, Any], contexts: Contexts, hash_name: str) -> bytes:
    """The canonical N-Quads; raises `BadCredential`.

    Reasons: `context`, `inner-context`, `member-name`, `described-twice`, `undefined-term`, `rdf`.
    """
    if _values(document) > _MOST_VALUES:
        raise BadCredential(f"more than {_MOST_VALUES} values to canonicalise", reason="rdf")
    _checked(document, contexts)
    return _normalised(dict(document), contexts, hash_name)


def _values(document: Mapping[str, Any]) -> int:
    """The number of values in a document, counted to a little over the limit at the most."""
    count, stack = 0, [document]
    while stack and count <= _MOST_VALUES:
        each: Any = stack.pop()
        count += 1
        if isinstance(each, Mapping | list):
            stack.extend(each.values() if isinstance(each, Mapping) else each)
    return count


def _checked(document: Mapping[str, Any], contexts: Contexts) -> None:
    given = document.get("@context")
    listed = given if isinstance(given, list) else [given]
    known = all(isinstance(each, str) and each in contexts.documents for each in listed)
    if not known or tuple(listed) not in contexts.lists:
        raise BadCredential("the @context is not one of the known lists", reason="context")
    plain = {name: value for name, value in document.items() if name != "@context"}
    held = plain.pop("verifiableCredential", [])
    inner_contexts(plain)
    _plain_members(plain)
    for each in objects(held, "verifiableCredential"):
        _checked(each, contexts)


def _plain_members(value: Any) -> None:
    described: set[str] = set()
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, Mapping):
            if any("@" in name or ":" in name for name in each):
                raise BadCredential("a member is written as keyword or IRI", reason="member-name")
            if "id" in each and len(each) > 1:
                if str(each["id"]) in described:
                    raise BadCredential("one thing is described in two places", reason="described-twice")
                described.add(str(each["id"]))
            stack.extend(each.values())
        elif isinstance(each, list):
            stack.extend(each)
        elif each is None:
            raise BadCredential("a null is not signed", reason="undefined-term")


def _normalised(document: dict[str, Any], contexts: Contexts, hash_name: str) -> bytes:
    from pyld import jsonld  # noqa: PLC0415
    from pyld.context_resolver import ContextResolver  # noqa: PLC0415

    def load(url: str, _options: Any) -> dict[str, Any]:
        return {"contextUrl": None, "documentUrl": url, "document": contexts.documents[url], "contentType": "application/ld+json"}

    options = {"documentLoader": load, "contextResolver": ContextResolver({}, load), "base": _BASE, "processingMode": "json-ld-1.1"}
    try:
        expanded = jsonld.expand(document, options, on_property_dropped=_dropped)
        _absolute(expanded)
        dataset = jsonld.to_rdf(expanded, {**options, "produceGeneralizedRdf": False})
        found: str = _algorithm(hash_name).main(dataset, {"format": "application/n-quads"})
    except jsonld.JsonLdError as error:
        raise BadCredential(f"JSON-LD: {error.type}", reason="rdf") from error
    return found.encode()


def _dropped(name: str | None) -> None:
    raise BadCredential(f"no context defines the member {str(name)[:100]!r}", reason="undefined-term")


def _absolute(expanded: Any) -> None:
    """No type and no link may be relative: such statements are left out of the RDF without a word."""
    stack = [expanded]
    while stack:
        each = stack.pop()
        if isinstance(each, list):
            stack.extend(each)
        elif isinstance(each, dict):
            kinds = each.get("@type", [])
            names = [*(kinds if isinstance(kinds, list) else [kinds]), *([each["@id"]] if "@id" in each else [])]
            if any((":" not in str(name) and name != "@json") or str(name).startswith(_BASE) for name in names):
                raise BadCredential("a type or link that no context makes absolute", reason="undefined-term")
            stack.extend(value for name, value in each.items() if name != "@value")


def _algorithm(hash_name: str) -> Any:
    from pyld.canon import URDNA2015  # noqa: PLC0415

    class Capped(URDNA2015):  # type: ignore[misc]
        """RDFC-1.0 with the hash of the suite, and an end."""

        steps = 0

        def create_hash(self) -> Any:
            return hashlib.new(hash_name)

        def hash_n_degree_quads(self, id_: Any, issuer: Any) -> Any:
            self.steps += 1
            if self.steps > _MOST_STEPS:
                raise BadCredential("blank nodes that take too long to tell apart", reason="rdf")
            return super().hash_n_degree_quads(id_, issuer)

    return Capped()
