"""A data-space profile in use: what is asked of peers, what their credentials mean, what data and offers look like.

    profile = load("base")                       # or a folder
    profile.scopes, profile.claim_tables         # for identity.verify
    facts = profile.facts(participant.claims, purpose=(...), participant=participant.did)
    profile.validate("some-schema", payload)     # () = valid
    access, contract = profile.offer("some-template", role="...")

Facts come from verified credentials by declared paths, and from the request where an operand says so (a purpose is what the other
side signed up to, `odrl.Policy.values`), or from a ledger of our own. What no credential supplies is absent, and the policy decides as if it were the worst.

Not done here: reading folders (`folder`); a profile is immutable once loaded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from identity.trust import ClaimTable
from kernel import wire
from policies.odrl import Atomic, Compiled, Frozen, Policy, Registry
from policies.profiles.document import OperandEntry
from policies.profiles.errors import BadParameter, UnknownEntry
from policies.profiles.paths import Path
from policies.profiles.rules import CompiledRule, Violation
from policies.profiles.schemas import MOST, Schemas
from policies.profiles.templates import Template, written_out

ANY_CREDENTIAL: Final = "*"


@dataclass(frozen=True, slots=True)
class FactSource:
    """An operand and the path to its fact."""

    entry: OperandEntry
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A loaded profile. `title` maps languages to texts; `scopes` must be answered by members, `optional_scopes` may be.

    `by_product` names the operands whose fact depends on the product of the dataset that is asked for.
    """

    id: str
    version: str
    title: Mapping[str, str]
    scopes: tuple[str, ...]
    optional_scopes: tuple[str, ...]
    credential_types: tuple[str, ...]
    claim_tables: tuple[ClaimTable, ...]
    operands: Registry
    compiled: Compiled
    sources: tuple[FactSource, ...]
    by_product: frozenset[str]
    schemas: Schemas
    rules: tuple[CompiledRule, ...]
    policies: Mapping[str, dict[str, Any]]
    templates: Mapping[str, Template]
    texts: Mapping[str, Mapping[str, str]]

    @property
    def schema_ids(self) -> tuple[str, ...]:
        return self.schemas.ids

    def text(self, key: str, language: str = "en") -> str:
        """A text of the profile; English where the language lacks it, the key itself where both do."""
        return self.texts.get(language, {}).get(key) or self.texts["en"].get(key, key)

    def policy(self, value: Mapping[str, Any]) -> Policy:
        """A policy read with this profile's operands, at most once; raises `PolicyError`."""
        return self.compiled(value)

    def signable(self, terms: dict[str, Any]) -> Frozen:
        """Terms with what they inherit from policies of the profile written out, and what that was; raises `PolicyError`."""
        return written_out(terms, self.policies)

    def inheritable(self) -> dict[str, bytes]:
        """The policies that templates and terms may inherit from, by digest, in the form that is hashed (RFC 8785)."""
        return {wire.digest(each): wire.canonical(each) for each in self.policies.values()}

    def reads_product(self, policy: Policy) -> bool:
        """Whether a decision by this policy depends on the product of the dataset."""
        return any(atom.operand.iri in self.by_product for atom in policy.atoms())

    def needs_product(self, policy: Policy) -> bool:
        """Whether it permits nothing at all of a dataset without a product: every permission hangs on one."""
        return bool(policy.permissions) and all(
            any(isinstance(each, Atomic) and each.operand.iri in self.by_product for each in rule.constraints)
            for rule in policy.permissions
        )

    def about(self, facts: Mapping[str, Any], found: tuple[str, ...]) -> Mapping[str, Any]:
        """Facts that were made without a product, for a dataset for whose product the participant is this (`trade.Standing.towards`)."""
        return {**facts, **dict.fromkeys(self.by_product, found)} if found else facts

    def facts(
        self,
        claims: Mapping[str, Sequence[Mapping[str, Any]]],
        *,
        purpose: Sequence[str] = (),
        participant: str = "",
        relations: Sequence[str] = (),
        towards: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Facts by operand IRI. `claims` holds credential subjects by credential type, all verified.

        `relations` is what our own ledger says of the participant, `towards` what that makes it for the products of the dataset that is asked for (`trade`). A
        set-valued operand has a tuple of values. What is not known is not there.
        """
        given: dict[str, tuple[str, ...]] = {
            "purpose": tuple(purpose), "participant": (participant,) if participant else (), "relations": tuple(relations),
            "product": tuple(towards),
        }  # fmt: skip
        found: dict[str, Any] = {}
        for source in self.sources:
            values = _values(source, claims, given)
            if values:
                found[source.entry.name] = values if source.entry.many or len(values) > 1 else values[0]
        return found

    def validate(self, schema_id: str, payload: Any) -> tuple[Violation, ...]:
        """What is wrong with a payload: by its schema, then by the rules across fields. Raises `UnknownEntry`."""
        if schema_id not in self.schemas:
            raise UnknownEntry(f"unknown schema {schema_id!r}", next_step=f"use one of {_known(self.schema_ids)}")
        found = self.schemas.violations(schema_id, payload)
        if found:
            return found
        broken = (
            Violation(where, f"{rule.id}: {why}")
            for rule in self.rules
            if schema_id in rule.schemas
            for where, why in rule.check(payload, "")
        )
        return tuple(each for each, _ in zip(broken, range(MOST), strict=False))

    def offer(self, template_id: str, **parameters: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Access and contract policy of a template, as DSP 2025-1 can carry them; `@id` of the contract is new and names the offer.

        Raises `UnknownEntry` and `BadParameter`, both with the next step; a deprecated template makes no new offer.
        """
        template = self.template(template_id)
        if template.status == "deprecated":
            current = (name for name, each in self.templates.items() if each.status == "current")
            raise BadParameter(f"template {template_id} is deprecated", next_step=f"use one of {_known(current)}")
        return template.fill(parameters)

    def template(self, template_id: str) -> Template:
        """A template; raises `UnknownEntry`."""
        template = self.templates.get(template_id)
        if template is None:
            raise UnknownEntry(f"unknown template {template_id!r}", next_step=f"use one of {_known(self.templates)}")
        return template


def frozen(values: Mapping[str, Mapping[str, str]]) -> Mapping[str, Mapping[str, str]]:
    return MappingProxyType({key: MappingProxyType(dict(each)) for key, each in values.items()})


def _values(
    source: FactSource, claims: Mapping[str, Sequence[Mapping[str, Any]]], given: Mapping[str, tuple[str, ...]]
) -> tuple[Any, ...]:
    where = source.entry.source
    if where.request or where.ledger:
        return given.get(where.request or where.about or where.ledger, ())
    if where.credential == ANY_CREDENTIAL:
        return (where.value,) if any(claims.values()) else ()
    subjects = claims.get(where.credential, ())
    if where.value:
        return (where.value,) if subjects else ()
    found = [value for subject in subjects for _, value in source.path.select(subject)]
    flat = [each for value in found for each in (value if isinstance(value, list | tuple) else [value])]
    return tuple(dict.fromkeys(each for each in flat if isinstance(each, str | int | float)))


def _known(names: Iterable[str]) -> str:
    return ", ".join(names) or "none: the profile has none"
