"""Engines that are wrong in one way: each must be noticed by the own suite (odrl.md 1.4; seven of them pass the public suite).

A mutant is the text of one module with one place changed. Its package is built in memory beside the real one.
"""

import importlib
import importlib.abc
import importlib.util
import sys
from pathlib import Path

import pytest

from policies import odrl
from tests.unit.policies.cases.running import Suite

SOURCE = Path(odrl.__file__).parent
EVALUATE, OPERATORS, OPERANDS, PARSE, CONSTRAINTS = "evaluate", "operators", "operands", "parse", "constraints"
MUTANTS = {
    "lt as lteq": (OPERATORS, '"lt": lt', '"lt": le'),
    "lteq as lt": (OPERATORS, '"lteq": le', '"lteq": lt'),
    "gt as gteq": (OPERATORS, '"gt": gt', '"gt": ge'),
    "gteq as gt": (OPERATORS, '"gteq": ge', '"gteq": gt'),
    "eq always true": (OPERATORS, '{"eq": eq', '{"eq": lambda fact, bound: True'),
    "neq as eq": (OPERATORS, '"neq": ne', '"neq": eq'),
    "isNoneOf as isAnyOf": (OPERATORS, '"isNoneOf": frozenset.isdisjoint', '"isNoneOf": _any'),
    "isAllOf as isAnyOf": (OPERATORS, '"isAllOf": frozenset.issuperset', '"isAllOf": _any'),
    "isPartOf as hasPart": (OPERATORS, "(value for value, above in wholes.items() if not above.isdisjoint(right))", "(each for value in right for each in wholes.get(value, ()))"),
    "or as xone": (EVALUATE, "max(states, key=_ANY.__getitem__)", "_exactly_one(states)"),
    "or as and": (EVALUATE, "max(states, key=_ANY.__getitem__)", "min(states)"),
    "xone always true": (EVALUATE, "return _exactly_one(states)", "return HOLDS"),
    "andSequence always true": (EVALUATE, 'if kind == "andSequence" and found', 'if kind == "andSequence":\n        return HOLDS\n    if found'),
    "andSequence without order": (EVALUATE, "in_order(constraint, request) is False", "False"),
    "a missing fact is satisfied": (EVALUATE, "found = None if fact is None", "found = True if fact is None"),
    "an unknown operator is satisfied": (CONSTRAINTS, 'OPERATOR_TERMS.get(given, "")', 'OPERATOR_TERMS.get(given, "isNoneOf")'),
    "an unknown operand is let pass": (CONSTRAINTS, "self.registry.operand(name)", 'self.registry.operand(name) or self.registry.operand("version")'),
    "only the first constraint is read": (EVALUATE, "for each in atomic:\n        read", "for each in atomic[:1]:\n        read"),
    "prohibitions are ignored": (EVALUATE, "forbidden = True", "forbidden = False"),
    "a prohibition without constraints never applies": (EVALUATE, "return found in (HOLDS, UNKNOWN)", "return bool(rule.constraints) and found in (HOLDS, UNKNOWN)"),
    "an unknown fact lifts a prohibition": (EVALUATE, "return found in (HOLDS, UNKNOWN)", "return found == HOLDS"),
    "includedIn is ignored": (OPERANDS, "name: (above,) if above else ()", "name: ()"),
    "includedIn the wrong way round": (EVALUATE, "covering, forbidding = registry.reach(request.action)", "covering, forbidding = [frozenset(a for a in registry.actions if request.action in (a, a.rpartition('/')[2]) or any(x.endswith('/' + request.action) for x in registry.reach(a)[n])) for n in (0, 1)]"),
    "implies is ignored": (OPERANDS, "implies.get(each, ())", "()"),
    "the target is ignored": (EVALUATE, "target = entities(rule.targets, request.target, TARGET, request, marks)", "target = HOLDS"),
    "the assignee is ignored": (EVALUATE, "return min(target, entities(rule.assignees, request.party, ASSIGNEE, request, marks))", "return target"),
    "everybody is in every collection": (EVALUATE, "if entity.id not in collections and entity.source not in collections:", "if False:"),
    "refinements of collections are ignored": (EVALUATE, "return every(entity.conjunction, request, marks)", "return HOLDS"),
    "refinements of actions are ignored": (PARSE, "Conjunction.of(refined + own)", "Conjunction.of(own)"),
    "duties are ignored": (EVALUATE, "if rule.duties:", "if False:"),
    "an overdue duty is no hindrance": (EVALUATE, 'frozenset({"inactive", "fulfilled", "waived"})', 'frozenset({"inactive", "fulfilled", "waived", "overdue"})'),
    "a consequence is not asked for": (EVALUATE, "return HOLDS if done else FAILS", "return HOLDS"),
    "a remedy lifts by itself": (EVALUATE, "if request.remedied and rule.remedies", "if rule.remedies"),
    "permissions always win": (EVALUATE, '(not forbidden or policy.conflict == "perm")', "True"),
    "a contradiction voids nothing": (EVALUATE, 'void = policy.conflict == "invalid"', 'void = policy.conflict == "never"'),
    "deferred constraints count as unknown": (EVALUATE, "worst = DEFERRED", "worst = UNKNOWN"),
    "phases are ignored": (EVALUATE, "if request.phase in terms.deferring:", "if False:"),
    "units are ignored": ("units", "return Quantity(value, code)", 'return Quantity(value, "any")'),
    "the clock comes from the facts": ("operand", "    now = asked.now\n", '    now = Operand(iri="", type="dateTime").fact(asked.facts.get(_), asked.now) or asked.now\n'),
}  # fmt: skip
SURVIVE_THE_PUBLIC_SUITE = (
    "lt as lteq",
    "or as xone",
    "xone always true",
    "andSequence always true",
    "a missing fact is satisfied",
    "an unknown operator is satisfied",
    "only the first constraint is read",
)


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of a package that is a copy of `policies.odrl` with one place changed."""

    def __init__(self, package, module, old, new):
        self.package, self.module, self.old, self.new = package, module, old, new

    def find_spec(self, name, path=None, target=None):
        if name != self.package and not name.startswith(self.package + "."):
            return None
        return importlib.util.spec_from_loader(name, self, is_package=name == self.package)

    def exec_module(self, module):
        stem = module.__name__.removeprefix(self.package).removeprefix(".") or "__init__"
        text = (SOURCE / f"{stem}.py").read_text(encoding="utf-8")
        if stem == self.module:
            assert text.count(self.old) >= 1, f"{self.old!r} is not in {stem}.py any more"
            text = text.replace(self.old, self.new)
        exec(compile(text.replace("policies.odrl", self.package), stem, "exec"), module.__dict__)


@pytest.fixture
def engine(request):
    """The engine with one place changed."""
    package = "mutated_policies"
    finder = Mutated(package, *request.param)
    sys.meta_path.insert(0, finder)
    try:
        yield importlib.import_module(package)
    finally:
        sys.meta_path.remove(finder)
        for name in [each for each in sys.modules if each == package or each.startswith(package + ".")]:
            del sys.modules[name]


@pytest.mark.parametrize("engine", [(EVALUATE, "HOLDS: Final = 3", "HOLDS: Final = 3")], indirect=True)
def test_the_copy_itself_passes(engine):
    assert list(Suite(engine).failures()) == []


@pytest.mark.parametrize("engine", MUTANTS.values(), ids=MUTANTS.keys(), indirect=True)
def test_the_mutant_dies(engine):
    assert next(Suite(engine).failures(), None) is not None


def test_the_seven_that_survive_the_public_suite_are_among_them(figure):
    assert set(SURVIVE_THE_PUBLIC_SUITE) <= MUTANTS.keys()
    figure(f"semantic mutants of the engine: {len(MUTANTS)}, all noticed")
    assert len(MUTANTS) >= 19
