"""Whole policies: (name, policy, what is asked, permitted). What is asked defaults to `use` in a transfer, by nobody, of nothing.

`MISSING` says what an answer names as missing, `OWED` which duties come with it.
"""

from datetime import timedelta

from tests.unit.policies.cases.registry import KZ, NOW, ODRL, c

A, B, C = (c(each, "eq", "1") for each in "abc")
LATER = c("later", "eq", "1")
USE = {"action": "use"}
YES, NO = "1", "0"


def facts(**values):
    return {KZ + name: value for name, value in values.items() if value is not None}


def permit(*constraints, **members):
    return {"permission": [{"action": "use", "constraint": list(constraints), **members}]}


def forbid(*constraints, **members):
    return {"permission": [USE], "prohibition": [{"action": "use", "constraint": list(constraints), **members}]}


def ask(action="use", **members):
    return {"action": action, **members}


def _closed():
    yield "an empty policy", {}, ask(), False
    yield "obligations alone", {"obligation": [{"action": "delete"}]}, ask(), False
    yield "prohibitions alone", {"prohibition": [{"action": "sell"}]}, ask(), False
    yield "a permission without constraints", permit(), ask(), True
    yield "an action that nobody knows", permit(), ask("fly"), False
    yield "a permission of another action", {"permission": [{"action": "read"}]}, ask("distribute"), False
    yield "the second permission grants", {"permission": [{"action": "use", "constraint": [A]}, USE]}, ask(), True
    yield "an action by its IRI", permit(), ask(ODRL + "use"), True
    yield "an action by its prefix", permit(), ask("odrl:use"), True


ACTIONS = [  # granted, asked, permitted
    *(("use", each, True) for each in ("use", "read", "play", "display", "extract", "distribute", "delete", "odrl:index")),
    *(("use", each, False) for each in ("transfer", "give", "sell")),
    *(("transfer", each, True) for each in ("transfer", "give", "sell")),
    *(("transfer", each, False) for each in ("use", "read")),
    ("play", "display", True),
    ("display", "play", False),
    ("reproduce", "extract", True),
    ("extract", "reproduce", False),
    ("read", "use", False),
    ("derive", KZ + "train", True),
    ("use", KZ + "train", True),
    (KZ + "train", "derive", False),
    (KZ + "share", KZ + "publish", True),
    (KZ + "publish", KZ + "share", False),
    ("use", "http://creativecommons.org/ns#Sharing", True),
    ("cc:Sharing", "use", False),
]


def _actions():
    for granted, asked, expected in ACTIONS:
        yield f"{granted} granted, {asked} asked", {"permission": [{"action": granted}]}, ask(asked), expected
        everything = [USE, {"action": "transfer"}, {"action": KZ + "share"}]
        yield (
            f"{granted} forbidden, {asked} asked",
            {"permission": everything, "prohibition": [{"action": granted}]},
            ask(asked),
            not expected,
        )
    both = {"permission": [{"action": ["read", "print"]}]}
    for action, expected in (("read", True), ("print", True), ("play", False)):
        yield f"two actions in one rule, {action}", both, ask(action), expected
    shared = {"action": "read", "permission": [{}]}
    yield "the action of the policy", shared, ask("read"), True
    yield "the action of the policy, another asked", shared, ask("print"), False
    share, distribute = {"permission": [{"action": KZ + "share"}, USE]}, {"prohibition": [{"action": "distribute"}]}
    yield "what it implies is forbidden", share | distribute, ask(KZ + "share"), False
    yield "a kind of it implies it too", share | distribute, ask(KZ + "publish"), False
    yield "what it implies is forbidden by a wider action", share | {"prohibition": [USE]}, ask(KZ + "share"), False
    yield "what it implies is not granted by it", {"permission": [{"action": KZ + "share"}]}, ask("distribute"), False
    yield "nothing it implies is forbidden", share | {"prohibition": [{"action": "sell"}]}, ask(KZ + "share"), True


