"""ODRL 2.2 vocabulary as data: namespaces, term forms, the 51 actions in force and their hierarchy.

Rules
- A term is known in three forms: short (`use`), prefixed (`odrl:use`) and full IRI. `term` is the one place that maps them; `readable` does for texts that people read.
- Actions: `includedIn` is transitive and reflexive; the closure is computed once. A rule on `use` covers `distribute`; a rule on
  `distribute` does not cover `use`.
- Deprecated actions and left operands are unknown; `DEPRECATED` names what to write instead, for the message.

Not done here: `implies` (ODRL core declares none; a profile may, `operands`).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

ODRL: Final = "http://www.w3.org/ns/odrl/2/"
KZ: Final = "https://w3id.org/kizuna/policy/1#"
XSD: Final = "http://www.w3.org/2001/XMLSchema#"
CC: Final = "http://creativecommons.org/ns#"

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
_COMMONS: Final = (
    "Attribution",
    "CommericalUse",  # so written in the vocabulary
    "DerivativeWorks",
    "Distribution",
    "Notice",
    "Reproduction",
    "ShareAlike",
    "Sharing",
    "SourceCode",
)
ACTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {ODRL + name: ODRL + parent if parent else "" for name, parent in _PARENTS.items()}
    | {CC + name: ODRL + "use" for name in _COMMONS}
)
DEPRECATED: Final[Mapping[str, str]] = MappingProxyType(
    {
        ODRL + old: new
        for old, new in {
            **dict.fromkeys(("device", "system"), "systemDevice"),
            **dict.fromkeys(("write", "writeTo", "append", "appendTo"), "modify"),
            "copy": "reproduce",
            "export": "transform",
            "license": "grantUse",
            "pay": "compensate",
        }.items()
    }
)
PARTY_FUNCTIONS: Final = frozenset(
    f"{who}Party"
    for who in (
        *("attributed", "attributing", "compensated", "compensating", "consented", "consenting"),
        *("contracted", "contracting", "informed", "informing", "tracked", "tracking"),
    )
)
_PREFIXES: Final = {"odrl:": ODRL, "kz:": KZ, "xsd:": XSD, "cc:": CC}


def iri(text: str, default: str = ODRL) -> str:
    """The full IRI of a term: prefixes are expanded, a bare word is taken from `default`."""
    for prefix, namespace in _PREFIXES.items():
        if text.startswith(prefix):
            return namespace + text[len(prefix) :]
    return text if ":" in text else default + text


def readable(text: str) -> str:
    """A text for people with the terms in it as authors write them: ODRL's by their bare names, others by their prefix. Names without a prefix stay as they are."""
    for prefix, namespace in _PREFIXES.items():
        text = text.replace(namespace, "" if namespace == ODRL else prefix)
    return text


def term(text: str) -> str:
    """The short form of an ODRL term; every other text stays as it is."""
    if text.startswith("odrl:"):
        return text[len("odrl:") :]
    return text.removeprefix(ODRL)


def closure(parents: Mapping[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    """For each name, itself and everything above it. Raises `ValueError` with a name that is above itself."""
    found: dict[str, frozenset[str]] = {}
    for name in parents:
        above: set[str] = set()
        open_ = list(parents[name])
        while open_:
            each = open_.pop()
            if each not in above:
                above.add(each)
                open_.extend(parents.get(each, ()))
        if name in above:
            raise ValueError(name)
        found[name] = frozenset({name, *above})
    return found
