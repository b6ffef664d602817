"""The typed model of `profile.toml`: what a data-space profile may say. Unknown keys are refused.

    id, version, extends              IRI of the profile (policies name it), its version, the profile it builds on
    [[credential]]                    a trusted credential type: DCP scope, claim table, whether members must show it
    [[operand]]                       an ODRL left operand and where its fact comes from
    [[action]]                        an action beyond those of ODRL, and the one that includes it
    [[policy]]                        a policy that templates and terms may inherit from by its name: id (IRI), file
    [[schema]]                        a payload schema: id, file
    [[rule]]                          a check across the fields of a payload (`rules`)
    [[template]]                      a policy template: id, file

Texts stand in `texts/en.toml` and `texts/ja.toml`, under `title`, `schema.<id>`, `template.<id>`, `template.<id>.terms`,
`operand.<last part of its name>`, `action.<last part of its name>` and `rule.<id>`; both languages must be complete.

Paths of rules and claims are those of `paths`.
"""

from typing import Annotated

from msgspec import Meta, Struct, field

from identity.trust import Form
from policies.odrl.operand import PHASES, Phase
from policies.odrl.values import ValueType

Id = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9.-]{0,63}$")]
File = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Iri = Annotated[str, Meta(pattern="^[a-z][a-z0-9+.-]*:[^\\s]+$", max_length=512)]
Number = Annotated[str, Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]


class ClaimEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """The form of one claim of a credential."""

    form: Form = "any"
    required: bool = False


class CredentialEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A credential type. `required`: a member that does not show it is not let in; otherwise its facts are missing."""

    type: Annotated[str, Meta(pattern="^[A-Za-z][A-Za-z0-9]*$")]
    required: bool = False
    claims: dict[str, ClaimEntry] = field(default_factory=dict)


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a fact comes from: a claim, the bare presence of a credential (`value`), any credential at all, the request, or a ledger.

    `request` is `participant` (the proven DID), `purpose` (what was signed up to), or `duty`: known only to who keeps the
    duties of an agreement, so that a permission on it is never granted. `ledger` is `relations`: the trade relations that the
    provider itself keeps; `about` is `product` where they are read for the product of the dataset that is asked for (`trade`).
    """

    credential: str = ""
    path: str = ""
    value: str = ""
    request: str = ""
    ledger: str = ""
    about: str = ""


class OperandEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A left operand; the fields are those of `policies.odrl.Operand`."""

    name: Iri
    source: Source
    type: ValueType = "string"
    many: bool = False
    unit: str = ""
    phases: tuple[Phase, ...] = PHASES
    values: tuple[str, ...] = ()
    narrower: dict[str, tuple[str, ...]] = field(default_factory=dict)


class ActionEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """An action of the profile's own, included in another one (a full IRI)."""

    name: Iri
    included_in: Iri = "http://www.w3.org/ns/odrl/2/use"


class PolicyEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A policy in `policies/` that others inherit from: the general terms of a data space, for example."""

    id: Iri
    file: File


class SchemaEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A payload schema (JSON Schema 2020-12) in `schemas/`."""

    id: Id
    file: File


class TemplateEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A policy template in `templates/`."""

    id: Id
    file: File


class RuleBase(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What all rules have. With `each`, the rule holds for every node of that path, and its other paths start there."""

    id: Id
    schemas: tuple[Id, ...]
    each: str = ""


class Term(Struct, frozen=True, forbid_unknown_fields=True):
    """One weighted term of a sum: `times` its value, `over` that."""

    path: str
    times: Number = "1"
    over: Number = "1"


class SumRule(RuleBase, frozen=True, tag="sum"):
    """The terms add up to `total` (a path) or `equals` (a number), within `tolerance`."""

    terms: tuple[str | Term, ...]
    total: str = ""
    equals: Number | None = None
    tolerance: Number = "0"


class ProductRule(RuleBase, frozen=True, tag="product"):
    """The product of the factors times `scale` is `total`, within `tolerance`."""

    factors: tuple[str, ...]
    total: str
    scale: Number = "1"
    tolerance: Number = "0"


class LinkRule(RuleBase, frozen=True, tag="link"):
    """Every value of `source` occurs among those of `target`."""

    source: str
    target: str


class UniqueRule(RuleBase, frozen=True, tag="unique"):
    """No value of `path` occurs twice."""

    path: str


class RangeRule(RuleBase, frozen=True, tag="range"):
    """Every number of `path` lies between `least` and `most`."""

    path: str
    least: Number | None = None
    most: Number | None = None


class BetweenRule(RuleBase, frozen=True, tag="between"):
    """Every number of `path` lies between those of the paths `low` and `high`, where they are there."""

    path: str
    low: str = ""
    high: str = ""


class OrderRule(RuleBase, frozen=True, tag="order"):
    """Dates: `earlier` is not after `later`."""

    earlier: str
    later: str


class OneOfRule(RuleBase, frozen=True, tag="one-of"):
    """Exactly one of the members is there."""

    members: tuple[str, ...]


class CheckDigitRule(RuleBase, frozen=True, tag="check-digit"):
    """Every text of `path` ends (CAS number) or begins (Japanese corporate number) with the right check digit."""

    path: str
    scheme: Annotated[str, Meta(pattern="^(cas|jp-corporate-number)$")]


Rule = SumRule | ProductRule | LinkRule | UniqueRule | RangeRule | BetweenRule | OrderRule | OneOfRule | CheckDigitRule


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole `profile.toml`."""

    id: Iri
    version: Annotated[str, Meta(pattern=r"^\d+\.\d+\.\d+$")]
    extends: str = ""
    credential: tuple[CredentialEntry, ...] = ()
    operand: tuple[OperandEntry, ...] = ()
    action: tuple[ActionEntry, ...] = ()
    policy: tuple[PolicyEntry, ...] = ()
    schema: tuple[SchemaEntry, ...] = ()
    rule: tuple[Rule, ...] = ()
    template: tuple[TemplateEntry, ...] = ()
