"""Whom we believe what (DCP 1.0, 5.4.3; identity.md 1.6, 8.3): trusted issuers by credential type, and claim tables.

Rules
- An issuer is trusted for a type only by a rule that names both. Every type of a credential (but `VerifiableCredential`) must be
  covered, so a type that rides along unseen is refused. `*` covers all types.
- A claim table says what a credential type holds. A claim of the wrong form, or a required one that is missing, refuses the
  credential. Claims that no table knows are noticed, and never lost silently.
- Values only: where they come from (settings, profile, trust list) is decided above, and a new policy is a new value.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from msgspec import Struct, field

from identity.vc import Credential

ANY: Final = "*"
Form = Literal["text", "texts", "number", "boolean", "object", "objects", "any"]


class IssuerRule(Struct, frozen=True):
    """Credential types that one issuer may issue; where they are named, only in these formats, with status lists on these hosts, in this window.

    `bridge` is the authority of the recognised consortium whose list names the issuer; empty for ours and those of the settings.
    """

    did: str
    types: frozenset[str]
    formats: frozenset[str] = frozenset()
    status_hosts: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    bridge: str = ""

    def fits(self, credential: Credential, now: datetime) -> bool:
        """Whether format, status hosts and window let the rule speak of this credential."""
        hosts = {urlsplit(each.url).netloc.lower() for each in credential.status}
        return (
            (not self.formats or credential.format in self.formats)
            and (not self.status_hosts or hosts <= self.status_hosts)
            and self.open(now)
        )

    def open(self, now: datetime) -> bool:
        """Whether this is inside the window."""
        return (self.since is None or self.since <= now) and (self.until is None or now < self.until)


class Claim(Struct, frozen=True):
    """The form of one claim. `texts` is a list of texts, `objects` a list of objects."""

    form: Form = "any"
    required: bool = False


class ClaimTable(Struct, frozen=True):
    """The claims of one credential type, beside `id`."""

    type: str
    claims: Mapping[str, Claim] = field(default_factory=dict)


class TrustPolicy:
    """Trusted issuers and claim tables. Immutable; replace it to change it."""

    __slots__ = ("_issuers", "_tables")

    def __init__(self, issuers: Iterable[IssuerRule], tables: Iterable[ClaimTable] = ()) -> None:
        found: dict[str, tuple[IssuerRule, ...]] = {}
        for rule in issuers:
            found[rule.did] = (*found.get(rule.did, ()), rule)
        self._issuers = found
        self._tables = {table.type: table for table in tables}

    def believes(self, credential: Credential, now: datetime, bridge: str | None = None) -> bool:
        """Whether its issuer is trusted for all types of this credential, as it is, now; with `bridge`, by the list of that consortium."""
        rules = (each for each in self._issuers.get(credential.issuer, ()) if bridge is None or each.bridge == bridge)
        allowed = frozenset[str]().union(*(rule.types for rule in rules if rule.fits(credential, now)))
        return covered(credential.kinds, allowed)

    def types_of(self, issuer: str, now: datetime) -> frozenset[str]:
        """Credential types that this issuer is trusted for now, in whatever format; `*` among them is any."""
        rules = (each for each in self._issuers.get(issuer, ()) if each.open(now))
        return frozenset[str]().union(*(each.types for each in rules))

    def wrong_claims(self, credential: Credential) -> tuple[str, ...]:
        """Claims that are missing or of the wrong form, as `Type.claim`."""
        tables = self._tables_of(credential)
        return tuple(
            f"{table.type}.{name}"
            for table in tables
            for subject in credential.subjects
            for name, claim in table.claims.items()
            if not (_fits(subject[name], claim.form) if name in subject else not claim.required)
        )

    def unknown_claims(self, credential: Credential) -> tuple[str, ...]:
        """Claims that no table of the credential's types knows, as `Type.claim`; nothing where there is no table at all."""
        tables = self._tables_of(credential)
        known = {"id", "type"}.union(*(table.claims for table in tables))
        if not tables:
            return ()
        kind = tables[0].type
        return tuple(f"{kind}.{name}" for subject in credential.subjects for name in subject if name not in known)

    def _tables_of(self, credential: Credential) -> tuple[ClaimTable, ...]:
        return tuple(self._tables[kind] for kind in sorted(credential.kinds) if kind in self._tables)


def covered(types: Iterable[str], allowed: Collection[str]) -> bool:
    """Whether these types, and there is one, are all among the allowed ones."""
    wanted = frozenset(types)
    return bool(wanted) and (ANY in allowed or wanted <= frozenset(allowed))


def _fits(value: Any, form: Form) -> bool:
    if form == "any":
        return True
    if form == "texts":
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if form == "objects":
        return isinstance(value, list) and all(isinstance(each, dict) for each in value)
    if form == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    kinds: Mapping[str, type] = {"text": str, "boolean": bool, "object": dict}
    return isinstance(value, kinds[form])
