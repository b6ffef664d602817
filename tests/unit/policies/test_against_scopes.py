"""Policies that a connector with scopes lets pass, and this engine enforces (odrl.md 2, notes 1, 2, 4).

`Scoped` is the behaviour that was read in the source of the most used connector, written down as a table of its rules: a constraint
whose operand has no function in the scope is taken out, a rule is rebuilt from its action and its constraints alone, a prohibition is
violated by any one true constraint, and no permission has to cover the request.
"""

from datetime import UTC, datetime

import pytest

from policies.odrl import KZ, Operand, Registry, Request, evaluate, parse, undecidable

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
REGISTRY = Registry([Operand(iri=KZ + "membership"), Operand(iri=KZ + "role", many=True), Operand(iri=KZ + "granularity")])
MEMBER = {"leftOperand": KZ + "membership", "operator": "eq", "rightOperand": "active"}
ROLE = {"leftOperand": KZ + "role", "operator": "isAnyOf", "rightOperand": ["oem"]}
FINE = {"leftOperand": KZ + "granularity", "operator": "eq", "rightOperand": "per-supplier"}
UNTIL = {"leftOperand": "dateTime", "operator": "lt", "rightOperand": "2026-01-01T00:00:00Z"}
FACTS = {KZ + "membership": "active", KZ + "role": ("trader",), KZ + "granularity": "per-supplier"}


class Scoped:
    """Evaluates as a connector does that binds operands to scopes; only membership is bound."""

    def permits(self, policy):
        rules = {kind: [self.rebuilt(rule) for rule in policy.get(kind, ())] for kind in ("permission", "prohibition")}
        granted = all(all(self.holds(each) for each in rule) for rule in rules["permission"])
        forbidden = any(any(self.holds(each) for each in rule) for rule in rules["prohibition"])
        return granted and not forbidden

    def rebuilt(self, rule):
        """A rule with what is bound; targets, assignees, refinements and the action are gone."""
        return [kept for each in rule.get("constraint", ()) if (kept := self.bound(each)) is not None]

    def bound(self, constraint):
        for kind in ("and", "or", "xone"):
            if kind in constraint:
                parts = [part for part in map(self.bound, constraint[kind]) if part is not None]
                return {kind: parts} if parts else None
        return constraint if constraint["leftOperand"] == MEMBER["leftOperand"] else None

    def holds(self, constraint):
        for kind, of in (("and", all), ("or", any)):
            if kind in constraint:
                return of(self.holds(each) for each in constraint[kind])
        return FACTS[constraint["leftOperand"]] == constraint["rightOperand"]


def use(*constraints, **members):
    return {"action": "use", "constraint": list(constraints), **members}


IGNORED = {
    "an unbound constraint": {"permission": [use(MEMBER, ROLE)]},
    "an unbound constraint beside a bound one in and": {"permission": [use({"and": [MEMBER, ROLE]})]},
    "a permission with unbound constraints only": {"permission": [use(ROLE, UNTIL)]},
    "the end of the term": {"permission": [use(MEMBER, UNTIL)]},
    "a prohibition without constraint": {"permission": [use(MEMBER)], "prohibition": [{"action": "use"}]},
    "a prohibition of an unbound constraint": {"permission": [use(MEMBER)], "prohibition": [use(FINE)]},
    "a refinement of a forbidden action": {
        "permission": [use(MEMBER)],
        "prohibition": [{"action": [{"rdf:value": {"@id": "odrl:use"}, "refinement": [FINE]}]}],
    },
    "a refinement of a granted action": {"permission": [{"action": [{"rdf:value": {"@id": "odrl:use"}, "refinement": [ROLE]}]}]},
    "a permission of another action": {"permission": [{"action": "print", "constraint": [MEMBER]}]},
    "a permission of another asset": {"permission": [use(MEMBER, target="urn:other")]},
    "a permission of another party": {"permission": [use(MEMBER, assignee="did:web:other")]},
    "a duty that must come before": {"permission": [use(MEMBER, duty=[{"action": "compensate"}])]},
    "no permission at all": {"obligation": [{"action": "delete"}]},
}


@pytest.mark.parametrize("policy", IGNORED.values(), ids=IGNORED.keys())
def test_what_scopes_let_pass_is_enforced_here(policy):
    assert Scoped().permits(policy), "the other reading lets it pass"
    decision = evaluate(
        parse(policy, operands=REGISTRY), Request("use", "transfer", FACTS, NOW, party="did:web:a", target="urn:asset")
    )
    assert not decision.permitted
    assert decision.explain()[0].endswith("denied")


def test_an_operand_that_nobody_knows_is_not_even_read():
    from policies.odrl import PolicyError

    policy = {"permission": [use({"leftOperand": "urn:unbound", "operator": "eq", "rightOperand": "x"})]}
    assert Scoped().permits(policy)
    with pytest.raises(PolicyError, match="unknown left operand"):
        parse(policy, operands=REGISTRY)


def test_what_only_the_consumer_can_know_is_named():
    policy = {"permission": [use(MEMBER, {"leftOperand": "spatial", "operator": "eq", "rightOperand": "JP"})]}
    assert undecidable(parse(policy, operands=REGISTRY), "transfer")
    at_the_consumer = Request("use", "consumer", FACTS, NOW)
    assert not evaluate(parse(policy, operands=REGISTRY), at_the_consumer).permitted
