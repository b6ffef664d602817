"""ODRL 2.2: read a policy, decide by it, compare two. Pure: no I/O, no clock, no network.

    policy = parse(offer, operands=profile.operands)
    decision = evaluate(policy, Request("use", "negotiation", facts, now, party=did, target=asset))
    decision.permitted, decision.missing, decision.explain(), decision.minimal()
    same_terms(agreement, offer)      # [] = the same terms

The rules are in the modules: `parse` and `constraints` (strict, limited), `operators` (the twelve), `evaluate` (three-valued, fail
closed, phases), `explain` (why), `terms` (comparison), `operands` and `core` (the registry). `Compiled` keeps what was parsed, by
digest.
"""

from policies.odrl.compiled import Compiled
from policies.odrl.errors import PolicyError
from policies.odrl.evaluate import Decision, DutyState, Request, evaluate, undecidable
from policies.odrl.explain import Explanation, Need, needs, tree
from policies.odrl.model import Atomic, Constraint, Duty, Entity, Logical, Permission, Policy, Prohibition
from policies.odrl.operands import PHASES, Operand, Phase, Registry
from policies.odrl.parse import parse
from policies.odrl.terms import Difference, differences, digest, same_terms
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
    "Logical",
    "Need",
    "Operand",
    "Permission",
    "Phase",
    "Policy",
    "PolicyError",
    "Prohibition",
    "Registry",
    "Request",
    "differences",
    "digest",
    "ends",
    "evaluate",
    "needs",
    "parse",
    "same_terms",
    "tree",
    "undecidable",
    "without_end",
]
