"""What was made of an object is made once for that very object, and never given for another one, however equal."""

import pytest

from catalog.dcat import OfferTerms
from connector import held
from connector.held import Held
from connector.rules import CallerRules, Rules
from kernel.clock import SystemClock
from policies.profiles import load
from tests.support.participant import participant


def test_it_is_made_once_for_each_object():
    made = []
    of = Held(lambda given: made.append(given) or len(made))
    one, other = {"a": 1}, {"a": 1}
    assert [of(one), of(other), of(one), of(other)] == [1, 2, 1, 2]


def test_what_could_not_be_made_is_tried_again():
    answers = iter([ValueError("no"), 7])

    def make(_given):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    of, given = Held(make), {}
    with pytest.raises(ValueError, match="no"):
        of(given)
    assert of(given) == 7


def test_the_oldest_make_room(monkeypatch):
    monkeypatch.setattr(held, "CAPACITY", 2)
    made = []
    of = Held(lambda given: made.append(given) or len(made))
    first, second, third = {}, {}, {}
    assert [of(first), of(second), of(third), of(third), of(second), of(first)] == [1, 2, 3, 3, 2, 4]


LABS = {"leftOperand": "recipient", "operator": "isAnyOf", "rightOperand": ["did:web:b.example", "did:web:a.example"]}


@pytest.mark.parametrize(("labs", "differs"), [("ba", False), ("ab", False), ("a", True)])
def test_terms_that_are_the_offers_in_another_order_bind_as_they_do(labs, differs):
    """Nothing but the terms says who the recipients are: who is bound to none gets no contract."""
    contract = {"permission": [{"action": "use", "constraint": [LABS]}]}
    offer = OfferTerms(id="o", asset="d", access={"permission": [{"action": "use"}]}, contract=contract)
    named = [f"did:web:{each}.example" for each in labs]
    asked = {"permission": [{"action": "use", "constraint": [{**LABS, "rightOperand": named}]}]}
    rules = Rules(None, load("base"), SystemClock(), participant="did:web:me.example", name="me", endpoint=lambda _: "")
    found = CallerRules(rules, participant("did:web:peer.example"), offer=offer).judge("o", "d", asked)
    assert found.permitted
    assert bool(found.differences) == differs
