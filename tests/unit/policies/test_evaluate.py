"""Decisions: closed, prohibitions win, unknown facts never help, phases (odrl.md 2 notes 1, 4; issue E)."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from policies.odrl import KZ, ODRL, PHASES, PURPOSE, Operand, PolicyError, Registry, Request, evaluate, parse, undecidable
from policies.odrl.evaluate import _decidable

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
REGISTRY = Registry(
    [
        Operand(iri=KZ + "a", source="credential A"),
        Operand(iri=KZ + "b"),
        Operand(iri=PURPOSE, many=True, phases=("negotiation", "transfer")),
    ]
)
A = {"leftOperand": KZ + "a", "operator": "eq", "rightOperand": "1"}
B = {"leftOperand": KZ + "b", "operator": "eq", "rightOperand": "1"}
P = {"leftOperand": PURPOSE, "operator": "isAnyOf", "rightOperand": ["x"]}
UNFIT = (False, (KZ + "who",))
YES, NO, UNKNOWN = {"1"}, {"0"}, None


def decide(policy, facts=None, *, action="use", phase="negotiation"):
    return evaluate(parse(policy, operands=REGISTRY), Request(action, phase, facts or {}, NOW))


def permit(*constraints, action="use"):
    return {"action": action, "constraint": list(constraints)}


def facts(a, b):
    return {KZ + key: value for key, value in (("a", a), ("b", b)) if value is not None}


def test_nothing_is_permitted_without_a_permission_that_covers_it():
    assert not decide({"obligation": [{"action": "delete"}]}).permitted
    assert not decide({"prohibition": [{"action": "sell"}]}).permitted
    assert not decide({"permission": [permit(action="read")]}, action="distribute").permitted
    assert not decide({"permission": [permit()]}, action="fly").permitted


def test_a_permission_without_constraints_permits():
    found = decide({"permission": [permit()]})
    assert found.permitted
    assert found.minimal() == "permitted"


@pytest.mark.parametrize(
    ("granted", "asked", "expected"),
    [
        ("use", "display", True),
        ("play", "display", True),
        ("display", "play", False),
        ("use", "sell", False),
        ("transfer", "sell", True),
    ],
)
def test_actions_are_included_in_others(granted, asked, expected):
    assert decide({"permission": [permit(action=granted)]}, action=asked).permitted is expected


def test_a_prohibition_without_constraints_denies_note_1():
    policy = {"permission": [permit()], "prohibition": [{"action": "distribute"}]}
    assert not decide(policy, action="distribute").permitted
    assert decide(policy, action="read").permitted


def test_a_prohibition_of_the_wider_action_wins():
    assert not decide({"permission": [permit(action="read")], "prohibition": [{"action": "use"}]}, action="read").permitted


@pytest.mark.parametrize(
    ("a", "b", "denied"), [(YES, YES, True), (YES, NO, False), (NO, YES, False), (YES, UNKNOWN, True), (NO, UNKNOWN, False)]
)
def test_all_constraints_of_a_prohibition_must_hold_and_an_unknown_one_counts_note_1(a, b, denied):
    policy = {"permission": [permit()], "prohibition": [permit(A, B)]}
    assert decide(policy, facts(a, b)).permitted is not denied


@pytest.mark.parametrize(
    ("kind", "a", "b", "expected"),
    [
        ("and", YES, YES, True),
        ("and", YES, UNKNOWN, None),
        ("and", NO, UNKNOWN, False),
        ("or", YES, UNKNOWN, True),
        ("or", NO, UNKNOWN, None),
        ("or", NO, NO, False),
        ("xone", YES, NO, True),
        ("xone", YES, YES, False),
        ("xone", YES, UNKNOWN, None),
        ("xone", NO, NO, False),
        ("andSequence", YES, YES, True),
        ("andSequence", YES, NO, False),
    ],
)
def test_logical_operators_in_three_values(kind, a, b, expected):
    constraint = {kind: [A, B]}
    granted = decide({"permission": [permit(constraint)]}, facts(a, b)).permitted
    forbidden = not decide({"permission": [permit()], "prohibition": [permit(constraint)]}, facts(a, b)).permitted
    assert (granted, forbidden) == {True: (True, True), False: (False, False), None: (False, True)}[expected]


def test_missing_facts_are_named_and_only_in_rules_that_were_looked_at():
    policy = {"permission": [permit(A), permit(P, action="sell")], "prohibition": [permit(B, action="sell")]}
    assert decide(policy).missing == (KZ + "a",)


def test_explanation_for_us_and_minimal_text_for_the_peer():
    found = decide({"permission": [permit(A, B)]}, {KZ + "b": "0"})
    lines = "\n".join(found.explain())
    assert "credential A" in lines
    assert "/permission/0/constraint/1" in lines
    assert "found: 0" in lines
    assert not any(each in found.minimal() for each in ("credential", KZ, "permission/0"))


def test_a_purpose_is_left_out_in_the_catalog_and_evaluated_later():
    policy = {"permission": [permit({"and": [A, P]})]}
    assert [decide(policy, facts(YES, None), phase=phase).permitted for phase in PHASES] == [True, False, False, True, True]
    assert [decide(policy, facts(NO, None), phase=phase).permitted for phase in PHASES] == [False] * 5
    given = {**facts(YES, None), PURPOSE: ["x"]}
    assert [decide(policy, given, phase=phase).permitted for phase in PHASES] == [True] * 5
    assert decide(policy, {**given, PURPOSE: ["z"]}, phase="negotiation").permitted is False


def test_a_constraint_left_out_does_not_loosen_what_stands_beside_it_note_4():
    assert not decide({"permission": [permit({"and": [P, A]})]}, facts(NO, None), phase="catalog").permitted
    assert not decide({"permission": [permit()], "prohibition": [permit({"or": [P, A]})]}, phase="catalog").permitted
    assert not decide({"permission": [permit({"or": [P, A]})]}, {}, phase="negotiation").permitted


def test_access_policies_with_a_purpose_are_recognised():
    policy = parse({"permission": [permit(A, P)]}, operands=REGISTRY)
    assert undecidable(policy, "catalog") == (PURPOSE,)
    assert undecidable(policy, "transfer") == ()


def test_duties_come_with_a_yes():
    policy = {"permission": [{**permit(A), "duty": [{"action": "attribute"}]}, permit(B)], "obligation": [{"action": "delete"}]}
    duties = [each.rsplit("/")[-1] for each in decide(policy, facts(YES, NO)).duties]
    assert duties == ["delete", "attribute"]
    assert decide(policy, facts(NO, NO)).duties == ()


def test_a_refinement_narrows_the_action():
    refined = {"rdf:value": {"@id": "odrl:use"}, "refinement": [A]}
    assert decide({"permission": [{"action": refined}]}, facts(YES, None)).permitted
    assert not decide({"permission": [{"action": refined}]}).permitted


def test_a_decision_holds_masks_of_what_held_and_was_unknown():
    policy = parse(
        {"permission": [permit(A, {"or": [B, A]}), permit(B, action="sell")], "prohibition": [permit(B)]}, operands=REGISTRY
    )
    request = Request("use", "negotiation", facts(YES, None), NOW)
    found = evaluate(policy, request)
    bits = {atom.path: atom.bit for atom in policy.atoms()}
    assert sorted(bits.values()) == [1, 2, 4, 8, 16]
    assert found.held == bits["/permission/0/constraint/0"] | bits["/permission/0/constraint/1/or/1"]
    assert found.unknown == bits["/permission/0/constraint/1/or/0"] | bits["/prohibition/0/constraint/0"]
    assert found.void is False
    assert found.request is request
    assert found.policy is policy
    nothing = evaluate(policy, Request("use", "negotiation", facts(NO, NO), NOW))
    assert (nothing.held, nothing.unknown, nothing.others) == (0, 0, ())
    assert evaluate(policy, Request("use", "negotiation", facts(YES, YES), NOW)).held == 1 | 2 | 4 | 16
    two = parse({"permission": [permit(A, B, A)]}, operands=REGISTRY)
    assert evaluate(two, Request("use", "negotiation", facts(YES, YES), NOW)).held == 1 | 2 | 4
    assert evaluate(two, Request("use", "negotiation", facts(YES, None), NOW)).held == 1 | 4


def test_a_policy_that_contradicts_itself_says_so():
    policy = {"permission": [permit()], "prohibition": [permit(A)], "conflict": "invalid"}
    assert decide(policy, facts(YES, None)).void is True
    assert "contradicts itself" in decide(policy, facts(YES, None)).explain()[1]
    assert decide(policy, facts(NO, None)).void is False


def test_an_offer_never_binds_and_a_request_is_not_decided():
    agreement = {"@type": "Agreement", "assigner": "did:web:p", "assignee": "did:web:c"}
    for kind, binding in ({"@type": "Offer"}, False), ({"@type": "Set"}, True), ({}, True), (agreement, True):
        found = evaluate(
            parse({"permission": [permit()]} | kind, operands=REGISTRY), Request("use", "transfer", {}, NOW, party="did:web:c")
        )
        assert found.permitted
        assert found.binding is binding
    assert not decide({"@type": "Set"}).binding
    with pytest.raises(PolicyError) as caught:
        decide({"@type": "Request", "permission": [permit()]})
    assert (caught.value.path, caught.value.reason) == ("/@type", "a request asks; it grants and forbids nothing")


def test_a_fact_is_read_once_and_only_in_its_phase():
    (atom,) = parse({"permission": [permit(P)]}, operands=REGISTRY).atoms()
    request = Request("use", "negotiation", {PURPOSE: ("x",)}, NOW)
    assert request.fact(atom) == {"x"}
    assert request.fact(atom) is request.fact(atom)
    assert request.known == {PURPOSE: {"x"}}
    assert Request("use", "catalog", {PURPOSE: ("x",)}, NOW).fact(atom) is None
    assert Request("use", "negotiation", {}, NOW).fact(atom) is None


def test_kept_for_further_policies_is_what_takes_longer_to_read_than_to_find_again():
    one, who, number, several = (
        Operand(iri=KZ + "one"),
        Operand(iri=KZ + "who", type="iri"),
        Operand(iri=KZ + "number", type="integer"),
        Operand(iri=KZ + "several", many=True),
    )
    rights = {one.iri: "2", who.iri: "did:web:b", number.iri: "6", several.iri: "2", "dateTime": "2027-01-01T00:00:00Z"}
    terms = [{"leftOperand": name, "operator": "neq", "rightOperand": right} for name, right in rights.items()]
    policy = parse({"permission": [permit(*terms)]}, operands=Registry([one, who, number, several]))
    given = {one.iri: "1", who.iri: "did:web:a", number.iri: "5", several.iri: ["1"]}
    request = Request("use", "negotiation", given, NOW)
    assert evaluate(policy, request).permitted
    assert request.known == {number.iri: 5, several.iri: {"1"}}
    request.known[number.iri] = 6
    assert not evaluate(policy, request).permitted, "what was kept is not read again"


def test_what_is_decided_later_has_no_bit_in_the_masks():
    policy = parse({"permission": [permit(P, A, P, B)]}, operands=REGISTRY)
    everything = facts(YES, YES) | {PURPOSE: ("x",)}
    assert evaluate(policy, Request("use", "negotiation", everything, NOW)).held == 1 | 2 | 4 | 8
    early = evaluate(policy, Request("use", "catalog", everything, NOW))
    assert (early.permitted, early.held, early.unknown) == (True, 2 | 8, 0)
    early = evaluate(policy, Request("use", "catalog", facts(NO, None), NOW))
    assert (early.permitted, early.held, early.unknown) == (False, 0, 8)


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        ("did:web:b", (True, ())),
        ("did:web:a", (False, ())),
        ("b", UNFIT),
        ("did: web", UNFIT),
        (" did:web:b", UNFIT),
        ("", UNFIT),
        (5, UNFIT),
    ],
)
def test_a_fact_that_is_no_name_is_unknown_where_a_name_is_expected(fact, expected):
    registry = Registry([Operand(iri=KZ + "who", type="iri")])
    other = {"leftOperand": KZ + "who", "operator": "neq", "rightOperand": "did:web:a"}
    found = evaluate(parse({"permission": [permit(other)]}, operands=registry), Request("use", "transfer", {KZ + "who": fact}, NOW))
    assert (found.permitted, found.missing) == expected


def test_undecidable_operands_are_named_once():
    policy = parse({"permission": [permit(P, A, P)], "prohibition": [permit(P)]}, operands=REGISTRY)
    assert undecidable(policy, "catalog") == (PURPOSE,)


def test_what_the_peer_may_be_told():
    assert decide({"permission": [permit()]}).minimal() == "permitted"
    assert decide({}).minimal() == "the terms of the offer are not met"


def test_a_moment_without_a_zone_leaves_unknown_what_depends_on_it():
    terms = [
        {"leftOperand": "elapsedTime", "operator": "lteq", "rightOperand": "P1D"},
        {"leftOperand": "dateTime", "operator": "lt", "rightOperand": "2027-01-01T00:00:00Z"},
    ]
    for term in terms:
        policy = parse({"permission": [permit(term)]}, operands=REGISTRY)
        given = {ODRL + "elapsedTime": NOW}
        assert evaluate(policy, Request("use", "transfer", given, NOW)).permitted
        found = evaluate(policy, Request("use", "transfer", given, NOW.replace(tzinfo=None)))
        assert (found.permitted, found.missing) == (False, (ODRL + term["leftOperand"],))


def test_only_what_a_phase_cannot_know_is_left_for_a_later_one():
    early, late = (
        SimpleNamespace(operand=SimpleNamespace(phases=frozenset({phase})), bit=bit)
        for phase, bit in (("catalog", 1), ("transfer", 2))
    )
    assert _decidable((early, late), "catalog") == ((early,), 2)
    assert _decidable((early, late), "transfer") == ((late,), 1)
