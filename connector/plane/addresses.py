"""Data addresses: in the form of DSP 2025-1, and as Eclipse EDC (0.15) writes and reads them.

Rules
- The form of an address that comes in is seen by its property names: EDC's are IRIs of its own namespace. There, the endpoint is a property (`endpoint`, or
  `baseUrl` of an inbox), `authorization` is the whole header and not a Bearer token, and an inbox may name its method, its header (`authKey`, `authCode`).
- What goes out has the form that the rule for the peer names (`peers.dialect`), since an address can be read in one of them only.

Not done here: minting the tokens (`tokens`), using addresses (`pull`, `push`).
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

Form = Literal["dsp", "edc"]
ENDPOINT_TYPE: Final = "https://w3id.org/idsa/v4.1/HTTP"
EDC: Final = "https://w3id.org/edc/v0.0.1/ns/"
EDC_INBOX: Final = "HttpData"
BEARER: Final = "Bearer "


def source(form: Form, url: str, token: str, further: Mapping[str, str]) -> dict[str, Any]:
    """Where a consumer pulls: `token` is a Bearer token, `further` what goes with it (refresh, life)."""
    if form == "edc":
        properties = {"endpoint": url, "endpointType": ENDPOINT_TYPE, "authType": "bearer", "authorization": BEARER + token}
        return _address(ENDPOINT_TYPE, {EDC + name: value for name, value in properties.items()})
    return _address(ENDPOINT_TYPE, {"authorization": token, "authType": "bearer", **further}, url)


def inbox(form: Form, url: str, token: str) -> dict[str, Any]:
    """Where a provider pushes."""
    if form == "edc":
        properties = {"baseUrl": url, "method": "PUT", "authKey": "Authorization", "authCode": BEARER + token}
        return _address(EDC_INBOX, {EDC + name: value for name, value in properties.items()})
    return _address(ENDPOINT_TYPE, {"authorization": token, "authType": "bearer"}, url)


def of_edc(address: Mapping[str, Any]) -> bool:
    """Whether the address is in EDC's form."""
    return any(str(each["name"]).startswith(EDC) for each in address.get("endpointProperties") or ())


def endpoint(address: Mapping[str, Any]) -> str:
    """The URL; empty when there is none."""
    return str(address.get("endpoint") or property_of(address, "endpoint") or property_of(address, "baseUrl"))


def method(address: Mapping[str, Any]) -> str:
    """How an inbox wants to be written to: PUT, or what an address of EDC's form says, POST by default."""
    return (property_of(address, "method").upper() or "POST") if of_edc(address) else "PUT"


def credentials(address: Mapping[str, Any]) -> dict[str, str]:
    """The headers that open the endpoint."""
    given = property_of(address, "authorization")
    if of_edc(address):
        found = {"Authorization": given, property_of(address, "authKey"): property_of(address, "authCode")}
        return {name: value for name, value in found.items() if name and value}
    return {"Authorization": given if given.startswith(BEARER) else BEARER + given} if given else {}


def property_of(address: Mapping[str, Any], name: str) -> str:
    """An endpoint property by its name, also under a full IRI; empty when it is not there."""
    for each in address.get("endpointProperties") or ():
        if each["name"] == name or each["name"].rpartition("/")[2] == name:
            return str(each["value"])
    return ""


def _address(type_: str, properties: Mapping[str, str], endpoint: str = "") -> dict[str, Any]:
    listed = [{"@type": "EndpointProperty", "name": name, "value": value} for name, value in properties.items()]
    named = {"endpoint": endpoint} if endpoint else {}
    return {"@type": "DataAddress", "endpointType": type_, **named, "endpointProperties": listed}
