"""A connector without TLS and without signatures, for peers that have neither: Eclipse EDC with its mock identity, and measurements like for like with it.

Everything else is the product's. What is missing enters through the composition root; no setting of the product leads here.
"""

import json
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from msgspec import structs
from msgspec.structs import replace

from connector import app, install
from connector.settings import Peer, Settings
from connector.store.opening import open_store
from identity.tls import web
from kernel.errors import Unauthorized
from tests.support.participant import participant

CLAIMS = {"MembershipCredential": ({"memberOf": "interop"},)}


class PlainSettings(Settings, frozen=True, kw_only=True):
    """Settings whose listeners speak plain HTTP; members and others meet at the public one."""

    scheme: ClassVar[str] = "http"

    @property
    def member_url(self) -> str:
        return self.public_url


async def mock_identity(caller, fresh):
    """The caller is whoever its JSON text says; it counts as a member. The text is no token: it has no id (`Tokenless`)."""
    try:
        return participant(json.loads(caller.authorization[0])["clientId"], claims=CLAIMS, jti="none")
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise Unauthorized("authentication failed", reason="no mock token") from error


class OpenGate:
    """Nobody who was let in by `mock_identity` has credentials whose status could be read."""

    async def permit(self, did, certificate):
        return None

    def closed(self, did):
        return None


class Tokenless:
    """A store of a connector whose callers have no tokens: there are none to use up."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def commit(self, commit):
        await self._store.commit(replace(commit, token=None))

    async def spend(self, token):
        pass


def mock_authorization(client: str) -> str:
    """What `mock_identity`, and EDC's, takes."""
    return json.dumps({"region": "eu", "audience": "any", "clientId": client})


def make(directory: Path, ports: tuple[int, int, int], peers: tuple[Peer, ...] = (), **more) -> PlainSettings:
    """A data directory; returns the settings to serve it with."""
    public, member, management = ports
    found = PlainSettings(
        name=directory.name, public_port=public, member_port=member, management_port=management, profile="base",
        authority="did:web:nobody.example", allow_private=("localhost",), peers=peers, **more,
    )  # fmt: skip
    authority = web.WebCa.create()
    with tempfile.TemporaryDirectory() as place:
        files = {name: Path(place) / name for name in ("roots", "certificate", "key")}
        certificate, key = authority.issue(["localhost"])
        for name, data in (("roots", authority.certificate_pem), ("certificate", certificate), ("key", key)):
            files[name].write_bytes(data)
        settings = Settings(**structs.asdict(found))
        install.install(directory, settings, certificate=files["certificate"], key=files["key"], roots=files["roots"])
    return found


@asynccontextmanager
async def serving(directory: Path, found: PlainSettings, **stand_ins):
    """The connector, running."""
    mine = mock_authorization(found.did)
    own = {"verify": mock_identity, "gate": OpenGate(), "authorization": lambda _peer: mine}
    store = Tokenless(await open_store(directory, found))
    async with app.serving(directory, found=found, store=store, **(own | stand_ins)) as connector:
        yield connector


async def settled(commands, key, states, seconds):
    """A process of ours, once nothing of it is on its way and it is in one of the states."""
    store = commands.store

    async def there():
        process = await store.process(key)
        return process is not None and process.state in states and process.pending is None

    await commands.wait(there, seconds)
    process = await store.process(key)
    assert await there(), f"{process.state} {process.note} {[(d.row.message, d.reason) for d in await store.outbox(key)]}"
    return process
