"""What is left open within a template: inside and outside, the nearest terms, and that two sides whose ranges meet find each other."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.odrl import same_terms
from policies.profiles import Bound, bounds, load

PROFILE = load("battery")
TEMPLATE = PROFILE.templates["passport-one-up"]
OWN = {"role": ["packMaker"], "until": "2030-01-01T00:00:00Z", "retention": "P1Y"}
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
DAYS = st.integers(0, 3000).map(lambda days: f"{BEGIN + timedelta(days=days):%Y-%m-%dT00:00:00Z}")
RANGES = st.tuples(DAYS, DAYS).map(sorted)
PURPOSES = st.sets(st.sampled_from(TEMPLATE.parameters["purpose"].values), min_size=1).map(sorted)


def terms(**changed):
    return TEMPLATE.fill(OWN | changed)[1]


def ended(found, end):
    return end in str(found)


@pytest.mark.parametrize(
    ("wanted", "bound", "nearest"),
    [
        ("2031-06-01T00:00:00Z", Bound(most="2031-01-01T00:00:00Z"), "2031-01-01T00:00:00Z"),
        ("2029-06-01T00:00:00Z", Bound(least="2030-01-01T00:00:00Z"), "2030-01-01T00:00:00Z"),
        ("2030-06-01T00:00:00Z", Bound(least="2030-01-01T00:00:00Z", most="2031-01-01T00:00:00Z"), "2030-06-01T00:00:00Z"),
        ("2029-06-01T00:00:00Z", Bound(values=("2030-05-05T00:00:00Z",)), OWN["until"]),  # no order: the own value
        ("2029-06-01T00:00:00Z", Bound(), "2029-06-01T00:00:00Z"),
    ],
)
def test_the_nearest_terms_have_the_closest_value_within_the_bound(wanted, bound, nearest):
    found = bounds.nearest(TEMPLATE, OWN, {"until": bound}, terms(until=wanted))
    assert same_terms(found, terms(until=nearest)) == []


def test_of_several_values_those_within_the_bound_are_taken():
    bound = {"purpose": Bound(values=("cfp.rollup:1", "quality.incoming:1"))}
    asked = terms(purpose=["cfp.rollup:1", "circular.reuse:1"])
    assert same_terms(bounds.nearest(TEMPLATE, OWN, bound, asked), terms(purpose=["cfp.rollup:1"])) == []
    assert same_terms(bounds.nearest(TEMPLATE, OWN, bound, terms(purpose=["circular.reuse:1"])), terms()) == []


@pytest.mark.parametrize(
    "asked",
    [
        terms(role=["oem"]),
        terms() | {"prohibition": [{"action": "sell"}]},
        {"permission": [{"action": "use"}]},
        {"permission": "nonsense"},
    ],
)
def test_nothing_is_near_to_terms_that_differ_in_what_is_not_open(asked):
    assert bounds.nearest(TEMPLATE, OWN, {"until": Bound()}, asked) is None


def test_terms_of_a_template_are_recognised_with_their_values():
    made = terms(purpose=["cfp.rollup:1"], dataSpace="example")
    found = bounds.read(TEMPLATE, made)
    assert {name: found[name] for name in ("role", "until", "retention", "purpose", "dataSpace")} == {
        **OWN, "purpose": ["cfp.rollup:1"], "dataSpace": "example"}  # fmt: skip
    assert same_terms(TEMPLATE.fill(found)[1], made) == []
    assert bounds.read(TEMPLATE, made | {"prohibition": [{"action": "sell"}]}) is None
    assert bounds.read(TEMPLATE, {"permission": [{"action": "use"}]}) is None


@pytest.mark.parametrize("name", sorted(PROFILE.templates))
def test_every_template_is_recognised_in_what_it_makes(name):
    template = PROFILE.templates[name]
    values = {key: value for key, each in template.parameters.items() if (value := each.trial()) is not None}
    made = template.fill(values)[1]
    assert same_terms(template.fill(bounds.read(template, made))[1], made) == []


@given(limits=RANGES, wanted=DAYS, purposes=PURPOSES, allowed=PURPOSES)
def test_the_nearest_terms_are_within_and_terms_within_are_their_own_nearest(limits, wanted, purposes, allowed):
    open_to = {"until": Bound(least=limits[0], most=limits[1]), "purpose": Bound(values=tuple(allowed))}
    own = OWN | {"until": limits[0], "purpose": allowed}
    asked = terms(until=wanted, purpose=purposes)
    near = bounds.nearest(TEMPLATE, own, open_to, asked)
    assert bounds.outside(TEMPLATE, own, open_to, near) == []
    if not bounds.outside(TEMPLATE, own, open_to, asked):
        assert same_terms(near, asked) == []


@given(ours=RANGES, theirs=RANGES, wanted=st.booleans())
def test_the_first_counter_offer_is_within_what_the_other_side_leaves_open_exactly_when_the_ranges_meet(ours, theirs, wanted):
    asked = terms(until=theirs[wanted])
    near = bounds.nearest(TEMPLATE, OWN | {"until": ours[0]}, {"until": Bound(least=ours[0], most=ours[1])}, asked)
    outside = bounds.outside(TEMPLATE, OWN | {"until": theirs[0]}, {"until": Bound(least=theirs[0], most=theirs[1])}, near)
    assert (outside == []) == (max(ours[0], theirs[0]) <= min(ours[1], theirs[1]))
