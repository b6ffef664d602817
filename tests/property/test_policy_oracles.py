"""The engine against two oracles on random policies: a naive interpreter written from the tables, and z3.

z3 is asked about every completion of the unknown facts: what the engine permits holds in all of them, and with nothing unknown the
engine says exactly what z3 says.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import orjson
import z3
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel.errors import BadInput
from kernel.wire import loads
from policies.odrl import KZ, Operand, PolicyError, Registry, Request, broken, evaluate, frozen, next_change, parse, record, replay
from policies.odrl.wire import fitted

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
VALUES = ("a", "b", "c")
ONE, MANY, COUNT, LATER = KZ + "one", KZ + "many", KZ + "count", KZ + "later"
REGISTRY = Registry(
    [Operand(iri=ONE), Operand(iri=MANY, many=True), Operand(iri=COUNT, type="integer"), Operand(iri=LATER, phases=("transfer",))]
)
ACTIONS = ("use", "read", "play", "display", "distribute", "sell")
ABOVE = {"read": "use", "play": "use", "display": "play", "distribute": "use", "sell": "transfer"}
PARTIES = ("did:web:a", "did:web:b")
MOMENTS = tuple((NOW + timedelta(hours=n)).isoformat() for n in (-2, -1, 0, 1, 2))


@st.composite
def atoms(draw):
    left = draw(st.sampled_from([ONE, MANY, COUNT, "dateTime"]))
    if left in (ONE, MANY):
        several = ["isAnyOf", "isNoneOf", *(["isAllOf"] if left == MANY else [])]
        operator = draw(st.sampled_from(["eq", "neq", *several]))
        right = draw(st.lists(st.sampled_from(VALUES), min_size=1, max_size=2) if operator in several else st.sampled_from(VALUES))
    else:
        operator = draw(st.sampled_from(["eq", "neq", "lt", "lteq", "gt", "gteq"]))
        right = draw(st.integers(0, 4).map(str) if left == COUNT else st.sampled_from(MOMENTS))
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


constraints = st.recursive(
    atoms(),
    lambda inner: st.builds(
        lambda kind, parts: {kind: parts},
        st.sampled_from(["and", "or", "xone", "andSequence"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


@st.composite
def rules(draw):
    found = {"constraint": draw(st.lists(constraints, max_size=3))}
    actions = draw(st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=2, unique=True))
    refined = draw(st.lists(constraints, max_size=1))
    found["action"] = [{"@id": each, "refinement": refined} if refined else each for each in actions]
    if draw(st.booleans()):
        found["assignee"] = draw(st.sampled_from(PARTIES))
    return found


policies = st.fixed_dictionaries(
    {"permission": st.lists(rules(), max_size=3), "prohibition": st.lists(rules(), max_size=2)},
    optional={"conflict": st.sampled_from(["prohibit", "perm", "invalid"])},
)
facts = st.fixed_dictionaries(
    {},
    optional={
        ONE: st.sampled_from(VALUES),
        MANY: st.lists(st.sampled_from(VALUES), max_size=3),
        COUNT: st.integers(0, 4),
    },
)
parties = st.sampled_from([*PARTIES, ""])


def decide(policy, given_facts, action, party="", now=NOW):
    return evaluate(parse(policy, operands=REGISTRY), Request(action, "negotiation", given_facts, now, party=party))


# the naive interpreter: Kleene logic over the JSON, nothing compiled ---------------------------------------------------


def naive(policy, known, action, party):
    above = {action, *climb(action)}
    granted = [rule for rule in policy["permission"] if above & names(rule)]
    forbidden = [rule for rule in policy["prohibition"] if above & names(rule)]
    conflict = policy.get("conflict", "prohibit")
    if conflict == "invalid" and contradicts(policy, known, party):
        return False
    yes = any(whole(rule, above, known, party) is True for rule in granted)
    no = any(whole(rule, above, known, party) is not False for rule in forbidden)
    return yes and (conflict == "perm" or not no)


def contradicts(policy, known, party):
    for forbidding in policy["prohibition"]:
        for granting in policy["permission"]:
            for a in names(forbidding):
                for b in names(granting):
                    meets = a in {b, *climb(b)} or b in {a, *climb(a)}
                    if (
                        meets
                        and whole(forbidding, {a}, known, party) is not False
                        and whole(granting, {b}, known, party) is not False
                    ):
                        return True
    return False


def climb(action):
    return [ABOVE[action], *climb(ABOVE[action])] if action in ABOVE else []


def names(rule):
    return {each if isinstance(each, str) else each["@id"] for each in rule["action"]}


def whole(rule, above, known, party):
    """The state of a rule by the refinement of one of its covered actions; all have the same here."""
    refined = next((each["refinement"] for each in rule["action"] if not isinstance(each, str) and each["@id"] in above), [])
    states = [state(each, known) for each in (*refined, *rule["constraint"])]
    if "assignee" in rule:
        states.append(None if not party else rule["assignee"] == party)
    return False if False in states else None if None in states else True


def state(constraint, known):
    if "leftOperand" in constraint:
        return atom(constraint, known)
    ((kind, parts),) = constraint.items()
    states = [state(each, known) for each in parts]
    if kind == "or":
        return True if True in states else None if None in states else False
    if kind == "xone":
        return False if states.count(True) > 1 else None if None in states else states.count(True) == 1
    return False if False in states else None if None in states else True


def atom(constraint, known):
    left, operator = constraint["leftOperand"], constraint["operator"]
    right = constraint["rightOperand"] if isinstance(constraint["rightOperand"], list) else [constraint["rightOperand"]]
    if left == "dateTime":
        found, bound = NOW, datetime.fromisoformat(right[0])
    elif left not in known:
        return None
    elif left == COUNT:
        found, bound = known[COUNT], int(right[0])
    else:
        have = set(known[left]) if left == MANY else {known[left]}
        return {
            "eq": right[0] in have,
            "neq": right[0] not in have,
            "isAnyOf": bool(have & set(right)),
            "isNoneOf": not have & set(right),
            "isAllOf": set(right) <= have,
        }[operator]
    return {
        "eq": found == bound, "neq": found != bound, "lt": found < bound, "lteq": found <= bound, "gt": found > bound, "gteq": found >= bound,
    }[operator]  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(policies, facts, st.sampled_from(ACTIONS), parties)
def test_the_engine_equals_the_naive_interpreter(policy, known, action, party):
    assert decide(policy, known, action, party).permitted is naive(policy, known, action, party)


# z3: the same as a formula over the facts ------------------------------------------------------------------------------

ONE_IS = z3.Int("one")  # the place of its value in VALUES, or 3 for another
MANY_HAS = [z3.Bool(f"many {value}") for value in VALUES]
COUNT_IS = z3.Int("count")
PARTY_IS = z3.Int("party")


def formula(constraint):
    if "leftOperand" in constraint:
        return atomic(constraint)
    ((kind, parts),) = constraint.items()
    found = [formula(each) for each in parts]
    if kind == "or":
        return z3.Or(found)
    if kind == "xone":
        return z3.PbEq([(each, 1) for each in found], 1)
    return z3.And(found)


def atomic(constraint):
    left, operator = constraint["leftOperand"], constraint["operator"]
    right = constraint["rightOperand"] if isinstance(constraint["rightOperand"], list) else [constraint["rightOperand"]]
    if left == "dateTime":
        return z3.BoolVal(atom(constraint, {}))
    if left == COUNT:
        bound = int(right[0])
        return {
            "eq": bound == COUNT_IS, "neq": bound != COUNT_IS, "lt": bound > COUNT_IS,
            "lteq": bound >= COUNT_IS, "gt": bound < COUNT_IS, "gteq": bound <= COUNT_IS,
        }[operator]  # fmt: skip
    has = [(VALUES.index(each) == ONE_IS) if left == ONE else MANY_HAS[VALUES.index(each)] for each in right]
    return {
        "eq": has[0], "neq": z3.Not(has[0]), "isAnyOf": z3.Or(has), "isNoneOf": z3.Not(z3.Or(has)), "isAllOf": z3.And(has),
    }[operator]  # fmt: skip


def rule_formula(rule, above):
    refined = next((each["refinement"] for each in rule["action"] if not isinstance(each, str) and each["@id"] in above), [])
    parts = [formula(each) for each in (*refined, *rule["constraint"])]
    if "assignee" in rule:
        parts.append(PARTIES.index(rule["assignee"]) == PARTY_IS)
    return z3.And(parts)


def policy_formula(policy, action):
    above = {action, *climb(action)}
    yes = z3.Or([rule_formula(rule, above) for rule in policy["permission"] if above & names(rule)])
    no = z3.Or([rule_formula(rule, above) for rule in policy["prohibition"] if above & names(rule)])
    conflict = policy.get("conflict", "prohibit")
    if conflict == "perm":
        return yes
    meets = [
        z3.And(rule_formula(forbidding, {a}), rule_formula(granting, {b}))
        for forbidding in policy["prohibition"]
        for granting in policy["permission"]
        for a in names(forbidding)
        for b in names(granting)
        if a in {b, *climb(b)} or b in {a, *climb(a)}
    ]
    return z3.And(yes, z3.Not(no), z3.Not(z3.Or(meets)) if conflict == "invalid" else True)


def given_to(solver, known, party):
    solver.add(ONE_IS >= 0, ONE_IS <= 3, COUNT_IS >= 0, COUNT_IS <= 4)
    if ONE in known:
        solver.add(VALUES.index(known[ONE]) == ONE_IS)
    if MANY in known:
        solver.add([has == (value in known[MANY]) for has, value in zip(MANY_HAS, VALUES, strict=True)])
    if COUNT in known:
        solver.add(known[COUNT] == COUNT_IS)
    if party:
        solver.add(PARTIES.index(party) == PARTY_IS)


@settings(max_examples=150, deadline=None)
@given(policies, facts, st.sampled_from(ACTIONS), parties)
def test_the_engine_equals_z3(policy, known, action, party):
    permitted = decide(policy, known, action, party).permitted
    solver = z3.Solver()
    given_to(solver, known, party)
    solver.add(z3.Not(policy_formula(policy, action)))
    always = solver.check() == z3.unsat
    assert not permitted or always, "what is permitted holds whatever the unknown facts are"
    if len(known) == 3 and party:
        assert permitted is always


# what must hold for every policy ---------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(policies, facts, st.sampled_from(ACTIONS), parties, st.data())
def test_fewer_facts_never_permit_more(policy, known, action, party, data):
    fewer = {key: value for key, value in known.items() if data.draw(st.booleans())}
    less = decide(policy, fewer, action, data.draw(st.sampled_from([party, ""]))).permitted
    assert not less or decide(policy, known, action, party).permitted


@settings(max_examples=150, deadline=None)
@given(policies, facts, st.sampled_from(ACTIONS), parties)
def test_policy_to_the_wire_and_back_decides_alike(policy, known, action, party):
    offer = {"@id": "urn:uuid:1", "@type": "Offer", **policy}
    sent = fitted(offer)
    again = fitted(orjson.loads(orjson.dumps(sent.policy)))
    assert again.policy == sent.policy
    assert again.changes == ()
    if sent.sendable:
        assert not any("assignee" in rule for rule in (*policy["permission"], *policy["prohibition"]))
        assert decide(sent.policy, known, action, party).permitted is decide(offer, known, action, party).permitted
        assert all(
            isinstance(rule["action"], str) for rule in (*sent.policy.get("permission", ()), *sent.policy.get("prohibition", ()))
        )
    else:
        assert sent.reasons


@settings(max_examples=150, deadline=None)
@given(policies, facts, st.sampled_from(ACTIONS), st.floats(0.001, 0.999))
@example(
    {
        "permission": [{"action": ["use"], "constraint": []}],
        "prohibition": [
            {"action": ["use"], "constraint": [{"leftOperand": "dateTime", "operator": "eq", "rightOperand": NOW.isoformat()}]}
        ],
    },
    {},
    "use",
    0.75,
)
def test_an_answer_is_constant_until_it_can_change(policy, known, action, part):
    compiled = parse(policy, operands=REGISTRY)
    request = Request(action, "negotiation", known, NOW)
    instant = next_change(compiled, request)
    until = instant or NOW + timedelta(days=9)
    between = min(NOW + (until - NOW) * part, until - timedelta(microseconds=1))  # the least step of time

    def answer(now):
        found = decide(policy, known, action, now=now)
        return found.permitted, found.void

    assert answer(between) == answer(NOW)
    if instant is not None:
        assert instant > NOW
        assert answer(instant) != answer(NOW), "a policy with so few bounds is looked through to the end"


@settings(max_examples=200, deadline=None)
@given(policies, facts, st.sampled_from(ACTIONS), parties)
def test_records_replay(policy, known, action, party):
    kept = record(decide(policy, known, action, party), policy)
    assert replay(kept, policy, REGISTRY) == []
    assert broken([kept]) is None


WORDS = (
    b"permission",
    b"action",
    b"use",
    b"constraint",
    b"leftOperand",
    b"operator",
    b"rightOperand",
    b"eq",
    b"and",
    b"@id",
    b"@type",
    b"Offer",
)
PIECES = (
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b'"',
    b"1",
    b"true",
    b"null",
    b"\\ud800",
    b"\xff",
    *(b'"' + each + b'"' for each in WORDS),
)
random_bytes = st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join))


@settings(max_examples=800, deadline=None)
@example(b"[" * 5_000)
@example(b'{"permission":' * 500)
@example(b'{"permission":[{"action":"use","constraint":[{"leftOperand":"count","operator":"lt","rightOperand":1e999}]}]}')
@given(random_bytes)
def test_random_bytes_only_ever_give_typed_errors(data):
    try:
        value = loads(data, limit=262_144, depth=64)
    except BadInput:
        return
    for read in (
        lambda: parse(value, operands=REGISTRY),
        lambda: frozen(value, {}),
        lambda: fitted(value if isinstance(value, dict) else {}),
    ):
        with suppress(PolicyError):
            read()


@settings(max_examples=250, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([each.decode() for each in WORDS]),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([each.decode() for each in WORDS] + ["duty", "target", "refinement", "unit", "inheritFrom"]), inner, max_size=4), max_leaves=20))  # fmt: skip
def test_random_values_only_ever_give_typed_errors(value):
    for read in (parse_it, lambda each: frozen(each, {}), fitted):
        with suppress(PolicyError):
            if isinstance(value, dict):
                read(value)


def parse_it(value):
    return parse(value, operands=REGISTRY)
