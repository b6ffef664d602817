"""Test cases of policies: facts in, the expected decision out, with its reasons.

    policy = "offer.json"                 # beside this file; or template = "members" with [parameters], and part = "access"
    [[case]]
    name = "a member with the role gets it"
    claims = { MembershipCredential = [{ memberOf = "x" }], RoleCredential = [{ role = ["oem"] }] }
    purpose = ["cfp.rollup:1"]
    relations = ["customer:cell-A"]       # what the asker is to the provider, by its ledger
    products = ["cell-A"]                 # what the dataset is about
    expect = "permitted"                  # or "denied"
    missing = ["purpose"]                 # where given: exactly the facts that stood in the way
    owed = ["delete"]                     # where given: exactly the actions that come with a yes
    because = ["/prohibition/0"]          # where given: exactly the rules that grant or forbid

Rules
- A case that expects nothing is refused. Action is `use`, phase `negotiation`, `now` the moment of the file, unless a case says more.
- Coverage counts constraints: each should have held in one case and not in another.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

from kernel import wire
from kernel.errors import BadInput
from policies.odrl import Atomic, Decision, Phase, Policy, evaluate
from policies.odrl.explain import ConstraintNode, RuleNode, tree
from policies.odrl.vocabulary import term
from policies.profiles import Profile
from policies.tools.facts import Asker, moment, named

ENDING: Final = ".cases.toml"


class Case(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One case. Who asks stands in `asker`'s members."""

    name: str
    expect: Literal["permitted", "denied"]
    action: str = "use"
    phase: Phase = "negotiation"
    now: str = ""
    target: str = ""
    did: str = ""
    claims: dict[str, list[dict[str, Any]]] = {}
    purpose: list[str] = []
    relations: list[str] = []
    products: list[str] = []
    facts: dict[str, Any] = {}
    part_of: dict[str, list[str]] = {}
    duties: dict[str, str] = {}
    missing: list[str] | None = None
    owed: list[str] | None = None
    because: list[str] | None = None

    def asker(self) -> Asker:
        return msgspec.convert({name: getattr(self, name) for name in Asker.__struct_fields__}, Asker)


class CaseFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file of cases."""

    case: list[Case]
    policy: str = ""
    template: str = ""
    part: Literal["contract", "access"] = "contract"
    parameters: dict[str, Any] = field(default_factory=dict)
    now: str = "2026-01-05T09:00:00+09:00"


class Outcome(Struct, frozen=True):
    """How a case went; `faults` say what was expected and what came. Empty: it passed."""

    file: str
    name: str
    faults: tuple[str, ...]


class Coverage(Struct, frozen=True):
    """Constraints of a policy that no case decided both ways, by path."""

    file: str
    constraints: int
    never_held: tuple[str, ...]
    never_failed: tuple[str, ...]


def run(path: Path, profile: Profile) -> tuple[list[Outcome], Coverage]:
    """Run the cases of a file; raises `BadInput` with the place for a file that cannot be read."""
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=CaseFile)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: {error}", next_step="see policies/tools/cases.py for the form") from error
    policy = profile.policy(_value(found, path, profile))
    states: dict[str, set[str]] = {}
    outcomes = []
    for each in found.case:
        now = each.now or found.now
        request = each.asker().request(profile, each.action, each.phase, _moment(now), each.target, each.products)
        decision = evaluate(policy, request)
        shown = tree(decision)
        outcomes.append(Outcome(str(path), each.name, tuple(_faults(each, decision, shown.rules, profile))))
        for node in _nodes(shown.rules):
            states.setdefault(node.path, set()).add(node.state)
    return outcomes, _coverage(str(path), policy, states)


def _value(found: CaseFile, path: Path, profile: Profile) -> Any:
    if bool(found.policy) == bool(found.template):
        raise BadInput(f"{path}: either a policy or a template is tested")
    if found.template:
        access, contract = profile.offer(found.template, **found.parameters)
        return access if found.part == "access" else contract
    file = path.parent / found.policy
    try:
        return wire.loads(file.read_bytes(), limit=1_048_576, depth=64)
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}") from error


def _moment(value: str) -> datetime:
    return moment(value)


def _faults(case: Case, decision: Decision, rules: tuple[RuleNode, ...], profile: Profile) -> Iterator[str]:
    answer = "permitted" if decision.permitted else "denied"
    if answer != case.expect:
        yield f"expected {case.expect}, is {answer}"
    expected = {
        "missing": (case.missing and [named(profile.operands, each).iri for each in case.missing], list(decision.missing)),
        "owed": (case.owed and [term(each) for each in case.owed], [term(each) for each in decision.duties]),
        "because": (case.because, [each.path for each in rules if each.active]),
    }
    for name, (wanted, came) in expected.items():
        if getattr(case, name) is not None and sorted(wanted or ()) != sorted(came):
            yield f"{name}: expected {', '.join(wanted or ()) or 'nothing'}, is {', '.join(came) or 'nothing'}"


def _nodes(rules: tuple[RuleNode, ...]) -> Iterator[ConstraintNode]:
    open_ = [node for rule in rules for node in rule.constraints]
    while open_:
        node = open_.pop()
        yield node
        open_ += node.parts


def _coverage(file: str, policy: Policy, states: dict[str, set[str]]) -> Coverage:
    paths = [each.path for each in policy.atoms() if isinstance(each, Atomic)]
    return Coverage(
        file,
        len(paths),
        tuple(each for each in paths if "holds" not in states.get(each, ())),
        tuple(each for each in paths if "fails" not in states.get(each, ()) and "unknown" not in states.get(each, ())),
    )
