"""A counter-offer by naming what is to be different."""

import pytest

from connector.processes.counter import changed
from kernel.errors import BadInput

ROLE, UNTIL = "https://w3id.org/kizuna/policy/1#role", "dateTime"


def constraint(left, right):
    return {"leftOperand": left, "operator": "eq", "rightOperand": right}


TERMS = {"@id": "o", "permission": [{"action": "use", "constraint": [constraint(ROLE, "a"), {"and": [constraint(UNTIL, "1")]}]}]}


@pytest.mark.parametrize("name", ["role", ROLE])
def test_a_right_operand_is_replaced_and_the_rest_and_the_original_stay(name):
    found = changed(TERMS, {name: ["b", "c"]})
    assert found["permission"][0]["constraint"][0]["rightOperand"] == ["b", "c"]
    assert found["permission"][0]["constraint"][1] == TERMS["permission"][0]["constraint"][1]
    assert TERMS["permission"][0]["constraint"][0]["rightOperand"] == "a"


def test_constraints_inside_logical_ones_are_found():
    assert changed(TERMS, {"until": "2"}, {"until": {"http://www.w3.org/ns/odrl/2/dateTime"}}) == changed(TERMS, {"dateTime": "2"})
    assert changed(TERMS, {"dateTime": "2"})["permission"][0]["constraint"][1]["and"][0]["rightOperand"] == "2"


def test_a_name_that_is_not_there_or_not_alone_is_refused_with_what_there_is():
    with pytest.raises(BadInput, match="0 constraints") as error:
        changed(TERMS, {"colour": "red"})
    assert error.value.next_step == "change one of dateTime, role, or give whole terms"
    twice = {"permission": [*TERMS["permission"], *TERMS["permission"]]}
    with pytest.raises(BadInput, match="2 constraints"):
        changed(twice, {"role": "b"})
