"""Runs a case against an engine: anything that has the names of `policies.odrl`."""

from tests.unit.policies.cases import decisions, operators, refusals
from tests.unit.policies.cases.registry import NOW, registry

USE = {"action": "use"}


class Suite:
    """All cases, against one engine."""

    def __init__(self, engine):
        self.engine = engine
        self.registry = registry(engine)

    def decide(self, policy, asked):
        request = {"phase": "transfer", "facts": {}, "now": NOW, **asked}
        return self.engine.evaluate(self.engine.parse(policy, operands=self.registry), self.engine.Request(**request))

    def operator(self, constraint, fact):
        """A constraint alone: as a permission and as a prohibition. True, False, None, or what cannot be."""
        given = {} if fact is None else {constraint["leftOperand"]: fact}
        granted = self.decide({"permission": [{"action": "use", "constraint": [constraint]}]}, {"action": "use", "facts": given})
        forbidden = self.decide(
            {"permission": [USE], "prohibition": [{"action": "use", "constraint": [constraint]}]}, {"action": "use", "facts": given}
        )
        return {(True, False): True, (False, True): False, (False, False): None}.get(
            (granted.permitted, forbidden.permitted), "open"
        )

    def refused(self, policy):
        """Path and reason of a refusal, or None."""
        try:
            self.engine.parse(policy, operands=self.registry)
        except self.engine.PolicyError as error:
            return error.path, error.reason
        return None

    def failures(self):
        """The names of the cases that fail, one after the other."""
        for name, constraint, fact, expected in operators.OPERATORS:
            if self.operator(constraint, fact) is not expected:
                yield name
        for name, policy, asked, expected in decisions.DECISIONS:
            if self.decide(policy, asked).permitted is not expected:
                yield name
        for policy, asked, expected in decisions.MISSING:
            if self.decide(policy, asked).missing != expected:
                yield f"missing {expected}"
        for policy, asked, expected in decisions.OWED:
            if self.decide(policy, asked).duties != expected:
                yield f"owed {expected}"
        for name, policy, path, reason in refusals.REFUSALS:
            found = self.refused(policy)
            if found is None or found[0] != path or reason not in found[1]:
                yield name
