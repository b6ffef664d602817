"""A data space in one process: a real identity service and real participants, over TLS and the loopback, with host names of their own.

Names are answered here (`answering`): a test needs no name server. Everything else is the product's: enrolment, certificates, tokens, credentials, lists.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connector import install
from connector.app import Connector
from connector.settings import Settings as ConnectorSettings
from identity.jose import thumbprint
from identity.keys import KeyStore
from identity.service import app, setup
from identity.service.settings import Settings
from identity.tls.web import WebCa
from kernel import http
from kernel.cli import ManagementClient
from kernel.clock import SystemClock
from tests.support.ports import free_ports

NUMBER = "7123456789012"
DEFINITIONS = """
[[credential]]
id = "membership"
type = "MembershipCredential"
days = 90
claims = { holderIdentifier = "$memberNumber", memberOf = "$dataSpace", since = "$since" }
"""
MEMBERSHIP = "org.eclipse.dspace.dcp.vc.type:MembershipCredential:read"


def answering(monkeypatch) -> None:
    """Every name has the address of this machine."""

    async def lookup(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(http, "_lookup", lookup)


class World:
    """The CA that everybody trusts for servers, and a folder for every data directory."""

    def __init__(self, place: Path) -> None:
        self.place, self.web = place, WebCa.create()
        self.roots = place / "roots.pem"
        self.roots.write_bytes(self.web.certificate_pem)

    def server(self, host: str) -> tuple[Path, Path]:
        """A server certificate for a host name: (certificate, key) files."""
        files = self.place / f"{host}.pem", self.place / f"{host}.key"
        for path, data in zip(files, self.web.issue([host]), strict=True):
            path.touch(mode=0o600)
            path.write_bytes(data)
        return files


@dataclass
class Authority:
    """A running identity service, and its operator's hands."""

    world: World
    directory: Path
    settings: Settings
    service: app.Service

    @property
    def did(self) -> str:
        return self.settings.did

    @property
    def key(self) -> str:
        return thumbprint(KeyStore(self.directory / "keys", self.did).all("trust")[0].public_jwk())

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The management API."""
        key = (self.directory / setup.MANAGEMENT_KEY).read_text().strip()
        client = ManagementClient(f"http://127.0.0.1:{self.settings.management_port}", key)
        return await asyncio.to_thread(lambda: client.get(path) if method == "GET" else client.post(path, body or {}))

    def make(self, name: str, ports: tuple[int, int, int], **more: Any) -> ConnectorSettings:
        """The data directory of a participant; the settings to serve it with are returned."""
        public, member, management = ports
        found = ConnectorSettings(
            **{
                "name": name, "host": f"{name}.example", "public_port": public, "member_port": member, "management_port": management,
                "profile": "base", "authority": self.did, "authority_key": self.key, "allow_private": ("127.0.0.0/8",),
            }
            | more
        )  # fmt: skip
        certificate, key = self.world.server(found.host)
        install.install(self.world.place / name, found, certificate=certificate, key=key, roots=self.world.roots)
        return found

    async def admit(self, member: Connector) -> None:
        """Invitation, application, approval, credentials and certificate."""
        did = member.settings.did
        invited = await self.call(
            "POST", "/v1/invitations", {"did": did, "name": member.settings.name, "corporateNumber": NUMBER, "roles": []}
        )
        await member.joining.apply(invited["invitation"])
        await self.call("POST", f"/v1/members/{invited['member']}/approve")
        await until(lambda: _active(member))


@asynccontextmanager
async def authority(world: World, host: str = "authority.example", definitions: str = DEFINITIONS) -> AsyncIterator[Authority]:
    """A running identity service."""
    directory = world.place / host
    if not directory.exists():
        port, management = free_ports(2)
        settings = Settings(
            name="Operator", data_space=host, host=host, port=port, management_port=management, allow_private=("127.0.0.0/8",)
        )
        certificate, key = world.server(host)
        source = world.place / f"{host}.toml"
        source.write_text(definitions)
        setup.initialise(
            directory,
            settings,
            certificate=certificate,
            key=key,
            credential_definitions=source,
            roots=world.roots,
            clock=SystemClock(),
        )
    async with app.serving(directory) as service:
        yield Authority(world, directory, service.settings, service)


async def until(settled: Any, seconds: float = 20.0) -> None:
    """Wait for something to be so; fails after a while."""
    async with asyncio.timeout(seconds):
        while not await settled():
            await asyncio.sleep(0.02)


async def _active(member: Connector) -> bool:
    return (await member.joining.state()).state == "ACTIVE" and member.channel.member is not None


async def concluded(consumer: Connector, provider: Connector, data_space: str = "") -> Any:
    """A contract from offer to its end; the consumer's process. The offer is for members of the provider's data space, or of another one."""
    space = data_space or provider.settings.authority.rpartition(":")[2].partition("%")[0]

    async def parts() -> AsyncIterator[bytes]:
        yield b"data"

    asset = await provider.commands.add_asset(parts(), schema="", title={"en": "data"}, media_type="text/plain")
    await provider.commands.add_offer(asset.id, "members", {"dataSpace": space})
    made = await consumer.commands.negotiate(provider.settings.did, asset.id, "", None)

    async def final() -> bool:
        process = await consumer.store.process(made.id)
        return process is not None and process.state in ("FINALIZED", "TERMINATED") and process.pending is None

    await until(final)
    return await consumer.store.process(made.id)


def three(count: int) -> Sequence[tuple[int, int, int]]:
    """Ports for participants: public, member, management."""
    found = free_ports(3 * count)
    return [(found[3 * each], found[3 * each + 1], found[3 * each + 2]) for each in range(count)]
