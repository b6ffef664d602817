"""Further `@context` entries of a message, read without a JSON-LD processor (ADR 0020; JSON-LD 1.1, 4.1 and 9.15; DSP 2025-1, common section "Context").

Rules
- The DSP context stands in every message. Alone it costs nothing: this module is for messages that carry more.
- A context of `contexts.toml` and an inline object give further names: terms and prefixes for IRIs. Where such a name stands for a word of a vocabulary
  (operand, operator, action, type, format, profile, member) it is written out as IRI, and whoever reads the message afterwards needs no context. What a JSON-LD
  reader understands is then what is read here.
- A further context only adds. It redefines no name of the DSP context (only its prefixes may be there again, the same), no keyword, no scheme of a URI, and no
  name of another further context; it has no `@vocab`, `@base`, `@import`, scoped context, or anything else that changes names that it does not list.
- A member has one name: a further name for a member that the DSP context names is refused, and so are ids (of offers, processes, parties, datasets) that need a
  further context, since they are compared as they stand.
- An object within the message has no context of its own.
- A remote context that is not in `contexts.toml` is never fetched. Its names mean nothing here; whether the message is taken all the same is for the rule of
  the peer to say, and so for whoever knows who has sent it (`Unknown`).
- At most 16 entries and 256 names.

Not done here: what policies make of an IRI (`policies.odrl`, which refuses every word that it does not know).
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Final

from kernel.errors import BadInput

CONTEXT: Final = "https://w3id.org/dspace/2025/1/context.jsonld"
ENTRIES: Final = 16
NAMES: Final = 256
_DATA: Final = tomllib.loads((files(__package__) / "contexts.toml").read_text("utf-8"))
_PREFIXES: Final[Mapping[str, str]] = _DATA["dsp"]["prefixes"]
_RESERVED: Final = frozenset(_DATA["dsp"]["names"])
_BUNDLED: Final[Mapping[str, Mapping[str, str]]] = {each["url"]: each["terms"] for each in _DATA["context"]}
_SCHEMES: Final = frozenset({"http", "https", "urn", "did", "data", "file", "ftp", "mailto", "tel", "tag", "ws", "wss"})
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,127}")
_IRI: Final = re.compile(r"(?:https?://|urn:)[^\s\"<>\\^`{|}]{1,2000}")
_PREFIX_ENDS: Final = (":", "/", "?", "#", "[", "]", "@")
_DEFINITION: Final = frozenset({"@id", "@type", "@container", "@prefix", "@protected"})
_WORDS: Final = frozenset(
    {"leftOperand", "operator", "action", "@type", "format", "endpointType", "eventType"}
)  # values are words of a vocabulary
_IDS: Final = frozenset({"@id", "target", "assigner", "assignee", "providerPid", "consumerPid", "agreementId"})


def plain(message: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The message with all further names written out, and the contexts in it that are unknown; raises `BadInput` with what is wrong where."""
    names, unknown = _read(message.get("@context"))
    check_inner(message)
    if not names.terms:
        return message, unknown
    return {key: value if key == "@context" else names.written(key, value) for key, value in names.members(message)}, unknown


def described(value: dict[str, Any]) -> dict[str, Any]:
    """A catalog or a dataset of a peer with further names written out; as it came where that cannot be done, since nothing is agreed by reading it."""
    if value.get("@context") == [CONTEXT]:
        return value
    try:
        return plain(value)[0]
    except BadInput:
        return value


def refuse(unknown: tuple[str, ...]) -> None:
    """Refuse contexts that nobody here knows; raises `BadInput` with the next step of both sides."""
    if unknown:
        raise BadInput(
            f"unknown @context {unknown[0][:200]!r}: contexts are not fetched; send the DSP context, and further names in an inline context",
            next_step='to read messages of this peer without its context: [[peers]] unknown_contexts = "skip"',
        )


def check_inner(message: dict[str, Any]) -> None:
    """Refuse contexts below the top; raises `BadInput`."""
    for key, value in message.items():
        if key != "@context" and _has_context(value):
            raise BadInput(f"{key}: an object within a message has no @context of its own")


def _has_context(value: Any) -> bool:
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, dict):
            if "@context" in each:
                return True
            stack.extend(each.values())
        elif isinstance(each, list):
            stack.extend(each)
    return False


