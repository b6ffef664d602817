"""What follows a message by itself: agreements are compared, other terms wait for a person, a person may answer (issue: decisions, same terms)."""

import itertools
import json

import msgspec
import pytest

from connector.dsp import outbound
from connector.processes import exchange, negotiation, tables, transfer
from connector.processes.decisions import ANYONE, AutoDecisions, Decision, Matter
from connector.processes.errors import FormatUnknown, IllegalTransition, NothingWaits, StepPending, TermsDiffer
from connector.processes.model import Agreement, Ledger, Process
from connector.processes.negotiation import Received
from kernel import wire
from policies.odrl import same_terms

ME, PEER = "did:web:me.example", "did:web:peer.example"
NOW = "2026-11-24T09:00:00.000Z"
OFFER = {"@id": "o", "@type": "Offer", "target": "d", "permission": [{"action": "use"}], "prohibition": [{"action": "distribute"}]}


class Book:
    def judge(self, offer_id, dataset, requested):
        return negotiation.Judgement(OFFER, True, ())

    def refusals(self, offer_id, dataset, terms):
        return ()

    def consent(self, process):
        return negotiation.Consent()

    def differences(self, asked, given):
        return same_terms(asked, given)

    def opened(self, agreement):
        return Ledger()


def context():
    numbers = itertools.count(1)
    return negotiation.Context(
        participant=ME, now=NOW, new_id=lambda: f"urn:uuid:{next(numbers)}", render=outbound.renderer(lambda _: "https://me"), rulebook=Book(),
        decisions=AutoDecisions(),
    )  # fmt: skip


def consumer(state="REQUESTED", **data):
    return Process(
        id="c", participant=ME, kind="negotiation", role="consumer", peer=PEER, peer_pid="p", callback="https://you", state=state, version=3,
        data={"offer": OFFER, "asked": OFFER, "offerId": "o", "dataset": "d"} | data,
    )  # fmt: skip


def received(message, **more):
    return Received(message=message, sender="provider", peer=PEER, message_id="m", digest="x", peer_pid="p", **more)


def agreement(**changed):
    rules = {name: OFFER[name] for name in ("permission", "prohibition")}
    return {"@id": "a", "@type": "Agreement", "target": "d", "assigner": PEER, "assignee": ME, "timestamp": NOW, **rules} | changed


def handled(process, arrived):
    return negotiation.handle(process, arrived, None, context())


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
    assert (process.waiting.who, process.waiting.since, process.waiting.step) == (ANYONE, NOW, tables.ACCEPT)
    assert "prohibition" in process.waiting.why


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
    assert commit.process.waiting.step == tables.ACCEPT


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
    made = transfer.Context(participant=ME, now=NOW, new_id=lambda: "x", render=outbound.renderer(lambda _: "https://me"), agreements=None,
                            decisions=AutoDecisions(), address=lambda _p: {})  # fmt: skip
    with pytest.raises(FormatUnknown) as error:
        transfer.request(found, "https://you", "Pigeon", key="t", data_address=None, context=made)
    assert "HttpData-PULL" in error.value.next_step


def test_data_flow_only_while_started_and_nothing_ends_it():
    process = Process(id="t", participant=ME, kind="transfer", role="provider", peer=PEER, state="STARTED")
    assert transfer.open_now(process)
    for state in ("REQUESTED", "SUSPENDED", "COMPLETED", "TERMINATED"):
        assert not transfer.open_now(Process(id="t", participant=ME, kind="transfer", role="provider", peer=PEER, state=state))


# what waits for a person, and a person's answers ---------------------------------------------------------------------


class Offers(Book):
    """One offer of ours, with what it says about approvals and other terms."""

    def __init__(self, **said):
        self.said = said

    def judge(self, offer_id, dataset, requested):
        return negotiation.Judgement(OFFER, True, (), tuple(same_terms(OFFER, requested)), **self.said)


def asked(offer=OFFER, **said):
    """What a provider makes of a first request under an offer that says this."""
    arrived = Received(
        message=tables.REQUEST,
        sender="consumer",
        peer=PEER,
        message_id="m",
        digest="x",
        peer_pid="p",
        callback="https://you",
        offer=offer,
    )
    made = msgspec.structs.replace(context(), rulebook=Offers(**said))
    return negotiation.handle(None, arrived, None, made).process


OTHER = OFFER | {"prohibition": [{"action": "sell"}]}


def test_an_offer_with_an_approval_waits_for_whom_it_names_and_says_since_when():
    process = asked(approval="legal@me.example")
    assert (process.state, process.pending) == ("REQUESTED", None)
    assert (process.waiting.who, process.waiting.since, process.waiting.step) == ("legal@me.example", NOW, tables.AGREE)


def test_an_approval_takes_the_step_and_is_in_the_journal_with_the_name():
    process = asked(approval="legal@me.example")
    commit = negotiation.approve(process, context(), person="Sato Hanako")
    assert commit.process.waiting is None
    assert (commit.process.pending.message, commit.process.pending.person) == (tables.AGREE, "Sato Hanako")
    taken = exchange.delivered(tables.NEGOTIATION, commit.process, commit.process.pending.row, now=NOW)
    assert [row.person for row in taken.journal] == ["Sato Hanako"]
    assert taken.process.data["approvedBy"] == "Sato Hanako"


