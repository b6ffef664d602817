"""What comes in: one message, six hops.

    1 read      size limit, strict JSON, typed message           `messages.decode`
    2 who       token, key, presentation, TLS binding            `identity.verify.authenticate`, before any look-up by what the message says
    3 handle    snapshot, offer or agreement, policies           `processes.negotiation | transfer`
    4 step      the transition table                             `processes.machine.step`, inside 3
    5 commit    process, journal, outbox, inbox, token: at once  `store.commit`
    6 answer    the acknowledgement                              `outbound.acknowledgement`

Rules
- A repeat of a message is answered as the first time, under a new token, with one effect.
- A process that is unknown, somebody else's, or of another role or kind is one and the same 404.
- When the process moved between 3 and 5, hops 3 to 5 are done again, a few times; then the peer is asked to come again.
- A token is used up even when its message is refused.
"""

import hashlib
from typing import Final

from aiohttp import web
from msgspec import Struct

from connector.dsp import messages, outbound
from connector.dsp.messages import Message
from connector.dsp.node import Node, spent
from connector.processes import exchange, negotiation, transfer
from connector.processes.errors import UnknownProcess, VersionConflict
from connector.processes.model import InboxRow, Kind, Process, Role, TokenUse
from identity.verify import Caller, VerifiedParticipant
from kernel import telemetry
from kernel.errors import BadInput, KizunaError
from kernel.faults import crashpoint
from kernel.web import client_certificate

ATTEMPTS: Final = 5
log = telemetry.get(__name__)
Outcome = negotiation.Outcome | transfer.Outcome


class _Arrival(Struct, frozen=True, kw_only=True):
    """A decoded message and who sent it. `own` is the pid in the path; empty for a first message, which makes its process."""

    message: Message
    digest: str
    kind: Kind
    role: Role | None  # ours at this endpoint; None where either may be
    own: str
    who: VerifiedParticipant

    @property
    def theirs(self) -> str:
        """The sender's pid in a first message."""
        name = "provider_pid" if isinstance(self.message, messages.ContractOfferMessage) else "consumer_pid"
        return str(getattr(self.message, name))


async def receive(node: Node, request: web.Request, cls: type[Message], kind: Kind, role: Role | None) -> web.Response:
    """One message of a process."""
    own = request.match_info.get("pid", "")
    request["dsp"] = (kind, own, own)
    body = await request.read()
    message = messages.decode(cls, body)  # 1
    request["dsp"] = (kind, getattr(message, "provider_pid", ""), getattr(message, "consumer_pid", ""))
    who = await node.authenticate(caller(request), _decides(cls))  # 2
    token = spent(who.token)
    digest = hashlib.sha256(body).hexdigest()
    arrival = _Arrival(message=message, digest=digest, kind=kind, role=role, own=own, who=who)
    with telemetry.bound(pid=own, peer=who.did, message=cls.TYPE, message_id=message.id):
        try:
            return await _handled(node, arrival, token)
        except KizunaError as error:
            error.facts.update({"peer": who.did, "pid": own, "message": cls.TYPE, "message_id": message.id})
            await node.processes.spend(token)
            raise


async def _handled(node: Node, arrival: _Arrival, token: TokenUse) -> web.Response:
    first = not arrival.own
    if first:
        await node.check_callback(arrival.who, getattr(arrival.message, "callback_address", ""))
    for _ in range(ATTEMPTS):
        process = _process(node, arrival)
        repeat = _repeat(node, process, arrival)
        if repeat is not None:
            await node.processes.spend(token)
            log.info("repeated message")
            return _answer(repeat.answer, repeat.status)
        if process is not None:
            _check_pids(process, arrival)
        outcome = _outcome(node, arrival, process)  # 3, 4
        try:
            crashpoint("inbound:before-commit")
            await node.processes.commit(outcome.commit)  # 5
        except VersionConflict:
            continue
        crashpoint("inbound:after-commit")
        log.info("accepted", state=outcome.answered.state, own=outcome.answered.id)
        return _answer(outbound.acknowledgement(outcome.answered), 201 if first else 200)  # 6
    raise VersionConflict("the process keeps moving", next_step="send the message again")


