"""Who asks and what is known of it, as authors write it: for cases, explanations and simulation.

    {"name": "OEM 1", "did": "did:web:oem.example", "claims": {"RoleCredential": [{"role": ["oem"]}]},
     "purpose": ["cfp.rollup:1"], "relations": ["customer:cell-A"], "facts": {"count": 3, "elapsedTime": "2026-01-01T00:00:00+09:00"}}

`relations` are those of the provider's ledger, as facts say them (`policies.profiles.trade`); what it is for the dataset's product follows from the products that are asked
about. `claims` go the way of verified credentials, through the profile's claim paths; `facts` are added by the operand's name: its IRI, a
prefixed form, or its last part where only one operand has that. A moment for a duration is when it began.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct, field

from kernel.errors import BadInput
from policies.odrl import DutyState, Operand, Phase, Registry, Request
from policies.profiles import Profile
from policies.profiles.trade import Standing

_MOMENT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T.+")


class Asker(Struct, frozen=True, forbid_unknown_fields=True):
    """One participant as a file describes it."""

    name: str = ""
    did: str = ""
    claims: dict[str, list[dict[str, Any]]] = {}
    purpose: list[str] = []
    relations: list[str] = []
    facts: dict[str, Any] = {}
    part_of: dict[str, list[str]] = field(default_factory=dict)
    duties: dict[str, DutyState] = field(default_factory=dict)

    def request(
        self, profile: Profile, action: str, phase: Phase, now: datetime, target: str = "", products: Sequence[str] = ()
    ) -> Request:
        """What this participant asks of a dataset with these products, with what is known of it; raises `BadInput` for a fact of no operand."""
        towards = Standing.of(self.relations).towards(products)
        known = profile.facts(self.claims, purpose=self.purpose, participant=self.did, relations=self.relations, towards=towards)
        known |= {each.iri: _typed(each, value) for name, value in self.facts.items() for each in [named(profile.operands, name)]}
        part_of = {name: frozenset(each) for name, each in self.part_of.items()}
        return Request(action, phase, known, now, self.did, target, part_of, self.duties)


def named(registry: Registry, name: str) -> Operand:
    """The operand that an author means; raises `BadInput` with what there is."""
    found = registry.operand(name)
    if found is not None:
        return found
    same = [each for each in registry if re.split(r"[#/:]", each.iri)[-1] == name]
    if len(same) != 1:
        known = sorted(re.split(r"[#/:]", each.iri)[-1] for each in registry)
        raise BadInput(f"no operand is called {name[:80]!r}", next_step=f"use one of {', '.join(known)}")
    return same[0]


def moment(text: str) -> datetime:
    """A moment with its zone; raises `BadInput`."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"{text[:40]!r} is no moment", next_step="write it like 2026-11-24T09:00:00+09:00") from error
    if found.tzinfo is None:
        raise BadInput(f"{text[:40]!r} has no zone", next_step="write it like 2026-11-24T09:00:00+09:00")
    return found


def _typed(operand: Operand, value: Any) -> Any:
    if operand.type == "duration" and isinstance(value, str) and _MOMENT.fullmatch(value):
        return moment(value)
    return value if isinstance(value, str | int | float | bool | list | Mapping | datetime) else str(value)
