"""Deciding by a policy (ODRL 2.2, 2.6): three-valued, closed, and able to say why.

Rules
- Permitted means: some permission covers the action, the asset and the party, all its constraints hold and none of its duties stands
  in the way; and no prohibition that covers them is in force. Without a covering permission: no.
- An unknown fact (absent, of the wrong type, several where one is meant) never helps: it denies a permission and keeps a
  prohibition in force. Removing facts never turns a denial into a permission.
- Phases: an operand that cannot be known in a phase (a purpose, while a catalog is read) is *deferred*: its constraint is left out
  of the decision in that phase, and evaluated in a later one. So a yes in the catalog phase means "may be seen", never "may be had".
  Access policies must not hold such operands (`undecidable`).
- Conflict (2.11): `prohibit`, also where nothing is said, lets a prohibition win; `perm` lets a permission win; `invalid` voids the
  whole policy as soon as one of its permissions and one of its prohibitions may meet on an action, whatever was asked.
- A rule with a target or an assignee covers that one, or the members of the collection of that name (`Request.part_of`).
- Duties of a permission are known from the ledger of an agreement, so they are deferred in catalog and negotiation. After that a
  duty stands in the way while it is owed as a precondition (it has no time limit of its own), overdue, or done late with a
  consequence still open. A duty that the ledger does not know is unknown.
- A remedy lifts nothing, unless the request says that fulfilled remedies do; then only from that moment on.
- `andSequence` is `and`, and the facts came true in that order where `Request.since` tells when; else it is taken as `and`, with a
  warning.
- Sets and agreements bind. An offer is decided alike, but a yes binds nobody; a request is not decided at all.
- One `now` per decision. A decision is two masks of constraints; the explanation is made only when asked (`explain`).

Not done here: obligations are listed for whoever keeps them, not enforced; facts (`policies.profiles`).
"""

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final, Literal

from msgspec import Struct, field

from policies.odrl.errors import PolicyError
from policies.odrl.model import Atomic, Conjunction, Duty, Entity, Logical, Permission, Policy, Prohibition, atoms
from policies.odrl.operands import Phase
from policies.odrl.vocabulary import ODRL

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
DutyState = Literal["inactive", "active", "fulfilled", "late", "overdue", "waived"]

FAILS: Final = 0
UNKNOWN: Final = 1
DEFERRED: Final = 2
HOLDS: Final = 3
TARGET: Final = ODRL + "target"
ASSIGNEE: Final = ODRL + "assignee"
BEFORE_AGREEMENT: Final = ("catalog", "negotiation")
TIME_LIMITS: Final = frozenset(
    ODRL + name for name in ("dateTime", "elapsedTime", "delayPeriod", "timeInterval", "meteredTime", "event")
)
_ANY: Final = (0, 2, 1, 3)  # `or`: an unknown part outranks a deferred one, so that no prohibition is lost with a fact
_SETTLED: Final = frozenset({"inactive", "fulfilled", "waived"})


class Request(Struct, frozen=True):
    """What is asked. `facts` maps operand IRIs to a value or a collection of values; `now` carries a zone.

    `party` and `target` name who asks for what. `part_of` maps them to the collections that they belong to, directly or not.
    `duties` gives the states of duties by their path. `since` maps operands to the moment their fact came true. With `remedied`,
    a prohibition whose remedies are all fulfilled is lifted.
    The present moment is taken from `now`, never from the facts. `known` keeps the facts that are not typed in no time; a request may be used for
    many policies of one registry.
    """

    action: str
    phase: Phase
    facts: Mapping[str, Any]
    now: datetime
    party: str = ""
    target: str = ""
    part_of: Mapping[str, frozenset[str]] = NOTHING
    duties: Mapping[str, DutyState] = NOTHING
    since: Mapping[str, datetime] = NOTHING
    remedied: bool = False
    known: dict[str, Any] = field(default_factory=dict)

    def fact(self, atom: Atomic) -> Any:
        """The typed fact that a constraint looks at, or None where nothing is known."""
        return atom.read(atom.left, self) if self.phase in atom.operand.phases else None


class Marks(Struct, gc=False):
    """What one evaluation saw: masks of the constraints that held and were unknown, and other names that were unknown."""

    held: int = 0
    unknown: int = 0
    others: tuple[str, ...] = ()


