"""The transition tables are those of DSP 2025-1: states, senders and targets written out (Contract Negotiation and Transfer Process Protocols, state machines)."""

import pytest

from connector.processes import tables as t
from connector.processes.errors import IllegalTransition
from connector.processes.machine import step

EXPECTED = {
    "negotiation": {
        ("", t.REQUEST, "consumer", "REQUESTED"),
        ("", t.OFFER, "provider", "OFFERED"),
        ("REQUESTED", t.OFFER, "provider", "OFFERED"),
        ("REQUESTED", t.AGREE, "provider", "AGREED"),
        ("OFFERED", t.REQUEST, "consumer", "REQUESTED"),
        ("OFFERED", t.ACCEPT, "consumer", "ACCEPTED"),
        ("ACCEPTED", t.AGREE, "provider", "AGREED"),
        ("AGREED", t.VERIFY, "consumer", "VERIFIED"),
        ("VERIFIED", t.FINALIZE, "provider", "FINALIZED"),
        *((state, t.END_NEGOTIATION, who, "TERMINATED") for who in ("consumer", "provider")
          for state in ("REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "VERIFIED")),
    },
    "transfer": {
        ("", t.ASK, "consumer", "REQUESTED"),
        ("REQUESTED", t.START, "provider", "STARTED"),
        *(("SUSPENDED", t.START, who, "STARTED") for who in ("consumer", "provider")),
        *(("STARTED", t.SUSPEND, who, "SUSPENDED") for who in ("consumer", "provider")),
        *(("STARTED", t.COMPLETE, who, "COMPLETED") for who in ("consumer", "provider")),
        *((state, t.END_TRANSFER, who, "TERMINATED") for who in ("consumer", "provider") for state in ("REQUESTED", "STARTED", "SUSPENDED")),
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", EXPECTED)
def test_the_table_is_that_of_the_specification(kind):
    assert {(row.state, row.message, row.sender, row.to) for row in t.TABLES[kind].rows} == EXPECTED[kind]


@pytest.mark.parametrize("kind", EXPECTED)
def test_final_states_are_final(kind):
    table = t.TABLES[kind]
    for state in table.final:
        assert not [row for row in table.rows if row.state == state]
        for message in {row.message for row in table.rows}:
            for sender in ("consumer", "provider"):
                with pytest.raises(IllegalTransition):
                    step(table, state, message, sender)


@pytest.mark.parametrize("kind", EXPECTED)
def test_every_row_names_its_clause_and_is_drawn(kind):
    table = t.TABLES[kind]
    drawn, listed = t.mermaid(table), t.markdown(table)
    for row in table.rows:
        assert row.clause.startswith("#")
        assert row.to in drawn
        assert row.message in listed


def test_who_is_awaited_in_a_state():
    """Where either side may go on, or nobody, neither waits for the other alone."""
    awaited = {
        (table.kind, state, role)
        for table in t.TABLES.values()
        for state in {row.to for row in table.rows}
        for role in ("consumer", "provider")
        if table.awaits(state, role)
    }
    assert awaited == {
        ("negotiation", "REQUESTED", "consumer"),
        ("negotiation", "OFFERED", "provider"),
        ("negotiation", "ACCEPTED", "consumer"),
        ("negotiation", "AGREED", "provider"),
        ("negotiation", "VERIFIED", "consumer"),
        ("transfer", "REQUESTED", "consumer"),
    }
