"""What is published: a dataset with its payload, and the offers for it (DCAT 3; ODRL 2.2 for the policies)."""

from typing import Any

from msgspec import Struct, field


class Asset(Struct, frozen=True, kw_only=True):
    """A dataset. `title` and `description` are by language; `source` is the payload's file below the data directory."""

    id: str
    participant: str
    profile: str
    schema: str  # id of the payload's schema in the profile; empty for opaque bytes
    title: dict[str, str]
    description: dict[str, str] = field(default_factory=dict)
    media_type: str
    size: int  # bytes
    sha256: str  # hexadecimal
    source: str
    created: str


class OfferTerms(Struct, frozen=True, kw_only=True):
    """An offer: who may see the dataset (`access`), and under which terms it may be used (`contract`), both ODRL.

    `id` is the id of the offer on the wire; `contract` is what goes over it.
    """

    id: str
    asset: str
    template: str
    access: dict[str, Any]
    contract: dict[str, Any]
    created: str
