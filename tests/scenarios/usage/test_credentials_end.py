"""A credential that expires of itself ends what rested on it, at that instant; who renews its data token is decided anew (issue: policies)."""

from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from connector.usage import claims
from identity.vc import Credential
from kernel.errors import Unauthorized
from policies.odrl import KZ, broken
from tests.support.company import MEMBER
from tests.support.participant import participant
from tests.support.usage import NOW, atom, contract, eventually, settled, transfer, use

ROLE = {"leftOperand": f"{KZ}role", "operator": "isAnyOf", "rightOperand": ["packMaker"]}
END = NOW + timedelta(days=3)


def credential(kind: str, subject, until: datetime | None) -> Credential:
    return Credential(
        id=None, types=("VerifiableCredential", kind), issuer="did:web:seller.example", subjects=(subject,), valid_from=None, valid_until=until,
        status=(), schemas=(), format="vc11-sl2021/jwt", raw="", proof=SimpleNamespace(), body={},
    )  # fmt: skip


def holder(did, **until):
    """A caller with the usual claims, whose credentials end as given (`RoleCredential=...`)."""
    held = [credential(kind, subject, until.get(kind)) for kind, subjects in MEMBER.items() for subject in subjects]
    return participant(did, claims=MEMBER, credentials=tuple(held))


@pytest.fixture
def ends(pair):
    """Sets when the buyer's role credential ends."""
    _, buyer = pair
    seller, _ = pair
    lists = seller.credentials

    def set_(until):
        lists[buyer.did] = holder(buyer.did, RoleCredential=until).credentials

    set_(END)
    return set_


async def running(pair, *rules):
    seller, buyer = pair
    key = await contract(*pair, permission=[use(*rules)])
    made = await transfer(buyer, key)
    await seller.until(made.peer_pid, "STARTED")
    return key, made


async def test_access_ends_at_the_instant_at_which_the_credential_does(pair, clock, ends):
    seller, buyer = pair
    relying, made = await running(pair, ROLE)
    _, free = await running(pair)
    await settled(seller, 2)
    clock.moment = END - timedelta(seconds=1)
    assert await seller.monitor.turn() == 1.0
    assert (await seller.store.process(made.peer_pid)).pending is None
    clock.moment = END
    await seller.monitor.turn()
    await buyer.until(made.id, "SUSPENDED")
    assert (await seller.until(free.peer_pid, "STARTED")).pending is None, "its policy asks for no role"
    last = (await seller.store.decided(made.peer_pid)).record
    assert (last.phase, last.permitted) == ("monitoring", False)
    assert f"{KZ}role" not in last.facts
    assert broken(each.record for each in await seller.store.decisions("", 10, agreement=relying)) is None


async def test_without_a_new_credential_it_stays_shut_and_with_one_it_goes_on(pair, clock, ends):
    seller, buyer = pair
    _, made = await running(pair, ROLE)
    await settled(seller, 1)
    clock.moment = END
    await seller.monitor.turn()
    await buyer.until(made.id, "SUSPENDED")
    await buyer.commands.step("transfer", made.id, "resume", "")
    (tried,) = await eventually(lambda: buyer.store.outbox(made.id), lambda rows: rows and rows[0].attempts)
    assert "403" in tried.reason
    assert (await seller.store.process(made.peer_pid)).state == "SUSPENDED", "the credential that it shows has ended"
    ends(END + timedelta(days=3))
    await buyer.store.release(tried.row.id)
    await buyer.until(made.id, "STARTED")
    await seller.until(made.peer_pid, "STARTED")
    await settled(seller, 1)
    assert await seller.monitor.turn() == timedelta(days=3).total_seconds()


async def test_what_ends_for_good_at_the_same_moment_is_terminated(pair, clock, ends):
    seller, buyer = pair
    _, made = await running(pair, ROLE, atom("dateTime", "lt", END.isoformat()))
    await settled(seller, 1)
    clock.moment = END
    await seller.monitor.turn()
    await buyer.until(made.id, "TERMINATED")


async def test_a_token_refresh_keeps_what_is_proven_now_and_moves_the_instant(pair, clock, ends):
    seller, _ = pair
    key, made = await running(pair, ROLE)
    await settled(seller, 1)
    process = await seller.store.process(made.peer_pid)
    again = await seller.running_transfers.renewed(process, holder(process.peer, RoleCredential=END))
    assert again == process, "nothing new was shown: nothing is written"
    later = END + timedelta(days=10)
    kept = await seller.running_transfers.renewed(process, holder(process.peer, RoleCredential=later))
    assert kept.version == process.version + 1
    clock.moment = END
    await settled(seller, 1)
    assert await seller.monitor.turn() == timedelta(days=10).total_seconds()
    assert (await seller.store.process(made.peer_pid)).pending is None
    assert [each.record.phase for each in await seller.store.decisions("", 10, agreement=key)] == ["transfer", "monitoring"]


async def test_a_token_refresh_whose_caller_is_not_permitted_any_more_suspends(pair, ends):
    seller, buyer = pair
    _, made = await running(pair, ROLE)
    process = await seller.store.process(made.peer_pid)
    changed = participant(buyer.did, claims={"RoleCredential": ({"id": "x", "role": ["recycler"]},)})
    with pytest.raises(Unauthorized):
        await seller.running_transfers.renewed(process, changed)
    await buyer.until(made.id, "SUSPENDED")


def test_of_two_credentials_that_say_the_same_the_later_end_counts():
    subject = {"id": "x", "role": ["packMaker"]}
    ends = (END, END + timedelta(days=1))
    who = participant(
        "did:web:b.example",
        claims={"RoleCredential": (subject, subject)},
        credentials=tuple(credential("RoleCredential", subject, each) for each in ends),
    )
    found = claims.shown(who)
    assert claims.lapse(found, NOW) == ends[1]
    assert claims.valid(found, ends[0]) == {"RoleCredential": [subject, subject]}
    assert claims.valid(found, ends[1]) == {}
    endless = participant(
        "did:web:b.example", claims={"R": (subject,)}, credentials=(credential("R", subject, None), credential("R", subject, END))
    )
    assert claims.lapse(claims.shown(endless), NOW) is None
    assert claims.without(found, None) == {}
    assert claims.without(found, {"RoleCredential"}) == {}
