"""Contracts with rules of a test's own between two companies, their transfers, and a clock that a test sets."""

import asyncio
import uuid
from datetime import UTC, datetime

from msgspec.structs import replace

from connector.plane import files
from connector.processes.model import Process

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.moment = NOW

    def now(self):
        return self.moment


def atom(left, operator, right):
    return {"leftOperand": left, "operator": operator, "rightOperand": str(right)}


def use(*constraints, **more):
    return {"action": "use", **({"constraint": list(constraints)} if constraints else {})} | more


async def contract(seller, buyer, products=(), **rules):
    """The id of an agreement whose policy has these rules, about a dataset with these products."""
    made = await seller.publish(products=products)
    key = f"urn:uuid:{uuid.uuid4()}"
    offer = replace(made, id=key, contract={"@id": key, "@type": "Offer", "permission": [use()], **rules})
    await seller.store.add_offer(offer)
    seller.rules.put(offer, await seller.store.asset(offer.asset))
    return await finalized(seller, buyer, offer)


async def finalized(seller, buyer, offer):
    """The id of the agreement that both have made under an offer."""
    process = await buyer.commands.negotiate(seller.did, offer.asset, offer.id, None)
    process = await buyer.until(process.id, "FINALIZED")
    await seller.until(process.peer_pid, "FINALIZED")
    return process.data["agreement"]["@id"]


def asking(buyer, agreement):
    return {
        "@context": ["https://w3id.org/dspace/2025/1/context.jsonld"], "@type": "TransferRequestMessage", "agreementId": agreement,
        "consumerPid": f"urn:uuid:{uuid.uuid4()}", "format": "HttpData-PULL", "callbackAddress": buyer.base,
    }  # fmt: skip


async def settled(company, watched=0):
    """Once its monitor has looked at everything that was committed, and has so many instants."""
    async with asyncio.timeout(5):
        while len(company.monitor) < watched or not company.asleep or company.monitor._awake.is_set():
            await asyncio.sleep(0.01)


async def eventually(read, holds):
    async with asyncio.timeout(10):
        while not holds(found := await read()):
            await asyncio.sleep(0.02)
    return found


async def duty_of(company, agreement, number=None):
    """The only duty of an agreement, or one of several by its place."""
    found = (await company.store.ledger(agreement)).duties
    if number is None:
        (entry,) = found
        return entry
    return found[number]


async def transfer(buyer, agreement, *states, seconds=10):
    process = await buyer.commands.request_transfer(agreement, "HttpData-PULL")
    return await buyer.until(process.id, *states or ("STARTED",), seconds=seconds)


async def received(buyer, agreement, body=b"{}"):
    """An object that the buyer's store holds under an agreement."""
    process = await transfer(buyer, agreement)

    async def parts():
        yield body

    return await buyer.commands.keep(process, await files.spooled(parts(), buyer.place / "inbox", 1 << 20))


async def received_without_transfer(buyer, agreement):
    """The same, where the policy lets no transfer begin here."""
    key = f"urn:uuid:{uuid.uuid4()}"
    process = Process(
        id=key, participant=buyer.did, kind="transfer", role="consumer", peer="did:web:seller.example", state="STARTED", data={"agreementId": agreement, "dataset": "d"}
    )  # fmt: skip

    async def parts():
        yield b"{}"

    return await buyer.commands.keep(process, await files.spooled(parts(), buyer.place / "inbox", 1 << 20))
