"""Self-descriptions: datasets and catalogs as DSP 2025-1 JSON (catalog-schema, dataset-schema), and as RDF for others.

Rules
- The DSP context is closed: what it does not define travels under prefixed names that it does (`dct:`, `dcat:`), which survive
  expansion. Values are the JSON-LD forms of DCAT-AP: language-tagged titles, typed sizes and checksums.
- A list that would be empty is left out, since the schemas want at least one element. A dataset without offers is not described.
- An offer in a catalog has its id and no target. Its id is that of `OfferTerms`.
- What the data are about is said by schema.org's `productID`, since DCAT has no term for it: the numbers or IRIs that the provider itself uses, as texts.
- `conformsTo` names the profile; the schema is `<profile>#schema/<id>`.
- Nothing of `Asset.source` is ever shown.

Not done here: who sees what (`offers`), pages and their links (the connector), federation and SHACL.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from catalog.dcat import Asset, OfferTerms

CONTEXT: Final = "https://w3id.org/dspace/2025/1/context.jsonld"
FORMATS: Final = ("HttpData-PULL", "HttpData-PUSH")
_RULES: Final = frozenset({"permission", "prohibition", "obligation", "duty", "remedy", "consequence"})
_SPDX: Final = "http://spdx.org/rdf/terms#"
_MEDIA: Final = "https://www.iana.org/assignments/media-types/"
_PRODUCT: Final = "https://schema.org/productID"
_PREFIXES: Final = {
    "dct": "http://purl.org/dc/terms/",
    "dcat": "http://www.w3.org/ns/dcat#",
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "dspace": "https://w3id.org/dspace/2025/1/",
    "schema": "https://schema.org/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}


def dataset(
    asset: Asset, offers: Iterable[OfferTerms], *, endpoint: str, formats: Sequence[str] = FORMATS, service: str = ""
) -> dict[str, Any]:
    """One dataset with at least one offer, without `@context` (a part of a catalog).

    `endpoint` is the base URL of the connector's DSP, `service` the id of its data service (the endpoint, if not given).
    """
    access = data_service(endpoint, service)
    described = {
        "@id": asset.id,
        "@type": "Dataset",
        "dct:identifier": asset.id,
        "dct:title": _texts(asset.title),
        "dct:publisher": {"@id": asset.participant},
        "dct:issued": _typed(asset.created, "dateTime"),
        "dcat:keyword": [each for each in (asset.schema,) if each],
        "dct:conformsTo": [{"@id": each} for each in _conforms_to(asset)],
        **asset.properties,
        _PRODUCT: list(asset.products),
        "hasPolicy": [_offer(each) for each in offers],
        "distribution": [_distribution(asset, each, access) for each in formats],
    }
    if asset.description:
        described["dct:description"] = _texts(asset.description)
    return {key: value for key, value in described.items() if value not in ([], "")}


def catalog(
    participant_id: str,
    datasets: Sequence[Any],
    *,
    endpoint: str,
    service: str = "",
    catalog_id: str = "",
    title: Mapping[str, str] | None = None,
    nested: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """A whole catalog; without datasets the member is left out. `nested` are catalogs that lie elsewhere (`elsewhere`)."""
    described: dict[str, Any] = {
        "@context": [CONTEXT],
        "@id": catalog_id or f"{endpoint}/catalog",
        "@type": "Catalog",
        "participantId": participant_id,
        "service": [data_service(endpoint, service)],
    }
    if title:
        described["dct:title"] = _texts(title)
    if datasets:
        described["dataset"] = list(datasets)
    if nested:
        described["catalog"] = list(nested)
    return described


def elsewhere(participant_id: str, endpoint: str, title: Mapping[str, str]) -> dict[str, Any]:
    """A catalog of another participant, as an entry of ours: whoever wants it asks there, under its own name (DSP 2025-1, 5.3)."""
    service = data_service(endpoint)
    return {
        "@id": f"{endpoint}/catalog",
        "@type": "Catalog",
        "participantId": participant_id,
        "dct:title": _texts(title),
        "distribution": [{"@type": "Distribution", "format": "Catalog", "accessService": service}],
        "service": [service],
    }


def alone(described: Mapping[str, Any]) -> dict[str, Any]:
    """A dataset as the answer to a request for it: with the context."""
    return {"@context": [CONTEXT], **described}


def message_offer(offer: OfferTerms) -> dict[str, Any]:
    """An offer as a message carries it: with target."""
    return {**_offer(offer), "target": offer.asset}


def facts(described: Mapping[str, Any]) -> dict[str, Any]:
    """What a consumer keeps of a described dataset, to check what it gets: sha256 and schema (`<profile>#schema/<id>`); empty if not said."""
    sums = [each.get(f"{_SPDX}checksum") for each in described.get("distribution") or () if isinstance(each, dict)]
    value = sums[0].get(f"{_SPDX}checksumValue") if sums and isinstance(sums[0], dict) else None
    names = [each.get("@id", "") for each in described.get("dct:conformsTo") or () if isinstance(each, dict)]
    return {
        "sha256": str(value.get("@value", "")) if isinstance(value, dict) else "",
        "schema": next((str(each) for each in names if "#schema/" in str(each)), ""),
    }


def products(described: Mapping[str, Any]) -> list[str]:
    """What a described dataset, of anybody, says that it is about; whatever is no text is passed over."""
    found = described.get(_PRODUCT)
    values = (
        each.get("@value", each.get("@id")) if isinstance(each, dict) else each
        for each in (found if isinstance(found, list) else [found])
    )
    return [each for each in values if isinstance(each, str)]


def data_service(endpoint: str, service: str = "") -> dict[str, Any]:
    """The connector as a DCAT data service; its protocol is that of `endpoint`."""
    return {"@id": service or endpoint, "@type": "DataService", "endpointURL": endpoint}


def turtle(described: Mapping[str, Any]) -> str:
    """A described catalog or dataset as Turtle (DCAT), for people and other tools. rdflib is imported when this is called."""
    from catalog.turtle import of  # noqa: PLC0415

    return of(described, _PREFIXES)


def _conforms_to(asset: Asset) -> tuple[str, ...]:
    if not asset.profile:
        return ()
    return (asset.profile, f"{asset.profile}#schema/{quote(asset.schema)}") if asset.schema else (asset.profile,)


def _offer(offer: OfferTerms) -> dict[str, Any]:
    terms = {key: value for key, value in offer.contract.items() if key not in ("@id", "@type", "@context", "target")}
    return {"@id": offer.id, "@type": "Offer", **{key: _rules(value) if key in _RULES else value for key, value in terms.items()}}


def _rules(rules: Any) -> Any:
    """Rules and their duties with the names of actions that a JSON-LD reader understands: of ODRL's, the DSP context defines `use` alone."""
    if not isinstance(rules, list):
        return rules
    return [
        {key: _action(value) if key == "action" else _rules(value) if key in _RULES else value for key, value in rule.items()}
        for rule in rules
    ]


def _action(name: Any) -> Any:
    return f"odrl:{name}" if isinstance(name, str) and ":" not in name and name != "use" else name


def _distribution(asset: Asset, format_: str, access: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "Distribution",
        "format": format_,
        "accessService": access,
        "dcat:mediaType": {"@id": _MEDIA + asset.media_type},
        "dcat:byteSize": _typed(str(asset.size), "nonNegativeInteger"),
        f"{_SPDX}checksum": {
            "@type": f"{_SPDX}Checksum",
            f"{_SPDX}algorithm": {"@id": f"{_SPDX}checksumAlgorithm_sha256"},
            f"{_SPDX}checksumValue": _typed(asset.sha256, "hexBinary"),
        },
    }


def _texts(texts: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"@value": text, "@language": language} for language, text in texts.items() if text]


def _typed(value: str, kind: str) -> dict[str, str]:
    return {"@value": value, "@type": f"xsd:{kind}"}
