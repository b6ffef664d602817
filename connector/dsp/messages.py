"""Messages of DSP 2025-1 as typed values (official JSON Schemas `https://w3id.org/dspace/2025/1/...`).

Rules
- `@context` is an array (one text is taken, too) with the DSP context in it; further entries are read by `contexts`.
- Offers and agreements stay the JSON they came as, so that they hash alike on both sides; their shape is checked here, their meaning by the policies.
- Operators and actions are taken in three spellings (`eq`, `odrl:eq`, the full IRI): the policies read them alike.
- Unknown members are ignored, `@id` is optional and means the message.

Not done here: JSON-LD expansion. Messages in other than the compact form are refused.
"""

import hashlib
from typing import Annotated, Any, ClassVar, Final, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from connector.dsp import contexts
from connector.dsp.contexts import CONTEXT
from connector.processes.evidence import SIGNATURE
from kernel import wire
from kernel.errors import BadInput
from policies.odrl.vocabulary import term

Pid = Annotated[str, Meta(min_length=1, max_length=512)]
Signature = Annotated[str, Meta(max_length=8192)]
Url = Annotated[str, Meta(min_length=1, max_length=2048)]
OPERATORS: Final = frozenset(
    "eq gt gteq lteq hasPart isA isAllOf isAnyOf isNoneOf isPartOf lt term-lteq neq".split()  # noqa: SIM905
)
_LOGICAL: Final = ("and", "andSequence", "or", "xone")
_DEPTH: Final = 16
M = TypeVar("M", bound="Message")


class Message(Struct, frozen=True, kw_only=True, rename="camel"):
    """What all messages have in common."""

    TYPE: ClassVar[str]
    id: str = field(name="@id", default="")

    def check(self) -> None:
        """What a schema cannot say by types; raises `BadInput`."""


class CatalogRequestMessage(Message, frozen=True, kw_only=True, rename="camel"):
    TYPE: ClassVar[str] = "CatalogRequestMessage"
    filter: list[Any] = []


class Pids(Message, frozen=True, kw_only=True, rename="camel"):
    """A message within a process."""

    provider_pid: Pid
    consumer_pid: Pid


class Ending(Pids, frozen=True, kw_only=True, rename="camel"):
    """A message that may say why."""

    code: str = ""
    reason: list[Any] | None = None

    def check(self) -> None:
        if self.reason is not None and not self.reason:
            raise BadInput("reason is an empty list")

    @property
    def as_sent(self) -> dict[str, Any] | None:
        """Code and reasons as they came; None when there are none."""
        found = {"code": self.code} if self.code else {}
        return (found | ({"reason": self.reason} if self.reason else {})) or None

    @property
    def why(self) -> str:
        """Code and reasons in one text of at most 500 characters."""
        return "; ".join(filter(None, [self.code, *(str(_text(each)) for each in self.reason or [])]))[:500]


class ContractRequestMessage(Message, frozen=True, kw_only=True, rename="camel"):
    TYPE: ClassVar[str] = "ContractRequestMessage"
    consumer_pid: Pid
    provider_pid: str = ""
    callback_address: str = ""
    offer: dict[str, Any]

    def check(self) -> None:
        if bool(self.provider_pid) == bool(self.callback_address):
            raise BadInput("exactly one of callbackAddress and providerPid is needed")
        check_offer(self.offer)


class ContractOfferMessage(Message, frozen=True, kw_only=True, rename="camel"):
    TYPE: ClassVar[str] = "ContractOfferMessage"
    provider_pid: Pid
    consumer_pid: str = ""
    callback_address: str = ""
    offer: dict[str, Any]

    def check(self) -> None:
        if bool(self.consumer_pid) == bool(self.callback_address):
            raise BadInput("exactly one of callbackAddress and consumerPid is needed")
        check_offer(self.offer)


class ContractAgreementMessage(Pids, frozen=True, kw_only=True, rename="camel"):
    TYPE: ClassVar[str] = "ContractAgreementMessage"
    agreement: dict[str, Any]
    signature: Signature = field(name=SIGNATURE, default="")

    def check(self) -> None:
        check_agreement(self.agreement)


