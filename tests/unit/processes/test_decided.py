"""What follows a message by itself: agreements are compared, other terms wait for a person, a person may answer (issue: decisions, same terms)."""

import itertools
import json

import pytest

from connector.dsp import outbound
from connector.processes import negotiation, tables, transfer
from connector.processes.decisions import WAITS, AutoDecisions
from connector.processes.errors import FormatUnknown, IllegalTransition, StepPending
from connector.processes.model import Agreement, Process
from connector.processes.negotiation import Received
from kernel import wire
from policies.odrl import same_terms

ME, PEER = "did:web:me.example", "did:web:peer.example"
NOW = "2026-11-24T09:00:00.000Z"
OFFER = {"@id": "o", "@type": "Offer", "target": "d", "permission": [{"action": "use"}], "prohibition": [{"action": "distribute"}]}


class Book:
    def judge(self, offer_id, dataset, requested):
        return negotiation.Judgement(OFFER, True, ())

    def differences(self, asked, given):
        return same_terms(asked, given)


def context():
    numbers = itertools.count(1)
    return negotiation.Context(
        participant=ME, now=NOW, new_id=lambda: f"urn:uuid:{next(numbers)}", render=outbound.renderer("https://me"), rulebook=Book(),
        decisions=AutoDecisions(),
    )  # fmt: skip


def consumer(state="REQUESTED", **data):
    return Process(
        id="c", participant=ME, kind="negotiation", role="consumer", peer=PEER, peer_pid="p", callback="https://you", state=state, version=3,
        data={"offer": OFFER, "asked": OFFER, "offerId": "o", "dataset": "d"} | data,
    )  # fmt: skip


def received(message, **more):
    return Received(message=message, sender="provider", peer=PEER, id="m", digest="x", peer_pid="p", **more)


def agreement(**changed):
    rules = {name: OFFER[name] for name in ("permission", "prohibition")}
    return {"@id": "a", "@type": "Agreement", "target": "d", "assigner": PEER, "assignee": ME, "timestamp": NOW, **rules} | changed


def handled(process, arrived):
    return negotiation.handle(process, arrived, None, context(), outbound.acknowledgement)


def test_an_agreement_as_asked_is_verified_and_hashed():
    commit = handled(consumer(), received(tables.AGREE, agreement=agreement()))
    assert commit.process.pending.message == tables.VERIFY
    assert commit.process.data["agreementHash"] == wire.digest(agreement())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"prohibition": [{"action": "sell"}]}, "prohibition"),
        ({"permission": [{"action": "use"}, {"action": "distribute"}]}, "permission"),
        ({"target": "another"}, "target"),
        ({"assignee": "did:web:somebody.example"}, "assignee"),
        ({"assigner": "did:web:somebody.example"}, "assigner"),
        ({"obligation": [{"action": "delete"}]}, "obligation"),
    ],
)
def test_a_peer_that_changes_the_agreement_is_refused_with_the_difference(changed, said):
    commit = handled(consumer(), received(tables.AGREE, agreement=agreement(**changed)))
    assert commit.process.pending.message == tables.END_NEGOTIATION
    assert said in commit.process.note
    (row,) = commit.outbox
    assert json.loads(row.body)["reason"] == ["the agreement differs from what was asked for"]


def test_an_offer_as_asked_is_accepted():
    assert handled(consumer(), received(tables.OFFER, offer=OFFER)).process.pending.message == tables.ACCEPT


def test_an_offer_with_other_terms_waits_for_a_person_with_the_difference():
    other = OFFER | {"prohibition": [{"action": "sell"}]}
    process = handled(consumer(), received(tables.OFFER, offer=other)).process
    assert process.pending is None
    assert process.note.startswith(WAITS)
    assert "prohibition" in process.note


def test_a_person_may_answer_with_a_counter_offer_or_accept_it():
    other = OFFER | {"prohibition": [{"action": "sell"}]}
    waiting = handled(consumer(), received(tables.OFFER, offer=other)).process
    counter = OFFER | {"@id": "o2"}
    commit = negotiation.command(waiting, tables.REQUEST, context(), offer=counter)
    body = json.loads(commit.outbox[0].body)
    assert (body["providerPid"], body["offer"]["@id"]) == ("p", "o2")
    assert "callbackAddress" not in body
    assert commit.outbox[0].path == "/negotiations/p/request"
    assert negotiation.command(waiting, tables.ACCEPT, context()).process.pending.message == tables.ACCEPT


def test_an_offer_out_of_the_blue_waits_for_a_person():
    commit = handled(None, received(tables.OFFER, offer=OFFER, callback="https://you"))
    assert (commit.process.role, commit.process.state, commit.expected) == ("consumer", "OFFERED", 0)
    assert commit.process.note.startswith(WAITS)


def test_finalisation_keeps_the_agreement_once():
    process = consumer("VERIFIED", agreement=agreement(), agreementHash="h")
    commit = handled(process, received(tables.FINALIZE))
    assert (commit.agreement.id, commit.agreement.hash, commit.process.state) == ("a", "h", "FINALIZED")


def test_our_own_illegal_and_second_steps_are_refused():
    with pytest.raises(IllegalTransition):
        negotiation.command(consumer("FINALIZED"), tables.END_NEGOTIATION, context())
    ending = negotiation.command(consumer("AGREED"), tables.END_NEGOTIATION, context()).process
    with pytest.raises(StepPending):
        negotiation.command(ending, tables.VERIFY, context())


def test_a_transfer_format_that_nobody_knows():
    found = Agreement(id="a", participant=ME, role="consumer", peer=PEER, negotiation="n", dataset="d", policy={}, hash="h", at=NOW)
    made = transfer.Context(participant=ME, now=NOW, new_id=lambda: "x", render=outbound.renderer("https://me"), agreements=None,
                            decisions=AutoDecisions(), address=lambda _p: {})  # fmt: skip
    with pytest.raises(FormatUnknown) as error:
        transfer.request(found, "https://you", "Pigeon", key="t", data_address=None, context=made)
    assert "HttpData-PULL" in error.value.next_step


def test_data_flow_only_while_started_and_nothing_ends_it():
    process = Process(id="t", participant=ME, kind="transfer", role="provider", peer=PEER, state="STARTED")
    assert transfer.open_now(process)
    for state in ("REQUESTED", "SUSPENDED", "COMPLETED", "TERMINATED"):
        assert not transfer.open_now(Process(id="t", participant=ME, kind="transfer", role="provider", peer=PEER, state=state))
