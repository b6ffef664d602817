"""The left operands of ODRL 2.2 that are in force (32; `device` and `system` are deprecated), each with type, unit, source, phases.

Rules
- `source` is who supplies the fact: our clock, the ledger of an agreement, the description of the asset, the request, the data
  plane, or the environment of use at the consumer. A fact that nobody supplies is unknown, and an unknown fact never helps.
- Phases say when that source can be asked. What only the place of use knows is decided by the consumer's side, and deferred before.
- A profile may declare an operand anew, with a better source (a credential) and more phases.

Texts in words stand under `operand.<name>` in `policies/texts`.
"""

from typing import Final

from policies.odrl.operand import PHASES, Operand, Phase
from policies.odrl.values import ValueType
from policies.odrl.vocabulary import ODRL

_AGREED: Final[tuple[Phase, ...]] = ("negotiation", "transfer", "monitoring", "consumer")
_LIVE: Final[tuple[Phase, ...]] = ("transfer", "monitoring", "consumer")
_USE: Final[tuple[Phase, ...]] = ("consumer",)

CLOCK: Final = "our own clock"
LEDGER: Final = "the ledger of the agreement"
ASSET: Final = "the description of the asset"
REQUEST: Final = "what the consumer binds itself to"
PLANE: Final = "the data plane"
PLACE: Final = "the environment of use, at the consumer"


def _operand(name: str, type_: ValueType, source: str, phases: tuple[Phase, ...], *, many: bool = False, unit: str = "") -> Operand:
    return Operand(iri=ODRL + name, type=type_, many=many, unit=unit, source=source, phases=phases)


DATE_TIME_OPERAND: Final = _operand("dateTime", "dateTime", CLOCK, PHASES)
CORE: Final[tuple[Operand, ...]] = (
    DATE_TIME_OPERAND,
    _operand("absolutePosition", "string", PLACE, _USE),
    _operand("absoluteSize", "decimal", ASSET, PHASES, unit="size"),
    _operand("absoluteSpatialPosition", "string", PLACE, _USE),
    _operand("absoluteTemporalPosition", "duration", PLACE, _USE),
    _operand("count", "integer", LEDGER, _LIVE),
    _operand("delayPeriod", "duration", LEDGER, _LIVE),
    _operand("deliveryChannel", "string", PLANE, _LIVE),
    _operand("elapsedTime", "duration", LEDGER, _LIVE),
    _operand("event", "string", LEDGER, _LIVE, many=True),
    _operand("fileFormat", "string", ASSET, PHASES),
    _operand("industry", "string", REQUEST, _AGREED, many=True),
    _operand("language", "string", ASSET, PHASES, many=True),
    _operand("media", "string", PLACE, _USE),
    _operand("meteredTime", "duration", LEDGER, _LIVE),
    _operand("payAmount", "decimal", LEDGER, _LIVE, unit="currency"),
    _operand("percentage", "decimal", LEDGER, _LIVE),
    _operand("product", "string", REQUEST, _AGREED, many=True),
    _operand("purpose", "string", REQUEST, _AGREED, many=True),
    _operand("recipient", "string", REQUEST, _AGREED, many=True),
    _operand("relativePosition", "decimal", PLACE, _USE),
    _operand("relativeSize", "decimal", PLACE, _USE),
    _operand("relativeSpatialPosition", "decimal", PLACE, _USE),
    _operand("relativeTemporalPosition", "decimal", PLACE, _USE),
    _operand("resolution", "decimal", ASSET, PHASES, unit="resolution"),
    _operand("spatial", "string", PLACE, _USE, many=True),
    _operand("spatialCoordinates", "string", PLACE, _USE),
    _operand("systemDevice", "string", PLACE, _USE),
    _operand("timeInterval", "duration", LEDGER, _LIVE),
    _operand("unitOfCount", "string", LEDGER, _LIVE),
    _operand("version", "string", ASSET, PHASES),
    _operand("virtualLocation", "iri", PLANE, _LIVE),
)
