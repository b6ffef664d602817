"""What the embedded store knows of used tokens without its table: never too little, and not much."""

import random

from connector.processes.model import TokenUse
from connector.store import used
from connector.store.used import Used


def token(number, ends):
    return TokenUse("did:web:peer.example", str(number), ends)


def test_only_a_token_that_ends_after_all_unknown_ones_is_known_to_be_new():
    found = Used(100)
    assert [found.knows(token(1, ends)) for ends in (99, 100, 101)] == [None, None, False]
    found.add(token(1, 90))
    assert found.knows(token(1, 90)) is True
    found.doubt(token(2, 120))
    assert [found.knows(token(2, ends)) for ends in (120, 121)] == [None, False]
    found.doubt(token(3, 110))
    assert found.knows(token(4, 115)) is None, "a doubt does not end with another"


def test_what_is_kept_is_bounded_and_no_used_token_is_ever_called_new(monkeypatch):
    monkeypatch.setattr(used, "CAPACITY", 50)
    chance, found, spent = random.Random(1), Used(0), []
    for number in range(2_000):
        made = token(number, number // 10 + chance.randrange(300))
        assert found.knows(made) is not True
        found.add(made)
        spent.append(made)
        assert all(found.knows(each) is not False for each in chance.sample(spent, min(len(spent), 20)))
    assert len(found._ends) == 50
    assert found.knows(token("new", 2_000)) is False
