"""Loading a profile from its folder: shipped beside this module, or anywhere. A new sector is a folder, and no Python.

    <name>/profile.toml  policies/*.json  schemas/*.json  templates/*.json  texts/en.toml  texts/ja.toml

Rules
- Everything is read and checked at once; the first thing that is wrong is a `ProfileError` with its file and the reason.
- `extends` names a shipped profile, or a folder beside this one. Its credentials, operands, templates and texts come first; an
  entry of the same name replaces it. Schemas and rules are not inherited.
- A template may inherit from a policy of the profile (`inheritFrom`). That is written out here, once: offers are made of terms that stand by themselves, and what
  the policy says later is for later offers.
- Only files of the folder are read, by plain names.
- Texts must be complete in English and Japanese.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec

from identity.trust import Claim, ClaimTable
from identity.vc.scope import scope_for_type
from kernel import wire
from kernel.errors import BadInput
from policies.odrl import Compiled, Operand, PolicyError, Registry
from policies.profiles.document import CredentialEntry, Document, OperandEntry, Source
from policies.profiles.errors import ProfileError
from policies.profiles.paths import BadPath, path
from policies.profiles.profile import ANY_CREDENTIAL, FactSource, Profile, frozen
from policies.profiles.rules import CompiledRule, compiled
from policies.profiles.schemas import Schemas
from policies.profiles.templates import Template, fits

SHIPPED: Final = Path(__file__).parent
LANGUAGES: Final = ("en", "ja")
FILE: Final = "profile.toml"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]*")
_REQUESTS: Final = frozenset({"purpose", "participant", "duty"})
_LEDGERS: Final = frozenset({"relations"})
_ABOUT: Final = frozenset({"", "product"})
_LARGEST: Final = 1_048_576
_DEEPEST: Final = 4


def shipped() -> tuple[str, ...]:
    """The names of the profiles that come with the product."""
    return tuple(sorted(each.parent.name for each in SHIPPED.glob(f"*/{FILE}")))


def load(name_or_path: str | Path) -> Profile:
    """Load a shipped profile by its name, or any other by its folder; raises `ProfileError`."""
    return _Folder.open(str(name_or_path), SHIPPED).profile()


class _Folder(msgspec.Struct, frozen=True):
    """A profile folder with what it extends, read."""

    root: Path
    document: Document
    base: "_Folder | None"

    @classmethod
    def open(cls, name: str, beside: Path, depth: int = 0) -> "_Folder":
        root = _find(name, beside)
        if depth > _DEEPEST:
            raise ProfileError(str(root), "extends too many profiles, or itself")
        try:
            document = msgspec.convert(_toml(root / FILE), Document)
        except msgspec.ValidationError as error:
            raise ProfileError(str(root / FILE), str(error)) from error
        return cls(root, document, cls.open(document.extends, root.parent, depth + 1) if document.extends else None)

    def profile(self) -> Profile:
        file = str(self.root / FILE)
        credentials = {each.type: each for folder in self.line() for each in folder.document.credential}
        entries = {each.name: each for folder in self.line() for each in folder.document.operand}
        registry = self._registry(entries)
        found = Profile(
            id=self.document.id,
            version=self.document.version,
            title=MappingProxyType({language: self.texts()[language].get("title", "") for language in LANGUAGES}),
            scopes=tuple(scope_for_type(each.type) for each in credentials.values() if each.required),
            optional_scopes=tuple(scope_for_type(each.type) for each in credentials.values() if not each.required),
            credential_types=tuple(credentials),
            claim_tables=tuple(_table(each) for each in credentials.values()),
            operands=registry,
            compiled=Compiled(registry),
            sources=tuple(_source(each, credentials, file) for each in entries.values()),
            by_product=frozenset(each.name for each in entries.values() if each.source.about),
            schemas=self._schemas(),
            rules=self._rules(),
            policies=MappingProxyType(self.policies()),
            templates=MappingProxyType(self._templates(registry)),
            texts=frozen(self.texts()),
        )
        _complete(found, entries, self)
        return found

    def line(self) -> tuple["_Folder", ...]:
        """What it extends, first to last, and itself."""
        return (*(self.base.line() if self.base else ()), self)

    def texts(self) -> dict[str, dict[str, str]]:
        return {language: self._language(language) for language in LANGUAGES}

    def _language(self, language: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for folder in self.line():
            file = folder.root / "texts" / f"{language}.toml"
            for key, value in _toml(file).items():
                if not isinstance(value, str) or not value.strip():
                    raise ProfileError(str(file), f"{key} is not a text", next_step='write keys with dots in quotes: "schema.x"')
                found[key] = value
        return found

    def _registry(self, entries: Mapping[str, OperandEntry]) -> Registry:
        texts = self.texts()["en"]
        try:
            return Registry(
                (_operand(each, texts) for each in entries.values()),
                actions={each.name: each.included_in for folder in self.line() for each in folder.document.action},
                profiles=(folder.document.id for folder in self.line()),
            )
        except PolicyError as error:
            raise ProfileError(str(self.root / FILE), error.detail) from error

    def policies(self) -> dict[str, dict[str, Any]]:
        """Policies that others inherit from, by name."""
        return {
            each.id: _hashable(folder.root / "policies" / each.file) for folder in self.line() for each in folder.document.policy
        }

    def _schemas(self) -> Schemas:
        files = {each.id: self.root / "schemas" / each.file for each in self.document.schema}
        return Schemas({id_: (str(file), _json(file)) for id_, file in files.items()})

    def _rules(self) -> tuple[CompiledRule, ...]:
        known, file = {each.id for each in self.document.schema}, str(self.root / FILE)
        found = []
        for each in self.document.rule:
            if not known.issuperset(each.schemas) or not each.schemas:
                raise ProfileError(file, f"rule {each.id}: unknown schema {', '.join(sorted(set(each.schemas) - known)) or 'none'}")
            try:
                found.append(compiled(each))
            except BadPath as error:
                raise ProfileError(file, f"rule {each.id}: {error}") from error
        return tuple(found)

    def _templates(self, registry: Registry) -> dict[str, Template]:
        found: dict[str, Template] = {}
        known = self.policies()
        for folder in self.line():
            for entry in folder.document.template:
                file = folder.root / "templates" / entry.file
                try:
                    template = msgspec.convert(_json(file), Template).frozen(known)
                except (msgspec.ValidationError, PolicyError) as error:
                    raise ProfileError(str(file), str(error)) from error
                wrong = fits(template, registry)
                if wrong:
                    raise ProfileError(str(file), wrong)
                found[entry.id] = template
        return found


def _find(name: str, beside: Path) -> Path:
    named = bool(_NAME.fullmatch(name))
    places = [SHIPPED / name, beside / name] if named else [Path(name)]
    for place in places:
        if (place / FILE).is_file():
            return place
    raise ProfileError(
        name, f"no such profile: no {FILE} there", next_step=f"use {', '.join(shipped())} or the path of a folder with a {FILE}"
    )


def _operand(entry: OperandEntry, texts: Mapping[str, str]) -> Operand:
    return Operand(
        iri=entry.name,
        type=entry.type,
        many=entry.many,
        unit=entry.unit,
        phases=entry.phases,
        source=texts.get(f"operand.{local(entry.name)}", _words(entry.source)),
        credential=entry.source.credential.replace(ANY_CREDENTIAL, ""),
        values=frozenset(entry.values),
        narrower=entry.narrower,
    )


def local(name: str) -> str:
    """The last part of an IRI, under which texts are kept."""
    return re.split(r"[#/:]", name)[-1]


def _words(source: Source) -> str:
    if source.request or source.ledger:
        about = " of the dataset's product" if source.about else ""
        return f"the {source.request} of the request" if source.request else f"the provider's own ledger of {source.ledger}{about}"
    return f"credential {source.credential}" + (f", claim {source.path}" if source.path else "")


def _source(entry: OperandEntry, credentials: Mapping[str, CredentialEntry], file: str) -> FactSource:
    source = entry.source
    one = sum(map(bool, (source.request, source.credential, source.ledger))) == 1
    if not one or (source.credential and bool(source.path) == bool(source.value)):
        raise ProfileError(file, f"operand {entry.name}: the source is a request, a ledger, or a credential with a path or a value")
    if source.ledger and source.ledger not in _LEDGERS:
        raise ProfileError(file, f"operand {entry.name}: no ledger is called {source.ledger}; use {', '.join(sorted(_LEDGERS))}")
    if source.about not in _ABOUT or (source.about and not source.ledger):
        raise ProfileError(file, f"operand {entry.name}: a ledger may be about the product, and nothing else")
    if source.request and source.request not in _REQUESTS:
        raise ProfileError(file, f"operand {entry.name}: no request has {source.request}; use {', '.join(sorted(_REQUESTS))}")
    if source.credential not in (*credentials, "", ANY_CREDENTIAL) or (source.credential == ANY_CREDENTIAL and source.path):
        raise ProfileError(file, f"operand {entry.name}: credential {source.credential} is not one of the profile")
    try:
        return FactSource(entry, path(source.path))
    except BadPath as error:
        raise ProfileError(file, f"operand {entry.name}: {error}") from error


def _table(entry: CredentialEntry) -> ClaimTable:
    return ClaimTable(entry.type, {name: Claim(each.form, each.required) for name, each in entry.claims.items()})


def _complete(found: Profile, entries: Mapping[str, OperandEntry], folder: _Folder) -> None:
    keys = ["title", *(f"schema.{each}" for each in found.schema_ids), *(f"rule.{each.id}" for each in found.rules)]
    keys += [f"operand.{local(each)}" for each in entries]
    keys += [f"action.{local(each.name)}" for part in folder.line() for each in part.document.action]
    keys += [f"template.{each}{part}" for each in found.templates for part in ("", ".terms")]
    for language in LANGUAGES:
        missing = [key for key in keys if key not in found.texts[language]]
        if missing:
            raise ProfileError(str(folder.root / "texts" / f"{language}.toml"), f"missing: {', '.join(missing)}")


def _bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            found = opened.read(_LARGEST + 1)
    except OSError as error:
        raise ProfileError(str(file), error.strerror or "cannot be read") from error
    if len(found) > _LARGEST:
        raise ProfileError(str(file), f"over {_LARGEST} bytes")
    return found


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_bytes(file).decode())
    except ValueError as error:
        raise ProfileError(str(file), f"not TOML: {error}") from error


def _hashable(file: Path) -> dict[str, Any]:
    """A policy that others inherit from: its digest goes into signatures."""
    found = _json(file)
    try:
        wire.canonical(found)
    except BadInput as error:
        raise ProfileError(str(file), error.detail) from error
    return found


def _json(file: Path) -> dict[str, Any]:
    try:
        found = wire.loads(_bytes(file), limit=_LARGEST, depth=64)
    except BadInput as error:
        raise ProfileError(str(file), error.detail) from error
    if not isinstance(found, dict):
        raise ProfileError(str(file), "not an object")
    return found
