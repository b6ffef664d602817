"""What happened, for operators: made of the same writes that it is about, and kept in their transaction, so that it is told if and only if it is so.

    negotiation, transfer    a step: before, after, message, sender, person; the subject is the process
    waiting                  a process waits for a person: step, who, why
    agreement                concluded (or retired): peer, role, dataset, negotiation
    duty                     a duty as it is now: agreement, action, state, due; overdue ones too
    membership               our own state in the data space
    standing                 a member that the authority keeps out, with the reason, or not any more

Not done here: storing (`events`), waiting for the next one and showing (`connector.management.events`).
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from connector.processes.model import Agreement, Commit
from connector.store.port import Followed, Happened, Membership
from kernel.errors import BadInput
from policies.duties import Entry

_PLACE: Final = re.compile(r"(\d{1,18})\.(\d{1,18})")


def place(text: str) -> tuple[int, int]:
    """The place that an id names; before everything where it is empty. Raises `BadInput`."""
    found = _PLACE.fullmatch(text)
    if text and found is None:
        raise BadInput("after is no id of an event", next_step="give the `next` of the answer before, `now`, or nothing")
    return (int(found[1]), int(found[2])) if found else (0, 0)


def of_commit(commit: Commit) -> list[Happened]:
    """What a commit says has happened."""
    process = commit.process
    who = {"peer": process.peer, "role": process.role}
    found = []
    for row in commit.journal:
        facts = {"before": row.before, "after": row.after, "message": row.message, "sender": row.sender, "person": row.person}
        found.append(Happened(kind=process.kind, subject=process.id, facts=who | _there(facts)))
    if commit.journal and (waiting := process.waiting) is not None:
        facts = {"for": waiting.who, "step": waiting.step, "why": waiting.why}
        found.append(Happened(kind="waiting", subject=process.id, facts=who | facts))
    if commit.agreement is not None:
        found.append(of_agreement(commit.agreement, "concluded"))
    return [*found, *of_duties(commit.duties)] if commit.duties else found


def of_agreement(agreement: Agreement, what: str) -> Happened:
    """That an agreement was concluded or retired."""
    facts = {"what": what, "peer": agreement.peer, "role": agreement.role, "dataset": agreement.dataset}
    return Happened(kind="agreement", subject=agreement.id, facts=facts | {"negotiation": agreement.negotiation})


def of_duties(entries: Iterable[Entry]) -> Iterator[Happened]:
    """New versions of duties, but for those that have not begun."""
    for each in entries:
        if each.state != "inactive" or each.version:
            facts = {"agreement": each.agreement, "action": each.action, "state": each.state, "due": each.due, "note": each.note}
            yield Happened(kind="duty", subject=each.id, facts=_there(facts))


def of_membership(before: Membership, after: Membership, participant: str) -> Iterator[Happened]:
    """A change of our own state."""
    if (before.state, before.note) != (after.state, after.note):
        yield Happened(kind="membership", subject=participant, facts=_there({"state": after.state, "note": after.note}))


def of_standing(before: Followed, after: Followed) -> Iterator[Happened]:
    """Members that are kept out since, or not any more."""
    for did in sorted(before.barred.keys() | after.barred.keys()):
        was, now = before.barred.get(did), after.barred.get(did)
        if was != now:
            facts = {"state": "in"} if now is None else {"state": "kept out", "reason": now}
            yield Happened(kind="standing", subject=did, facts=facts)


def _there(facts: dict[str, str]) -> dict[str, str]:
    return {name: each for name, each in facts.items() if each}