class ContractAgreementVerificationMessage(Pids, frozen=True, kw_only=True, rename="camel"):
    TYPE: ClassVar[str] = "ContractAgreementVerificationMessage"
    signature: Signature = field(name=SIGNATURE, default="")


class ContractNegotiationEventMessage(Pids, frozen=True, kw_only=True, rename="camel"):
    TYPE: ClassVar[str] = "ContractNegotiationEventMessage"
    event_type: str

    def check(self) -> None:
        if self.event_type.rpartition(":")[2] not in ("ACCEPTED", "FINALIZED"):
            raise BadInput("eventType is neither ACCEPTED nor FINALIZED")


class ContractNegotiationTerminationMessage(Ending, frozen=True, kw_only=True, rename="camel"):
    TYPE: ClassVar[str] = "ContractNegotiationTerminationMessage"


class EndpointProperty(Struct, frozen=True):
    """One property of a data address."""

    name: str
    value: str
    type: str = field(name="@type", default="EndpointProperty")


class DataAddress(Struct, frozen=True, rename="camel"):
    """Where data are to be had, or to be sent."""

    endpoint_type: str
    endpoint: str = ""
    endpoint_properties: tuple[EndpointProperty, ...] | None = None
    type: str = field(name="@type", default="DataAddress")


class TransferRequestMessage(Message, frozen=True, kw_only=True, rename="camel"):
    TYPE: ClassVar[str] = "TransferRequestMessage"
    consumer_pid: Pid
    agreement_id: Pid
    format: str
    callback_address: Url
    data_address: dict[str, Any] | None = None

    def check(self) -> None:
        check_address(self.data_address)


class TransferStartMessage(Pids, frozen=True, kw_only=True, rename="camel"):
    TYPE: ClassVar[str] = "TransferStartMessage"
    data_address: dict[str, Any] | None = None

    def check(self) -> None:
        check_address(self.data_address)


class TransferSuspensionMessage(Ending, frozen=True, kw_only=True, rename="camel"):
    TYPE: ClassVar[str] = "TransferSuspensionMessage"


class TransferCompletionMessage(Pids, frozen=True, kw_only=True, rename="camel"):
    TYPE: ClassVar[str] = "TransferCompletionMessage"


class TransferTerminationMessage(Ending, frozen=True, kw_only=True, rename="camel"):
    TYPE: ClassVar[str] = "TransferTerminationMessage"


class Acknowledgement(Struct, frozen=True, rename="camel"):
    """What of a ContractNegotiation or TransferProcess is read."""

    type: str = field(name="@type", default="")
    provider_pid: str = ""
    consumer_pid: str = ""
    state: str = ""


class Read(Struct, Generic[M], frozen=True):
    """A message, the JSON that it came as, and its contexts that nobody here knows: whether it counts is for the rule of its sender to say."""

    message: M
    value: Any
    unknown: tuple[str, ...] = ()


def read(cls: type[M], body: bytes) -> Read[M]:
    """Read a message; raises `BadInput` or `TooLarge` with what is wrong where."""
    value = wire.loads(body)
    if not isinstance(value, dict):
        raise BadInput("the message is not an object")
    if value.get("@context") != [CONTEXT]:
        plain, unknown = contexts.plain(value)
        return Read(convert(cls, plain), value, unknown)
    if body.count(b'"@context"') != 1 or b"\\" in body:
        contexts.check_inner(value)
    return Read(convert(cls, value), value)


def decode(cls: type[M], body: bytes) -> M:
    """Read a message of no matter whom; raises `BadInput` or `TooLarge` with what is wrong where."""
    found = read(cls, body)
    contexts.refuse(found.unknown)
    return found.message


def fingerprint(value: Any) -> str:
    """SHA-256 of a message without its `@id`: what stays the same when a peer says the same again."""
    said = {name: each for name, each in value.items() if name != "@id"} if isinstance(value, dict) else value
    return hashlib.sha256(wire.dumps_sorted(said)).hexdigest()


def convert(cls: type[M], value: dict[str, Any]) -> M:
    """A message from its parsed JSON, whose context has been read; raises `BadInput`."""
    if value.get("@type") not in (cls.TYPE, f"dspace:{cls.TYPE}"):
        raise BadInput(f"@type is {str(value.get('@type'))[:80]!r}, expected {cls.TYPE}")
    try:
        message = msgspec.convert(value, cls)
    except msgspec.ValidationError as error:
        raise BadInput(f"{cls.TYPE}: {error}") from error
    message.check()
    return message


