"""What every store must do (DESIGN 3, 4): one transaction, conditional writes, unique tokens, nothing half-done."""

import asyncio
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from catalog.dcat import Asset, OfferTerms
from connector.processes.errors import VersionConflict
from connector.processes.model import (
    Agreement,
    Commit,
    Decided,
    Document,
    JournalRow,
    Ledger,
    OutboxRow,
    Process,
    Renewal,
    Retirement,
    TokenUse,
    Waiting,
)
from connector.store.port import Followed, Membership, ReceivedObject, Rooms
from connector.store.sql import OPEN_WITH
from connector.store.sqlite import SqliteStore, open_database
from identity.verify import TokenUse as VerifiedUse
from identity.wallet.port import CredentialRequest, Held
from kernel.errors import InUse, Unauthorized
from policies.duties import Counter, Entry
from policies.odrl.record import Record

ME, PEER = "did:web:me.example", "did:web:peer.example"
NOW = "2026-11-24T09:00:00.000Z"


def process(key="urn:uuid:1", **more):
    values = {"state": "REQUESTED", "version": 1, "peer": PEER, "peer_pid": "theirs", "created": NOW, "updated": NOW} | more
    return Process(id=key, participant=ME, kind="negotiation", role="provider", **values)


def commit(found, expected=0, **more):
    return Commit(process=found, expected=expected, **more)


def row(key="urn:uuid:r", owner="urn:uuid:1", due=""):
    return OutboxRow(id=key, process=owner, act="dsp", message="ContractAgreementMessage", path="/x", body=b"{}", due=due)


async def claimed(store, limit=10):
    """Ids of the rows that a claim takes."""
    found, _ = await store.claim(NOW, limit, frozenset())
    return [each.row.id for each in found]


def step(before="", after="REQUESTED", key="m"):
    return JournalRow(before, after, "ContractRequestMessage", "consumer", key, NOW)


async def test_everything_of_a_commit_is_there_after_it_and_after_a_restart(store, reopen):
    agreement = Agreement(
        id="urn:uuid:a",
        participant=ME,
        role="provider",
        peer=PEER,
        negotiation="urn:uuid:1",
        dataset="d",
        policy={},
        hash="h",
        at=NOW,
    )
    token = TokenUse(PEER, "jti", 9_999_999_999)
    await store.commit(commit(process(), journal=(step(),), outbox=(row(),), token=token, agreement=agreement))
    again = await reopen()
    assert await again.process("urn:uuid:1") == process()
    assert await again.process_of_peer(PEER, "negotiation", "theirs") == process()
    assert [each.after for each in await again.journal("urn:uuid:1")] == ["REQUESTED"]
    assert await claimed(again) == ["urn:uuid:r"]
    assert await again.replay("urn:uuid:1", "m", "consumer") == "REQUESTED"
    assert await again.replay("urn:uuid:1", "m", "provider") is None
    assert await again.seen(token)
    assert await again.agreement("urn:uuid:a") == agreement


async def test_what_a_process_has_accepted_is_known_after_every_commit_and_a_restart(store, reopen):
    def taken(number):
        return (step(after=f"STATE {number}", key=f"m{number}"),)

    async def known(store):
        return [number for number in range(9) if await store.replay("urn:uuid:1", f"m{number}", "consumer") == f"STATE {number}"]

    await store.commit(commit(process(), journal=taken(0)))
    await store.commit(commit(process(version=2), 1))
    await store.commit(commit(process(version=3), 2, journal=taken(1)))
    assert await known(store) == [0, 1]
    made = [store.commit(commit(process(version=4), 3, journal=taken(number))) for number in (2, 3, 4)]
    failed = [isinstance(each, VersionConflict) for each in await asyncio.gather(*made, return_exceptions=True)]
    assert sum(failed) == 2
    winner = 2 + failed.index(False)
    assert await known(store) == [0, 1, winner]
    again = await reopen()
    assert await known(again) == [0, 1, winner]
    await again.commit(commit(process(version=5), 4, journal=taken(5)))
    assert await known(again) == [0, 1, winner, 5]