class _Names:
    """The names that further contexts add: term -> IRI; those that are prefixes, too."""

    def __init__(self) -> None:
        self.terms: dict[str, str] = {}
        self.prefixes: dict[str, str] = {}

    def add(self, name: str, iri: str, *, prefix: bool) -> None:
        if name in self.terms and self.terms[name] != iri:
            raise BadInput(f"@context: {name} is defined twice, differently")
        self.terms[name] = iri
        if prefix:
            self.prefixes[name] = iri
        if len(self.terms) > NAMES:
            raise BadInput(f"@context: more than {NAMES} names")

    def word(self, text: Any) -> Any:
        """A word of a vocabulary, written out if a further context defines it; a list of words."""
        if isinstance(text, list):
            return [self.word(each) for each in text]
        return self.terms.get(text) or self.compact(text) if isinstance(text, str) else text

    def compact(self, text: str) -> str:
        """A compact IRI under a further prefix, written out; every other text as it is."""
        prefix, colon, rest = text.partition(":")
        return self.prefixes[prefix] + rest if colon and prefix in self.prefixes and not rest.startswith("//") else text

    def members(self, node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """Members of an object under their written-out names; raises `BadInput` for a second name of a member."""
        seen = set(node)
        for key, value in node.items():
            name = self.word(key)
            if name != key and (name in seen or _second(name)):
                raise BadInput(f"{key} is a second name for {name}", next_step="use the name that the DSP context gives")
            seen.add(name)
            yield name, value

    def written(self, key: str, value: Any, *, operand: bool = False) -> Any:
        """A value, written out where it stands for words; `operand`: within a right operand, whose ids are words."""
        operand = operand or key == "rightOperand"
        if key in _WORDS:
            return self.word(value)
        if isinstance(value, str) and (key == "profile" or (operand and key == "@id")):
            return self.compact(value)
        if isinstance(value, dict):
            return {name: self.written(name, each, operand=operand) for name, each in self.members(value)}
        if isinstance(value, list):
            return [self.written(key, each, operand=operand) for each in value]
        if key in _IDS and isinstance(value, str) and self.compact(value) != value:
            raise BadInput(f"{key}: {value[:200]!r} is an id that needs a further @context", next_step="write ids in full")
        return value


def _second(iri: str) -> bool:
    """Whether an IRI is what a name of the DSP context stands for."""
    return any(iri.startswith(each) and iri[len(each) :] in _RESERVED for each in _PREFIXES.values())


def _read(context: Any) -> tuple[_Names, tuple[str, ...]]:
    """Further names, and the URLs that are unknown."""
    listed = [context] if isinstance(context, str) else context
    if not isinstance(listed, list) or CONTEXT not in listed:
        raise BadInput(f"@context does not hold {CONTEXT}")
    if len(listed) > ENTRIES:
        raise BadInput(f"@context has more than {ENTRIES} entries")
    names, unknown = _Names(), []
    for each in listed:
        if isinstance(each, dict):
            _inline(each, names)
        elif not isinstance(each, str):
            raise BadInput(f"@context: {str(each)[:80]!r} is neither a URL nor an object")
        elif each in _BUNDLED:
            _define(dict(_BUNDLED[each]), names)
        elif each != CONTEXT:
            unknown.append(each)
    return names, tuple(unknown)


def _inline(context: dict[str, Any], names: _Names) -> None:
    """Read an inline context: terms and prefixes, and nothing that changes other names."""
    given: dict[str, tuple[str, bool | None]] = {}
    for name, definition in context.items():
        if name in ("@version", "@protected"):
            continue
        if name.startswith("@"):
            raise BadInput(f"@context: {name} is not read, since it can change what other names mean")
        found = _definition(name, definition)
        if name in _PREFIXES and found[0] == _PREFIXES[name]:
            continue
        if name in _RESERVED or name in _PREFIXES:
            raise BadInput(f"@context: {name} is defined by the DSP context, and not to be redefined")
        if name in _SCHEMES or not _NAME.fullmatch(name):
            raise BadInput(f"@context: {name[:80]!r} cannot be the name of a term")
        given[name] = found
    _define({name: iri for name, (iri, _) in given.items()}, names, {name: prefix for name, (_, prefix) in given.items()})


def _definition(name: str, definition: Any) -> tuple[str, bool | None]:
    """The IRI of a term, and whether it may be a prefix where the definition says so."""
    if isinstance(definition, str):
        return definition, None
    if not isinstance(definition, dict) or not isinstance(definition.get("@id"), str):
        raise BadInput(f"@context: the definition of {name[:80]!r} has no IRI")
    if rest := definition.keys() - _DEFINITION:
        raise BadInput(f"@context: {name[:80]!r}: {min(rest)} is not read in a definition")
    return definition["@id"], definition.get("@prefix") is True


def _define(given: Mapping[str, str], names: _Names, prefixes: Mapping[str, bool | None] | None = None) -> None:
    """Add names; an IRI may begin with a prefix of the DSP context, of an earlier one, or of the same one."""
    said = prefixes or {}
    whole = {name: iri for name, iri in given.items() if _IRI.fullmatch(iri)}
    known = {**_PREFIXES, **names.prefixes, **{name: iri for name, iri in whole.items() if _is_prefix(iri, said.get(name))}}
    for name, iri in given.items():
        prefix, _, rest = iri.partition(":")
        full = iri if name in whole else known.get(prefix, "") + rest
        if not _IRI.fullmatch(full):
            raise BadInput(f"@context: {name} stands for {iri[:200]!r}, which is no IRI (http, https, urn)")
        names.add(name, full, prefix=_is_prefix(full, said.get(name)))


def _is_prefix(iri: str, said: bool | None) -> bool:
    """Whether a term may be a prefix: as its definition says, or by the last character of its IRI where the definition is a text."""
    return iri.endswith(_PREFIX_ENDS) if said is None else said
