"""What the process core may ask of the rest, made for each message and for each command of our own: one instant, ids, rules, decisions, address, signature.

Rules that answer for a caller are read before the step, since the core does no I/O (`connector.rules`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from connector import settings
from connector.dsp import outbound
from connector.plane.tokens import DataTokens
from connector.processes import negotiation, transfer
from connector.processes.decisions import Decisions
from connector.processes.evidence import Sign
from connector.rules import OwnRules, Rules
from connector.settings import Settings
from identity import ids
from identity.verify import VerifiedParticipant
from kernel.clock import Clock, iso


def new_id() -> str:
    """A new id of ours."""
    return f"urn:uuid:{ids.new_id()}"


@dataclass(frozen=True, slots=True)
class Contexts:
    """Makes the contexts of the process core, per caller and for our own commands."""

    settings: Settings
    rules: Rules
    tokens: DataTokens
    clock: Clock
    decisions: Decisions
    sign: Sign
    reached: Callable[[str], str]
    edc: frozenset[str]  # peers of EDC's dialect
    render: negotiation.Render = field(init=False)
    did: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "render", outbound.renderer(self.callback))
        object.__setattr__(self, "did", self.settings.did)

    async def for_negotiation(self, who: VerifiedParticipant, offer: str) -> negotiation.Context:
        return self._negotiation(await self.rules.for_request(who, offer), who)

    def own_negotiation(self) -> negotiation.Context:
        return self._negotiation(OwnRules(self.rules.usage), None)

    async def for_transfer(self, who: VerifiedParticipant, agreement: str) -> transfer.Context:
        return self._transfer(await self.rules.for_transfer(who, agreement), who)

    def own_transfer(self) -> transfer.Context:
        return self._transfer(OwnRules(self.rules.usage), None)

    def callback(self, peer: str) -> str:
        """Base address of our DSP endpoints for a peer."""
        return self.reached(peer) + settings.DSP_PATH

    def _negotiation(self, rulebook: negotiation.Rulebook, who: VerifiedParticipant | None) -> negotiation.Context:
        return negotiation.Context(
            participant=self.did,
            now=iso(self.clock.now()),
            new_id=new_id,
            render=self.render,
            rulebook=rulebook,
            decisions=self.decisions,
            sign=self.sign,
            restates=who is not None and who.did in self.edc,
        )

    def _transfer(self, agreements: transfer.Agreements, who: VerifiedParticipant | None) -> transfer.Context:
        return transfer.Context(
            participant=self.did,
            now=iso(self.clock.now()),
            new_id=new_id,
            render=self.render,
            agreements=agreements,
            decisions=self.decisions,
            address=self.tokens.address,
            restates=who is not None and who.did in self.edc,
        )
