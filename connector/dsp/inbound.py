"""What comes in: one message, six hops.

    1 read      size limit, strict JSON, typed message           `messages.read`
    2 who       token, key, presentation, TLS binding            `identity.verify.authenticate`, before any look-up by what the message says
    3 handle    snapshot, offer or agreement, policies           `processes.negotiation | transfer`
    4 step      the transition table                             `processes.machine.step`, inside 3
    5 commit    process, journal, outbox, token: at once         `store.commit`
    6 answer    the acknowledgement                              `outbound.acknowledgement`

Rules
- A repeat of a message is answered as the first time, under a new token, with one effect.
- A process that is unknown, somebody else's, or of another role or kind is one and the same 404.
- When the process moved between 3 and 5, hops 3 to 5 are done again, a few times; then the peer is asked to come again.
- A token is used up even when its message is refused.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final
from weakref import WeakValueDictionary

from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from connector.dsp import messages, outbound
from connector.dsp.messages import Message
from connector.dsp.node import Node, spent
from connector.errors import CONVERSATION
from connector.optimistic import optimistic
from connector.processes import exchange, negotiation, transfer
from connector.processes.errors import UnknownProcess
from connector.processes.exchange import Replay
from connector.processes.model import Commit, Kind, Process, Role, TokenUse
from connector.processes.tables import ACCEPT, AGREE, ASK, OFFER, REQUEST, START, TABLES, TERMINATED, VERIFY
from identity.verify import Caller, VerifiedParticipant
from kernel import telemetry, wire
from kernel.errors import BadInput, KizunaError
from kernel.faults import crashpoint
from kernel.web import client_certificate

_turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
COMMITTING: Final = frozenset({REQUEST, AGREE, VERIFY})  # messages by which a party commits itself: what it shows with them is kept
DECIDING: Final = frozenset({REQUEST, OFFER, ACCEPT, AGREE, ASK, START})  # a contract or data depend on them: status is read anew
log = telemetry.get(__name__)


class _Arrival(Struct, frozen=True, kw_only=True):
    """A decoded message and who sent it. `own` is the pid in the path; empty for a first message, which makes its process."""

    message: Message
    row: str  # its name in the tables
    pids: Mapping[Role, str]  # that it names; empty where it names none
    digest: str
    kind: Kind
    role: Role | None  # ours at this endpoint; None where either may be
    own: str
    who: VerifiedParticipant

    @property
    def first_sender(self) -> Role:
        """Who sends this message as a first one."""
        return "provider" if self.row == OFFER else "consumer"


async def receive(node: Node, cls: type[Message], kind: Kind, role: Role | None, request: web.Request) -> web.Response:
    """One message of a process."""
    own = request.match_info.get("pid", "")
    request[CONVERSATION] = (kind, own, own)
    found = messages.read(cls, await request.read())  # 1
    message, row = found.message, _row(found.message)
    pids: dict[Role, str] = {"provider": getattr(message, "provider_pid", ""), "consumer": getattr(message, "consumer_pid", "")}
    request[CONVERSATION] = (kind, pids["provider"], pids["consumer"])
    who = await node.authenticate(caller(request), row in DECIDING)  # 2
    token = spent(who.token)
    digest = messages.fingerprint(found.value)
    arrival = _Arrival(message=message, row=row, pids=pids, digest=digest, kind=kind, role=role, own=own, who=who)
    with telemetry.bound(pid=own, peer=who.did, message=cls.TYPE, message_id=message.id):
        try:
            node.check_contexts(who.did, found.unknown)
            if not own:
                await node.check_callback(who, getattr(message, "callback_address", ""))
            else:
                await node.settled(own, row, (pids["provider"], pids["consumer"]))
            async with _turn(node, message):
                return await _handled(node, arrival, token)
        except KizunaError as error:
            error.facts.update({"peer": who.did, "pid": own, "message": cls.TYPE, "message_id": message.id})
            await node.processes.spend(token)
            raise


def _turn(node: Node, message: Message) -> AbstractAsyncContextManager[None]:
    """Requests under one agreement are decided in a row: one after the other where the store does not look ahead, or all but one would find that it has moved."""
    agreement = "" if node.processes.looks_ahead else getattr(message, "agreement_id", "")
    return _turns.setdefault((node.participant, agreement), asyncio.Lock()) if agreement else nullcontext()


@optimistic("the process keeps moving", next_step="send the message again")
async def _handled(node: Node, arrival: _Arrival, token: TokenUse) -> web.Response:
    process = await _process(node, arrival)
    outcome = await _outcome(node, arrival, process)  # 3, 4
    if type(outcome) is Replay:
        await node.processes.spend(token)
        log.info("repeated message")
        return _acknowledged(arrival, outcome.process)
    crashpoint("inbound:before-commit")
    await node.processes.commit(replace(outcome, token=token))  # 5
    crashpoint("inbound:after-commit")
    if node.witness is not None and outcome.documents:
        node.witness.stored(outcome.documents)
    log.info("accepted", state=outcome.process.state, own=outcome.process.id)
    return _acknowledged(arrival, outcome.process)  # 6


async def _process(node: Node, arrival: _Arrival) -> Process | None:
    """The process of the message; None for a first message that is new."""
    if arrival.own:
        return await _own(node, arrival.own, arrival.who, arrival.kind, arrival.role)
    return await node.processes.process_of_peer(arrival.who.did, arrival.kind, arrival.pids[arrival.first_sender])


async def _outcome(node: Node, arrival: _Arrival, process: Process | None) -> Commit | Replay:
    message, who = arrival.message, arrival.who
    sender = exchange.sender_to(process.role) if process else arrival.first_sender
    known = await node.processes.replay(process.id, message.id, sender) if process and message.id else None
    if process is not None and known is None:
        if not arrival.own:
            return exchange.repeated_first(TABLES[arrival.kind], process, arrival.row, arrival.digest)
        if arrival.pids[process.role] != process.id:
            raise BadInput("the pid in the message is not that of this process")
    common: dict[str, Any] = {
        "message": arrival.row,
        "sender": sender,
        "peer": who.did,
        "message_id": message.id,
        "digest": arrival.digest,
        "peer_pid": arrival.pids[sender],
        "callback": getattr(message, "callback_address", "").rstrip("/"),
        "reason": getattr(message, "why", ""),
        "ending": getattr(message, "as_sent", None),
    }
    if arrival.kind == "negotiation":
        signature = getattr(message, "signature", "")
        proof = await node.witness.of(who, signature) if node.witness is not None and arrival.row in COMMITTING else None
        received = negotiation.Received(
            **common,
            offer=getattr(message, "offer", None),
            agreement=getattr(message, "agreement", None),
            signature=signature,
            proof=proof,
        )
        context = await node.negotiation(who, _offer_asked(process, received))
        return negotiation.handle(process, received, known, context)
    arrived = transfer.Received(
        **common,
        agreement_id=getattr(message, "agreement_id", ""),
        format=getattr(message, "format", ""),
        data_address=getattr(message, "data_address", None),
        thumbprint=who.thumbprint or "",
    )
    invoked = await node.transfer(who, process.data["agreementId"] if process is not None else arrived.agreement_id)
    return transfer.handle(process, arrived, known, invoked)


def _offer_asked(process: Process | None, received: negotiation.Received) -> str:
    """The offer of ours that a request asks for, or that a consumer accepts; empty for other messages, which need none."""
    if received.message not in (REQUEST, ACCEPT):
        return ""
    return str(process.data.get("offerId", "") if process is not None else (received.offer or {}).get("@id", ""))


def _acknowledged(arrival: _Arrival, process: Process) -> web.Response:
    """What a message is answered with, also when it comes again."""
    return _answer(outbound.acknowledgement(process), 200 if arrival.own else 201)


async def stated(node: Node, request: web.Request) -> web.Response:
    """What the peer of a negotiation says about a duty of its agreement: an endpoint of our own beside the protocol's (`connector.usage.obligations`)."""
    own = request.match_info["pid"]
    request[CONVERSATION] = ("negotiation", own, own)
    body = wire.loads(await request.read())
    who = await node.authenticate(caller(request), False)
    await node.processes.spend(spent(who.token))
    process = await _own(node, own, who, "negotiation", None)
    if node.stated is None:
        raise UnknownProcess("no such process", peer=who.did)
    await node.stated(process, who.did, body)
    return _answer(outbound.acknowledgement(process), 200)


