"""What every store must do (DESIGN 3, 4): one transaction, conditional writes, unique tokens, nothing half-done."""

import asyncio

import pytest
from msgspec.structs import replace

from catalog.dcat import Asset, OfferTerms
from connector.processes.errors import VersionConflict
from connector.processes.model import (
    Agreement,
    Commit,
    Document,
    InboxRow,
    JournalRow,
    OutboxRow,
    Process,
    Renewal,
    Retirement,
    TokenUse,
    Waiting,
)
from connector.store.port import Followed, Membership
from kernel.errors import InUse, Unauthorized

ME, PEER = "did:web:me.example", "did:web:peer.example"
NOW = "2026-11-24T09:00:00.000Z"


def process(key="urn:uuid:1", **more):
    values = {"state": "REQUESTED", "version": 1, "peer_pid": "theirs", "created": NOW, "updated": NOW} | more
    return Process(id=key, participant=ME, kind="negotiation", role="provider", peer=PEER, **values)


def commit(found, expected=0, **more):
    return Commit(process=found, expected=expected, **more)


def row(key="urn:uuid:r", owner="urn:uuid:1", due=""):
    return OutboxRow(id=key, process=owner, act="dsp", message="ContractAgreementMessage", path="/x", body=b"{}", due=due)


def step(before="", after="REQUESTED"):
    return JournalRow(before, after, "ContractRequestMessage", "consumer", "m", NOW)


async def test_everything_of_a_commit_is_there_after_it_and_after_a_restart(store, reopen):
    inbox = InboxRow(PEER, "urn:uuid:1", "m", b"answer", 201)
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
    await store.commit(commit(process(), journal=(step(),), outbox=(row(),), inbox=inbox, token=token, agreement=agreement))
    again = reopen()
    assert await again.process("urn:uuid:1") == process()
    assert await again.process_of_peer(PEER, "negotiation", "theirs") == process()
    assert [each.after for each in await again.journal("urn:uuid:1")] == ["REQUESTED"]
    assert [each.row.id for each in await again.due(NOW, 10, frozenset())] == ["urn:uuid:r"]
    assert await again.replay(PEER, "urn:uuid:1", "m") == inbox
    assert await again.seen(PEER, "jti")
    assert await again.agreement("urn:uuid:a") == agreement


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
    again = reopen()
    await again.purge(2_000)
    assert not await again.seen(PEER, "old")
    with pytest.raises(Unauthorized):
        await again.spend(TokenUse(PEER, "new", 9_999_999_999))


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
    await store.commit(commit(process(version=2), 1, confirmed=("a",), withdrawn=("b",)))
    assert [each.row.id for each in await store.outbox()] == ["c"]
    assert await store.living(frozenset("abc")) == {"c"}


async def test_one_row_of_a_process_at_a_time_and_only_when_due(store):
    await store.commit(commit(process(), outbox=(row("a"), row("b"))))
    await store.commit(commit(process("urn:uuid:2", peer_pid="t2"), outbox=(row("c", "urn:uuid:2", "2027-01-01T00:00:00.000Z"),)))
    assert [each.row.id for each in await store.due(NOW, 10, frozenset())] == ["a"]
    assert not await store.due(NOW, 10, frozenset({"a", "urn:uuid:1"}))
    assert await store.next_due(frozenset({"a", "urn:uuid:1"})) == "2027-01-01T00:00:00.000Z"


async def test_a_postponed_row_waits_is_visible_and_can_be_released(store, reopen):
    await store.commit(commit(process(), outbox=(row("a"),)))
    await store.postpone("a", "2027-01-01T00:00:00.000Z", "unreachable", parked=True)
    again = reopen()
    (found,) = await again.outbox()
    assert (found.reason, found.parked, found.attempts, found.peer) == ("unreachable", True, 1, PEER)
    assert not await again.due(NOW, 10, frozenset())
    assert await again.release("a")
    assert await again.due(NOW, 10, frozenset())
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
    asset = Asset(id="d", participant=ME, profile="p", schema="", title={"en": "x"}, size=1, sha256="00", source="s", created=NOW)
    offer = OfferTerms(id="o", asset="d", access={}, contract={"permission": []})
    await store.add_asset(asset)
    await store.add_offer(offer)
    assert await store.asset("d") == asset
    assert await store.offers_of("d") == [offer] == await store.offers("", 10)
    assert await store.assets("d", 10) == []


async def test_membership(store, reopen):
    await store.save_membership(Membership(state="APPLIED", application="a", requests=("r",)))
    assert await reopen().membership() == Membership(state="APPLIED", application="a", requests=("r",))


async def test_one_process_owns_the_file(store, tmp_path):
    from connector.store.sqlite import open_database

    with pytest.raises(InUse):
        open_database(tmp_path / "data.sqlite")


async def test_the_number_of_statements_of_a_commit_is_pinned(store):
    """The hot path: a message of the peer with our next step (journal, outbox, inbox, token)."""
    await store.commit(commit(process()))
    said: list[str] = []

    def work(connection):
        connection.set_trace_callback(said.append)
        inbox = InboxRow(PEER, "urn:uuid:1", "m2", b"", 200)
        made = commit(
            replace(process(), version=2),
            1,
            journal=(step(),),
            outbox=(row(),),
            inbox=inbox,
            token=TokenUse(PEER, "j2", 9_999_999_999),
        )
        store._commit(connection, made)
        connection.set_trace_callback(None)

    await store._db.write(work)
    assert len(said) == 6, said


async def test_open_processes_of_one_participant(store):
    states = ["REQUESTED", "AGREED", "FINALIZED", "TERMINATED"]
    for number, state in enumerate(states):
        await store.commit(commit(process(f"urn:uuid:{number}", state=state, peer_pid=f"p{number}")))
    await store.commit(commit(replace(process("urn:uuid:other", peer_pid="o"), peer="did:web:other.example")))
    assert [each.id for each in await store.open_with(PEER)] == ["urn:uuid:0", "urn:uuid:1"]


async def test_what_the_authority_told_survives_a_restart(store, reopen):
    assert await store.followed() == Followed()
    found = Followed(after=7, barred={PEER: "suspension"}, key="k")
    await store.save_followed(found)
    assert await reopen().followed() == found


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
