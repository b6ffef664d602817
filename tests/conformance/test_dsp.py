"""The 65 active cases of the official DSP kit under their ids, played over HTTP by a peer of our own (tests/peer/kit.py), and their refusals checked for the reason.

Two more cases are disabled upstream (TP:02-04, TP_C:02-04); they are played here, too.
"""

import asyncio
import sys
from pathlib import Path

import aiohttp
import pytest

from connector.dsp import messages
from tests.conformance import scripts
from tests.conformance.under_test import properties, serving
from tests.peer.kit import CONTEXT, Kit
from tests.support.ports import free_port

sys.path.insert(0, str(Path(__file__).parents[1] / "unit/dsp"))
from official import validator

CASES = {
    "CN:01-01": ("ACN0101", ">request <offer >terminate =TERMINATED"),
    "CN:01-02": ("ACN0102", ">request <offer >request <terminate"),
    "CN:01-03": ("ACN0103", ">request <offer >accepted <agreement >verification <finalized"),
    "CN:01-04": ("ACN0104", ">request <agreement >verification <finalized"),
    "CN:02-01": ("ACN0201", ">request <terminate"),
    "CN:02-02": ("ACN0202", ">request >terminate =TERMINATED"),
    "CN:02-03": ("ACN0203", ">request <agreement >terminate =TERMINATED"),
    "CN:02-04": ("ACN0204", ">request <offer >terminate =TERMINATED"),
    "CN:02-05": ("ACN0205", ">request <offer <terminate"),
    "CN:02-06": ("ACN0206", ">request <offer >accepted <terminate"),
    "CN:02-07": ("ACN0207", ">request <agreement >verification <terminate"),
    "CN:03-01": ("ACN0301", ">request <agreement >verification <finalized ~ =FINALIZED !terminate"),
    "CN:03-02": ("ACN0302", ">request <offer !verification"),
    "CN:03-03": ("ACN0303", ">request <offer >accepted !verification"),
    "CN:03-04": ("ACN0304", ">request <offer >request !request"),
    "CN_C:01-01": ("ACNC0101", "* <request >offer <accepted >agreement <verification >finalized =FINALIZED"),
    "CN_C:01-02": ("ACNC0102", "* <request >offer <request >terminate =TERMINATED"),
    "CN_C:01-03": ("ACNC0103", "* <request >offer <terminate ~ =TERMINATED"),
    "CN_C:01-04": ("ACNC0104", "* <request >agreement <verification >finalized =FINALIZED"),
    "CN_C:02-01": ("ACNC0201", "* <request >terminate =TERMINATED"),
    "CN_C:02-02": ("ACNC0202", "* <request <terminate ~ =TERMINATED"),
    "CN_C:02-03": ("ACNC0203", "* <request >agreement <terminate ~ =TERMINATED"),
    "CN_C:02-04": ("ACNC0204", "* <request >offer =OFFERED >terminate =TERMINATED"),
    "CN_C:02-05": ("ACNC0205", "* <request >offer <accepted >terminate =TERMINATED"),
    "CN_C:02-06": ("ACNC0206", "* <request >agreement <verification >terminate =TERMINATED"),
    "CN_C:03-01": ("ACNC0301", "* <request ~ !finalized =REQUESTED"),
    "CN_C:03-02": ("ACNC0302", "* <request >offer =OFFERED !agreement =OFFERED"),
    "CN_C:03-03": ("ACNC0303", "* <request >offer !finalized =OFFERED"),
    "CN_C:03-04": ("ACNC0304", "* <request >offer <accepted ~ !finalized =ACCEPTED"),
    "CN_C:03-05": ("ACNC0305", "* <request >offer <accepted ~ !offer =ACCEPTED"),
    "CN_C:03-06": ("ACNC0306", "* <request >offer <accepted >agreement !finalized =AGREED"),
    "TP:01-01": ("ATP0101", ">request <start <terminate ~ =TERMINATED"),
    "TP:01-02": ("ATP0102", ">request <start <complete ~ =COMPLETED"),
    "TP:01-03": ("ATP0103", ">request <start <suspend <terminate ~ =TERMINATED"),
    "TP:01-04": ("ATP0104", ">request <start <suspend <start <complete ~ =COMPLETED"),
    "TP:01-05": ("ATP0105", ">request <terminate ~ =TERMINATED"),
    "TP:02-01": ("ATP0201", ">request <start ~ =STARTED >terminate =TERMINATED"),
    "TP:02-02": ("ATP0202", ">request <start ~ =STARTED >complete =COMPLETED"),
    "TP:02-03": ("ATP0203", ">request <start >suspend =SUSPENDED >terminate =TERMINATED"),
    "TP:02-04": ("ATP0204", ">request <start >suspend =SUSPENDED >start =STARTED >complete =COMPLETED"),
    "TP:02-05": ("ATP0205", ">request =REQUESTED >terminate =TERMINATED"),
    "TP:03-01": ("ATP0301", ">request !complete =REQUESTED"),
    "TP:03-02": ("ATP0302", ">request !suspend =REQUESTED"),
    "TP:03-03": ("ATP0303", ">request <start >suspend !complete =SUSPENDED"),
    "TP:03-04": ("ATP0304", ">request <start >terminate !start =TERMINATED"),
    "TP:03-05": ("ATP0305", ">request <start >terminate !suspend =TERMINATED"),
    "TP:03-06": ("ATP0306", ">request <start >terminate !complete =TERMINATED"),
    "TP_C:01-01": ("ATPC0101", "* <request >start =STARTED >terminate =TERMINATED"),
    "TP_C:01-02": ("ATPC0102", "* <request >start >complete =COMPLETED"),
    "TP_C:01-03": ("ATPC0103", "* <request >start >suspend =SUSPENDED >terminate =TERMINATED"),
    "TP_C:01-04": ("ATPC0104", "* <request >start =STARTED >suspend =SUSPENDED >start =STARTED >complete =COMPLETED"),
    "TP_C:01-05": ("ATPC0105", "* <request >terminate =TERMINATED"),
    "TP_C:02-01": ("ATPC0201", "* <request >start <terminate ~ =TERMINATED"),
    "TP_C:02-02": ("ATPC0202", "* <request >start <complete ~ =COMPLETED"),
    "TP_C:02-03": ("ATPC0203", "* <request >start <suspend <terminate ~ =TERMINATED"),
    "TP_C:02-04": ("ATPC0204", "* <request >start <suspend <start <complete ~ =COMPLETED"),
    "TP_C:02-05": ("ATPC0205", "* <request <terminate ~ =TERMINATED"),
    "TP_C:03-01": ("ATPC0301", "* <request ~ !complete =REQUESTED"),
    "TP_C:03-02": ("ATPC0302", "* <request ~ !suspend =REQUESTED"),
    "TP_C:03-03": ("ATPC0303", "* <request >start >suspend !complete =SUSPENDED"),
    "TP_C:03-04": ("ATPC0304", "* <request >start >terminate !start =TERMINATED"),
    "TP_C:03-05": ("ATPC0305", "* <request >start >terminate !suspend =TERMINATED"),
    "TP_C:03-06": ("ATPC0306", "* <request >start >terminate !complete =TERMINATED"),
}
SCHEMAS = {
    "ContractRequestMessage": "negotiation/contract-request-message",
    "ContractOfferMessage": "negotiation/contract-offer-message",
    "ContractAgreementMessage": "negotiation/contract-agreement-message",
    "ContractAgreementVerificationMessage": "negotiation/contract-agreement-verification-message",
    "ContractNegotiationEventMessage": "negotiation/contract-negotiation-event-message",
    "ContractNegotiationTerminationMessage": "negotiation/contract-negotiation-termination-message",
    "TransferRequestMessage": "transfer/transfer-request-message",
    "TransferStartMessage": "transfer/transfer-start-message",
    "TransferSuspensionMessage": "transfer/transfer-suspension-message",
    "TransferCompletionMessage": "transfer/transfer-completion-message",
    "TransferTerminationMessage": "transfer/transfer-termination-message",
}


