"""What stops a start of the identity service: default or short secrets, keys that others can read or that cannot be read, plain HTTP."""

import asyncio

import pytest

from identity.keys import KeyStore
from identity.service import setup
from identity.service.app import open_service
from identity.service.settings import Settings, check
from kernel.clock import SystemClock
from kernel.errors import Misconfigured


@pytest.fixture
def directory(files):
    settings = Settings(name="x", data_space="Space", port=8443, management_port=8444)
    setup.initialise(
        files / "service", settings, certificate=files / "server.pem", key=files / "server.key",
        credential_definitions=files / "definitions.toml", roots=None, clock=SystemClock(),
    )  # fmt: skip
    return files / "service"


def started(directory):
    async def start():
        found = await open_service(directory, SystemClock())
        await found.database.close()

    asyncio.run(start())


def refused(directory, said):
    with pytest.raises(Misconfigured, match=said) as found:
        started(directory)
    assert found.value.next_step


def test_it_starts_as_it_was_made_and_every_secret_is_its_own(directory, tmp_path):
    started(directory)
    assert len(setup.management_key(directory / "management.key")) >= 32


@pytest.mark.parametrize(
    "file", ["management.key", "tls/server.key", "keys/si-1.pem", "keys/vc-1.pem", "keys/trust-1.pem", "ca/issuing.key"]
)
def test_a_key_that_others_can_read_or_that_is_gone(directory, file):
    (directory / file).chmod(0o644)
    refused(directory, "readable by others")
    (directory / file).unlink()
    with pytest.raises(Misconfigured):
        started(directory)


@pytest.mark.parametrize("secret", ["", "admin", "changeme", "x" * 31])
def test_a_default_or_short_management_key(directory, secret):
    (directory / "management.key").write_text(secret)
    with pytest.raises(Misconfigured, match="no management key"):
        setup.management_key(directory / "management.key")


def test_plain_http_outside_of_the_machine():
    settings = {"name": "x", "data_space": "Space", "port": 8443, "management_port": 8444}
    check(Settings(**settings))
    for wrong in ({"management_bind": "0.0.0.0"}, {"events_url": "http://space.example/events"}, {"management_port": 8443}):
        with pytest.raises(Misconfigured):
            check(Settings(**settings | wrong))


def test_a_key_that_is_no_key(directory):
    (directory / "keys/vc-1.pem").write_text("nonsense")
    (directory / "keys/vc-1.pem").chmod(0o600)
    refused(directory, "no private key")


def test_keys_are_found_under_their_purposes(directory):
    keys = KeyStore(directory / "keys", "did:web:localhost%3A8443")
    assert [len(keys.all(purpose)) for purpose in ("si", "vc", "trust")] == [1, 1, 1]