def _rules():
    table = (
        (YES, YES, True),
        (YES, NO, False),
        (NO, YES, False),
        (YES, None, None),
        (None, YES, None),
        (NO, None, False),
        (None, None, None),
    )
    for a, b, expected in table:
        granted, forbidden = expected is True, expected is not False
        yield f"permission with a={a} b={b}", permit(A, B), ask(facts=facts(a=a, b=b)), granted
        yield f"prohibition with a={a} b={b}", forbid(A, B), ask(facts=facts(a=a, b=b)), not forbidden
    yield "a prohibition without constraints", forbid(), ask(), False
    yield (
        "two prohibitions, the second in force",
        forbid(A) | {"prohibition": [{"action": "use", "constraint": [A]}, {"action": "read"}]},
        ask("read", facts=facts(a=NO)),
        False,
    )


def _logical():
    value = {True: YES, False: NO, None: None}
    tables = {
        "and": {
            (1, 1): True,
            (1, 0): False,
            (0, 1): False,
            (0, 0): False,
            (1, 2): None,
            (2, 1): None,
            (0, 2): False,
            (2, 0): False,
            (2, 2): None,
        },
        "or": {
            (1, 1): True,
            (1, 0): True,
            (0, 1): True,
            (0, 0): False,
            (1, 2): True,
            (2, 1): True,
            (0, 2): None,
            (2, 0): None,
            (2, 2): None,
        },
        "xone": {
            (1, 1): False,
            (1, 0): True,
            (0, 1): True,
            (0, 0): False,
            (1, 2): None,
            (2, 1): None,
            (0, 2): None,
            (2, 0): None,
            (2, 2): None,
        },
    }
    tables["andSequence"] = tables["and"]
    word = {1: True, 0: False, 2: None}
    for kind, table in tables.items():
        for (a, b), expected in table.items():
            given = facts(a=value[word[a]], b=value[word[b]])
            yield f"{kind} in a permission, a={word[a]} b={word[b]}", permit({kind: [A, B]}), ask(facts=given), expected is True
            yield f"{kind} in a prohibition, a={word[a]} b={word[b]}", forbid({kind: [A, B]}), ask(facts=given), expected is False
    for a, b, third, expected in (
        (YES, NO, NO, True), (NO, NO, YES, True), (YES, YES, NO, False), (YES, YES, YES, False), (YES, YES, None, False), (NO, NO, None, None),
    ):  # fmt: skip
        given = facts(a=a, b=b, c=third)
        yield f"xone of three in a permission: {a} {b} {third}", permit({"xone": [A, B, C]}), ask(facts=given), expected is True
        yield f"xone of three in a prohibition: {a} {b} {third}", forbid({"xone": [A, B, C]}), ask(facts=given), expected is False
    for kind in ("and", "or", "xone", "andSequence"):
        yield f"{kind} of one that holds", permit({kind: [A]}), ask(facts=facts(a=YES)), True
        yield f"{kind} of one that fails", permit({kind: [A]}), ask(facts=facts(a=NO)), False
        yield f"{kind} of one that is unknown", forbid({kind: [A]}), ask(), False
    nested = {"or": [{"and": [A, B]}, {"xone": [A, {"or": [B, C]}]}]}
    for a, b, third, expected in (
        (YES, YES, None, True),
        (YES, NO, NO, True),
        (NO, NO, NO, False),
        (NO, YES, NO, True),
        (YES, NO, YES, False),
    ):
        yield f"nested: {a} {b} {third}", permit(nested), ask(facts=facts(a=a, b=b, c=third)), expected
    yield "beside a constraint that fails", permit({"or": [A, B]}, C), ask(facts=facts(a=YES, c=NO)), False


