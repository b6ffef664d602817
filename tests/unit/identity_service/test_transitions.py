"""The two tables: what is legal, and what is final."""

import itertools

import pytest

from identity.service.transitions import CREDENTIAL, ISSUANCE, MEMBERSHIP, OFFER, WIRE_STATUS, step
from kernel.errors import Conflict

TABLES = [MEMBERSHIP, ISSUANCE, CREDENTIAL, OFFER]


def states(table):
    return {row.state for row in table.rows} | {row.to for row in table.rows}


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.kind)
def test_every_pair_without_a_row_is_refused_with_what_is_possible(table):
    events = {row.event for row in table.rows}
    for state, event in itertools.product(states(table), events):
        legal = [row.to for row in table.rows if (row.state, row.event) == (state, event)]
        if legal:
            assert [step(table, state, event)] == legal
            continue
        with pytest.raises(Conflict) as refused:
            step(table, state, event)
        assert "possible now" in refused.value.next_step
        assert set(refused.value.facts) == {"state", "wanted"}, "facts are logged beside the log's own `event`"


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.kind)
def test_nothing_leads_out_of_a_final_state_and_every_state_is_reached(table):
    assert not [row for row in table.rows if row.state in table.final]
    reached = {table.initial}
    while more := {row.to for row in table.rows if row.state in reached} - reached:
        reached |= more
    assert reached == states(table)


def test_suspension_is_reversible_and_revocation_final():
    assert step(MEMBERSHIP, step(MEMBERSHIP, "ACTIVE", "suspend"), "reinstate") == "ACTIVE"
    for event in ("reinstate", "approve", "invite", "suspend", "revoke"):
        with pytest.raises(Conflict):
            step(MEMBERSHIP, "REVOKED", event)


def test_every_issuance_state_has_a_wire_status():
    assert states(ISSUANCE) == set(WIRE_STATUS)
    assert set(WIRE_STATUS.values()) == {"RECEIVED", "ISSUED", "REJECTED"}