@pytest.fixture
async def connector(tmp_path):
    async with serving(tmp_path, free_port()) as found:
        yield found


@pytest.fixture
async def kit(connector):
    async with Kit(connector.base, f"http://127.0.0.1:{connector.port}/tck") as found:
        found.validators = {type_: validator(name) for type_, name in SCHEMAS.items()}
        yield found


async def play(kit, case):
    sample, steps = CASES[case]
    kind = "negotiations" if case.startswith("CN") else "transfers"
    role = "consumer" if "_C" in case else "provider"
    first, *later = steps.split("~")  # ~: the next step is tried until the connector has settled
    await kit.play(kind, role, sample, first, offer_id=scripts.offer_id(sample) if role == "provider" else "")
    for part in later:
        settled, *rest = part.split()
        await until_settled(kit, settled)
        for step in rest:
            await kit._step(step)


async def until_settled(kit, step):
    for _ in range(60):
        try:
            return await kit._step(step)
        except AssertionError:
            await asyncio.sleep(0.05)
    return await kit._step(step)


@pytest.mark.parametrize("case", CASES)
async def test_dsp(kit, case):
    await play(kit, case)


async def test_dsp_met_01_01(connector):
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{connector.port}/.well-known/dspace-version") as answer:
        found = await answer.json()
    validator("common/protocol-version").validate(found)
    (version,) = [each for each in found["protocolVersions"] if each["version"] == "2025-1"]
    assert version["path"]
    assert version["binding"] == "HTTPS"


