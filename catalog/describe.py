"""Self-descriptions: datasets and catalogs as DSP 2025-1 carries them, in the DSP context (DCAT 3, DCAT-AP 3 terms as compact IRIs).

Rules (reference: Catalog Protocol; official `catalog-schema`)
- Offers stand inside their dataset, without target; ids of dataset and offers differ.
- Empty arrays are left out. Titles carry their language. Checksum and size are in every dataset, so that a consumer can verify what it gets.
- Terms outside of the DSP context are compact IRIs with prefixes that it defines, so a JSON-LD reader keeps them.
"""

from collections.abc import Sequence
from typing import Any, Final

from catalog.dcat import Asset, OfferTerms

CONTEXT: Final = "https://w3id.org/dspace/2025/1/context.jsonld"
FORMATS: Final = ("HttpData-PULL", "HttpData-PUSH")
_CHECKSUM: Final = "https://w3id.org/kizuna/sha256"


def dataset(asset: Asset, offers: Sequence[OfferTerms], *, endpoint: str, formats: Sequence[str] = FORMATS) -> dict[str, Any]:
    """The DCAT dataset with its offers and distributions."""
    found: dict[str, Any] = {
        "@id": asset.id,
        "@type": "Dataset",
        "dct:title": _texts(asset.title),
        "dct:issued": {"@value": asset.created, "@type": "xsd:dateTime"},
        "dcat:byteSize": {"@value": str(asset.size), "@type": "xsd:nonNegativeInteger"},
        "dcat:mediaType": asset.media_type,
        _CHECKSUM: asset.sha256,
        "hasPolicy": [offer_of(each) for each in offers],
        "distribution": [{"@type": "Distribution", "format": format_, "accessService": service(endpoint)} for format_ in formats],
    }
    if asset.description:
        found["dct:description"] = _texts(asset.description)
    if asset.schema:
        found["dct:conformsTo"] = {"@id": f"{asset.profile}#{asset.schema}"}
    return found


def offer_of(offer: OfferTerms) -> dict[str, Any]:
    """The offer as it stands in a catalog: without target."""
    rules = {name: value for name, value in offer.contract.items() if name not in ("target", "@context", "assigner")}
    return rules | {"@id": offer.id, "@type": "Offer"}


def message_offer(offer: OfferTerms) -> dict[str, Any]:
    """The offer as it stands in a message: with target."""
    return offer_of(offer) | {"target": offer.asset}


def service(endpoint: str) -> dict[str, Any]:
    """The data service of a connector."""
    return {
        "@id": f"{endpoint}#service",
        "@type": "DataService",
        "endpointURL": endpoint,
        "endpointDescription": "dspace:connector",
    }


def catalog(participant: str, name: str, datasets: Sequence[dict[str, Any]], *, endpoint: str) -> dict[str, Any]:
    """The catalog of a participant around datasets."""
    found: dict[str, Any] = {
        "@context": [CONTEXT],
        "@id": f"{endpoint}#catalog",
        "@type": "Catalog",
        "dct:title": name,
        "participantId": participant,
        "service": [service(endpoint)],
    }
    return found | ({"dataset": list(datasets)} if datasets else {})


def facts(described: dict[str, Any]) -> dict[str, Any]:
    """What a consumer keeps of a described dataset: checksum, size, schema (`<profile>#<schema>`); empty where it says nothing."""
    size = described.get("dcat:byteSize")
    conforms = described.get("dct:conformsTo")
    name = conforms.get("@id", "") if isinstance(conforms, dict) else ""
    return {
        "sha256": str(described.get(_CHECKSUM, "")),
        "size": int(size["@value"]) if isinstance(size, dict) and str(size.get("@value", "")).isdigit() else 0,
        "schema": str(name),
    }


def _texts(texts: dict[str, str]) -> list[dict[str, str]]:
    return [{"@value": text, "@language": language} for language, text in texts.items() if text]
