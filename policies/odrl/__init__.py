"""ODRL 2.2: read a policy, decide by it, compare two. Pure: no I/O, no clock, no network.

    policy = parse(offer, operands=profile.operands)
    decision = evaluate(policy, Request("use", "negotiation", facts, now, party=did, target=asset))
    decision.permitted, decision.missing, decision.explain(), decision.minimal()
    same_terms(agreement, offer)      # [] = the same terms

The rules are in the modules: `parse` and `constraints` (strict, limited), `operators` (the twelve), `evaluate` (three-valued, fail
closed, phases), `explain` (why), `timeline` (when an answer changes by itself), `record` (replayable, chained), `inherit` (written
out before it is signed), `wire` (what DSP carries), `terms` (comparison), `operands` and `core` (the registry). `Compiled` keeps what
was parsed, by digest.
"""

from policies.odrl.compiled import Compiled
from policies.odrl.errors import PolicyError
from policies.odrl.evaluate import Decision, DutyState, Request, evaluate, undecidable
from policies.odrl.explain import Explanation, Need, needs, tree
from policies.odrl.inherit import Frozen, frozen
from policies.odrl.model import Atomic, Constraint, Duty, Entity, Logical, Permission, Policy, Prohibition
from policies.odrl.operands import PHASES, Operand, Phase, Registry
from policies.odrl.parse import parse
from policies.odrl.record import Record, broken, record, replay
from policies.odrl.terms import Difference, differences, digest, same_terms
from policies.odrl.timeline import next_change
from policies.odrl.validity import ends, without_end
from policies.odrl.vocabulary import DATE_TIME, KZ, ODRL, PURPOSE

__all__ = [
    "DATE_TIME",
    "KZ",
    "ODRL",
    "PHASES",
    "PURPOSE",
    "Atomic",
    "Compiled",
    "Constraint",
    "Decision",
    "Difference",
    "Duty",
    "DutyState",
    "Entity",
    "Explanation",
    "Frozen",
    "Logical",
    "Need",
    "Operand",
    "Permission",
    "Phase",
    "Policy",
    "PolicyError",
    "Prohibition",
    "Record",
    "Registry",
    "Request",
    "broken",
    "differences",
    "digest",
    "ends",
    "evaluate",
    "frozen",
    "needs",
    "next_change",
    "parse",
    "record",
    "replay",
    "same_terms",
    "tree",
    "undecidable",
    "without_end",
]