class Decision(Struct, frozen=True):
    """The answer. `held` and `unknown` are masks over `Atomic.bit` of the rules that were looked at; `owed` are the duties of a yes.

    `void`: the policy contradicts itself, and says so of itself (`conflict` is `invalid`).
    """

    permitted: bool
    held: int
    unknown: int
    void: bool
    owed: tuple[Duty, ...]
    others: tuple[str, ...]
    policy: Policy
    request: Request

    @property
    def binding(self) -> bool:
        """Whether the yes can be acted on: an offer only invites."""
        return self.permitted and self.policy.binding

    @property
    def duties(self) -> tuple[str, ...]:
        """The actions that come with a yes."""
        return tuple(dict.fromkeys(each.action for each in self.owed))

    @property
    def missing(self) -> tuple[str, ...]:
        """The operands (and target, assignee, paths of duties) whose unknown facts stood in the way."""
        if self.permitted:
            return ()
        unknown = (atom.operand.iri for atom in self.policy.atoms() if atom.bit & self.unknown)
        return tuple(dict.fromkeys((*unknown, *self.others)))

    def explain(self) -> list[str]:
        """Why, for our own side: every rule that was looked at, every constraint, and what would supply a missing fact."""
        from policies.odrl.explain import lines  # noqa: PLC0415  the explanation reads decisions

        return lines(self)

    def minimal(self) -> str:
        """What the peer may be told: nothing about rules, facts or others."""
        return "permitted" if self.permitted else "the terms of the offer are not met"


def evaluate(policy: Policy, request: Request) -> Decision:
    """Decide a request by a policy. Raises `PolicyError` for a policy that is itself a question."""
    if policy.kind == "Request":
        raise PolicyError("/@type", "a request asks; it grants and forbids nothing")
    marks = Marks()
    registry = policy.registry
    covering, forbidding = registry.reach(request.action)
    owed: tuple[Duty, ...] = ()
    active = forbidden = False
    for granting in policy.permissions:
        if not covering.isdisjoint(granting.actions) and permission(granting, request, marks) >= DEFERRED:
            active = True
            owed += granting.duties
    for prohibiting in policy.prohibitions:
        if not forbidding.isdisjoint(prohibiting.actions) and in_force(prohibiting, request, marks):
            forbidden = True
    void = policy.conflict == "invalid" and _contradicts(policy, request, marks)
    permitted = active and not void and (not forbidden or policy.conflict == "perm")
    owed = policy.obligations + owed if permitted else ()
    return Decision(permitted, marks.held, marks.unknown, void, owed, marks.others, policy, request)


def undecidable(policy: Policy, phase: Phase) -> tuple[str, ...]:
    """The operands of a policy that cannot be known in a phase. An access policy must have none for the catalog."""
    return tuple(dict.fromkeys(atom.operand.iri for atom in policy.atoms() if phase not in atom.operand.phases))


def permission(rule: Permission, request: Request, marks: Marks) -> int:
    """The state of a permission whose action is covered: it grants when it holds, or when the rest is decided later."""
    found = every(rule.conjunction, request, marks)
    if rule.targets or rule.assignees:
        found = min(found, scope(rule, request, marks))
    if rule.duties:
        found = min(found, *(_duty(each, request, marks) for each in rule.duties))
    return found


def in_force(rule: Prohibition, request: Request, marks: Marks) -> bool:
    """Whether a prohibition stands: unless something in it is known not to hold, or is decided later, or it is lifted."""
    found = every(rule.conjunction, request, marks)
    if rule.targets or rule.assignees:
        found = min(found, scope(rule, request, marks))
    if request.remedied and rule.remedies and all(request.duties.get(each.path) == "fulfilled" for each in rule.remedies):
        return False
    return found in (HOLDS, UNKNOWN)


def every(terms: Conjunction, request: Request, marks: Marks) -> int:
    """The least state of constraints that must all hold. The hot loop: a constraint that holds, as most do, costs reading its fact and testing it, no more."""
    atomic, worst, missed = terms.atomic, HOLDS, 0
    if request.phase in terms.deferring:
        atomic, missed = _decidable(atomic, request.phase)
        worst = DEFERRED
    for each in atomic:
        read = each.read
        fact = read(each.left, request)
        test = each.test
        found = None if fact is None else test(fact, each.bound)
        if found:
            continue
        missed |= each.bit
        if found is None:
            marks.unknown |= each.bit
            state = UNKNOWN
        else:
            state = FAILS
        if state < worst:  # noqa: PLR1730  a call would cost more than the comparison
            worst = state
    marks.held |= terms.bits & ~missed
    for logical in terms.logical:
        worst = min(worst, _logical(logical, request, marks))
    return worst