async def test_a_process_with_many_messages_knows_them_all(store):
    await store.commit(commit(process()))
    for version in range(1, 71):
        await store.commit(commit(process(version=version + 1), version, journal=(step(key=f"{version}"),)))
    assert all([await store.replay("urn:uuid:1", f"{version}", "consumer") for version in range(1, 71)])
    assert await store.replay("urn:uuid:1", "71", "consumer") is None


async def test_a_stale_version_writes_nothing(store):
    await store.commit(commit(process()))
    await store.commit(commit(process(version=2, state="AGREED"), 1))
    with pytest.raises(VersionConflict):
        await store.commit(commit(process(version=2, state="TERMINATED"), 1, journal=(step(),), outbox=(row(),)))
    assert (await store.process("urn:uuid:1")).state == "AGREED"
    assert not await store.journal("urn:uuid:1")
    assert not await store.outbox()


async def test_a_used_token_undoes_the_whole_commit(store):
    token = TokenUse(PEER, "jti", 9_999_999_999)
    await store.spend(token)
    with pytest.raises(Unauthorized):
        await store.commit(commit(process(), token=token, outbox=(row(),)))
    assert await store.process("urn:uuid:1") is None
    assert not await store.outbox()


async def test_of_fifty_equal_tokens_at_once_exactly_one_wins(store):
    token = TokenUse(PEER, "jti", 9_999_999_999)
    found = await asyncio.gather(*(store.spend(token) for _ in range(50)), return_exceptions=True)
    assert sum(each is None for each in found) == 1
    assert sum(isinstance(each, Unauthorized) for each in found) == 49


async def test_a_used_token_stays_used_after_a_restart_and_is_forgotten_after_its_time(store, reopen):
    await store.spend(TokenUse(PEER, "old", 1_000))
    await store.spend(TokenUse(PEER, "new", 9_999_999_999))
    again = await reopen()
    await again.purge(2_000)
    assert not await again.seen(TokenUse(PEER, "old", 1_000))
    with pytest.raises(Unauthorized):
        await again.spend(TokenUse(PEER, "new", 9_999_999_999))


