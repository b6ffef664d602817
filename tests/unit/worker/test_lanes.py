"""How many rows may be under way to whom (`connector.worker.lanes`). Without patience every lane that owes an answer is quiet at once."""

import pytest

from connector.worker.lanes import FIRST, Lanes

LONG = 3600.0


def begin(lanes, name, count):
    for number in range(count):
        lanes.began(name, f"{name}-{number}")


def answer(lanes, name, times):
    """So many answers to others of its rows."""
    for _ in range(times):
        lanes.began(name, "other")
        lanes.answered(name, "other")
        lanes.ended(name, "other")


def test_a_lane_that_is_not_known_begins_a_few():
    rooms = Lanes(64).rooms()
    assert (rooms.named, rooms.other) == ({}, FIRST)


@pytest.mark.parametrize(("parallel", "first", "most"), [(1, 1, 1), (2, 1, 1), (4, 3, 3), (64, FIRST, 48), (1024, FIRST, 768)])
def test_every_answer_makes_a_lane_wider_up_to_three_quarters_of_the_slots(parallel, first, most):
    lanes = Lanes(parallel, LONG)
    assert lanes.rooms().other == first
    lanes.began("a", "r")
    answer(lanes, "a", most * 2)
    assert lanes.rooms().named["a"] + 1 == most if most > 1 else lanes.rooms().named["a"] == 0


def test_a_little_room_in_a_wide_lane_is_none():
    lanes = Lanes(64, LONG)
    begin(lanes, "a", 45)
    answer(lanes, "a", 64)
    assert lanes.rooms().named["a"] == 0
    lanes.ended("a", "a-0")
    assert lanes.rooms().named["a"] == 4


@pytest.mark.parametrize(("patience", "kept"), [(LONG, {"a": FIRST + 1}), (0, {})])
def test_a_lane_without_rows_is_forgotten_after_a_while_unless_it_is_silent(patience, kept):
    lanes = Lanes(64, patience)
    begin(lanes, "a", 1)
    begin(lanes, "b", 1)
    lanes.answered("a", "a-0")
    lanes.unanswered("b", "b-0")
    lanes.ended("a", "a-0")
    lanes.ended("b", "b-0")
    assert lanes.rooms().named == kept | {"b": 1}


def test_a_silent_lane_gets_a_probe_until_it_answers_and_begins_anew_then():
    lanes = Lanes(64, LONG)
    begin(lanes, "a", 2)
    answer(lanes, "a", 64)
    lanes.unanswered("a", "a-0")
    assert lanes.rooms().named["a"] < 1
    lanes.ended("a", "a-0")
    assert lanes.rooms().named["a"] == 0
    lanes.answered("a", "a-1")
    assert lanes.rooms().named["a"] == FIRST + 1 - 1


def test_rows_of_a_quiet_lane_hold_no_slot_and_it_goes_on_with_a_few():
    lanes = Lanes(64, 0)
    begin(lanes, "a", 48)
    assert lanes.free() == 64
    assert lanes.rooms().named["a"] == 0
    patient = Lanes(64, LONG)
    begin(patient, "a", 48)
    assert patient.free() == 16


def test_a_lane_whose_rows_are_answered_and_not_settled_yet_is_not_quiet():
    lanes = Lanes(64, 0)
    begin(lanes, "a", 2)
    for row in ("a-0", "a-1"):
        assert lanes.free() == 64
        lanes.answered("a", row)
    assert lanes.free() == 62
    assert lanes.rooms().named["a"] == FIRST + 2 - 2
    lanes.ended("a", "a-0")
    lanes.began("a", "a-2")
    assert lanes.free() == 64


def test_few_free_slots_are_none():
    lanes = Lanes(64, LONG)
    begin(lanes, "a", 60)
    assert lanes.free() == 0
    lanes.ended("a", "a-0")
    assert lanes.free() == 5


def test_no_more_rows_begin_in_quiet_lanes_when_there_are_as_many_as_slots():
    lanes = Lanes(8, 0)
    begin(lanes, "a", 1)
    lanes.unanswered("a", "a-0")
    lanes.ended("a", "a-0")
    begin(lanes, "b", 4)
    assert lanes.rooms().named["a"] == 1
    begin(lanes, "c", 4)
    assert (lanes.rooms().named, lanes.rooms().other, lanes.free()) == ({"a": 0, "b": 0, "c": 0}, 4, 8)


def test_what_is_too_much_is_broken_off_oldest_first_where_several_wait_and_pushes_last():
    lanes = Lanes(4, 0)
    for name, count in (("push a", 3), ("b", 1), ("c", 4), ("d", 3)):
        begin(lanes, name, count)
    assert lanes.excess() == ["c-0", "c-1", "c-2"]
    assert lanes.excess() == [], "each is named once"
    begin(lanes, "e", 1)
    lanes.answered("c", "c-3")
    assert lanes.excess() == [], "what is answered ends by itself"
    begin(lanes, "f", 2)
    assert lanes.excess() == ["d-0", "d-1"]


def test_an_attempt_that_is_over_is_not_broken_off():
    lanes = Lanes(1, 0)
    begin(lanes, "a", 4)
    lanes.answered("a", "a-0")
    assert lanes.excess() == ["a-1"]
