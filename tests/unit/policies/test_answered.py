"""What comes for a duty meets it as the clock has it: late evidence begins its consequences, whoever looked before or did not (policies.duties.ledger)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import Conflict
from policies.duties import Evidence, answered, fulfilled, opened, ticked, waived
from policies.odrl import Registry, parse

AT = datetime(2026, 1, 31, 9, tzinfo=UTC)
DAY = timedelta(days=1)
SHOWN = Evidence(kind="E1", by="did:web:c", at="2026-02-01T09:00:00.000Z")


def duty(action, days=None, *consequences):
    due = [] if days is None else [{"leftOperand": "elapsedTime", "operator": "lteq", "rightOperand": f"P{days}D"}]
    return {"action": action, "constraint": due} | ({"consequence": list(consequences)} if consequences else {})


def policy(*duties, **more):
    return parse({"permission": [{"action": "use"}], "obligation": list(duties), **more}, operands=Registry([]))


def done(now):
    return lambda entry: fulfilled(entry, SHOWN, now)


def given_up(_now):
    return lambda entry: waived(entry, "did:web:p", "agreed")


def states(entries):
    return {each.path.removeprefix("/obligation"): each.state for each in entries}


LADDER = policy(duty("inform", 10, duty("delete", 5), duty("attribute")), duty("archive", 3))
FIRST = "/obligation/0"


@pytest.mark.parametrize(("way", "after"), [(done, "late"), (given_up, "waived")])
def test_what_comes_after_the_time_begins_the_consequences_though_nobody_has_looked(way, after):
    now = AT + 11 * DAY
    entries = answered(opened("a", LADDER, AT), LADDER, now, FIRST, way(now))
    assert states(entries) == {
        "/0": after,
        "/0/consequence/0": "active",
        "/0/consequence/1": "active",
        "/1": "active",
    }, "what else is overdue is left to whoever acts"
    begun = entries[1]
    assert (begun.triggered, begun.due) == ("2026-02-10T09:00:00.000Z", "2026-02-15T09:00:00.000Z"), (
        "with the moment of the due date"
    )
    assert entries[0].due == "2026-02-10T09:00:00.000Z"


@pytest.mark.parametrize(("way", "after"), [(done, "fulfilled"), (given_up, "waived")])
def test_what_comes_in_time_begins_nothing(way, after):
    now = AT + 9 * DAY
    entries = answered(opened("a", LADDER, AT), LADDER, now, FIRST, way(now))
    assert states(entries)["/0"] == after
    assert {states(entries)[each] for each in ("/0/consequence/0", "/0/consequence/1")} == {"inactive"}
    assert ticked(entries, LADDER, AT + 30 * DAY)[0][1].state == "inactive"


def test_a_consequence_that_is_overdue_already_acts_when_somebody_looks():
    now = AT + 30 * DAY
    entries = answered(opened("a", LADDER, AT), LADDER, now, FIRST, done(now))
    assert states(entries)["/0/consequence/0"] == "active"
    after, acts = ticked(entries, LADDER, now)
    assert states(after)["/0/consequence/0"] == "overdue"
    assert (f"{FIRST}/consequence/0", "end") in [(each.entry.path, each.what) for each in acts]


def test_a_consequence_that_the_clock_alone_has_begun_can_be_done_and_ends_nothing():
    now, path = AT + 11 * DAY, f"{FIRST}/consequence/0"
    entries = answered(opened("a", LADDER, AT), LADDER, now, path, done(now))
    assert (states(entries)["/0"], states(entries)["/0/consequence/0"]) == ("active", "fulfilled")
    after, acts = ticked(entries, LADDER, now)
    assert states(after)["/0"] == "overdue"
    assert [(each.entry.path, each.what) for each in acts] == [
        (f"{FIRST}/consequence/1", "consequence"),
        ("/obligation/1", "end"),
    ], "its duty has consequences, and the one that is done does not begin again"
    alone = policy(duty("inform", 10, duty("delete")))
    entries = answered(opened("a", alone, AT), alone, now, path, done(now))
    assert ticked(entries, alone, now)[1] == [], "the policy names a consequence, so nothing ends"


def test_what_is_refused_changes_nothing():
    entries = opened("a", LADDER, AT)
    with pytest.raises(Conflict, match="is inactive"):
        answered(entries, LADDER, AT + DAY, f"{FIRST}/consequence/0", done(AT + DAY))
    assert entries == opened("a", LADDER, AT)


def test_a_second_answer_begins_nothing_again():
    now = AT + 11 * DAY
    entries = answered(opened("a", LADDER, AT), LADDER, now, FIRST, done(now))
    entries = answered(entries, LADDER, now, f"{FIRST}/consequence/0", done(now))
    with pytest.raises(Conflict, match="is late"):
        answered(entries, LADDER, now, FIRST, done(now))
    assert states(ticked(entries, LADDER, now)[0])["/0/consequence/0"] == "fulfilled"


DAYS = st.integers(1, 9)
LEAVES = st.builds(duty, st.sampled_from(["inform", "attribute", "delete"]), st.none() | DAYS)
DUTIES = LEAVES | st.builds(
    lambda days, found: duty("inform", days, *found), DAYS, st.lists(LEAVES, min_size=1, max_size=2, unique_by=str)
)


@given(
    st.lists(DUTIES, min_size=1, max_size=3, unique_by=str),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9), st.booleans()), max_size=5),
)
def test_it_makes_no_difference_whether_anybody_had_looked_before(duties, moves):
    """Two ledgers hear the same; one is looked at before each time, the other only at the end."""
    found = policy(*duties)
    idle = watched = opened("a", found, AT)
    now = AT
    for days, which, waive in moves:
        now += days * DAY
        watched = ticked(watched, found, now)[0]
        path = watched[which % len(watched)].path
        way = (given_up if waive else done)(now)
        try:
            watched = answered(watched, found, now, path, way)
        except Conflict:
            with pytest.raises(Conflict):
                answered(idle, found, now, path, way)
            continue
        idle = answered(idle, found, now, path, way)
    assert ticked(idle, found, now)[0] == ticked(watched, found, now)[0]
