"""What one request binds itself to is no fact about the next one of the same caller."""

from datetime import UTC, datetime

from connector.rules import Rules
from policies.profiles import load
from tests.support.participant import participant

RECIPIENT = {"leftOperand": "recipient", "operator": "isAnyOf", "rightOperand": ["did:web:lab.example"]}
OFFER = {"permission": [{"action": "use", "constraint": [RECIPIENT]}]}


class Clock:
    def now(self):
        return datetime(2026, 11, 24, 9, tzinfo=UTC)


def test_recipients_are_those_of_these_terms_alone():
    rules = Rules(None, load("base"), Clock(), participant="did:web:me.example", name="me", endpoint=lambda _: "")
    who = participant("did:web:peer.example")
    assert rules.decide(OFFER, "negotiation", who, OFFER, "d").permitted
    assert not rules.decide(OFFER, "negotiation", who, {"permission": [{"action": "use"}]}, "d").permitted
    assert not rules.decide(OFFER, "negotiation", who, None, "d").permitted