def _decidable(atomic: tuple[Atomic, ...], phase: Phase) -> tuple[tuple[Atomic, ...], int]:
    """Those whose operand can be known in a phase, and the bits of the others."""
    known, later = [], 0
    for each in atomic:
        if phase in each.operand.phases:
            known.append(each)
        else:
            later |= each.bit
    return tuple(known), later


def _logical(constraint: Logical, request: Request, marks: Marks) -> int:
    states = [every(each, request, marks) for each in constraint.branches]
    kind = constraint.kind
    if kind == "or":
        return max(states, key=_ANY.__getitem__)
    if kind == "xone":
        return _exactly_one(states)
    (found,) = states
    if kind == "andSequence" and found == HOLDS and in_order(constraint, request) is False:
        return FAILS
    return found


def _exactly_one(states: list[int]) -> int:
    holding = states.count(HOLDS)
    if holding > 1:
        return FAILS
    if UNKNOWN in states:
        return UNKNOWN
    if DEFERRED in states:
        return DEFERRED
    return HOLDS if holding else FAILS


def in_order(sequence: Logical, request: Request) -> bool | None:
    """Whether the parts of a sequence came true one after the other; None where the moments are not all known."""
    moments = []
    for part in sequence.parts:
        found = [request.since.get(atom.operand.iri) for atom in atoms(part)]
        if None in found:
            return None
        moments.append(max(each for each in found if each is not None))
    return all(earlier <= later for earlier, later in pairwise(moments))


def scope(rule: Permission | Prohibition, request: Request, marks: Marks) -> int:
    """Whether the rule is about what is asked, and about who asks."""
    target = entities(rule.targets, request.target, TARGET, request, marks)
    return min(target, entities(rule.assignees, request.party, ASSIGNEE, request, marks))


def entities(wanted: tuple[Entity, ...], name: str, what: str, request: Request, marks: Marks) -> int:
    """Whether a name is one of the wanted, or belongs to one of them."""
    if not wanted:
        return HOLDS
    found = max((_entity(each, name, request, marks) for each in wanted), key=_ANY.__getitem__)
    if found == UNKNOWN:
        marks.others += (what,)
    return found


def _entity(entity: Entity, name: str, request: Request, marks: Marks) -> int:
    if not name:
        return UNKNOWN
    if name != entity.id:
        collections = request.part_of.get(name)
        if collections is None:
            return UNKNOWN if entity.collection else FAILS
        if entity.id not in collections and entity.source not in collections:
            return FAILS
    return every(entity.conjunction, request, marks)


def _duty(duty: Duty, request: Request, marks: Marks) -> int:
    """Whether a duty of a permission lets it be used."""
    if request.phase in BEFORE_AGREEMENT:
        return DEFERRED
    state = request.duties.get(duty.path)
    if state is None:
        marks.others += (duty.path,)
        return UNKNOWN
    if state == "active":
        return HOLDS if limited_in_time(duty) else FAILS
    if state == "late":
        done = all(request.duties.get(each.path) in _SETTLED for each in duty.consequences)
        return HOLDS if done else FAILS
    return HOLDS if state in _SETTLED else FAILS


def limited_in_time(duty: Duty) -> bool:
    """Whether a duty says until when, so that it may be owed while the permission is used."""
    return any(atom.operand.iri in TIME_LIMITS for each in duty.constraints for atom in atoms(each))


def _contradicts(policy: Policy, request: Request, marks: Marks) -> bool:
    """Whether a permission that may be active and a prohibition that is in force cover one action."""
    covering = policy.registry.covering
    for forbidding in policy.prohibitions:
        if not in_force(forbidding, request, marks):
            continue
        below = forbidding.actions
        for granting in policy.permissions:
            meets = any(not covering(each).isdisjoint(below) for each in granting.actions) or any(
                not covering(each).isdisjoint(granting.actions) for each in below
            )
            if meets and permission(granting, request, marks) != FAILS:
                return True
    return False
