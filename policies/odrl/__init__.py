"""ODRL 2.2: read a policy, decide by it, compare two. Pure: no I/O, no clock, no network.

    policy = parse(offer, operands=profile.operands)
    decision = evaluate(policy, Request("use", "negotiation", facts, now))
    decision.permitted, decision.missing, decision.explain(), decision.minimal()
    same_terms(agreement, offer)      # [] = the same terms

The rules are in the modules: `parse` (strict, limited), `operators` (the twelve), `evaluate` (three-valued, fail closed, phases),
`terms` (comparison), `operands` (the registry). `Compiled` keeps what was parsed, by digest.
"""

from policies.odrl.compiled import Compiled
from policies.odrl.errors import PolicyError
from policies.odrl.evaluate import Decision, Request, evaluate, undecidable
from policies.odrl.model import Atomic, Constraint, Duty, Logical, Permission, Policy, Prohibition
from policies.odrl.operands import PHASES, Operand, Phase, Registry
from policies.odrl.parse import parse
from policies.odrl.terms import digest, same_terms
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
    "Duty",
    "Logical",
    "Operand",
    "Permission",
    "Phase",
    "Policy",
    "PolicyError",
    "Prohibition",
    "Registry",
    "Request",
    "digest",
    "evaluate",
    "parse",
    "same_terms",
    "undecidable",
]
