"""DSP catalog JSON as RDF. Imported only where RDF is wanted: rdflib costs a serving process memory it need not spend.

The compact form of DSP 2025-1 is read with an own small context instead of the official one, whose quirks it mends: `endpointURL`,
`accessService` and offers become resources, and operands are not resolved against a base.
"""

from collections.abc import Mapping
from typing import Any, Final

from rdflib import Graph
from rdflib.plugins.parsers.jsonld import to_rdf

_TERMS: Final[dict[str, Any]] = {
    "Catalog": "dcat:Catalog",
    "Dataset": "dcat:Dataset",
    "Distribution": "dcat:Distribution",
    "DataService": "dcat:DataService",
    "Offer": "odrl:Offer",
    "participantId": {"@id": "dspace:participantId", "@type": "@id"},
    "dataset": {"@id": "dcat:dataset", "@container": "@set"},
    "catalog": {"@id": "dcat:catalog", "@container": "@set"},
    "service": {"@id": "dcat:service", "@container": "@set"},
    "distribution": {"@id": "dcat:distribution", "@container": "@set"},
    "accessService": {"@id": "dcat:accessService", "@type": "@id"},
    "endpointURL": {"@id": "dcat:endpointURL", "@type": "@id"},
    "format": {"@id": "dct:format"},
    "hasPolicy": {"@id": "odrl:hasPolicy", "@container": "@set"},
    "permission": {"@id": "odrl:permission", "@container": "@set"},
    "prohibition": {"@id": "odrl:prohibition", "@container": "@set"},
    "obligation": {"@id": "odrl:obligation", "@container": "@set"},
    "duty": {"@id": "odrl:duty", "@container": "@set"},
    "constraint": {"@id": "odrl:constraint", "@container": "@set"},
    "action": {"@id": "odrl:action", "@type": "@vocab"},
    "leftOperand": {"@id": "odrl:leftOperand", "@type": "@vocab"},
    "operator": {"@id": "odrl:operator", "@type": "@vocab"},
    "rightOperand": "odrl:rightOperand",
    "and": {"@id": "odrl:and", "@container": "@list"},
    "or": {"@id": "odrl:or", "@container": "@list"},
    "xone": {"@id": "odrl:xone", "@container": "@list"},
    "andSequence": {"@id": "odrl:andSequence", "@container": "@list"},
    "profile": {"@id": "odrl:profile", "@type": "@id"},
}


def of(described: Mapping[str, Any], prefixes: Mapping[str, str]) -> str:
    """The Turtle of a described catalog or dataset."""
    context = {**prefixes, "@vocab": prefixes["odrl"], **_TERMS}
    graph = Graph()
    to_rdf({**described, "@context": context}, graph)
    for prefix, namespace in prefixes.items():
        graph.bind(prefix, namespace, replace=True)
    return graph.serialize(format="turtle")