def _sequence():
    both = facts(a=YES, b=YES)
    first, second = NOW - timedelta(days=2), NOW - timedelta(days=1)
    sequence = {"andSequence": [A, B]}
    inner = {"andSequence": [{"or": [A, C]}, B]}
    for name, constraint, since, expected in (
        ("in order", sequence, {"a": first, "b": second}, True),
        ("at the same moment", sequence, {"a": first, "b": first}, True),
        ("in the wrong order", sequence, {"a": second, "b": first}, False),
        ("one moment is not known", sequence, {"a": second}, True),
        ("no moment is known", sequence, {}, True),
        ("parts within, in order", inner, {"a": first, "b": second, "c": first}, True),
        ("parts within, the latest counts", inner, {"a": first, "b": second - timedelta(hours=1), "c": second}, False),
        ("and does not ask", {"and": [A, B]}, {"a": second, "b": first}, True),
    ):
        moments = {KZ + key: value for key, value in since.items()}
        yield f"sequence, {name}", permit(constraint), ask(facts=both | facts(c=YES), since=moments), expected
    wrong = {KZ + "a": second, KZ + "b": first}
    yield "sequence in a prohibition, in the wrong order", forbid(sequence), ask(facts=both, since=wrong), True
    yield (
        "sequence that fails anyway",
        permit(sequence),
        ask(facts=facts(a=YES, b=NO), since={KZ + "a": first, KZ + "b": second}),
        False,
    )


def _refinements():
    refined = {"rdf:value": {"@id": "odrl:use"}, "refinement": [A]}
    one = {"permission": [{"action": refined, "constraint": [B]}]}
    yield "refined action, all hold", one, ask(facts=facts(a=YES, b=YES)), True
    yield "refined action, the refinement fails", one, ask(facts=facts(a=NO, b=YES)), False
    yield "refined action, the constraint fails", one, ask(facts=facts(a=YES, b=NO)), False
    yield "refined action, the refinement is unknown", one, ask(facts=facts(b=YES)), False
    two = {"permission": [{"action": [{"@id": "read", "refinement": [A]}, {"@id": "print", "refinement": [B]}, "play"]}]}
    for action, given, expected in (
        ("read", facts(a=YES), True),
        ("read", facts(b=YES), False),
        ("print", facts(b=YES), True),
        ("play", {}, True),
    ):
        yield f"each action has its refinement: {action} {given}", two, ask(action, facts=given), expected
    narrow = {"permission": [USE], "prohibition": [{"action": {"@id": "derive", "refinement": [A]}}]}
    for a, expected in ((YES, False), (NO, True), (None, False)):
        yield f"a refined prohibition, a={a}", narrow, ask("derive", facts=facts(a=a)), expected


