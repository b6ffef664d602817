"""A case of the ODRL Test Suite decided by the engine, and the decision written as a compliance report.

Form of the reports: a report of target, party or action stands there only where the rule states one; operator and right operand of a
constraint only where it is satisfied; the left operand's value always; the rule lists its direct constraints, a logical one its parts.
"""

from collections.abc import Iterator
from typing import Final

from policies.odrl import ODRL, DutyState, Policy, Registry, Request, evaluate, parse
from policies.odrl.explain import ConstraintNode, RuleNode, tree
from policies.suite import report
from policies.suite.graph import DC, Case
from policies.suite.report import RDF_TYPE, REPORT, Tree, Triple

REGISTRY: Final = Registry([], actions={ODRL + "write": ODRL + "use"})
_PREMISES: Final = (("target", "TargetReport"), ("assignee", "PartyReport"), ("action", "ActionReport"))


def decided(case: Case) -> Tree:
    """The report of a case."""
    policy = parse(case.policy.value, operands=REGISTRY)
    explanation = tree(evaluate(policy, _request(case, policy)))
    writer = _Writer(case)
    return report.tree(list(writer.policy(explanation.rules)), "report")


def _request(case: Case, policy: Policy) -> Request:
    question, world = case.question, case.world
    asked = (question.party, question.target)
    known = {path: world.duties.get(iri) for path, iri in case.policy.nodes.items() if "/duty/" in path}
    return Request(
        action=question.action,
        phase="transfer",
        facts={},
        now=world.now,
        party=question.party,
        target=question.target,
        part_of={name: world.part_of.get(name, frozenset()) for name in asked},
        duties={duty.path: _state(known.get(duty.path)) for duty in policy.duties()},
    )


def _state(known: tuple[str, DutyState] | None) -> DutyState:
    return known[1] if known else "inactive"


class _Writer:
    """Writes one report as triples; report nodes are numbered."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._count = 0

    def policy(self, rules: tuple[RuleNode, ...]) -> Iterator[Triple]:
        case = self._case
        yield "report", RDF_TYPE, REPORT + "PolicyReport"
        yield "report", DC + "created", case.world.written
        yield "report", REPORT + "policy", case.policy.iri
        yield "report", REPORT + "policyRequest", case.question.policy
        for rule in rules:
            node = self._new()
            yield "report", REPORT + "ruleReport", node
            yield from self._rule(node, rule)

    def _new(self) -> str:
        self._count += 1
        return f"node:{self._count}"

    def _rule(self, node: str, rule: RuleNode) -> Iterator[Triple]:
        case = self._case
        yield node, RDF_TYPE, REPORT + rule.kind.capitalize() + "Report"
        yield node, REPORT + "attemptState", REPORT + "Attempted"
        yield node, REPORT + "rule", case.policy.nodes[rule.path]
        yield node, REPORT + "ruleRequest", case.question.rule
        yield node, REPORT + "activationState", REPORT + ("Active" if rule.active else "Inactive")
        states = {"target": rule.target, "assignee": rule.assignee, "action": "holds" if rule.covers else "fails"}
        for name, type_ in _PREMISES:
            if name in case.policy.states[rule.path]:
                premise = self._new()
                yield node, REPORT + "premiseReport", premise
                yield premise, RDF_TYPE, REPORT + type_
                yield premise, REPORT + "satisfactionState", _satisfied(states[name])
        yield from self._constraints(node, rule.constraints)
        for path, _ in rule.duties:
            known = case.world.duties.get(case.policy.nodes[path])
            if known:
                yield node, REPORT + "conditionReport", known[0]

    def _constraints(self, above: str, constraints: tuple[ConstraintNode, ...]) -> Iterator[Triple]:
        for each in constraints:
            node = self._new()
            yield above, REPORT + "premiseReport", node
            yield node, RDF_TYPE, REPORT + "ConstraintReport"
            yield node, REPORT + "constraint", self._case.policy.nodes[each.path]
            yield node, REPORT + "satisfactionState", _satisfied(each.state)
            if each.kind:
                yield node, REPORT + "constraintLogicalOperand", ODRL + each.kind
                yield from self._constraints(node, each.parts)
                continue
            yield node, REPORT + "constraintLeftOperand", self._case.world.written
            if each.state == "holds":
                yield node, REPORT + "constraintOperator", ODRL + each.operator
                yield node, REPORT + "constraintRightOperand", each.right[0]


def _satisfied(state: str) -> str:
    return REPORT + ("Satisfied" if state == "holds" else "Unsatisfied")
