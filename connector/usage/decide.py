"""What our side knows and decides about the use of data under an agreement: facts, duties, counters, decisions.

Rules
- Facts come from the consumer's verified claims by the profile's paths, from the agreement (its purposes and recipients, the moment it began) and from our own ledger of it
  (duties, counters), and of our trade relations, also for the products of the dataset; never from anybody's word. `elapsedTime` and `delayPeriod` run from the agreement's
  moment.
- An agreement begins at the time that stands in it, so that both sides have the same due dates, but not later than we kept it.
- A new transfer is decided with the counters as they would be afterwards; one that goes on with the counters as they are, since it is counted already.
- Duties are decided by as they are at that moment, whether or not anybody has written down yet that one became overdue.
- A policy that cannot be read obliges to nothing and permits nothing.

Not done here: storing (`connector.store`), acting on what changes by itself (`connector.worker.monitor`).
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from catalog.dcat import Asset
from catalog.offers import ACTION
from connector.held import CAPACITY, Held
from connector.processes.errors import PolicyRefused
from connector.processes.model import Agreement, Decided, Ledger
from connector.processes.transfer import Grant
from connector.usage.claims import Claims, Shown, valid
from connector.usage.relations import Relations
from kernel import telemetry
from kernel.clock import Clock, parse_iso
from kernel.errors import BadInput
from policies.duties import account, counted, granted, opened, states, ticked
from policies.duties.compensation import COMPENSATE
from policies.duties.counters import COUNT, PAID, Exhausted, facts
from policies.duties.ledger import by_path
from policies.odrl import ODRL, PURPOSE, Phase, Policy, PolicyError, Record, Request, evaluate, record, replay
from policies.profiles import Profile

RUNNING = (ODRL + "elapsedTime", ODRL + "delayPeriod")
RECIPIENT = ODRL + "recipient"
log = telemetry.get(__name__)


class Stated(Struct, frozen=True):
    """What somebody binds itself to, by terms or by word: purposes and recipients."""

    purposes: Sequence[str] = ()
    recipients: Sequence[str] = ()


class Usage:
    """Facts and decisions of one participant. What terms and claims say is read once, as long as they are those that it was read of."""

    def __init__(
        self, profile: Profile, clock: Clock, relations: Relations, asset: Callable[[str], Awaitable[Asset | None]]
    ) -> None:
        """`asset` finds a dataset of ours."""
        self._profile, self._clock, self._relations, self._asset = profile, clock, relations, asset
        self.read: Held[Mapping[str, Any], Policy] = Held(profile.policy)  # of terms, which nobody changes; raises `PolicyError`
        self.stated: Held[Mapping[str, Any], Stated] = Held(self._stated)
        self._began = Held(moment)
        self._claimed: OrderedDict[bytes, dict[str, Any]] = OrderedDict()

    def policy(self, agreement: Agreement) -> Policy:
        """The agreement's policy; raises `PolicyError`."""
        return self.read(agreement.policy)

    def _facts(
        self, claims: Claims, purposes: Sequence[str], participant: str, traded: Mapping[str, Sequence[str]]
    ) -> dict[str, Any]:
        key = orjson.dumps((claims, purposes, participant, traded))
        found = self._claimed.get(key)
        if found is None:
            found = self._profile.facts(claims, purpose=purposes, participant=participant, **traded)
            self._claimed[key] = found
            if len(self._claimed) > CAPACITY:
                self._claimed.popitem(last=False)
        return found

    def _stated(self, terms: Mapping[str, Any]) -> Stated:
        """The purposes and recipients that terms bind the consumer to; none where they cannot be read."""
        try:
            policy = self.read(terms)
        except PolicyError:
            return Stated()
        return Stated(policy.values(PURPOSE), policy.values(RECIPIENT))

    def opened(self, agreement: Agreement) -> Ledger:
        """The duties and counters with which an agreement begins."""
        try:
            policy = self.policy(agreement)
        except PolicyError as error:
            log.warning("an agreement is kept whose policy cannot be read", agreement=agreement.id, detail=error.detail)
            return Ledger()
        duties, counters = opened(agreement.id, policy, moment(agreement)), counted(agreement.id, policy)
        if any(each.action == COMPENSATE for each in duties) and all(each.operand != PAID for each in counters):
            counters += filter(None, [account(agreement.id, policy, agreement.provider)])
        return Ledger(duties=tuple(duties), counters=tuple(counters))

    def owing(self, agreement: Agreement, path: str) -> str:
        """The DID of who owes a duty: the consumer, unless the duty names the provider as its assignee."""
        named = {name for function, name in by_path(self.policy(agreement))[path].parties if function.endswith("assignee")}
        return agreement.provider if agreement.provider in named else agreement.consumer

    async def products(self, agreement: Agreement) -> tuple[str, ...]:
        """The products of the agreement's dataset, where we provide it and its policy asks for them."""
        try:
            wanted = agreement.role == "provider" and self._profile.reads_product(self.policy(agreement))
        except PolicyError:
            return ()
        found = await self._asset(agreement.dataset) if wanted else None
        return found.products if found is not None else ()

    def request(
        self,
        agreement: Agreement,
        ledger: Ledger,
        claims: Claims,
        phase: Phase,
        *,
        stated: Stated | None = None,
        products: Sequence[str] = (),
    ) -> Request:
        """What is asked of the agreement's policy; purposes and recipients are those of the agreement unless stated. Raises `PolicyError`."""
        policy, now = self.policy(agreement), self._clock.now()
        stated = stated or self.stated(agreement.policy)
        duties, _ = ticked(ledger.duties, policy, now)
        known = dict(self._facts(claims, stated.purposes, agreement.consumer, self._traded(agreement, now, products)))
        known |= {RECIPIENT: stated.recipients} if stated.recipients else {}
        known |= facts(ledger.counters) | dict.fromkeys(RUNNING, self._began(agreement))
        return Request(ACTION, phase, known, now, party=agreement.consumer, target=agreement.dataset, duties=states(duties))

    def _traded(self, agreement: Agreement, now: datetime, products: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """What our ledger says of the consumer, where we provide: a consumer's own relations are none of these."""
        if agreement.role != "provider":
            return {}
        consumer, known = agreement.consumer, self._relations
        return {"relations": known.of(consumer, now), "towards": known.towards(consumer, now, products)}

    def replay(self, agreement: Agreement, kept: Record) -> list[str]:
        """What comes out differently when it is decided again from a record; raises `PolicyError` for another policy or registry."""
        return replay(kept, agreement.policy, self._profile.operands)

    def grant(self, agreement: Agreement, ledger: Ledger, shown: Shown, products: Sequence[str], *, uses: int) -> Grant:
        """So many uses under the agreement (0: a transfer goes on) of a dataset with these products, with what they take; raises `PolicyRefused`."""
        try:
            after = granted(ledger.counters, {COUNT: Decimal(uses)}) if uses else []
            claims = valid(shown, self._clock.now())
            then = replace(ledger, counters=tuple(after) or ledger.counters)
            asked = self.request(agreement, then, claims, "transfer", products=products)
            decision = evaluate(self.policy(agreement), asked)
        except (Exhausted, PolicyError) as error:
            raise PolicyRefused((error.detail,)) from error
        if not decision.permitted:
            raise PolicyRefused(decision.explain())
        made = Decided(agreement=agreement.id, seq=ledger.decided + 1, record=record(decision, agreement.policy, ledger.last))
        return Grant(agreement=agreement, decided=made, claims=dict(shown), counters=tuple(after))


def moment(agreement: Agreement) -> datetime:
    """When the agreement began."""
    kept = parse_iso(agreement.at)
    try:
        return min(kept, parse_iso(str(agreement.policy.get("timestamp"))))
    except BadInput:
        return kept
