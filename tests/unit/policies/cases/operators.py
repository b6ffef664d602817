"""Single constraints: (name, constraint, fact, expected); expected is True, False, or None for what cannot be known."""

from datetime import UTC, datetime, timedelta, timezone

from tests.unit.policies.cases.registry import NOW, c

JST = timezone(timedelta(hours=9))
ORDER = {  # operator -> expected for a fact that is less, equal, more
    "lt": (True, False, False),
    "lteq": (True, True, False),
    "gt": (False, False, True),
    "gteq": (False, True, True),
    "eq": (False, True, False),
    "neq": (True, False, True),
}
ORDERED = {  # operand -> bound, further members, facts that are less, equal, more, facts that cannot be known
    "count": ("10", {}, (9, "10", 11), (True, "many", "1.5", [1, 2], [], {}, "", float("inf"))),
    "price": ("0.3", {}, ("0.29", "0.30", 0.31), ("0,3", True, None, "1e3")),
    "day": ("2026-11-24", {}, ("2026-11-23", "2026-11-24", "2026-12-01"), ("24.11.2026", "2026-02-30", 5)),
    "until": (
        "2026-11-24T18:00:00+09:00",
        {},
        ("2026-11-24T08:59:59Z", "2026-11-24T09:00:00.000Z", datetime(2026, 11, 24, 18, 0, 1, tzinfo=JST)),
        ("2026-11-24T09:00:00", NOW.replace(tzinfo=None), "2026-11-24"),
    ),
    "age": ("P30D", {}, ("P29D", "P4WT48H", "P1Y"), ("P1M", "30 days", "P", 30)),
    "money": (
        "5",
        {"unit": "EUR"},
        ({"value": "4.99", "unit": "EUR"}, {"value": 5, "unit": "EUR"}, {"value": "5.01", "unit": "EUR"}),
        ("5", {"value": "5"}, {"value": "5", "unit": "JPY"}, {"value": "x", "unit": "EUR"}, {"value": "5", "unit": "GBy"}),
    ),
    "size": (
        "1",
        {"unit": "KiBy"},
        ({"value": 1, "unit": "kBy"}, {"value": 1024, "unit": "By"}, {"value": 1, "unit": "MiBy"}),
        ({"value": 1, "unit": "kg"}, 1024),
    ),
}
RUNNING = [  # a duration that runs is compared by the calendar
    ("P1M", datetime(2026, 10, 25, 9, 0, 1, tzinfo=UTC), "less"),
    ("P1M", datetime(2026, 10, 24, 9, 0, tzinfo=UTC), "equal"),
    ("P1M", datetime(2026, 10, 24, 8, 59, 59, tzinfo=UTC), "more"),
    ("PT1H", NOW - timedelta(minutes=59), "less"),
    ("PT1H", NOW - timedelta(hours=1), "equal"),
    ("P1Y", datetime(2025, 11, 24, 18, 0, tzinfo=JST), "equal"),
]
EQUALITY = {
    "text": ("a", "b", (5, "", ["a", "b"], [])),
    "name": ("urn:a", "urn:b", ("no name", 5, [])),
    "flag": (True, "false", ("yes", 1)),
}
SETS = {  # fact -> expected of eq a, neq a, isAnyOf a x, isNoneOf a x, isAllOf a b
    ("a",): (True, False, True, False, False),
    ("b",): (False, True, False, True, False),
    ("a", "b"): (True, False, True, False, True),
    ("b", "c"): (False, True, False, True, False),
    ("a", "b", "c"): (True, False, True, False, True),
    ("x",): (False, True, True, False, False),
    (): (False, True, False, True, False),
    None: (None, None, None, None, None),
    ("a", 5): (None, None, None, None, None),
    ("a", ""): (None, None, None, None, None),
}
HIERARCHY = [  # operator, right, fact, expected
    ("isA", "product", ["flat.coil"], True),
    ("isA", "product", ["product"], True),
    ("isA", "flat", ["flat.coil"], True),
    ("isA", "flat", ["long"], False),
    ("isA", "flat.coil", ["flat"], False),
    ("isA", "flat", ["wire"], False),
    ("isA", "wire", ["wire"], True),
    ("isA", "flat", ["long", "flat.coil"], True),
    ("isA", "flat", [], False),
    ("isA", "flat", None, None),
    ("isPartOf", "product", ["long"], True),
    ("isPartOf", "long", ["product"], False),
    ("isPartOf", "flat", ["flat"], True),
    ("isPartOf", "flat", ["wire"], False),
    ("isPartOf", "flat", None, None),
    ("hasPart", "flat.coil", ["product"], True),
    ("hasPart", "flat.coil", ["flat"], True),
    ("hasPart", "flat.coil", ["long"], False),
    ("hasPart", "product", ["flat"], False),
    ("hasPart", "flat", ["flat"], True),
    ("hasPart", "wire", ["wire"], True),
    ("hasPart", "wire", ["product"], False),
    ("hasPart", "flat", None, None),
    ("isAnyOf", ["flat", "long"], ["flat.coil"], False),  # equality does not climb
]
SINGLE_HIERARCHY = [
    ("isA", "product", "flat.coil", True),
    ("isPartOf", "long", "flat", False),
    ("hasPart", "flat.coil", "product", True),
    ("hasPart", "flat.coil", "long", False),
]