def _process(node: Node, arrival: _Arrival) -> Process | None:
    """The process of the message; None for a first message that is new."""
    if arrival.own:
        return _own(node, arrival.own, arrival.who, arrival.kind, arrival.role)
    return node.processes.process_of_peer(arrival.who.did, arrival.kind, arrival.theirs)


def _outcome(node: Node, arrival: _Arrival, process: Process | None) -> Outcome:
    message, who = arrival.message, arrival.who
    their_pid = arrival.theirs if process is None else _pid(message, exchange.other(process.role))
    common = {"message": _row(message), "peer": who.did, "id": message.id, "digest": arrival.digest, "peer_pid": their_pid}
    common |= {"callback": getattr(message, "callback_address", "").rstrip("/"), "reason": getattr(message, "why", "")}
    if arrival.kind == "negotiation":
        offer, agreement = getattr(message, "offer", None), getattr(message, "agreement", None)
        received = negotiation.Received(**common, offer=offer, agreement=agreement)
        context = node.negotiation(who)
        if process is None:
            return negotiation.start(received, context, outbound.acknowledgement)
        return negotiation.receive(process, received, context, outbound.acknowledgement)
    arrived = transfer.Received(
        **common,
        agreement_id=getattr(message, "agreement_id", ""),
        format=getattr(message, "format", ""),
        data_address=getattr(message, "data_address", None),
        thumbprint=who.thumbprint or "",
    )
    if process is None:
        return transfer.start(arrived, node.transfer(who), outbound.acknowledgement)
    return transfer.receive(process, arrived, node.transfer(who), outbound.acknowledgement)


async def show(node: Node, request: web.Request, kind: Kind) -> web.Response:
    """GET of a process by either of its parties."""
    own = request.match_info["pid"]
    request["dsp"] = (kind, own, own)
    who = await node.authenticate(caller(request), False)
    await node.processes.spend(spent(who.token))
    process = _own(node, own, who, kind, None)
    return _answer(outbound.acknowledgement(process), 200)


def caller(request: web.Request) -> Caller:
    """What the request shows of its caller."""
    return Caller(tuple(request.headers.getall("Authorization", [])), client_certificate(request))


def _own(node: Node, key: str, who: VerifiedParticipant, kind: Kind, role: Role | None) -> Process:
    process = node.processes.process(key)
    if process is None or process.peer != who.did or process.kind != kind or (role is not None and process.role != role):
        raise UnknownProcess("no such process", peer=who.did)
    return process


def _repeat(node: Node, process: Process | None, arrival: _Arrival) -> InboxRow | None:
    """The stored answer, when this message was accepted before."""
    if process is None:
        return None
    peer, key = arrival.who.did, arrival.message.id or ("" if arrival.own else f"first:{arrival.digest}")
    if key:
        return node.processes.replay(peer, process.id, key)
    if exchange.is_repeat(process, "", arrival.digest) and process.last_accepted is not None:
        return InboxRow(peer, process.id, "", process.last_accepted.answer, 200)
    return None


def _check_pids(process: Process, arrival: _Arrival) -> None:
    """The pids in the body are those of the process; the peer's is learned when it is new."""
    if not arrival.own:
        raise BadInput("this pid belongs to another negotiation or transfer already")
    mine, theirs = _pid(arrival.message, process.role), _pid(arrival.message, exchange.other(process.role))
    if mine != process.id or (process.peer_pid and theirs != process.peer_pid):
        raise BadInput("the pids in the message are not those of this process")


def _pid(message: Message, role: Role) -> str:
    return str(getattr(message, f"{role}_pid", ""))


def _row(message: Message) -> str:
    event = getattr(message, "event_type", "")
    return f"{message.TYPE}:{event.rpartition(':')[2]}" if event else message.TYPE


def _decides(cls: type[Message]) -> bool:
    """Whether a contract or data depend on the message: then status is read anew."""
    return cls in (
        messages.ContractRequestMessage,
        messages.ContractOfferMessage,
        messages.ContractAgreementMessage,
        messages.TransferRequestMessage,
        messages.TransferStartMessage,
    )


def _answer(body: bytes, status: int) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
