"""What goes out: messages rendered once for the outbox, sent with a fresh token for every attempt, and answers rendered for peers.

Rules: a message keeps its body and `@id` over all attempts; paths are those of the HTTPS binding, below the peer's callback address; answers of peers are
read leniently (no content type, empty bodies, chunked). A good status counts unless the body shows that it is no answer to this message (`mistaken`).
"""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from connector.dsp.messages import Acknowledgement, encode
from connector.processes import tables
from connector.processes.evidence import SIGNATURE
from connector.processes.model import Process
from kernel import wire
from kernel.errors import KizunaError
from kernel.http import GuardedClient

_NEGOTIATION_PATHS: Final = {
    tables.REQUEST: "request",
    tables.OFFER: "offers",
    tables.ACCEPT: "events",
    tables.AGREE: "agreement",
    tables.VERIFY: "agreement/verification",
    tables.FINALIZE: "events",
    tables.END_NEGOTIATION: "termination",
}
_TRANSFER_PATHS: Final = {
    tables.ASK: "request",
    tables.START: "start",
    tables.SUSPEND: "suspension",
    tables.COMPLETE: "completion",
    tables.END_TRANSFER: "termination",
}
_ENDINGS: Final = (tables.END_NEGOTIATION, tables.END_TRANSFER, tables.SUSPEND)
_MOST: Final = 65_536
PATIENCE: Final = 30.0  # seconds for one call, to the end of its answer


class Answer(Struct, frozen=True):
    """A peer's answer to one of our messages. `foreign`: its body is no JSON, so something else than the peer may have answered."""

    status: int
    acknowledgement: Acknowledgement
    retry_after: str
    excerpt: str
    foreign: bool = False


def renderer(callback: Callable[[str], str]) -> Callable[[str, Process, str, dict[str, Any]], tuple[str, bytes]]:
    """Makes (path, body) of our messages; `callback` gives our base address for a peer, `content` is what the message says beside its pids."""

    def render(message: str, process: Process, message_id: str, content: dict[str, Any]) -> tuple[str, bytes]:
        type_, _, event = message.partition(":")
        members: dict[str, Any] = {"@id": message_id, **_pids(process)}
        if not process.peer_pid or message == tables.ASK:
            members["callbackAddress"] = callback(process.peer)
        return path_of(message, process), encode(type_, **members, **_content(message, content), eventType=event)

    return render


def _pids(process: Process) -> dict[str, str]:
    """Our own pid and the peer's, under their names."""
    own, theirs = ("providerPid", "consumerPid") if process.role == "provider" else ("consumerPid", "providerPid")
    return {own: process.id, theirs: process.peer_pid}


def path_of(message: str, process: Process) -> str:
    """The path below the peer's base address."""
    folder, paths = ("negotiations", _NEGOTIATION_PATHS) if process.kind == "negotiation" else ("transfers", _TRANSFER_PATHS)
    pid = f"/{quote(process.peer_pid, safe=':')}" if process.peer_pid else ""
    return f"/{folder}{pid}/{paths[message]}"


def _content(message: str, content: dict[str, Any]) -> dict[str, Any]:
    if message in (tables.REQUEST, tables.OFFER):
        return {"offer": content["offer"]}
    if message in (tables.AGREE, tables.VERIFY):
        signed = {SIGNATURE: content.get("ownSignature")}
        return {"agreement": content["agreement"], **signed} if message == tables.AGREE else signed
    if message == tables.ASK:
        return {"agreementId": content["agreementId"], "format": content["format"], "dataAddress": content.get("ownAddress")}
    if message == tables.START:
        return {"dataAddress": content.get("dataAddress")}
    if message in _ENDINGS and (content.get("reason") or content.get("code")):
        return {"code": content.get("code") or "ended", "reason": [content["reason"]] if content.get("reason") else None}
    return {}


def acknowledgement(process: Process) -> bytes:
    """ContractNegotiation or TransferProcess, as it stands."""
    type_ = "ContractNegotiation" if process.kind == "negotiation" else "TransferProcess"
    return encode(type_, **{"@id": process.id, **_pids(process), "state": process.state})


async def post(
    client: GuardedClient,
    url: str,
    body: bytes,
    authorization: str,
    *,
    expect_did: str | None,
    timeout: float = PATIENCE,
    even_revoked: bool = False,
) -> Answer:
    """Send one message; raises `Unreachable` or `Blocked`."""
    headers = {"Authorization": authorization, "Content-Type": "application/json"}
    reply = await client.request(
        "POST", url, headers=headers, body=body, expect_did=expect_did, timeout=timeout, even_revoked=even_revoked
    )
    excerpt = reply.body[:300].decode("utf-8", "replace")
    read = _read(reply.body)
    return Answer(reply.status, read or Acknowledgement(), reply.headers.get("Retry-After", ""), excerpt, read is None)


def _read(body: bytes) -> Acknowledgement | None:
    """What a body acknowledges, empty for an empty one; None where it is no JSON object."""
    if not body.strip():
        return Acknowledgement()
    try:
        return msgspec.convert(wire.loads(body, limit=_MOST), Acknowledgement)
    except (KizunaError, msgspec.ValidationError):
        return None


def mistaken(answer: Answer, process: Process) -> str:
    """Why a good status is no acknowledgement of our message: it names another process of ours, or does not come from the peer. Empty: it is one."""
    known = answer.acknowledgement
    ours, theirs = (
        (known.consumer_pid, known.provider_pid) if process.role == "consumer" else (known.provider_pid, known.consumer_pid)
    )
    if answer.foreign:
        return "the answer is no protocol message"
    if ours and ours != process.id:
        return "the answer is about another process"
    if process.peer_pid and theirs and theirs != process.peer_pid:
        return "the answer names another process of the peer"
    if not process.peer_pid and not theirs:
        return "the answer does not name the process that the peer has made"
    return ""
