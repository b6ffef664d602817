"""Who has not applied to any data space waits for that, and for nothing else."""

import asyncio
from types import SimpleNamespace

from connector.membership.joining import Joining
from connector.store.port import Followed, Membership
from connector.store.sqlite import SqliteStore, open_database
from kernel.clock import SystemClock
from kernel.errors import UnavailableError


async def test_who_has_not_applied_is_not_woken_by_commits(tmp_path):
    store = SqliteStore(open_database(tmp_path / "data.sqlite"), "did:web:me.example")
    asked, said = asyncio.Event(), []

    async def resolve(_did):
        asked.set()
        raise UnavailableError("no network here")

    joining = Joining(
        authority="did:web:authority.example", store=store, wallet=None, resolver=SimpleNamespace(resolve=resolve), client=None,
        sts=SimpleNamespace(token=lambda _: "x"), clock=SystemClock(), tls=tmp_path, enrolled=None, check_bundle=None,
    )  # fmt: skip
    task = asyncio.create_task(joining.run())
    await turns()
    store._db._reader.set_trace_callback(said.append)
    await store.save_followed(Followed(after=1))
    await turns()
    assert len(said) == 1
    assert "followed" in said[0]
    await store.save_membership(Membership(state="APPLIED", application="a"))
    async with asyncio.timeout(20):
        await asked.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.close()


async def turns():
    for _ in range(50):
        await asyncio.sleep(0)
