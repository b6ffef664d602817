"""What operators hear of: two companies make a contract, an offer waits for a person, a duty is overdue; on the command line, from the management API."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from datetime import timedelta

import pytest

from kernel.cli import ManagementClient, Refused
from policies.odrl import ODRL
from tests.support.usage import atom, contract, duty_of, eventually, transfer

INFORM = {"action": "inform", "constraint": [atom("elapsedTime", "lteq", "P10D")]}


async def told(company, after=""):
    return await company.store.events(after, 1000)


async def test_a_contract_a_transfer_and_an_overdue_duty_are_told_on_both_sides(pair, clock):
    key = await contract(*pair, obligation=[INFORM])
    for each in pair:
        found = [one for one in await told(each) if one.kind != "duty"]
        steps = [one.facts["after"] for one in found if one.kind == "negotiation"]
        assert steps == ["REQUESTED", "AGREED", "VERIFIED", "FINALIZED"]
        assert [one.subject for one in found if one.kind == "agreement"] == [key]
    seller, buyer = pair
    after = await seller.store.last_event()
    running = await transfer(buyer, key)
    await seller.until(running.peer_pid, "STARTED")
    assert [(one.kind, one.facts["after"]) for one in await told(seller, after)] == [
        ("transfer", "REQUESTED"),
        ("transfer", "STARTED"),
    ]
    clock.moment += timedelta(days=11)
    entry = await duty_of(seller, key)
    for each in pair:
        await each.monitor.turn()
        await eventually(lambda each=each: duty_of(each, key), lambda found: found.state == "overdue")
        last = [one for one in await told(each) if one.kind == "duty"][-1]
        assert (last.subject, last.facts["state"], last.facts["due"]) == (entry.id, "overdue", entry.due)


async def test_what_waits_for_a_person_is_told_with_why(pair):
    seller, buyer = pair
    offer = await seller.publish(approval="legal")
    process = await buyer.commands.negotiate(seller.did, offer.asset, offer.id, None)
    theirs = await buyer.counterpart(seller, process.id)
    await seller.until(theirs.id, "REQUESTED")
    (waiting,) = [each for each in await told(seller) if each.kind == "waiting"]
    assert (waiting.subject, waiting.facts["for"], waiting.facts["peer"]) == (theirs.id, "legal", buyer.did)
    await seller.contracts.approve(theirs.id, "Sato")
    await seller.until(theirs.id, "FINALIZED")
    assert "Sato" in [each.facts.get("person") for each in await told(seller)]
    assert len([each for each in await told(seller) if each.kind == "waiting"]) == 1


async def test_the_command_line_shows_all_and_goes_on_after_an_event(pair, kizuna):
    _, buyer = pair
    key = await contract(*pair, obligation=[INFORM])
    text = await kizuna.text("events")
    lines = text.splitlines()
    assert len(lines) == len(await told(buyer))
    assert key in text
    assert "action=inform" in text
    assert ODRL not in text, "people read short names"
    third = lines[2].split()[0]
    assert (await kizuna.text("events", "--after", third)).splitlines() == lines[3:]
    shown = [json.loads(each) for each in (await kizuna.text("events", "--json")).splitlines()]
    assert [each["id"] for each in shown] == [each.split()[0] for each in lines]
    assert shown[-1]["facts"] == (await told(buyer))[-1].facts


async def test_following_begins_now_and_survives_a_connector_that_is_away(pair, kizuna):
    key = await contract(*pair)
    command = "from kernel.cli import main; main()"
    words = ("events", "--follow", "--json", "--dir", str(kizuna.place))
    following = await asyncio.create_subprocess_exec(sys.executable, "-c", command, *words, stdout=PIPE, stderr=PIPE)
    try:
        await eventually(lambda: asyncio.sleep(0, kizuna.asked), lambda asked: "/v1/events" in asked)
        first = await contract(*pair)
        seen = await _until(following, first)
        await kizuna.away()
        second = await contract(*pair)
        await following.stderr.readline()
        await kizuna.back()
        seen += await _until(following, second)
        assert key not in {each["subject"] for each in seen}, "from now on"
        ids = [each["id"] for each in seen]
        assert ids == [each.id for each in await told(pair[1], "") if each.id in ids]
        assert {first, second} <= {each["subject"] for each in seen}
    finally:
        following.kill()
        await following.wait()


async def _until(following, subject):
    """Events that a process prints, up to that about a subject."""
    found = []
    async with asyncio.timeout(30):
        while not found or found[-1]["subject"] != subject:
            found.append(json.loads(await following.stdout.readline()))
    return found


async def test_a_key_for_something_else_does_not_read_events(pair, kizuna):
    made = await kizuna("key", "add", "--name", "shelf", "--role", "read", "--scope", "assets")
    with pytest.raises(Refused, match="role read in scope events"):
        await asyncio.to_thread(ManagementClient(kizuna.address, made["key"]).get, "/v1/events")
    made = await kizuna("key", "add", "--name", "screen", "--role", "read", "--scope", "events")
    assert (await asyncio.to_thread(ManagementClient(kizuna.address, made["key"]).get, "/v1/events"))["items"] == []