def _scopes():
    for name in ("target", "party"):
        member = "assignee" if name == "party" else name
        collection = {"@type": "PartyCollection" if name == "party" else "AssetCollection", "@id": "urn:all"}
        one = permit(**{member: "urn:x"})
        yield f"{member}, the one", one, ask(**{name: "urn:x"}), True
        yield f"{member}, another", one, ask(**{name: "urn:y"}), False
        yield f"{member}, nobody says which", one, ask(), False
        yield f"{member} of the policy", permit() | {member: "urn:x"}, ask(**{name: "urn:x"}), True
        yield f"{member} of the policy, another", permit() | {member: "urn:x"}, ask(**{name: "urn:y"}), False
        yield f"{member}, one of two", permit(**{member: ["urn:x", "urn:y"]}), ask(**{name: "urn:y"}), True
        yield f"{member}, none of two", permit(**{member: ["urn:x", "urn:y"]}), ask(**{name: "urn:z"}), False
        yield f"prohibition of the {member}", forbid(**{member: "urn:x"}), ask(**{name: "urn:x"}), False
        yield f"prohibition of another {member}", forbid(**{member: "urn:x"}), ask(**{name: "urn:y"}), True
        yield f"prohibition, nobody says which {member}", forbid(**{member: "urn:x"}), ask(), False
        group = permit(**{member: collection})
        within = {"urn:x": frozenset({"urn:all"}), "urn:y": frozenset({"urn:other"})}
        yield f"{member} collection, a member", group, ask(part_of=within, **{name: "urn:x"}), True
        yield f"{member} collection, of another", group, ask(part_of=within, **{name: "urn:y"}), False
        yield f"{member} collection, membership unknown", group, ask(part_of=within, **{name: "urn:z"}), False
        yield f"{member} collection itself", group, ask(**{name: "urn:all"}), True
        yield f"prohibited {member} collection, membership unknown", forbid(**{member: collection}), ask(**{name: "urn:z"}), False
        yield (
            f"prohibited {member} collection, known not to be in it",
            forbid(**{member: collection}),
            ask(part_of=within, **{name: "urn:y"}),
            True,
        )
        source = permit(**{member: {"source": "urn:all"}})
        yield f"{member} collection by its source", source, ask(part_of=within, **{name: "urn:x"}), True
        refined = permit(**{member: collection | {"refinement": [A]}})
        for a, expected in ((YES, True), (NO, False), (None, False)):
            yield f"refined {member} collection, a={a}", refined, ask(part_of=within, facts=facts(a=a), **{name: "urn:x"}), expected
        refined = forbid(**{member: collection | {"refinement": [A]}})
        for a, expected in ((YES, False), (NO, True), (None, False)):
            yield (
                f"refined prohibited {member} collection, a={a}",
                refined,
                ask(part_of=within, facts=facts(a=a), **{name: "urn:x"}),
                expected,
            )
        either = permit(**{member: [collection | {"refinement": [LATER]}, {"@id": "urn:unknown", "source": "urn:s"}]})
        yield (
            f"{member}, one is decided later, one unknown",
            either,
            ask(phase="catalog", part_of={"urn:y": frozenset()}, **{name: "urn:z"}),
            False,
        )
        two = {
            "permission": [USE],
            "prohibition": [{"action": "use", member: [collection | {"refinement": [LATER]}, collection | {"refinement": [A]}]}],
        }
        yield f"prohibited {member}, unknown outranks later", two, ask(phase="catalog", part_of=within, **{name: "urn:x"}), False
        yield f"a plain {member} may be a collection", permit(**{member: "urn:all"}), ask(part_of=within, **{name: "urn:x"}), True


def _conflicts():
    both = {"permission": [USE], "prohibition": [{"action": "read", "constraint": [A]}]}
    table = (
        ("prohibit", "read", YES, False),
        ("prohibit", "read", NO, True),
        ("prohibit", "read", None, False),
        ("prohibit", "print", YES, True),
        ("perm", "read", YES, True),
        ("perm", "read", None, True),
        ("perm", "sell", NO, False),
        ("invalid", "read", YES, False),
        ("invalid", "read", None, False),
        ("invalid", "read", NO, True),
        ("invalid", "print", YES, False),  # the whole policy is void
        ("invalid", "print", None, False),
        ("invalid", "print", NO, True),
    )
    for conflict, action, a, expected in table:
        yield f"conflict {conflict}, {action}, a={a}", both | {"conflict": conflict}, ask(action, facts=facts(a=a)), expected
    apart = {"permission": [{"action": "read"}], "prohibition": [{"action": "sell"}], "conflict": "invalid"}
    yield "invalid, but they never meet", apart, ask("read"), True
    wider = {"permission": [{"action": "read"}], "prohibition": [USE], "conflict": "invalid"}
    yield "invalid, a wider prohibition", wider, ask("read"), False
    other = {
        "permission": [{"action": "read"}, {"action": "play", "constraint": [B]}],
        "prohibition": [{"action": "play"}],
        "conflict": "invalid",
    }
    for b, expected in ((YES, False), (None, False), (NO, True)):
        yield f"invalid, elsewhere in the policy, b={b}", other, ask("read", facts=facts(b=b)), expected
    yield "perm, and no permission holds", permit(A) | {"conflict": "perm"}, ask(facts=facts(a=NO)), False
    second = {
        "permission": [USE],
        "prohibition": [{"action": "play", "constraint": [A]}, {"action": "print", "constraint": [B]}],
        "conflict": "invalid",
    }
    yield "invalid, by the second prohibition", second, ask("read", facts=facts(a=NO, b=YES)), False
    yield "invalid, by neither prohibition", second, ask("read", facts=facts(a=NO, b=NO)), True
    yield "nothing is said: a prohibition wins", forbid(), ask(), False


