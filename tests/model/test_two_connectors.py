"""The exhaustive model of two connectors: every reachable state of a negotiation and a transfer, under every order of delivery, repetition, overtaking,
crossing, loss, crash and restart. Both sides end alike, nothing is lost, nothing is done twice, nothing blocks (ADR 0001, 0002).

Three rules are broken on purpose; the walk must find each.
"""

import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parent))

from world import Rules, Story, Violation, Walk, without_ids

from connector.processes import exchange
from connector.processes import tables as t
from connector.processes.errors import IllegalTransition
from connector.processes.exchange import Change, Replay

CONSUMER, PROVIDER = 0, 1
ENDS = {(CONSUMER, t.END_NEGOTIATION): 1, (PROVIDER, t.END_NEGOTIATION): 1}
CONCLUDES = {(CONSUMER, t.ACCEPT): 1, (PROVIDER, t.AGREE): 1, (CONSUMER, t.VERIFY): 1, (PROVIDER, t.FINALIZE): 1}
REQUESTED = Story(
    "negotiation begun by the consumer, with a counter-offer",
    t.NEGOTIATION,
    CONSUMER,
    t.REQUEST,
    {(CONSUMER, t.REQUEST): 2, (PROVIDER, t.OFFER): 1} | CONCLUDES | ENDS,
)
OFFERED = Story(
    "negotiation begun by the provider, with a counter-offer",
    t.NEGOTIATION,
    PROVIDER,
    t.OFFER,
    {(CONSUMER, t.REQUEST): 1, (PROVIDER, t.OFFER): 2} | CONCLUDES | ENDS,
)
TRANSFER = Story(
    "transfer, suspended and resumed by either side",
    t.TRANSFER,
    CONSUMER,
    t.ASK,
    {
        (CONSUMER, t.ASK): 1,
        (PROVIDER, t.START): 2,
        (CONSUMER, t.START): 1,
        **{(side, message): 1 for side in (CONSUMER, PROVIDER) for message in (t.SUSPEND, t.COMPLETE, t.END_TRANSFER)},
    },
)
STORIES = [REQUESTED, OFFERED, TRANSFER]
ALL = [story for each in STORIES for story in (each, without_ids(each, CONSUMER), without_ids(each, PROVIDER))]


@pytest.mark.parametrize("story", ALL, ids=lambda story: story.name.replace(" ", "-"))
def test_every_interleaving_ends_alike(story, figure):
    result = Walk(story).run()
    figure(f"model: {story.name}: {result.states:,} states walked, {result.quiescent} at rest")
    assert result.states > 10_000
    assert result.final >= story.table.final


def by_digest_alone(table, process, incoming, *, known, now):
    """Broken: whatever was accepted once, under any id, counts as a repeat."""
    taken = process.data.get("digests", ())
    if incoming.digest in taken and process.last_accepted:
        return Replay(process)
    found = exchange.receive(table, process, incoming, known=known, now=now)
    if isinstance(found, Change):
        data = found.process.data | {"digests": (*taken, incoming.digest)}
        return replace(found, process=replace(found.process, data=data))
    return found


def only_after_the_answer(table, process, incoming, *, known, now):
    """Broken: our state moves only by the answer, never by a message that proves the delivery."""
    if known is None and process.pending is not None and table.find(process.state, incoming.message, incoming.sender) is None:
        raise IllegalTransition(process.state, incoming.message, incoming.sender)
    return exchange.receive(table, process, incoming, known=known, now=now)


def no_crossing_rule(table, process, incoming, *, known, now):
    """Broken: whoever comes first is taken, whatever is pending."""
    forgetful = process if process.pending is None or process.state == "" else replace(process, pending=None)
    return exchange.receive(table, forgetful, incoming, known=known, now=now)


BROKEN = {
    "dedupe by digest alone": (TRANSFER, Rules(receive=by_digest_alone)),
    "state moved only after the answer": (REQUESTED, Rules(receive=only_after_the_answer)),
    "no crossing rule": (TRANSFER, Rules(receive=no_crossing_rule)),
    "dropped outbox row": (REQUESTED, Rules(outbox=lambda change: tuple(r for r in change.outbox if r.message != t.AGREE))),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_found(name):
    story, rules = BROKEN[name]
    with pytest.raises(Violation) as found:
        Walk(Story(**{**vars(story), "rules": rules})).run()
    assert "1. " in str(found.value), "the violation carries a trace"
