"""Errors as DSP shows them: one class per protocol error, its code, its HTTP status, its body.

    KizunaError (kernel.errors)
    ├── BadInput 400               malformed message, wrong context, wrong type
    │   ├── IllegalTransition 400  legal message, wrong state or sender
    │   ├── UnsupportedFilter 400
    │   ├── BadContinuation 400    continuation token of somebody else, changed, or expired
    │   ├── UnsupportedFormat 400
    │   ├── TermsDiffer 400
    │   └── TooLarge 413
    ├── Unauthorized 401           one body for every reason
    ├── NotFound 404               UnknownProcess, OfferUnknown, AgreementUnknown, DatasetUnknown: one body per kind of process
    ├── Conflict 409               CrossingStep, VersionConflict: come again
    ├── EventsRemoved 410          of the management API
    └── UnavailableError 503, StorageFull 507

Bodies: `CatalogError`, `ContractNegotiationError`, `TransferError` with `code` and `reason`; the pids are those that the caller sent.
What a caller may not know is not in them: every 404 of a kind reads the same (ADR 0006).
"""

from typing import Any, Final

from aiohttp import web

from connector.dsp.contexts import CONTEXT
from kernel import wire
from kernel.errors import BadInput, KizunaError, NotFound

CONVERSATION: Final = web.RequestKey("conversation", tuple)  # (kind of process, providerPid, consumerPid) of a DSP request
BODY: Final = {"catalog": "CatalogError", "negotiation": "ContractNegotiationError", "transfer": "TransferError"}
_SAME: Final = {401: "authentication failed", 404: "not found", 500: "internal error"}


class UnsupportedFilter(BadInput):
    """A catalog filter in a dialect that is not understood."""

    code = "unsupported-filter"


class BadContinuation(BadInput):
    """A continuation token that is not ours, not for this caller, or too old."""

    code = "invalid-continuation-token"


class DatasetUnknown(NotFound):
    """No such dataset, or hidden from this participant."""

    code = "unknown-dataset"


class EventsRemoved(KizunaError):
    """Events that the caller has not been told of are older than they are kept (`keep_events`), and gone."""

    code, status = "events-removed", 410


def body(error: KizunaError, kind: str, *, provider_pid: str = "", consumer_pid: str = "") -> dict[str, Any]:
    """The error body of a kind of process."""
    same = _SAME.get(error.status)
    found: dict[str, Any] = {"@context": [CONTEXT], "@type": BODY[kind]}
    if kind != "catalog":
        found |= {"providerPid": provider_pid, "consumerPid": consumer_pid}
    code = "not-found" if error.status == 404 else "internal" if error.status >= 500 else error.code
    return found | {"code": code, "reason": [same or error.detail or code]}


def response(request: web.Request, error: KizunaError) -> web.Response:
    """The answer for a DSP route; other routes get an RFC 9457 problem."""
    kind, provider_pid, consumer_pid = request.get(CONVERSATION, ("", "", ""))
    if not kind:
        value, type_ = error.problem(), "application/problem+json"
    else:
        value, type_ = body(error, kind, provider_pid=provider_pid, consumer_pid=consumer_pid), "application/json"
    retry = {"Retry-After": "1"} if error.status in (409, 503) else {}
    return web.Response(body=wire.dumps(value), status=error.status, content_type=type_, headers=retry)