def _ordered():
    for operand, (bound, members, facts, unknown) in ORDERED.items():
        for operator, expected in ORDER.items():
            for word, fact, each in zip(("less", "equal", "more"), facts, expected, strict=True):
                yield f"{operand} {operator}, {word}", c(operand, operator, bound, **members), fact, each
            yield f"{operand} {operator}, missing", c(operand, operator, bound, **members), None, None
        for fact in unknown:
            yield f"{operand} lteq, fact {fact!r}", c(operand, "lteq", bound, **members), fact, None
            yield f"{operand} neq, fact {fact!r}", c(operand, "neq", bound, **members), fact, None
        yield f"{operand} isAnyOf, one of them", c(operand, "isAnyOf", [bound, bound], **members), facts[1], True
        yield f"{operand} isAnyOf, none", c(operand, "isAnyOf", [bound], **members), facts[0], False
        yield f"{operand} isNoneOf, none", c(operand, "isNoneOf", [bound], **members), facts[2], True
        yield f"{operand} isNoneOf, one of them", c(operand, "isNoneOf", [bound], **members), facts[1], False


def _running():
    for length, began, word in RUNNING:
        for operator, expected in ORDER.items():
            place = ("less", "equal", "more").index(word)
            yield f"running since {began} {operator} {length}", c("age", operator, length), began, expected[place]
    yield "it has not begun", c("age", "lteq", "P1D"), NOW + timedelta(seconds=1), None
    yield "it begins now", c("age", "lteq", "P1D"), NOW, True
    yield "several that run", c("ages", "eq", "P1D"), [NOW - timedelta(days=1), NOW], True
    yield "it began in no zone", c("age", "lteq", "P1D"), NOW.replace(tzinfo=None), None


def _equality():
    for operand, (right, other, unknown) in EQUALITY.items():
        for operator, hit in (("eq", True), ("neq", False), ("isAnyOf", True), ("isNoneOf", False)):
            yield f"{operand} {operator}, the same", c(operand, operator, right), right, hit
            yield f"{operand} {operator}, another", c(operand, operator, right), other, not hit
            yield f"{operand} {operator}, missing", c(operand, operator, right), None, None
            for fact in unknown:
                yield f"{operand} {operator}, fact {fact!r}", c(operand, operator, right), fact, None
    yield "text isAnyOf several, second", c("text", "isAnyOf", ["a", "b"]), "b", True
    yield "text isNoneOf several, second", c("text", "isNoneOf", ["a", "b"]), "b", False
    yield "text eq, one in a list", c("text", "eq", "a"), ["a"], True
    yield "text of the greatest length", c("text", "eq", "a" * 1024), "a" * 1024, True
    yield "text too long to be read", c("text", "neq", "a"), "a" * 1025, None
    yield "state eq, a fact beyond the declared values", c("state", "eq", "active"), "unheard of", False


def _sets():
    for fact, expected in SETS.items():
        rights = (("eq", "a"), ("neq", "a"), ("isAnyOf", ["a", "x"]), ("isNoneOf", ["a", "x"]), ("isAllOf", ["a", "b"]))
        for (operator, right), each in zip(rights, expected, strict=True):
            yield f"many {operator}, fact {fact!r}", c("many", operator, right), fact, each
    yield "many eq, a single text", c("many", "eq", "a"), "a", True
    yield "many eq, a longer single text", c("many", "eq", "ab"), "ab", True
    yield "many isAnyOf, not the letters of a text", c("many", "isAnyOf", ["a", "b"]), "ab", False
    yield "name eq, one in a list", c("name", "eq", "urn:a"), ["urn:a"], True
    yield "name neq, one in a list", c("name", "neq", "urn:b"), ["urn:a"], True
    yield "many eq, a list", c("many", "eq", "a"), ["b", "a"], True
    yield "many eq, a set", c("many", "eq", "a"), {"b", "a"}, True
    for operator, right, fact, expected in HIERARCHY:
        yield f"kind {operator} {right}, fact {fact!r}", c("kind", operator, right), fact, expected
    for operator, right, fact, expected in SINGLE_HIERARCHY:
        yield f"one {operator} {right}, fact {fact!r}", c("one", operator, right), fact, expected


def _loose_sets():
    table = (
        ("eq", "P30D", ["P30D", "P1Y"], True),
        ("eq", "P30D", ["P1M"], None),
        ("eq", "P30D", ["P1D"], False),
        ("neq", "P30D", ["P30D"], False),
        ("neq", "P30D", ["P1D"], True),
        ("neq", "P30D", ["P1M", "P1D"], None),
        ("isAnyOf", ["P30D", "P1D"], ["P1D"], True),
        ("isAnyOf", ["P30D", "P1D"], ["P1M"], None),
        ("isAnyOf", ["P30D"], ["P2D"], False),
        ("isNoneOf", ["P30D"], ["P2D"], True),
        ("isNoneOf", ["P30D"], ["P1M"], None),
        ("isNoneOf", ["P30D"], ["P30D"], False),
        ("isAllOf", ["P30D", "P1D"], ["P1D", "P30D"], True),
        ("isAllOf", ["P30D", "P1D"], ["P1D"], False),
        ("isAllOf", ["P30D", "P1D"], ["P1D", "P1M"], None),
        ("isAllOf", ["P30D"], [], False),
    )
    for operator, right, fact, expected in table:
        yield f"ages {operator} {right}, fact {fact!r}", c("ages", operator, right), fact, expected


def _clock():
    for operator, expected in ORDER.items():
        for word, bound, each in zip(
            ("less", "equal", "more"),
            ("2026-11-24T18:00:01+09:00", "2026-11-24T09:00:00Z", "2026-11-24T08:59:59Z"),
            expected,
            strict=True,
        ):
            yield f"now {operator}, {word}", c("dateTime", operator, bound), None, each


OPERATORS = [*_ordered(), *_running(), *_equality(), *_sets(), *_loose_sets(), *_clock()]