def check_offer(offer: dict[str, Any]) -> None:
    """An offer in a message: `@id`, type Offer, target, rules of the right shape."""
    if offer.get("@type") not in ("Offer", "odrl:Offer") or not isinstance(offer.get("@id"), str) or not offer["@id"]:
        raise BadInput("offer: needs @type Offer and an @id")
    if not isinstance(offer.get("target"), str):
        raise BadInput("offer: needs a target")
    _check_rules(offer, "offer")


def check_agreement(agreement: dict[str, Any]) -> None:
    """An agreement: `@id`, type, target, assigner, assignee, timestamp when there is one, rules of the right shape."""
    if agreement.get("@type") not in ("Agreement", "odrl:Agreement"):
        raise BadInput("agreement: needs @type Agreement")
    for name in ("@id", "target", "assigner", "assignee"):
        if not isinstance(agreement.get(name), str) or not agreement[name]:
            raise BadInput(f"agreement: needs {name}")
    if not isinstance(agreement.get("timestamp", ""), str):
        raise BadInput("agreement: timestamp is no text")
    _check_rules(agreement, "agreement")


def _check_rules(policy: dict[str, Any], where: str) -> None:
    if "permission" not in policy and "prohibition" not in policy:
        raise BadInput(f"{where}: needs a permission or a prohibition")
    for name in ("permission", "prohibition", "obligation"):
        rules = policy.get(name)
        if rules is None:
            continue
        if not isinstance(rules, list) or not rules:
            raise BadInput(f"{where}.{name}: not a list with at least one rule")
        for index, rule in enumerate(rules):
            path = f"{where}.{name}[{index}]"
            if not isinstance(rule, dict) or not isinstance(rule.get("action"), str):
                raise BadInput(f"{path}: needs an action as text")
            if "target" in rule:
                raise BadInput(f"{path}: a rule has no target of its own")
            _check_constraints(rule.get("constraint", []), f"{path}.constraint", 0)


def _check_constraints(value: Any, path: str, depth: int) -> None:
    if not isinstance(value, list) or depth > _DEPTH:
        raise BadInput(f"{path}: not a list, or nested too deep")
    for index, each in enumerate(value):
        here = f"{path}[{index}]"
        if not isinstance(each, dict):
            raise BadInput(f"{here}: not an object")
        logical = [name for name in _LOGICAL if name in each]
        if len(logical) == 1 and "leftOperand" not in each:
            _check_constraints(each[logical[0]], f"{here}.{logical[0]}", depth + 1)
        elif logical or not isinstance(each.get("leftOperand"), str) or _term(each.get("operator")) not in OPERATORS:
            raise BadInput(f"{here}: neither one logical operator nor leftOperand, operator, rightOperand")
        elif not isinstance(each.get("rightOperand"), str | dict | list):
            raise BadInput(f"{here}: rightOperand is no text, object or list")


def _term(value: Any) -> str:
    """The short form of an ODRL term in any of its three spellings; empty for what is no term."""
    return term(value) if isinstance(value, str) else ""


def check_address(address: dict[str, Any] | None) -> None:
    """A data address of the right shape."""
    if address is None:
        return
    try:
        found = msgspec.convert(address, DataAddress)
    except msgspec.ValidationError as error:
        raise BadInput(f"dataAddress: {error}") from error
    if address.get("@type") != "DataAddress" or (found.endpoint_properties is not None and not found.endpoint_properties):
        raise BadInput("dataAddress: needs @type DataAddress, and no empty endpointProperties")
    if any(each.type != "EndpointProperty" for each in found.endpoint_properties or ()):
        raise BadInput("dataAddress: endpointProperties are of @type EndpointProperty")


def _text(value: Any) -> Any:
    return value.get("@value", value) if isinstance(value, dict) else value


def encode(type_: str, **members: Any) -> bytes:
    """A message in compact form; members that are None or empty are left out."""
    shown = {name: value for name, value in members.items() if value not in (None, "", [])}
    return wire.dumps({"@context": [CONTEXT], "@type": type_, **shown})
