"""Directories of roles apart: what is in each, and what a split refuses (`setup.split`)."""

from pathlib import Path

import pytest

from identity.access.settings import Oidc, OidcGrant
from identity.keys import KeyStore
from identity.service import setup
from identity.service.settings import Settings, check, load
from identity.tls import ca
from kernel.clock import SystemClock
from kernel.errors import Conflict, Misconfigured

SERVER = "postgresql://kizuna@db.example/space"


def whole(files, **more):
    settings = Settings(
        **{"name": "x", "data_space": "Space", "port": 8443, "management_port": 8444, "database": SERVER,
           "issuer_url": "https://issuer.example:9443/", "ca_url": "https://ca.example"} | more
    )  # fmt: skip
    setup.initialise(
        files / "whole", settings, certificate=files / "server.pem", key=files / "server.key",
        credential_definitions=files / "definitions.toml", roots=None, clock=SystemClock(),
    )  # fmt: skip
    return files / "whole"


def split(directory, to, role, port=9443):
    return setup.split(
        directory,
        to,
        role,
        port=port,
        management_port=port + 1,
        certificate=directory / setup.SERVER,
        key=directory / setup.SERVER_KEY,
    )


def held(directory):
    return sorted(path.name for place in ("keys", "ca") for path in (directory / place).iterdir())


def test_each_role_has_its_own_keys_and_what_is_public_of_the_others(files):
    directory = whole(files)
    for role in ("authority", "issuer", "ca"):
        split(directory, files / role, role, 8443 if role == "authority" else 9443)
    certificates = ["issuing.pem", "root.pem"]
    assert held(files / "authority") == sorted(["trust-1.pem", "si-1.jwk", "vc-1.jwk", *certificates])
    assert held(files / "issuer") == sorted(["si-1.pem", "vc-1.pem", *certificates])
    assert held(files / "ca") == sorted(["crl-url", "issuing.key", *certificates]), "the root's key stays where it is"
    kept = [path.read_text() for path in sorted(files.rglob("management.key"))]
    assert len(set(kept)) == 4, "a management key for each"
    for path in (*files.glob("*/keys/*.pem"), *files.glob("*/ca/*.key"), *files.glob("*/identity.toml")):
        assert path.stat().st_mode & 0o077 == 0, path
    published = KeyStore(directory / "keys", load(directory).did).published()
    shown = KeyStore(files / "authority" / "keys", load(directory).did).published()
    assert sorted(map(str, shown)) == sorted(map(str, published))
    assert ca.Bundle(files / "issuer" / "ca")() == ca.Authority.open(files / "ca" / "ca").bundle
    assert (files / "ca" / "ca" / "crl-url").read_text() == "https://ca.example/ca/v1/crl/issuing.crl"
    found = load(files / "issuer")
    assert (found.roles, found.listen_port, found.did, found.address("issuer")) == (
        ("issuer",), 9443, load(directory).did, "https://issuer.example:9443",
    )  # fmt: skip
    assert load(files / "authority").listen_port == 0


def test_sealed_keys_are_carried_sealed_and_settings_with_their_tables(files):
    secret = files / "passphrase"
    secret.touch(mode=0o600)
    secret.write_text("correct horse battery staple")
    grant = OidcGrant(value="operators", role="admin", scopes=("membership",))
    oidc = Oidc(issuer="https://idp.example/realm", audience="kizuna", claim=("groups",), grants=(grant,))
    directory = whole(files, passphrase_file=str(secret), oidc=oidc)
    split(directory, files / "issuer", "issuer")
    assert "seal.json" in held(files / "issuer")
    assert not list(Path(files / "issuer" / "keys").glob("*.pem"))
    assert KeyStore(files / "issuer" / "keys", load(directory).did, secret.read_text()).open("vc").kid.endswith("#vc-1")
    assert load(files / "issuer").oidc == oidc


def test_what_a_split_refuses(files):
    directory = whole(files)
    (files / "full").mkdir()
    (files / "full" / "file").write_text("x")
    with pytest.raises(Conflict, match="not empty"):
        split(directory, files / "full", "ca")
    split(directory, files / "ca", "ca")
    with pytest.raises(Misconfigured, match="not a whole service"):
        split(files / "ca", files / "more", "ca")
    with pytest.raises(Misconfigured, match="same"):
        setup.split(
            directory,
            files / "more",
            "ca",
            port=8443,
            management_port=8443,
            certificate=files / "server.pem",
            key=files / "server.key",
        )
    assert not (files / "more").exists()


def test_a_public_half_that_is_none_stops_the_start(files):
    directory = whole(files)
    split(directory, files / "authority", "authority", 8443)
    keys = files / "authority" / "keys"
    store = KeyStore(keys, load(directory).did)
    (keys / "vc-2.jwk").write_bytes((keys / "vc-1.jwk").read_bytes())
    with pytest.raises(Misconfigured, match="another key"):
        store.published()
    (keys / "vc-2.jwk").write_text('{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA", "kid": "vc-2"}')
    with pytest.raises(Misconfigured, match="no public key"):
        store.published()


def test_roles_apart_need_a_server_and_addresses_are_https():
    common = {"name": "x", "data_space": "Space", "port": 8443, "management_port": 8444}
    check(Settings(**common))
    with pytest.raises(Misconfigured, match="shares a PostgreSQL database"):
        check(Settings(**common, roles=("issuer",)))
    check(Settings(**common, roles=("issuer",), database=SERVER))
    with pytest.raises(Misconfigured, match="issuer_url"):
        check(Settings(**common, issuer_url="http://issuer.example"))