def _duties():
    plain = permit(duty=[{"action": "compensate"}])
    limited = permit(duty=[{"action": "delete", "constraint": [c("elapsedTime", "lteq", "P30D")]}])
    after = permit(duty=[{"action": "delete", "consequence": [{"action": "compensate"}]}])
    path, then = "/permission/0/duty/0", "/permission/0/duty/0/consequence/0"
    for state, expected in (
        ("fulfilled", True), ("inactive", True), ("waived", True), ("active", False), ("overdue", False), (None, False), ("late", True),
    ):  # fmt: skip
        yield f"a precondition that is {state}", plain, ask(duties={path: state} if state else {}), expected
    for state, expected in (("active", True), ("overdue", False), ("fulfilled", True), (None, False)):
        yield f"a duty with a time limit that is {state}", limited, ask(duties={path: state} if state else {}), expected
    for state, consequence, expected in (
        ("late", "fulfilled", True), ("late", "active", False), ("late", None, False), ("overdue", "fulfilled", False), ("fulfilled", None, True),
    ):  # fmt: skip
        given = {path: state} | ({then: consequence} if consequence else {})
        yield f"a duty that is {state}, its consequence {consequence}", after, ask(duties=given), expected
    for phase, expected in (
        ("catalog", True),
        ("negotiation", True),
        ("transfer", False),
        ("monitoring", False),
        ("consumer", False),
    ):
        yield f"a duty that nobody knows of, {phase}", plain, ask(phase=phase), expected
    yield (
        "an overdue obligation is not a precondition",
        permit() | {"obligation": [{"action": "delete"}]},
        ask(duties={"/obligation/0": "overdue"}),
        True,
    )
    two = permit(duty=[{"action": "compensate"}, {"action": "attribute"}])
    yield "one of two duties is open", two, ask(duties={path: "fulfilled", "/permission/0/duty/1": "active"}), False
    remedied = forbid(remedy=[{"action": "compensate"}])
    fixed = {"/prohibition/0/remedy/0": "fulfilled"}
    yield "a remedy lifts nothing", remedied, ask(duties=fixed), False
    yield "a remedy lifts where it is said to", remedied, ask(duties=fixed, remedied=True), True
    yield "a remedy that is open lifts nothing", remedied, ask(duties={"/prohibition/0/remedy/0": "active"}, remedied=True), False
    yield "without a remedy nothing is lifted", forbid(), ask(remedied=True), False


def _phases():
    for phase, known in (("catalog", False), ("negotiation", False), ("transfer", True), ("monitoring", True), ("consumer", False)):
        yield f"deferred in {phase}: permission", permit(A, LATER), ask(phase=phase, facts=facts(a=YES)), not known
        yield f"deferred in {phase}: the rest still counts", permit(A, LATER), ask(phase=phase, facts=facts(a=NO)), False
        yield (
            f"deferred in {phase}: what stands behind it still counts",
            permit(LATER, A),
            ask(phase=phase, facts=facts(a=NO)),
            False,
        )
        yield f"deferred in {phase}: prohibition", forbid(LATER), ask(phase=phase), not known
        yield f"deferred in {phase}: or with what is unknown", forbid({"or": [LATER, B]}), ask(phase=phase), False
        yield f"deferred in {phase}: or with what holds", permit({"or": [LATER, A]}), ask(phase=phase, facts=facts(a=YES)), True
        yield f"deferred in {phase}: or with what fails", permit({"or": [LATER, A]}), ask(phase=phase, facts=facts(a=NO)), not known
        yield (
            f"deferred in {phase}: xone with what holds",
            permit({"xone": [LATER, A]}),
            ask(phase=phase, facts=facts(a=YES)),
            not known,
        )
        yield (
            f"deferred in {phase}: xone with two that hold",
            permit({"xone": [LATER, A, B]}),
            ask(phase=phase, facts=facts(a=YES, b=YES)),
            False,
        )
        yield f"deferred in {phase}: known later", permit(LATER), ask(phase=phase, facts=facts(later=YES)), True
        yield f"deferred in {phase}: known later to fail", permit(LATER), ask(phase=phase, facts=facts(later=NO)), not known