async def show(node: Node, kind: Kind, request: web.Request) -> web.Response:
    """GET of a process by either of its parties."""
    own = request.match_info["pid"]
    request[CONVERSATION] = (kind, own, own)
    who = await node.authenticate(caller(request), False)
    await node.processes.spend(spent(who.token))
    await node.settled(own)
    process = await _own(node, own, who, kind, None)
    return _answer(outbound.acknowledgement(_decided(process)), 200)


def _decided(process: Process) -> Process:
    """As a peer is to see it: a termination of ours holds from the decision, since no answer to it and no message that crosses it can change that."""
    pending = process.pending
    return replace(process, state=TERMINATED) if pending is not None and pending.to == TERMINATED else process


def caller(request: web.Request) -> Caller:
    """What the request shows of its caller."""
    return Caller(tuple(request.headers.getall("Authorization", [])), client_certificate(request))


async def _own(node: Node, key: str, who: VerifiedParticipant, kind: Kind, role: Role | None) -> Process:
    process = await node.processes.process(key)
    if process is None or process.peer != who.did or process.kind != kind or (role is not None and process.role != role):
        raise UnknownProcess("no such process", peer=who.did)
    return process


def _row(message: Message) -> str:
    event = getattr(message, "event_type", "")
    return f"{message.TYPE}:{event.rpartition(':')[2]}" if event else message.TYPE


def _answer(body: bytes, status: int) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
