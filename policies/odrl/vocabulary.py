"""ODRL 2.2 vocabulary as data: namespaces, term forms, and the action hierarchy with its closure.

Rules
- A term is known in three forms: short (`use`), prefixed (`odrl:use`) and full IRI. `term` is the one place that maps them.
- Actions: `includedIn` is transitive and reflexive; the closure is computed once. A rule on `use` covers `distribute`; a rule on
  `distribute` does not cover `use`.

Not done here: `implies` (ODRL core declares none). Deprecated actions are unknown.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

ODRL: Final = "http://www.w3.org/ns/odrl/2/"
KZ: Final = "https://w3id.org/kizuna/policy/1#"
XSD: Final = "http://www.w3.org/2001/XMLSchema#"

PURPOSE: Final = ODRL + "purpose"
DATE_TIME: Final = ODRL + "dateTime"

_USES: Final = (
    "acceptTracking",
    "aggregate",
    "annotate",
    "anonymize",
    "archive",
    "attribute",
    "compensate",
    "concurrentUse",
    "delete",
    "derive",
    "digitize",
    "distribute",
    "ensureExclusivity",
    "execute",
    "grantUse",
    "include",
    "index",
    "inform",
    "install",
    "modify",
    "move",
    "nextPolicy",
    "obtainConsent",
    "play",
    "present",
    "print",
    "read",
    "reproduce",
    "reviewPolicy",
    "stream",
    "synchronize",
    "textToSpeech",
    "transform",
    "translate",
    "uninstall",
    "watermark",
)
_PARENTS: Final = dict.fromkeys(_USES, "use") | {
    "display": "play",
    "extract": "reproduce",
    "give": "transfer",
    "sell": "transfer",
    "use": "",
    "transfer": "",
}
ACTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {ODRL + name: ODRL + parent if parent else "" for name, parent in _PARENTS.items()}
)
_PREFIXES: Final = {"odrl:": ODRL, "kz:": KZ, "xsd:": XSD}


def iri(text: str, default: str = ODRL) -> str:
    """The full IRI of a term: prefixes are expanded, a bare word is taken from `default`."""
    for prefix, namespace in _PREFIXES.items():
        if text.startswith(prefix):
            return namespace + text[len(prefix) :]
    return text if ":" in text else default + text


def term(text: str) -> str:
    """The short form of an ODRL term; every other text stays as it is."""
    if text.startswith("odrl:"):
        return text[len("odrl:") :]
    return text.removeprefix(ODRL)


def closure(parents: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """For each name, itself and all that include it. A cycle ends where it closes."""
    found: dict[str, frozenset[str]] = {}
    for name in parents:
        line: list[str] = []
        each = name
        while each and each not in line:
            line.append(each)
            each = parents.get(each, "")
        found[name] = frozenset(line)
    return found
