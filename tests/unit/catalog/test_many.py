"""Big catalogs: decisions that no clock changes are made once for a caller, and a window far inside costs what the first one costs."""

from datetime import UTC, datetime, timedelta

from catalog.dcat import Asset, OfferTerms
from catalog.offers import Shelf
from policies.profiles import load

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
MEMBER = "https://w3id.org/kizuna/policy/1#membership"
FACTS = {MEMBER: "active"}
OPEN = {"permission": [{"action": "use", "constraint": [{"leftOperand": MEMBER, "operator": "eq", "rightOperand": "active"}]}]}


def until(moment):
    return {
        "permission": [
            {"action": "use", "constraint": [{"leftOperand": "dateTime", "operator": "lt", "rightOperand": moment.isoformat()}]}
        ]
    }


def asset(number):
    return Asset(
        id=f"a{number:04}", participant="p", profile="", schema="", title={"en": "x"}, size=1, sha256="0", source="", created="c"
    )


def shelf(*groups):
    """One with assets under each (policy, numbers)."""
    made = Shelf(load("base"))
    for place, (policy, numbers) in enumerate(groups):
        for number in numbers:
            made.put(OfferTerms(id=f"o{place}-{number:04}", asset=f"a{number:04}", access=policy, contract={}), asset(number))
    return made


def test_a_decision_that_no_clock_changes_is_made_once_for_the_same_facts(decisions):
    made = shelf((OPEN, range(10)))
    for minutes in range(5):
        assert len(list(made.visible(FACTS, NOW + timedelta(minutes=minutes)))) == 10
    assert len(decisions) == 1
    assert list(made.visible(dict(FACTS, **{MEMBER: "none"}), NOW)) == []
    assert list(made.visible(FACTS, NOW, party="did:web:other.example"))
    assert len(decisions) == 3


def test_a_decision_about_time_is_made_again(decisions):
    made = shelf((until(NOW + timedelta(minutes=1)), range(3)))
    assert len(list(made.visible(FACTS, NOW))) == 3
    assert list(made.visible(FACTS, NOW + timedelta(minutes=2))) == []
    assert len(decisions) == 2


def test_a_window_is_that_part_of_what_is_visible():
    made = shelf((OPEN, range(0, 40, 2)), (until(NOW + timedelta(hours=1)), range(0, 40, 3)), (until(NOW), range(40)))
    everything = list(made.visible(FACTS, NOW))
    for offset in (0, 5, len(everything) - 3, len(everything), 1000):
        assert made.window(FACTS, NOW, offset, 7) == everything[offset : offset + 7]


def test_what_is_put_or_dropped_meanwhile_is_in_the_next_window():
    made = shelf((OPEN, range(4)))
    assert len(made.window(FACTS, NOW, 0, 50)) == 4
    made.put(OfferTerms(id="new", asset="a0009", access=OPEN, contract={}), asset(9))
    assert made.window(FACTS, NOW, 4, 50)[0][0].id == "a0009"
    made.drop("new")
    assert made.window(FACTS, NOW, 4, 50) == []
