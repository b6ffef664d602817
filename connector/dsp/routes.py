"""All endpoints of DSP 2025-1 on one screen (HTTPS bindings of catalog, negotiation, transfer; common section "Exposure of Versions").

`role` is ours at that endpoint; a first message has none, since it makes the process.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from aiohttp import web

from connector.dsp import inbound, paging
from connector.dsp.messages import (
    ContractAgreementMessage,
    ContractAgreementVerificationMessage,
    ContractNegotiationEventMessage,
    ContractNegotiationTerminationMessage,
    ContractOfferMessage,
    ContractRequestMessage,
    Message,
    TransferCompletionMessage,
    TransferRequestMessage,
    TransferStartMessage,
    TransferSuspensionMessage,
    TransferTerminationMessage,
)
from connector.dsp.node import Node
from connector.processes.model import Kind, Role
from kernel.web import Route, json_response

VERSION: Final = "2025-1"
PATH: Final = "/dsp/2025-1"
_N: Final[Kind] = "negotiation"
_T: Final[Kind] = "transfer"
_P: Final[Role] = "provider"
_C: Final[Role] = "consumer"
_EITHER: Final = None

# path below /dsp/2025-1, message, kind of process, our role; the most frequent first, since paths with a pid are tried in this order
POSTS: Final[tuple[tuple[str, type[Message], Kind, Role | None], ...]] = (
    ("/negotiations/request", ContractRequestMessage, _N, None),
    ("/negotiations/offers", ContractOfferMessage, _N, None),
    ("/negotiations/{pid}/agreement", ContractAgreementMessage, _N, _C),
    ("/negotiations/{pid}/agreement/verification", ContractAgreementVerificationMessage, _N, _P),
    ("/negotiations/{pid}/events", ContractNegotiationEventMessage, _N, _EITHER),
    ("/negotiations/{pid}/request", ContractRequestMessage, _N, _P),
    ("/negotiations/{pid}/offers", ContractOfferMessage, _N, _C),
    ("/negotiations/{pid}/termination", ContractNegotiationTerminationMessage, _N, _EITHER),
    ("/transfers/request", TransferRequestMessage, _T, None),
    ("/transfers/{pid}/start", TransferStartMessage, _T, _EITHER),
    ("/transfers/{pid}/suspension", TransferSuspensionMessage, _T, _EITHER),
    ("/transfers/{pid}/completion", TransferCompletionMessage, _T, _EITHER),
    ("/transfers/{pid}/termination", TransferTerminationMessage, _T, _EITHER),
)


def routes(node: Node) -> list[Route]:
    """The route table over a node's collaborators."""
    posts = [
        _route("POST", PATH + path, partial(inbound.receive, node, message, kind, role), f"{message.TYPE}")
        for path, message, kind, role in POSTS
    ]
    return [
        Route(method="GET", path="/.well-known/dspace-version", handler=_versions, auth="none", summary="Versions of the protocol"),
        _route("POST", f"{PATH}/catalog/request", partial(paging.catalog, node), "CatalogRequestMessage"),
        _route("GET", f"{PATH}/catalog/datasets/{{id:.+}}", partial(paging.dataset, node), "A dataset"),
        *posts,
        _route(
            "POST",
            f"{PATH}/negotiations/{{pid}}/duties",
            partial(inbound.stated, node),
            "A statement about a duty, beside the protocol",
        ),
        _route("GET", f"{PATH}/negotiations/{{pid}}", partial(inbound.show, node, _N), "A contract negotiation"),
        _route("GET", f"{PATH}/transfers/{{pid}}", partial(inbound.show, node, _T), "A transfer process"),
    ]


def _route(method: str, path: str, handler: Callable[[web.Request], Any], summary: str) -> Route:
    return Route(method=method, path=path, handler=handler, auth="token", summary=summary)


async def _versions(_request: web.Request) -> web.Response:
    auth = {"protocol": "DCP", "version": "1.0", "profile": ["vc20-bssl/jwt", "vc11-sl2021/jwt"]}
    version = {"version": VERSION, "path": PATH, "binding": "HTTPS", "identifierType": "did:web", "auth": auth}
    return json_response({"protocolVersions": [version]})
