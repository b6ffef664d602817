"""Who of these participants would see an offer, get it, and until when: the policies of offers against people, nothing sent.

sees    the access policy permits in the catalog
gets    the contract policy permits at the negotiation, with the purposes that the participant has
until   the first moment at which that answer can change by time alone; empty: never
reason  what stands in the way, for our own side
"""

from datetime import datetime

from msgspec import Struct

from policies.odrl import Policy, evaluate, next_change
from policies.profiles import Profile
from policies.tools.explain import explained
from policies.tools.facts import Asker
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


def simulated(
    name: str,
    access: Policy,
    contract: Policy,
    askers: list[Asker],
    profile: Profile,
    now: datetime,
    words: Words,
    *,
    action: str = "use",
) -> list[Row]:
    """One row for each participant."""
    rows = []
    for asker in askers:
        seen = evaluate(access, asker.request(profile, action, "catalog", now))
        got = evaluate(contract, asker.request(profile, action, "negotiation", now))
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
            )
        )
    return rows
