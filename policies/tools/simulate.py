"""Who of these participants would see an offer, get it, and until when: the policies of offers against people, nothing sent.

sees    the access policy permits in the catalog
gets    the contract policy permits at the negotiation, with the purposes that the participant has
until   the first moment at which that answer can change by time alone; empty: never
reason  what stands in the way, for our own side

Where the policies read the product, they are asked about a dataset with the given products, and about the relations that each participant has.
With a request (`tools.request`) every question of it is a row of its own: its action and asset, for the party that it names or for everybody.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from policies.odrl import Policy, evaluate, next_change
from policies.profiles import Profile
from policies.tools.explain import explained
from policies.tools.facts import Asker
from policies.tools.request import Question
from policies.tools.words import Words


class Row(Struct, frozen=True):
    """One participant and one policy."""

    policy: str
    participant: str
    sees: bool
    gets: bool
    until: str = ""
    missing: tuple[str, ...] = ()
    reason: tuple[str, ...] = ()
    action: str = "use"
    target: str = ""


def simulated(
    name: str,
    access: Policy,
    contract: Policy,
    askers: list[Asker],
    profile: Profile,
    now: datetime,
    words: Words,
    *,
    asked: Sequence[Question] = (),
    products: Sequence[str] = (),
) -> list[Row]:
    """One row for each participant, and for each question that it asks. Who a request names and nobody describes is known by its name alone."""
    rows = []
    for asker, action, target in _asking(askers, asked):
        seen = evaluate(access, asker.request(profile, "use", "catalog", now, target, products))
        got = evaluate(contract, asker.request(profile, action, "negotiation", now, target, products))
        until = next_change(contract, got.request) if seen.permitted and got.permitted else None
        stopped = seen if not seen.permitted else got
        rows.append(
            Row(
                name,
                asker.name or asker.did,
                seen.permitted,
                seen.permitted and got.permitted,
                until.isoformat() if until else "",
                tuple(words.operand(each) for each in stopped.missing),
                tuple(explained(stopped, words)) if not (seen.permitted and got.permitted) else (),
                action,
                target,
            )
        )
    return rows


def _asking(askers: list[Asker], asked: Sequence[Question]) -> Iterator[tuple[Asker, str, str]]:
    if not asked:
        yield from ((asker, "use", "") for asker in askers)
    for each in asked:
        named = [asker for asker in askers if each.party in ("", asker.did)] or [Asker(did=each.party)]
        for asker in named:
            yield replace(asker, purpose=[], facts=asker.facts | each.stated), each.action, each.target