def _clock():
    until = permit(c("dateTime", "lt", "2026-11-24T09:00:00Z"))
    yield "just before", until, ask(now=NOW - timedelta(microseconds=1)), True
    yield "just then", until, ask(now=NOW), False
    yield "a moment among the facts is not the present", until, ask(facts={ODRL + "dateTime": NOW - timedelta(days=9)}), False
    yield "a present without a zone is none", until, ask(now=(NOW - timedelta(days=9)).replace(tzinfo=None)), False
    yield (
        "a present without a zone lifts no prohibition",
        forbid(c("dateTime", "gt", "2030-01-01T00:00:00Z")),
        ask(now=NOW.replace(tzinfo=None)),
        False,
    )


DECISIONS = [
    *_closed(), *_actions(), *_rules(), *_logical(), *_sequence(), *_refinements(), *_scopes(), *_conflicts(), *_duties(), *_phases(), *_clock(),
]  # fmt: skip

MISSING = [  # policy, what is asked, what is named as missing
    (permit(A, B), ask(facts=facts(b=YES)), (KZ + "a",)),
    (permit(A, {"or": [B, C]}), ask(facts=facts(a=YES, b=NO)), (KZ + "c",)),
    (permit(A), ask(facts=facts(a=NO)), ()),
    (permit(), ask(), ()),
    (forbid(A), ask(), (KZ + "a",)),
    ({"permission": [{"action": "read", "constraint": [A]}, {"action": "sell", "constraint": [B]}]}, ask("read"), (KZ + "a",)),
    (permit(target="urn:x"), ask(), (ODRL + "target",)),
    (permit(assignee="urn:x"), ask(), (ODRL + "assignee",)),
    (permit(duty=[{"action": "compensate"}]), ask(), ("/permission/0/duty/0",)),
    (permit(A, A), ask(), (KZ + "a",)),
    (permit(A, B), ask(), (KZ + "a", KZ + "b")),
    (permit(B, target="urn:x", assignee="urn:y"), ask(), (KZ + "b", ODRL + "target", ODRL + "assignee")),
    (
        permit(target="urn:x", duty=[{"action": "compensate"}, {"action": "inform"}]),
        ask(),
        (ODRL + "target", "/permission/0/duty/0", "/permission/0/duty/1"),
    ),
    (permit(LATER), ask(phase="catalog"), ()),
]
OWED = [  # policy, what is asked, the duties that come with the answer
    (permit(A) | {"obligation": [{"action": "delete"}]}, ask(facts=facts(a=YES)), (ODRL + "delete",)),
    (permit(A) | {"obligation": [{"action": "delete"}]}, ask(facts=facts(a=NO)), ()),
    (
        {
            "permission": [
                {"action": "use", "duty": [{"action": "attribute"}]},
                {"action": "use", "constraint": [A], "duty": [{"action": "inform"}]},
            ]
        },
        ask(phase="negotiation", facts=facts(a=NO)),
        (ODRL + "attribute",),
    ),
    (
        {
            "permission": [
                {"action": "read", "duty": [{"action": "inform"}]},
                {"action": "use", "duty": [{"action": "attribute"}]},
            ],
            "obligation": [{"action": "attribute"}],
        },
        ask("read", phase="negotiation"),
        (ODRL + "attribute", ODRL + "inform"),
    ),
]
