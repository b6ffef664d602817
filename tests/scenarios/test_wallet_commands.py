"""Keys, token clients and credentials of a running connector, by the public command line (`kizuna connector keys` and its neighbours)."""

import json
import os
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import jwt
import pytest

from deploy.demo import topology
from deploy.demo.processes import kizuna
from deploy.demo.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
SCOPE = "org.eclipse.dspace.dcp.vc.type:MembershipCredential:read"


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "w", "steel", topology.load("steel"))
    made.make_connector("provider", "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK")
    yield made
    made.connectors["provider"].stop()


def run(world, *arguments):
    directory = world.connectors["provider"].directory
    done = subprocess.run(
        kizuna("connector", *arguments),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KIZUNA_DIR": str(directory)},
    )
    return done.returncode, done.stdout, done.stderr


def found(world, *arguments):
    code, out, err = run(world, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def did_document(world):
    context = ssl.create_default_context(cafile=str(world.roots))
    with urllib.request.urlopen(f"https://localhost:{world.port(0)}/.well-known/did.json", context=context) as answer:
        return json.load(answer)


def draw(world, secret):
    form = {
        "grant_type": "client_credentials",
        "client_id": "edc",
        "client_secret": secret,
        "audience": "did:web:peer.example",
        "bearer_access_scope": SCOPE,
    }
    request = urllib.request.Request(f"http://127.0.0.1:{world.port(0) + 2}/sts/token", urllib.parse.urlencode(form).encode())
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def start(world):
    node = world.connectors["provider"]
    node.start()
    node.wait_ready()


def test_keys_are_encrypted_rotated_and_retired_and_a_program_draws_tokens(world):
    directory = world.connectors["provider"].directory
    client = found(world, "sts-client", "edc", "--scope", SCOPE)
    assert client["client_secret"] not in (directory / "connector.toml").read_text()
    assert run(world, "sts-client", "edc")[0] != 0, "the same name twice"
    start(world)

    # rotation with overlap
    made = found(world, "key-rotate", "si")
    assert made["state"] == "NEXT"
    did = made["kid"].partition("#")[0]
    assert {f"{did}#si-1", f"{did}#si-2"} <= set(did_document(world)["capabilityInvocation"])
    code, _, err = run(world, "key-retire", f"{did}#si-1")
    assert code != 0
    assert "ACTIVE" in err
    assert [each["state"] for each in found(world, "keys") if each["purpose"] == "si"] == ["ACTIVE", "NEXT"]
    assert found(world, "credentials") == []

    # the token service
    status, answer = draw(world, client["client_secret"])
    assert status == 200
    assert jwt.get_unverified_header(answer["access_token"])["kid"] == f"{did}#si-1"
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert (claims["iss"], claims["aud"]) == (did, "did:web:peer.example")
    assert jwt.decode(claims["token"], options={"verify_signature": False})["scope"] == SCOPE
    assert draw(world, "wrong") == (401, {"error": "invalid_client", "error_description": "unknown client or wrong secret"})

    # encryption at rest, under the running connector; then only with the passphrase
    secret = world.directory / "passphrase"
    secret.touch(mode=0o600)
    secret.write_text("a passphrase for this test")
    code, _, err = run(world, "encrypt-keys")
    assert code != 0
    assert "no passphrase" in err
    text = (directory / "connector.toml").read_text()
    (directory / "connector.toml").write_text(text.replace("\n[[", f'\npassphrase_file = "{secret}"\n[[', 1))
    assert found(world, "encrypt-keys")["encrypted"] == 5
    assert all(b"PRIVATE" not in path.read_bytes() for path in (directory / "keys").iterdir())
    assert draw(world, client["client_secret"])[0] == 200
    world.connectors["provider"].stop()
    start(world)
    assert draw(world, client["client_secret"])[0] == 200
    world.connectors["provider"].stop()
    secret.write_text("another passphrase of this test")
    done = subprocess.run(
        kizuna("connector", "run", "--dir", str(directory)), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3
    assert "the passphrase does not open" in done.stdout + done.stderr
