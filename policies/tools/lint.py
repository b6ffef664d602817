"""What is worth a look in a policy that can be read: each finding with an id that stays, a place, and what to do.

The ids, with an example and its mend for each, stand in `lints.toml` beside this file; the reference page is made from it. Levels:
`error` is certainly not meant, `warning` probably not, `note` good to know.

| group | what |
|---|---|
| P00x | the policy as a whole |
| P01x, P02x | meaning over all facts (`policies.odrl.analyse`) |
| P03x, P04x | constraints and duties that read other than they act |
| P06x, P07x | limits, and the wire |
"""

import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from policies.odrl import DATE_TIME, Atomic, Duty, Policy, PolicyError
from policies.odrl.analyse import Witness, findings
from policies.odrl.analyse.worlds import rules_of
from policies.odrl.evaluate import limited_in_time
from policies.odrl.model import atoms, bearing
from policies.odrl.wire import fitted
from policies.profiles import Profile
from policies.profiles.trade import Standing
from policies.tools.classes import operand_class

Level = Literal["error", "warning", "note"]
BY_MEANING: Final = {
    "never": "P010",
    "always": "P011",
    "implied": "P012",
    "shadowed": "P020",
    "conflict": "P021",
    "covered": "P022",
    "nothing": "P023",
    "undecided": "P029",
}
MANY: Final = 1_000


class Lint(Struct, frozen=True, forbid_unknown_fields=True):
    """What an id means: texts by language, a policy that has it, and the policy mended."""

    level: Level
    title: dict[str, str]
    mend: dict[str, str]
    example: dict[str, Any]
    mended: dict[str, Any]


class Found(Struct, frozen=True):
    """One finding; `detail` holds names and numbers, never sentences."""

    id: str
    path: str
    other: str = ""
    detail: str = ""
    witness: Witness | None = None

    @property
    def level(self) -> Level:
        return catalogue()[self.id].level


@cache
def catalogue() -> Mapping[str, Lint]:
    """All ids, in order."""
    text = (files("policies.tools") / "lints.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Lint])


def linted(value: Any, profile: Profile, now: datetime) -> list[Found]:
    """Findings in the order of their ids; a policy that cannot be read has one, P000."""
    try:
        policy = profile.policy(value)
    except PolicyError as error:
        return [Found("P000", error.path, detail=error.reason)]
    found = [*_whole(policy), *_meaning(policy), *_constraints(policy, profile, now), *_duties(policy), *_wire(value)]
    return sorted(found, key=lambda each: (each.id, each.path))


def _whole(policy: Policy) -> Iterator[Found]:
    if not policy.permissions:
        yield Found("P002", "")
    for each in policy.permissions:
        if not bearing(each) and not each.assignees and not each.duties:
            yield Found("P001", each.path)
    count = len(policy.atoms())
    if count > MANY:
        yield Found("P060", "", detail=str(count))


def _meaning(policy: Policy) -> Iterator[Found]:
    for each in findings(policy):
        if each.kind != "nothing" or policy.permissions:
            yield Found(BY_MEANING[each.kind], each.path, each.other, witness=each.witness)


def _constraints(policy: Policy, profile: Profile, now: datetime) -> Iterator[Found]:
    for rule in rules_of([policy]):
        for constraint in bearing(rule):
            for atom in atoms(constraint):
                yield from _atom(atom, now)
                yield from _product(atom, profile)


def _atom(atom: Atomic, now: datetime) -> Iterator[Found]:
    operand = atom.operand
    if operand.type == "dateTime" and atom.operator in ("eq", "neq"):
        yield Found("P030", atom.path, detail=atom.operator)
    if operand.iri == DATE_TIME and atom.operator in ("lt", "lteq") and not atom.test(now, atom.bound):
        yield Found("P031", atom.path, detail=atom.right[0])
    if not operand.source:
        yield Found("P040", atom.path, detail=operand.iri)
    elif operand_class(operand) == "E":
        yield Found("P041", atom.path, detail=operand.iri)


def _product(atom: Atomic, profile: Profile) -> Iterator[Found]:
    """A trade relation for a product that the policy names itself, where there is an operand that takes the dataset's."""
    ledgers = {each.entry.name for each in profile.sources if each.entry.source.ledger and not each.entry.source.about}
    named = [each for each in atom.right if Standing.of([each]).named]
    if named and profile.by_product and atom.operand.iri in ledgers:
        yield Found("P043", atom.path, detail=named[0])


def _duties(policy: Policy) -> Iterator[Found]:
    open_: list[Duty] = list(policy.duties())
    while open_:
        each = open_.pop()
        open_ += each.consequences
        if not limited_in_time(each):
            yield Found("P042", each.path, detail=each.action)


def _wire(value: Any) -> Iterator[Found]:
    for each in fitted(value).misfits:
        yield Found("P070" if each.level == "refused" else "P071", each.path, detail=each.reason)
