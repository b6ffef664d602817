"""DCP 1.0 issuance messages that the issuer reads and writes (identity.md 1.4; section 6 of the specification).

Reading is plain JSON: `@context` must be an array of strings with the DCP URL, unknown members are ignored. Writing gives the
shapes of the published JSON Schemas; a test checks every message against them.

Known differences: `rejectionReason` is only written when there is one (the schema does not allow null), and
`credentialSchema`, `offerReason` are always written in metadata because its schema wants them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct, field

from identity.service.issuer.definitions import Definition
from identity.service.store.issuance import Issuance, Issued
from identity.service.transitions import WIRE_STATUS
from identity.vc import DOCUMENTS
from kernel import wire
from kernel.errors import BadInput

CONTEXT: Final = "https://w3id.org/dspace-dcp/v1.0/dcp.jsonld"
_LIMIT: Final = 65_536


class Wanted(Struct, frozen=True):
    """One entry of a request: the identifier of a definition in the issuer's metadata."""

    id: Annotated[str, Meta(min_length=1, max_length=256)]


class CredentialRequestMessage(Struct, frozen=True, kw_only=True):
    """What a holder asks for, under its own process id."""

    context: list[str] = field(name="@context")
    type: str
    holder_pid: Annotated[str, Meta(min_length=1, max_length=256)] = field(name="holderPid")
    credentials: Annotated[list[Wanted], Meta(min_length=1, max_length=20)]


def read_request(body: bytes) -> CredentialRequestMessage:
    """The request in a body; raises `BadInput` with path and reason."""
    try:
        message = msgspec.convert(wire.loads(body, limit=_LIMIT), CredentialRequestMessage)
    except msgspec.ValidationError as error:
        raise BadInput(f"CredentialRequestMessage: {error}", reason=str(error)) from error
    if CONTEXT not in message.context:
        raise BadInput(f"@context must hold {CONTEXT}", path="@context", reason="wrong context")
    if message.type != "CredentialRequestMessage":
        raise BadInput("type must be CredentialRequestMessage", path="type", reason="wrong type")
    wanted = [one.id for one in message.credentials]
    if len(set(wanted)) != len(wanted):
        raise BadInput("a definition is asked for twice", path="credentials", reason="duplicate id")
    return message


def credential_status(issuance: Issuance) -> dict[str, Any]:
    """What the holder may know of its process."""
    return {
        "@context": [CONTEXT],
        "type": "CredentialStatus",
        "issuerPid": issuance.id,
        "holderPid": issuance.holder_pid,
        "status": WIRE_STATUS[issuance.state],
    }


def credential_message(issuance: Issuance, credentials: Sequence[Issued]) -> dict[str, Any]:
    """The delivery: all credentials of the process, or the rejection of the whole."""
    message: dict[str, Any] = {
        "@context": [CONTEXT],
        "type": "CredentialMessage",
        "issuerPid": issuance.id,
        "holderPid": issuance.holder_pid,
        "status": "REJECTED" if issuance.state == "REJECTED" else "ISSUED",
    }
    if issuance.state == "REJECTED":
        return message | {"rejectionReason": issuance.reason or "not granted"}
    message["credentials"] = [{"credentialType": one.type, "payload": _payload(one), "format": one.format} for one in credentials]
    return message


def _payload(credential: Issued) -> Any:
    """A JWT, or the document itself (DCP 1.0, 6.5.1: a string or JSON)."""
    return wire.loads(credential.jwt or "") if credential.format in DOCUMENTS else credential.jwt


def credential_offer(issuer: str, offered: Iterable[Definition], base_url: str) -> dict[str, Any]:
    """An offer: complete entries, as in the metadata (DCP 6.6)."""
    return {
        "@context": [CONTEXT],
        "type": "CredentialOfferMessage",
        "issuer": issuer,
        "credentials": [_credential_object(base_url, one) for one in offered],
    }


def issuer_metadata(issuer: str, base_url: str, definitions: Iterable[Definition]) -> dict[str, Any]:
    """Everything that can be asked for, each entry complete (DCP 6.7)."""
    return {
        "@context": [CONTEXT],
        "type": "IssuerMetadata",
        "issuer": issuer,
        "credentialsSupported": [_credential_object(base_url, one) for one in definitions],
    }


def _credential_object(base_url: str, definition: Definition) -> Mapping[str, Any]:
    return {
        "id": definition.id,
        "type": "CredentialObject",
        "credentialType": definition.type,
        "credentialSchema": definition.schema or f"{base_url}/schemas/{definition.id}",
        "offerReason": "reissue",
        "bindingMethods": ["did:web"],
        "profile": definition.format,
    }
