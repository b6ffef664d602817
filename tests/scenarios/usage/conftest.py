"""Two companies with a clock that the test sets, and the command line on the management API of either."""

import asyncio
import json
from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from connector.management.routes import Management
from identity.access.service import Access
from identity.wallet.tokens import TokenEndpoint
from kernel.cli import ManagementClient
from kernel.cli import application as command_line
from kernel.web import application, serve
from tests.support.company import Company, Directory
from tests.support.ports import free_port
from tests.support.usage import Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def pair(tmp_path, clock):
    directory = Directory()
    async with AsyncExitStack() as stack:
        sides = [Company(tmp_path / name, name, directory, clock=clock, on_overdue="terminate") for name in ("seller", "buyer")]
        for each in sides:
            await stack.enter_async_context(each.running())
        yield sides


@pytest.fixture
async def kizuna(pair, tmp_path):
    """`kizuna` on the buyer's management API: exit code and what is printed."""
    _, buyer = pair
    access = Access(buyer.store.access, buyer.did, buyer.clock, lambda: "key")
    shell = SimpleNamespace(
        commands=buyer.commands, store=buyer.store, contracts=buyer.contracts, rules=buyer.rules, obligations=buyer.obligations, access=access, keys=None, renewal=None,
        tokens=TokenEndpoint(None, None),
    )  # fmt: skip
    table, place, port = Management(shell).routes(), tmp_path / "cli", free_port()
    place.mkdir()
    (place / "management.key").write_text("key")
    (place / "connector.toml").write_text(
        f'name = "x"\nprofile = "battery"\nauthority = "did:web:a"\npublic_port = 1\nmember_port = 2\nmanagement_port = {port}\n'
    )
    asked, listeners = [], []

    def noting(handler, _route):
        async def noted(request):
            asked.append(request.path)
            return await handler(request)

        return noted

    async def back():
        listeners.append(await serve(application(table, middlewares=[noting, access.guard(table)]), "127.0.0.1", port))

    async def away():
        await listeners.pop().close()

    await back()

    async def run(*words):
        done = await asyncio.to_thread(lambda: CliRunner().invoke(command_line(), [*words, "--dir", str(place), "--json"]))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            return done.exception
        return json.loads(done.stdout.splitlines()[-1])

    async def post(path, body):
        return await asyncio.to_thread(ManagementClient(f"http://127.0.0.1:{port}", "key").post, path, body)

    async def text(*words):
        return (await asyncio.to_thread(lambda: CliRunner().invoke(command_line(), [*words, "--dir", str(place)]))).stdout

    run.post, run.text, run.asked, run.away, run.back = post, text, asked, away, back
    run.place, run.address = place, f"http://127.0.0.1:{port}"
    yield run
    await away()
