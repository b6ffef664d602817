"""Relations, payments and allotments in every store: kept whole, and never counted twice (DESIGN 4)."""

import pytest
from msgspec.structs import replace

from connector.processes.errors import VersionConflict
from connector.processes.model import Agreement, Allotted, Commit, JournalRow, Payment, Process
from connector.store.port import Relation
from policies.duties import Counter, Entry

ME, AT = "did:web:me.example", "2026-11-24T09:00:00.000Z"
COUNTED = Counter(agreement="urn:a", operand="urn:count", limit="10")


async def test_a_relation_is_kept_and_ended_in_place(store):
    made = Relation(id="urn:r:1", partner="did:web:b.example", kind="customer", product="cell-A", person="Sato", at=AT)
    await store.save_relation(made)
    ended = replace(made, ended=AT, ended_by="Mori", reason="over")
    await store.save_relation(ended)
    await store.save_relation(replace(made, id="urn:r:2"))
    assert await store.relation("urn:r:1") == ended
    assert [each.id for each in await store.relations("", 10)] == ["urn:r:1", "urn:r:2"]
    assert [each.id for each in await store.relations("urn:r:1", 10)] == ["urn:r:2"]
    assert await store.relation("urn:none") is None


async def test_a_payment_and_its_counter_are_one(store):
    heard = []
    store.on_ledger(lambda agreement, _transfer: heard.append(agreement))
    paid = Payment(id="urn:p:1", agreement="urn:a", amount="5", unit="EUR", evidence="R-1", person="Sato", at=AT)
    await store.add_payment(paid, replace(COUNTED, used="5", version=1))
    with pytest.raises(VersionConflict):
        await store.add_payment(replace(paid, id="urn:p:2"), replace(COUNTED, used="6", version=1))
    assert await store.payments("", 10, agreement="urn:a") == await store.payments("", 10) == [paid]
    assert await store.payments("", 10, agreement="urn:b") == []
    assert [each.used for each in (await store.ledger("urn:a")).counters] == ["5"]
    assert heard == ["urn:a"]


async def test_a_payment_its_counter_and_its_duties_are_one_with_or_without_a_message(store):
    heard = []
    store.on_ledger(lambda agreement, _transfer: heard.append(agreement))
    process = Process(
        id="urn:n", participant=ME, kind="negotiation", role="provider", peer="did:web:b.example", state="FINALIZED", version=1
    )
    duty = Entry(agreement="urn:a", path="/obligation/0", action="urn:act", origin="obligation", state="fulfilled", version=1)
    paid = Payment(id="urn:p:1", agreement="urn:a", amount="5", unit="EUR", evidence="R-1", person="Sato", at=AT)
    await store.commit(
        Commit(process=process, expected=0, duties=(duty,), counters=(replace(COUNTED, used="5", version=1),), payment=paid)
    )
    assert (await store.payment("urn:p:1"), await store.payment("urn:p:2")) == (paid, None)
    second, moved_on = replace(paid, id="urn:p:2"), replace(COUNTED, used="6", version=2)
    for stale in (duty, replace(duty, version=1, state="active")):
        with pytest.raises(VersionConflict):
            await store.add_payment(second, moved_on, [stale])
    assert [each.version for each in (await store.ledger("urn:a")).counters] == [1]
    await store.add_payment(second, moved_on, [replace(duty, version=2, state="active")])
    found = await store.ledger("urn:a")
    assert ([each.state for each in found.duties], [each.used for each in found.counters]) == (["active"], ["6"])
    assert heard == ["urn:a", "urn:a"]


async def test_an_allotment_is_drawn_with_its_counter_and_settled_once(store):
    process = Process(
        id="urn:t", participant=ME, kind="transfer", role="provider", peer="did:web:b.example", state="STARTED", version=1
    )
    await store.commit(Commit(process=process, expected=0))
    drawn = Allotted(id="x", transfer="urn:t", agreement="urn:a", plane="p", amount=4, at=AT)
    commit = Commit(
        process=replace(process, version=2), expected=1, counters=(replace(COUNTED, used="4", version=1),), allotted=drawn
    )
    await store.commit(commit)
    with pytest.raises(VersionConflict):  # the same name again
        await store.commit(
            replace(commit, process=replace(process, version=3), expected=2, counters=(replace(COUNTED, used="8", version=2),))
        )
    assert [each.used for each in (await store.ledger("urn:a")).counters] == ["4"]
    settled = replace(drawn, version=2, used=1, returned=AT)
    await store.return_allotment(settled, [replace(COUNTED, used="1", version=2)])
    with pytest.raises(VersionConflict):
        await store.return_allotment(settled, [replace(COUNTED, used="0", version=3)])
    assert (await store.allotment("x"), await store.allotments("", 10)) == (settled, [settled])
    assert [each.used for each in (await store.ledger("urn:a")).counters] == ["1"]


@pytest.mark.parametrize(
    ("duty", "told"),
    [
        ({}, []),
        ({"due": "2026-12-24T09:00:00.000Z"}, ["urn:a"]),
        ({"until": "2026-12-24T09:00:00.000Z"}, ["urn:a"]),
        ({"agreement": "urn:other"}, ["urn:other"]),
    ],
)
async def test_of_a_new_agreement_is_told_only_what_time_will_change(store, duty, told):
    heard = []
    store.on_ledger(lambda agreement, _transfer: heard.append(agreement))
    process = Process(
        id="urn:n", participant=ME, kind="negotiation", role="provider", peer="did:web:b.example", state="FINALIZED", version=1
    )
    agreement = Agreement(
        id="urn:a", participant=ME, role="provider", peer=process.peer, negotiation="urn:n", dataset="d", policy={}, hash="h", at=AT
    )
    entry = Entry(
        **{"agreement": "urn:a", "path": "/obligation/0", "action": "urn:act", "origin": "obligation", "state": "active"} | duty
    )
    await store.commit(Commit(process=process, expected=0, agreement=agreement, duties=(entry,)))
    assert heard == told
    changed = replace(entry, state="waived", due="", until="", version=1)
    await store.commit(Commit(process=replace(process, version=2), expected=1, duties=(changed,)))
    assert heard == [*told, entry.agreement], "a later change of a duty is always told of"


@pytest.mark.parametrize(("role", "told"), [("provider", [("urn:a", "urn:t")]), ("consumer", [])])
async def test_a_start_is_told_of_where_we_provide(store, role, told):
    heard = []
    store.on_ledger(lambda *each: heard.append(each))
    process = Process(
        id="urn:t", participant=ME, kind="transfer", role=role, peer="did:web:b.example", state="STARTED", version=1, data={"agreementId": "urn:a"}
    )  # fmt: skip
    await store.commit(Commit(process=process, expected=0, journal=(JournalRow("REQUESTED", "STARTED", "m", "provider", "i", AT),)))
    assert heard == told
