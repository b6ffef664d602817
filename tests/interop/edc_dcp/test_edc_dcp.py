"""Beside Eclipse EDC 0.15.1 with DCP identity and its IdentityHub: catalog and contract in both directions, each side verifying the other's credentials.

Run by `./run interop edc-dcp`, which fetches both; without them this file is not collected.
"""

import asyncio
from datetime import timedelta

import pytest

from connector.peers import PeerRefused
from identity import vc
from tests.interop.edc_dcp.conftest import SPACE
from tests.interop.jvm import JvmError

NEGOTIATIONS = "contractnegotiations"
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


async def test_we_read_its_catalog(both):
    found = await both.commands.catalog(both.plane.participant)
    assert [each["@id"] for each in found["dataset"]] == ["theirs"]


async def test_it_reads_our_catalog_as_a_member(both):
    asset = await both.publish("for members", "members", {"dataSpace": SPACE})
    found = await both.plane.catalog(both.did, both.dsp)
    assert asset in {each["@id"] for each in found}


async def test_it_negotiates_with_us_to_finalized(both):
    asset = await both.publish("a contract for members", "members", {"dataSpace": SPACE})
    (dataset,) = [each for each in await both.plane.catalog(both.did, both.dsp) if each["@id"] == asset]
    key = await both.plane.negotiate(both.did, both.dsp, dataset["hasPolicy"][0], asset)
    theirs = await both.plane.until(NEGOTIATIONS, key, "FINALIZED")
    ours = await both.until(await both.of_peer(key), "FINALIZED")
    assert (theirs["counterPartyId"], ours.peer) == (both.did, both.plane.participant)


async def test_we_negotiate_with_it_to_finalized(both):
    made = await both.commands.negotiate(both.plane.participant, "theirs", "", None)
    process = await both.until(made.id, "FINALIZED")
    theirs = await both.plane.until(NEGOTIATIONS, process.peer_pid, "FINALIZED")
    assert theirs["counterPartyId"] == both.did


async def test_we_refuse_it_without_a_membership_and_take_it_back_with_a_new_one(both):
    held = await both.hub.held("member")
    for each in held:
        await both.hub.drop("member", each)
    both.forget()
    with pytest.raises(JvmError, match="unauthorized"):
        await both.plane.catalog(both.did, both.dsp)
    await both.give()
    assert await both.plane.catalog(both.did, both.dsp)


async def test_it_refuses_us_without_a_membership_and_takes_us_back_with_a_new_one(both):
    await both.take(until=timedelta(seconds=3))
    await asyncio.sleep(4)  # real time: the peer has no clock of ours
    with pytest.raises(PeerRefused) as caught:
        await both.commands.catalog(both.plane.participant)
    assert "401" in str(caught.value.detail) or "403" in str(caught.value.detail)
    await both.take()
    assert await both.commands.catalog(both.plane.participant)


async def test_it_reads_our_signed_status_lists(both):
    """It reads JSON alone, whatever the media type: `edc.iam.credential.revocation.mimetype` must ask for it."""
    assert "application/vc" in both.consortium.accepted
    await both.take(revoked=True)
    with pytest.raises(PeerRefused, match="401"):
        await both.commands.catalog(both.plane.participant)
    await both.take()
    assert await both.commands.catalog(both.plane.participant)


async def test_a_suspended_member_gets_no_contract_of_ours(both):
    asset = await both.publish("not while suspended", "members", {"dataSpace": SPACE})
    (dataset,) = [each for each in await both.plane.catalog(both.did, both.dsp) if each["@id"] == asset]
    both.consortium.marked.add("suspension")
    key = await both.plane.negotiate(both.did, both.dsp, dataset["hasPolicy"][0], asset)
    await both.plane.until(NEGOTIATIONS, key, "TERMINATED")
    both.consortium.marked.clear()
    key = await both.plane.negotiate(both.did, both.dsp, dataset["hasPolicy"][0], asset)
    await both.plane.until(NEGOTIATIONS, key, "FINALIZED")


async def test_a_membership_of_vc_20_is_refused_by_it(both):
    """The published control plane verifies VC 1.1 alone (`JwtPresentationVerifier`): a data space with such members issues `vc11-sl2021/jwt`."""
    await both.take(format_=vc.VC20)
    with pytest.raises(PeerRefused, match="401"):
        await both.commands.catalog(both.plane.participant)
    await both.take()
    assert await both.commands.catalog(both.plane.participant)