async def test_dsp_cat_01_01(connector):
    said = {"@context": CONTEXT, "@type": "CatalogRequestMessage"}
    async with aiohttp.ClientSession() as http, http.post(f"{connector.base}/catalog/request", json=said) as answer:
        found = await answer.json()
    validator("catalog/catalog").validate(found)
    assert "CAT0101" in {each["@id"] for each in found["dataset"]}


async def test_dsp_cat_01_02(connector):
    async with aiohttp.ClientSession() as http, http.get(f"{connector.base}/catalog/datasets/CAT0102") as answer:
        found = await answer.json()
    validator("catalog/dataset").validate(found)
    assert (answer.status, found["@id"], found["@context"]) == (200, "CAT0102", [messages.CONTEXT])


async def test_dsp_cat_01_03(connector):
    async with aiohttp.ClientSession() as http, http.get(f"{connector.base}/catalog/datasets/CAT0103") as answer:
        found = await answer.json()
    validator("catalog/catalog-error").validate(found)
    assert answer.status == 404


async def test_dsp_all_cases_of_one_connector_at_once(connector, figure):
    """The cases do not disturb each other: all of them side by side against one connector."""

    async def one(case):
        async with Kit(connector.base, f"http://127.0.0.1:{connector.port}/tck") as kit:
            await play(kit, case)

    await asyncio.gather(*(one(case) for case in CASES))
    active = len(CASES) + 4 - 2
    figure(f"conformance: {active} active DSP cases and 2 that are disabled upstream, one by one and all at once")
    assert active == 65


def test_dsp_properties_name_every_case(tmp_path):
    text = properties(1234, "http://127.0.0.1:8083")
    for key in ("CN_01_01_DATASETID=ACN0101", "CN_C_03_06_DATASETID=ACNC0306", "TP_02_05_AGREEMENTID=ATP0205", "TP_C_01_05_AGREEMENTID=ATPC0105",
                "CN_01_02_OFFERID=CD123:ACN0102:456", "dataspacetck.callback.address=http://127.0.0.1:8083"):  # fmt: skip
        assert key in text
