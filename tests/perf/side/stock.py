"""Many datasets with offers, written into the store of a connector that is not running; payloads are not there, only their records."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

from catalog.dcat import Asset, OfferTerms
from connector import install
from connector.store.sqlite import SqliteStore, open_database
from policies.odrl import KZ
from policies.profiles import load

CREATED = "2026-11-24T09:00:00.000Z"


async def fill(directory: Path, did: str, count: int, *, unseen_definitions: int = 0) -> None:
    """`count` datasets that everybody may see, each about a product of its own; with `unseen_definitions`, as many access policies more that the caller does not
    meet, each over a part of them, and each for the buyers of their products."""
    profile = load("base")
    store = SqliteStore(open_database(directory / install.DATABASE), did)
    access, contract = profile.offer("public")
    hidden = [_to_buyers(profile.offer("members", dataSpace=f"other-{n}.example")) for n in range(unseen_definitions)]
    try:
        for start in range(0, count, 1000):
            writes = []
            for number in range(start, min(start + 1000, count)):
                asset = _asset(did, profile.id, number)
                writes.append(store.add_asset(asset))
                offers = [(access, contract)] + ([hidden[number % len(hidden)]] if hidden else [])
                writes += [
                    store.add_offer(OfferTerms(id=f"urn:uuid:{place}-{number:07}", asset=asset.id, access=a, contract=c))
                    for place, (a, c) in enumerate(offers)
                ]
            await asyncio.gather(*writes)
    finally:
        await store.close()


def _to_buyers(offer: tuple[dict[str, Any], dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    access, contract = offer
    access["permission"][0]["constraint"].append(
        {"leftOperand": KZ + "productRelation", "operator": "eq", "rightOperand": "customer"}
    )
    return access, contract


def _asset(did: str, profile: str, number: int) -> Asset:
    return Asset(
        id=f"urn:uuid:asset-{number:07}", participant=did, profile=profile, schema="", size=1000, sha256=hashlib.sha256(str(number).encode()).hexdigest(),
        title={"en": f"Dataset {number}"}, description={"en": "A dataset among many, for measuring"}, media_type="application/octet-stream", source="",
        created=CREATED, products=(f"product-{number:07}",),
    )  # fmt: skip
