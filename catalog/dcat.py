"""What a participant publishes, as values (DCAT 3; DSP 2025-1, 5): assets, and the terms they are offered under.

Times are ISO 8601 in UTC. Ids are IRIs; the id of an offer is never that of a dataset, since the two would be one node in RDF.
Not done here: how they look on the wire (`describe`), who sees them (`offers`), storing.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct, field

from kernel.errors import BadInput
from policies.profiles.bounds import Bound, Otherwise

MOST_PRODUCTS: Final = 100
LONGEST_PRODUCT: Final = 200
_NO_PART_OF_AN_IRI: Final = frozenset(' <>"{}|\\^`')


class Asset(Struct, frozen=True, kw_only=True):
    """A dataset that a participant holds.

    `title` and `description` map languages (`en`, `ja`) to texts. `schema` is an id of the profile, or empty: no declared
    form. `source` is where the bytes are (a path in the data directory, or a URL), and never leaves the connector. `properties` are
    further public statements under prefixed names (`dct:license`). `products` are those that the data are about (`product`), in order; policies may ask what
    a participant is to the provider for one of them.
    """

    id: str
    participant: str
    profile: str
    schema: str
    title: dict[str, str]
    description: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    size: int
    sha256: str
    source: str
    created: str
    properties: dict[str, Any] = field(default_factory=dict)
    products: tuple[str, ...] = ()


class OfferTerms(Struct, frozen=True, kw_only=True):
    """An offer of an asset: `access` says who may see it, `contract` what it may be used for; both ODRL as DSP carries it.

    `id` is the offer's id on the wire. `template` says what the terms were made from, `inherited` by name and digest which policies were written
    into the contract policy, `access_inherited` which into the access policy. `bounds` names the parameters that the other side may set
    otherwise; `otherwise` says what terms beyond that get. `approval` names who has to approve a contract (empty: nobody).
    """

    id: str
    asset: str
    access: dict[str, Any]
    contract: dict[str, Any]
    template: str = ""
    inherited: Mapping[str, str] = field(default_factory=dict)
    access_inherited: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    approval: str = ""
    bounds: Mapping[str, Bound] = field(default_factory=dict)
    otherwise: Otherwise = "wait"


def product(text: str) -> str:
    """A product or material as ledgers and datasets name it, by an IRI or a number of the company's own; raises `BadInput`. Names are compared as they stand."""
    if not (0 < len(text) <= LONGEST_PRODUCT and text.isprintable() and _NO_PART_OF_AN_IRI.isdisjoint(text)):
        raise BadInput(
            f"a product is named by an IRI, a number or a name without blanks, of {LONGEST_PRODUCT} characters at most",
            next_step="write it like KC-LFP-280 or https://id.example/01/04012345123456",
        )
    return text


def products(texts: Iterable[str]) -> tuple[str, ...]:
    """The products of a dataset, each once and in order; raises `BadInput`."""
    found = tuple(sorted({product(each) for each in texts}))
    if len(found) > MOST_PRODUCTS:
        raise BadInput(f"a dataset is about {MOST_PRODUCTS} products at most", next_step="publish it in parts")
    return found