async def test_a_used_token_is_known_whatever_else_was_used_when_it_ends_and_who_gave_up(store, reopen):
    async def of(store, *numbers):
        return [number for number in numbers if await store.seen(TokenUse(PEER, f"{number}", number))]

    async def give_up(number):
        task = asyncio.create_task(store.spend(TokenUse(PEER, f"{number}", number)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.spend(TokenUse(PEER, "after", 1))  # what was written before it is there

    for number in (2_000_000_500, 2_000_000_100):
        await store.spend(TokenUse(PEER, f"{number}", number))
    await give_up(2_000_000_300)
    used, free = (2_000_000_500, 2_000_000_100, 2_000_000_300), (2_000_000_600, 2_000_000_200)
    assert await of(store, *used, *free) == [*used]
    again = await reopen()
    assert await of(again, *used, *free) == [*used]
    await again.commit(commit(process(), token=TokenUse(PEER, "2000000600", 2_000_000_600)))
    with pytest.raises(Unauthorized):
        await again.commit(commit(process("urn:uuid:2", peer_pid="other"), token=TokenUse(PEER, "2000000600", 2_000_000_600)))
    assert await of(again, *used, *free) == [*used, 2_000_000_600]


async def test_the_same_jti_of_another_issuer_is_another_token(store):
    await store.spend(TokenUse(PEER, "jti", 9_999_999_999))
    await store.spend(TokenUse("did:web:other.example", "jti", 9_999_999_999))


async def test_two_first_messages_with_one_pid_make_one_process(store):
    await store.commit(commit(process()))
    with pytest.raises(VersionConflict):
        await store.commit(commit(process("urn:uuid:2")))
    assert await store.process("urn:uuid:2") is None


async def test_processes_whose_peer_pid_is_not_known_yet_do_not_collide(store):
    await store.commit(commit(process(peer_pid="")))
    await store.commit(commit(process("urn:uuid:2", peer_pid="")))
    assert await store.process_of_peer(PEER, "negotiation", "") is None


async def test_confirmed_and_withdrawn_rows_leave_in_the_same_transaction(store):
    await store.commit(commit(process(), outbox=(row("a"), row("b"), row("c"))))
    await store.commit(commit(process(version=2), 1, confirmed=("a",), withdrawn=("b",), outbox=(row("d"),)))
    assert [each.row.id for each in await store.outbox()] == ["c", "d"]


async def test_a_claimed_row_lives_until_a_commit_takes_it_away(store):
    await store.commit(commit(process(), outbox=(row("a"),)))
    await store.commit(commit(process("urn:uuid:2", peer_pid="t2"), outbox=(row("b", "urn:uuid:2"),)))
    assert await claimed(store) == ["a", "b"]
    assert await store.living(frozenset({"a", "b"})) == {"a", "b"}
    await store.commit(commit(process(version=2), 1, withdrawn=("a",)))
    assert await store.living(frozenset({"a", "b"})) == {"b"}


async def test_a_claim_brings_the_process_and_takes_no_more_than_it_may(store):
    for number in range(5):
        key = f"urn:uuid:{number}"
        await store.commit(commit(process(key, peer_pid=key), outbox=(row(f"r{number}", key),)))
    found, following = await store.claim(NOW, 2, frozenset())
    assert ([each.row.id for each in found], following) == (["r0", "r1"], None)
    assert [each.process for each in found] == [
        process("urn:uuid:0", peer_pid="urn:uuid:0"),
        process("urn:uuid:1", peer_pid="urn:uuid:1"),
    ]
    busy = frozenset({"urn:uuid:0", "urn:uuid:1"})
    found, _ = await store.claim(NOW, 10, busy)
    assert [each.row.id for each in found] == ["r2", "r3", "r4"]


async def waiting(store, peer, count, due=""):
    """Processes with a peer, each with a row to send; the names of the rows."""
    rows = [f"{peer}-{number}" for number in range(count)]
    for each in rows:
        key = f"urn:uuid:{each}"
        await store.commit(commit(process(key, peer=peer, peer_pid=key), outbox=(row(each, key, due),)))
    return rows


async def rooms_left(store, limit, named, other, busy=()):
    """What a claim with these rooms would take (it is given back), and what it says of the next one."""
    found, following = await store.claim(NOW, limit, frozenset(busy), Rooms(named, other))
    for each in found:
        await store.postpone(each.row.id, each.fence, each.row.due, "", parked=False)
    return [each.row.id for each in found], following


async def test_a_claim_takes_from_each_lane_what_it_has_room_for(store):
    first, second, third = [await waiting(store, name, 4) for name in ("a", "b", "c")]
    assert (await rooms_left(store, 10, {"a": 3, "b": 1}, 2))[0] == [*first[:3], *second[:1], *third[:2]]


async def test_rows_that_wait_in_a_full_lane_hide_nobody_elses(store):
    await waiting(store, "a", 40)
    (mine,) = await waiting(store, "b", 1)
    later = "2027-01-01T00:00:00.000Z"
    await waiting(store, "c", 2, later)
    taken, following = [], ""
    while following == "":
        found, following = await rooms_left(
            store, 8, {"a": 2 - len(taken)} if taken else {}, 2, [f"urn:uuid:{each}" for each in taken]
        )
        taken += found
    assert (taken, following) == (["a-0", "a-1", mine], later)
    assert await rooms_left(store, 8, {"a": 0}, 2) == ([mine], later)
    assert await rooms_left(store, 8, {"a": 0, "b": 0}, 2) == ([], later)


async def test_a_claim_beside_a_full_lane_takes_one_row_of_a_process_and_no_more_than_it_may(store):
    await waiting(store, "a", 3)
    await store.commit(commit(process(peer="b"), outbox=(row("one"), row("two"))))
    others = await waiting(store, "c", 5)
    assert (await rooms_left(store, 3, {"a": 0}, 9))[0] == ["one", *others[:2]]
    assert (await rooms_left(store, 9, {"a": 0}, 9, ["urn:uuid:1"]))[0] == others


async def test_pushes_have_a_lane_beside_the_messages_of_their_peer(store):
    push = OutboxRow(id="push", process="urn:uuid:1", act="push", message="push")
    await store.commit(commit(process(), outbox=(push,)))
    await store.commit(commit(process("urn:uuid:2", peer_pid="t2"), outbox=(row("a", "urn:uuid:2"),)))
    assert (await rooms_left(store, 9, {PEER: 0}, 1))[0] == ["push"]
    found, _ = await store.claim(NOW, 9, frozenset(), Rooms({}, 1))
    assert {each.row.id: each.lane for each in found} == {"push": f"push {PEER}", "a": PEER}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_what_a_claim_costs_does_not_depend_on_what_waits_in_full_lanes(store):
    async def cost():
        steps = 0

        def step():
            nonlocal steps
            steps += 1

        store._db._reader.set_progress_handler(step, 1)
        found, _ = await store._searched(NOW, 64, frozenset(), Rooms({"a": 0}, 4))
        assert [each.row.id for each in found] == ["b-0"]
        store._db._reader.set_progress_handler(None, 0)
        return steps

    await waiting(store, "b", 1)
    await waiting(store, "a", 10)
    few = await cost()
    for number in range(300):
        key = f"urn:uuid:many-{number}"
        await store.commit(commit(process(key, peer="a", peer_pid=key), outbox=(row(f"m{number}", key),)))
    assert await cost() <= few + 10


async def test_a_row_that_is_taken_away_cannot_be_postponed_or_dropped(store):
    await store.commit(commit(process(), outbox=(row("a"),)))
    ((claim,), _) = await store.claim(NOW, 1, frozenset())
    await store.drop("a", claim.fence)
    await store.drop("a", claim.fence)
    await store.postpone("a", claim.fence, NOW, "", parked=False)
    assert not await store.outbox()


async def test_rows_of_named_processes(store):
    await store.commit(commit(process(), outbox=(row("a"),)))
    await store.commit(commit(process("urn:uuid:2", peer_pid="t2"), outbox=(row("b", "urn:uuid:2"),)))
    await store.commit(commit(process("urn:uuid:3", peer_pid="t3"), outbox=(row("c", "urn:uuid:3"),)))
    assert [each.row.id for each in await store.outbox("urn:uuid:1", "urn:uuid:3")] == ["a", "c"]


async def test_of_fifty_commits_on_one_version_exactly_one_wins(store):
    await store.commit(commit(process()))
    made = [
        commit(process(version=2, state="AGREED", note=str(n)), 1, journal=(step(),), outbox=(row(f"r{n}"),)) for n in range(50)
    ]
    found = await asyncio.gather(*(store.commit(each) for each in made), return_exceptions=True)
    assert sum(each is None for each in found) == 1
    assert sum(isinstance(each, VersionConflict) for each in found) == 49
    assert len(await store.journal("urn:uuid:1")) == len(await store.outbox()) == 1


async def test_of_fifty_equal_first_messages_at_once_one_makes_a_process(store):
    made = [commit(process(f"urn:uuid:{n}"), journal=(step(),), outbox=(row(f"r{n}", f"urn:uuid:{n}"),)) for n in range(50)]
    found = await asyncio.gather(*(store.commit(each) for each in made), return_exceptions=True)
    assert sum(isinstance(each, VersionConflict) for each in found) == 49
    assert len(await store.processes("negotiation", "", 100)) == len(await store.outbox()) == 1


async def test_rows_of_the_journal_are_numbered_by_the_version(store):
    await store.commit(commit(process(version=2), journal=(step(after="REQUESTED"), step("REQUESTED", "AGREED"))))
    await store.commit(commit(process(version=3), 2, journal=(step("AGREED", "VERIFIED"),)))
    assert [each.after for each in await store.journal("urn:uuid:1")] == ["REQUESTED", "AGREED", "VERIFIED"]


async def test_a_token_of_another_participant_in_the_same_database_is_not_ours(store, backend):
    token = TokenUse(PEER, "jti", 9_999_999_999)
    await store.spend(token)
    others = SqliteStore(store._db, "did:web:somebody.example") if backend == "sqlite" else store
    others._me = "did:web:somebody.example"
    assert not await others.seen(token)
    await others.spend(token)


async def test_credentials_are_replaced_by_type_and_issuer_and_shown_newest_first(store):
    def held(key, kind):
        return Held(id=key, type=kind, issuer=PEER, format="vc11-sl2021/jwt", since=None, until=None, jwt=f"jwt-{key}")

    def use(jti):
        return VerifiedUse(PEER, jti, datetime(2099, 1, 1, tzinfo=UTC))

    asked = CredentialRequest(id="q", issuer=PEER, definitions=("d",), state="REQUESTED")
    await store.save_request(asked)
    await store.store(replace(asked, state="ISSUED"), [held("1", "Membership"), held("2", "Role")], use("a"))
    await store.store(replace(asked, state="ISSUED"), [held("3", "Membership")], use("b"))
    await store.store(replace(asked, state="ISSUED"), [held("3", "Membership")], use("c"))  # delivered again
    assert [each.id for each in await store.held()] == ["3", "2"]
    assert (await store.request("q")).state == "ISSUED"
    with pytest.raises(Unauthorized):
        await store.store(replace(asked, state="REJECTED"), [held("4", "Role")], use("c"))
    assert [each.id for each in await store.held()] == ["3", "2"]


async def test_received_data_is_kept_once_a_transfer(store):
    def found(sha):
        return ReceivedObject(transfer="t", agreement="a", dataset="d", peer=PEER, sha256=sha, size=1, file="f", schema="", at=NOW)

    await store.add_received(found("00"))
    await store.add_received(found("11"))
    assert await store.received("t") == await store.received() == [found("11")]


async def test_listeners_hear_of_every_commit(store):
    heard = []
    store.on_commit(lambda: heard.append(1))
    await store.commit(commit(process()))
    assert heard


async def test_one_at_a_time_is_in_a_turn(store):
    inside = []

    async def take():
        async with store.turn("x"):
            inside.append(1)
            assert len(inside) == 1
            await asyncio.sleep(0)
            inside.clear()

    await asyncio.gather(*(take() for _ in range(5)))


async def test_agreements_and_assets_are_paged_by_key_at_the_same_cost_everywhere(store):
    for number in range(7):
        at = f"2026-11-24T09:00:0{number}.000Z"
        made = Agreement(
            id=f"a{number}", participant=ME, role="provider", peer=PEER, negotiation="n", dataset="d", policy={}, hash="h", at=at
        )
        await store.commit(commit(process(f"urn:uuid:{number}", peer_pid=f"p{number}"), agreement=made))
        asset = Asset(
            id=f"Ä{number}", participant=ME, profile="p", schema="", title={"en": "x"}, size=1, sha256="00", source="s", created=NOW
        )
        await store.add_asset(asset)
    for kind, wanted in (("agreements", "6543210"), ("assets", "0123456")):
        seen, after = "", ""
        while page := await getattr(store, kind)(after, 3):
            seen += "".join(each.id[-1] for each in page)
            after = page[-1].id
        assert seen == wanted


async def test_one_row_of_a_process_at_a_time_and_only_when_due(store):
    await store.commit(commit(process(), outbox=(row("a"), row("b"))))
    await store.commit(commit(process("urn:uuid:2", peer_pid="t2"), outbox=(row("c", "urn:uuid:2", "2027-01-01T00:00:00.000Z"),)))
    assert await claimed(store) == ["a"]
    assert await store.claim(NOW, 10, frozenset({"urn:uuid:1"})) == ([], "2027-01-01T00:00:00.000Z")


async def test_a_postponed_row_waits_is_visible_and_can_be_released(store, reopen):
    await store.commit(commit(process(), outbox=(row("a"),)))
    ((claim,), _) = await store.claim(NOW, 10, frozenset())
    await store.postpone("a", claim.fence, "2027-01-01T00:00:00.000Z", "unreachable", parked=True)
    again = await reopen()
    (found,) = await again.outbox()
    assert (found.reason, found.parked, found.attempts, found.peer) == ("unreachable", True, 1, PEER)
    assert not await claimed(again)
    assert await again.release("a")
    assert await claimed(again)
    assert not await again.release("nothing")


async def test_another_participants_rows_are_not_found(store):
    await store.commit(commit(process()))
    store._me = "did:web:somebody.example"
    assert await store.process("urn:uuid:1") is None
    assert await store.journal("urn:uuid:1") == []
    assert not await store.processes("negotiation", "", 10)


async def test_lists_are_paged_by_key(store):
    for number in range(7):
        await store.commit(commit(process(f"urn:uuid:{number}", peer_pid=f"p{number}", created=f"2026-11-24T09:00:0{number}.000Z")))
    seen, after = [], ""
    while page := await store.processes("negotiation", after, 3):
        seen += [each.id[-1] for each in page]
        after = page[-1].id
    assert seen == list("6543210")


async def test_assets_and_offers(store):
    asset = Asset(
        id="d", participant=ME, profile="p", schema="", title={"en": "x"}, size=1, sha256="00", source="s", created=NOW, products=("a", "urn:b")
    )  # fmt: skip
    offer = OfferTerms(id="o", asset="d", access={}, contract={"permission": []})
    await store.add_asset(asset)
    await store.add_offer(offer)
    assert await store.asset("d") == asset
    assert await store.offers_of("d") == [offer] == await store.offers("", 10)
    assert await store.assets("d", 10) == []


async def test_who_waits_for_our_membership_hears_of_it_and_of_nothing_else(store):
    heard = []
    store.on_membership(lambda: heard.append(1))
    await store.commit(commit(process()))
    assert not heard
    await store.save_membership(Membership(state="APPLIED"))
    assert heard


async def test_membership(store, reopen):
    await store.save_membership(Membership(state="APPLIED", application="a", requests=("r",)))
    assert await (await reopen()).membership() == Membership(state="APPLIED", application="a", requests=("r",))


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_one_process_owns_the_file(store, tmp_path):
    with pytest.raises(InUse):
        open_database(tmp_path / "data.sqlite")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_open_processes_are_found_by_an_index_of_them_alone(store):
    """Which holds no state, so that a step need not write it anew."""
    plan = store._db.read(lambda c: c.execute(f"EXPLAIN QUERY PLAN {OPEN_WITH}", (ME, PEER)).fetchall())
    assert any("USING INDEX process_open_with (participant=? AND peer=?)" in each[3] for each in plan)


async def test_open_processes_of_one_participant(store):
    states = ["REQUESTED", "AGREED", "FINALIZED", "TERMINATED"]
    for number, state in enumerate(states):
        await store.commit(commit(process(f"urn:uuid:{number}", state=state, peer_pid=f"p{number}")))
    await store.commit(commit(replace(process("urn:uuid:other", peer_pid="o"), peer="did:web:other.example")))
    assert [each.id for each in await store.open_with(PEER)] == ["urn:uuid:0", "urn:uuid:1"]


async def test_what_the_authority_told_survives_a_restart(store, reopen):
    assert await store.followed() == Followed()
    found = Followed(after=7, barred={PEER: "suspension"}, keys=("k",), trust={"did:web:a.example": "jwt"})
    await store.save_followed(found)
    assert await (await reopen()).followed() == found


async def test_only_what_waits_for_a_person_is_listed_and_leaves_the_list_again(store):
    waiting = Waiting("ContractAgreementMessage", "legal", NOW, "to approve")
    await store.commit(commit(process("urn:uuid:1", waiting=waiting)))
    await store.commit(commit(process("urn:uuid:2", peer_pid="other")))
    (found,) = await store.processes("negotiation", "", 10, waiting=True)
    assert (found.id, found.waiting) == ("urn:uuid:1", waiting)
    await store.commit(commit(process("urn:uuid:1", version=2), 1))
    assert await store.processes("negotiation", "", 10, waiting=True) == []
    assert len(await store.processes("negotiation", "", 10)) == 2


async def test_who_decided_is_in_the_journal(store):
    row = JournalRow("REQUESTED", "AGREED", "ContractAgreementMessage", "provider", "m", NOW, "Sato Hanako")
    await store.commit(commit(process(), journal=(row,)))
    assert await store.journal("urn:uuid:1") == [row]


async def test_transfers_of_an_agreement_that_have_not_ended(store):
    for number, state in enumerate(("STARTED", "COMPLETED", "TERMINATED", "SUSPENDED")):
        found = replace(
            process(f"urn:uuid:{number}", state=state, peer_pid=f"p{number}"), kind="transfer", data={"agreementId": "a"}
        )
        await store.commit(commit(found))
    assert [each.id for each in await store.transfers_of("a")] == ["urn:uuid:0", "urn:uuid:3"]
    assert await store.transfers_of("b") == await store.transfers_of("") == []


async def test_what_is_decided_about_an_agreement_is_kept_and_found_when_due(store):
    made = Agreement(id="a", participant=ME, role="consumer", peer=PEER, negotiation="n", dataset="d", policy={}, hash="h", at=NOW)
    await store.commit(commit(process(), agreement=made))
    assert await store.agreements_due("9999", 10) == []
    renewed = replace(made, renewal=Renewal(14, "Meyer"), due="2026-12-01T00:00:00.000Z")
    await store.save_agreement(renewed)
    assert await store.agreements_due("2026-11-30", 10) == []
    assert await store.agreements_due("2026-12-02", 10) == [renewed]
    retired = replace(made, retired=Retirement(NOW, "Meyer"))
    await store.save_agreement(retired)
    assert await store.agreements_due("9999", 10) == []
    assert await store.agreement("a") == retired


async def test_a_document_is_kept_once(store):
    document = Document("sha256:1", b"x")
    await store.commit(commit(process(), documents=(document,)))
    await store.commit(commit(process(version=2), 1, documents=(document, Document("sha256:2", b"y"))))
    assert (await store.document("sha256:1"), await store.document("sha256:2")) == (b"x", b"y")
    assert await store.document("sha256:3") is None
    await store.keep([document, Document("sha256:3", b"z")])
    await store.keep([Document("sha256:3", b"other")])
    assert (await store.document("sha256:1"), await store.document("sha256:3")) == (b"x", b"z")


def entry(path="/obligation/0", **more):
    return Entry(agreement="urn:uuid:a", path=path, action="delete", origin="obligation", state="active", **more)


def counter(used="0", version=0):
    return Counter(agreement="urn:uuid:a", operand="count", limit="3", used=used, version=version)


def decided(seq, transfer="urn:uuid:1", previous="0"):
    record = Record(
        previous=previous, engine="1", policy="p", registry="r", action="use", phase="transfer", now=NOW, party=PEER, target="d", facts={"x": [1, "y"]},
        part_of={}, duties={"/obligation/0": "active"}, since={}, remedied=False, permitted=True, held="1", unknown="0", hash=f"h{seq}",
    )  # fmt: skip
    return Decided(agreement="urn:uuid:a", seq=seq, transfer=transfer, record=record)


async def test_a_ledger_is_the_newest_version_of_everything(store, reopen):
    assert await store.ledger("urn:uuid:a") == Ledger()
    first = entry(due="2026-12-01T00:00:00.000Z")
    await store.commit(commit(process(), duties=(first, entry("/obligation/1")), counters=(counter(),), decided=decided(1)))
    overdue = replace(first, state="overdue", version=1)
    await store.save_duties([overdue])
    await store.commit(commit(process(version=2), 1, counters=(counter("1", 1),), decided=decided(2, previous="h1")))
    again = await reopen()
    found = await again.ledger("urn:uuid:a")
    assert found == Ledger(duties=(overdue, entry("/obligation/1")), counters=(counter("1", 1),), decided=2, last="h2")
    assert await again.duty(first.id) == overdue
    assert [each.seq for each in await again.decisions("", 10, agreement="urn:uuid:a")] == [1, 2]
    assert [each.seq for each in await again.decisions("h1", 10, agreement="urn:uuid:a")] == [2]
    assert [each.seq for each in await again.decisions("", 1)] == [1]
    assert (await again.decision("h1")) == decided(1)
    assert (await again.decided("urn:uuid:1")) == decided(2, previous="h1")
    assert await again.counters("", 10) == [counter("1", 1)]
    assert await again.counters(counter().id, 10) == []


async def test_duties_are_listed_by_id_and_those_that_time_changes_apart(store):
    found = [entry(f"/obligation/{n}", due="2026-12-01T00:00:00.000Z" if n else "") for n in range(4)]
    await store.save_duties(found)
    await store.save_duties([replace(found[3], state="waived", version=1)])
    every = await store.duties("", 10)
    assert [each.id for each in every] == sorted(each.id for each in found)
    assert {each.path for each in await store.duties("", 10, timed=True)} == {"/obligation/1", "/obligation/2"}
    assert await store.duties(every[1].id, 1) == [every[2]]


@pytest.mark.parametrize(
    "second",
    [{"counters": (counter("1", 1),)}, {"duties": (entry(version=1),)}, {"decided": decided(1)}],
    ids=["counter", "duty", "decision"],
)
async def test_what_has_moved_undoes_the_whole_commit(store, second):
    await store.commit(commit(process()))
    await store.commit(commit(process("urn:uuid:2", peer_pid="other"), **second))
    with pytest.raises(VersionConflict):
        await store.commit(commit(process(version=2), 1, journal=(step(),), outbox=(row(),), **second))
    assert (await store.process("urn:uuid:1")).version == 1
    assert await store.outbox() == []


@pytest.mark.parametrize(
    "second",
    [{"decided": decided(3, previous="h2")}, {"decided": decided(2, previous="another")}],
    ids=["a-gap", "another-one-before"],
)
async def test_what_follows_something_that_is_not_there_is_not_written(store, second):
    await store.commit(commit(process(), counters=(counter(),), decided=decided(1)))
    with pytest.raises(VersionConflict):
        await store.commit(commit(process(version=2), 1, journal=(step(),), outbox=(row(),), **second))
    assert (await store.process("urn:uuid:1")).version == 1
    assert (await store.ledger("urn:uuid:a")) == Ledger(counters=(counter(),), decided=1, last="h1")


async def test_running_transfers_are_paged_without_those_that_ended(store):
    for n, state in enumerate(("STARTED", "SUSPENDED", "TERMINATED", "STARTED")):
        await store.commit(commit(replace(process(f"urn:uuid:{n}", peer_pid=str(n), state=state), kind="transfer")))
    await store.commit(commit(process("urn:uuid:9", peer_pid="9")))
    assert [each.id for each in await store.running("", 2)] == ["urn:uuid:0", "urn:uuid:1"]
    assert [each.id for each in await store.running("urn:uuid:1", 9)] == ["urn:uuid:3"]


async def test_an_agreement_is_read_as_it_was_saved_last_whoever_asks_meanwhile_or_gives_up(store):
    made = Agreement(
        id="urn:a", participant="did:web:me.example", role="provider", peer="p", negotiation="n", dataset="d", policy={}, hash="h", at=NOW
    )  # fmt: skip
    await store.commit(Commit(process=process(), expected=0, agreement=made))
    for number in range(20):
        changed = replace(made, due=f"2026-12-{number + 1:02}")
        saving = asyncio.create_task(store.save_agreement(changed))
        while not saving.done():
            assert (await store.agreement("urn:a")).due in (made.due, changed.due)
            await asyncio.sleep(0)
        assert await store.agreement("urn:a") == changed
        made = changed
    given_up = asyncio.create_task(store.save_agreement(replace(made, due="2026-12-31")))
    await asyncio.sleep(0)
    await store.agreement("urn:a")
    given_up.cancel()
    await store.agreement("urn:a")
    await store.save_membership(await store.membership())  # written behind it
    assert (await store.agreement("urn:a")).due in (made.due, "2026-12-31")
    assert await store.agreement("urn:a") == (await store.agreements("", 1))[0]