def test_a_refusal_ends_the_negotiation_and_says_who():
    commit = negotiation.refuse(asked(approval="legal"), context(), person="Sato Hanako", reason="no capacity")
    assert (commit.process.pending.message, commit.process.pending.person) == (tables.END_NEGOTIATION, "Sato Hanako")
    assert json.loads(commit.outbox[0].body)["code"] == "refused"
    assert json.loads(commit.outbox[0].body)["reason"] == ["no capacity"]


@pytest.mark.parametrize("act", [negotiation.approve, lambda *a, **k: negotiation.refuse(*a, **k, reason="")])
def test_what_does_not_wait_cannot_be_approved_or_refused(act):
    with pytest.raises(NothingWaits):
        act(consumer("AGREED"), context(), person="Sato Hanako")


def test_other_terms_within_what_the_offer_leaves_open_are_agreed_to_as_asked():
    process = asked(OTHER, within=True)
    assert process.pending.message == tables.AGREE
    assert process.pending.sets["agreement"]["prohibition"] == [{"action": "sell"}]


def test_other_terms_within_the_bounds_still_wait_for_an_approval():
    assert asked(OTHER, within=True, approval="legal").waiting.who == "legal"


@pytest.mark.parametrize(("otherwise", "message"), [("refuse", tables.END_NEGOTIATION), ("counter", tables.OFFER), ("wait", None)])
def test_other_terms_beyond_the_bounds_get_what_the_offer_says(otherwise, message):
    process = asked(OTHER, otherwise=otherwise)
    assert (process.pending.message if process.pending else None) == message
    assert (process.waiting is not None) == (message is None)


def test_our_own_offer_is_repeated_once_and_then_a_person_is_asked():
    process = asked(OTHER, otherwise="counter")
    offered = exchange.delivered(tables.NEGOTIATION, process, process.pending.row, now=NOW).process
    assert offered.data["offered"] == OFFER
    again = Received(message=tables.REQUEST, sender="consumer", peer=PEER, message_id="m2", digest="y", peer_pid="p", offer=OTHER)
    made = msgspec.structs.replace(context(), rulebook=Offers(otherwise="counter"))
    second = negotiation.handle(offered, again, None, made).process
    assert (second.pending, second.waiting.step) == (None, tables.AGREE)


def test_terms_that_a_person_offered_need_no_second_approval_when_the_consumer_accepts():
    waiting = asked(OTHER, approval="legal")
    commit = negotiation.counter(waiting, OFFER | {"prohibition": [{"action": "lease"}]}, context(), person="Sato Hanako")
    assert json.loads(commit.outbox[0].body)["offer"]["prohibition"] == [{"action": "lease"}]
    offered = exchange.delivered(tables.NEGOTIATION, commit.process, commit.process.pending.row, now=NOW).process
    accepted = Received(message=tables.ACCEPT, sender="consumer", peer=PEER, message_id="m3", digest="z", peer_pid="p")
    process = negotiation.handle(offered, accepted, None, context()).process
    assert process.pending.message == tables.AGREE
    assert process.pending.sets["agreement"]["prohibition"] == [{"action": "lease"}]


def test_an_accepted_automatic_offer_still_waits_for_its_approval():
    process = asked(OTHER, otherwise="counter", approval="legal")
    offered = exchange.delivered(tables.NEGOTIATION, process, process.pending.row, now=NOW).process
    accepted = Received(message=tables.ACCEPT, sender="consumer", peer=PEER, message_id="m3", digest="z", peer_pid="p")
    assert negotiation.handle(offered, accepted, None, context()).process.waiting.who == "legal"


def test_a_new_request_takes_an_approval_of_older_terms_away():
    waiting = asked(OTHER, approval="legal")
    commit = negotiation.counter(waiting, OFFER, context(), person="Sato Hanako")
    offered = exchange.delivered(tables.NEGOTIATION, commit.process, commit.process.pending.row, now=NOW).process
    again = Received(message=tables.REQUEST, sender="consumer", peer=PEER, message_id="m2", digest="y", peer_pid="p", offer=OTHER)
    made = msgspec.structs.replace(context(), rulebook=Offers(approval="legal"))
    assert negotiation.handle(offered, again, None, made).process.waiting is not None


def test_a_counter_offer_about_another_dataset_is_refused():
    with pytest.raises(TermsDiffer) as error:
        handled(consumer(), received(tables.OFFER, offer=OFFER | {"target": "another"}))
    assert "another" in error.value.differences[0]


def test_with_automatic_negotiation_off_both_sides_wait_for_a_person():
    decisions = AutoDecisions(auto=False)
    provider = asked()
    assert decisions.negotiation(msgspec.structs.replace(provider, pending=None), Matter()).waits_for == ANYONE
    assert decisions.negotiation(consumer("OFFERED"), Matter()).waits_for == ANYONE
    assert decisions.negotiation(consumer("AGREED"), Matter()) == Decision(tables.VERIFY)


def test_code_and_reason_of_the_peer_are_kept_as_they_came():
    ending = {"code": "42", "reason": [{"@value": "売切れ", "@language": "ja"}, "sold out"]}
    process = handled(consumer(), received(tables.END_NEGOTIATION, ending=ending, reason="42; sold out")).process
    assert (process.state, process.data["ending"], process.note) == ("TERMINATED", ending, "42; sold out")
