"""A running data space under bad input: real processes, real TLS, the public command line (issue "Bad input")."""

import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import tomllib
from urllib.parse import urlsplit

import pytest

from deploy.demo import topology
from deploy.demo.processes import kizuna
from deploy.demo.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
CONTEXT = "https://w3id.org/dspace/2025/1/context.jsonld"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A consortium and one member with a published dataset."""
    made = World(tmp_path_factory.mktemp("running") / "w", "steel", topology.load("steel"))
    made.make_identity()
    made.make_connector("provider", "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK")
    nodes = [made.identity, made.connectors["provider"]]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))  # what most systems begin with
    try:
        for node in nodes:
            node.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for node in nodes:
        node.wait_ready()
    yield made
    for node in nodes:
        node.stop()


def run(world, *arguments, part="provider"):
    directory = world.connectors[part].directory
    done = subprocess.run(
        kizuna(*arguments), capture_output=True, text=True, check=False, env={**os.environ, "KIZUNA_DIR": str(directory)}
    )
    return done.returncode, done.stdout, done.stderr


def post(world, path, body, **headers):
    """A POST to the public listener; (status, parsed body)."""
    context = ssl.create_default_context(cafile=str(world.roots))
    connection = http.client.HTTPSConnection("localhost", world.port(0), context=context, timeout=10)
    connection.request("POST", f"/dsp/2025-1{path}", body, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, json.loads(data)


def message(**more):
    offer = {"@id": "o", "@type": "Offer", "target": "d", "permission": [{"action": "use"}]}
    value = {
        "@context": [CONTEXT],
        "@type": "ContractRequestMessage",
        "consumerPid": "c",
        "callbackAddress": "https://x.example",
        "offer": offer,
    }
    return json.dumps(value | more).encode()


def test_a_connector_may_open_as_many_connections_as_the_system_allows(world):
    """Its peers keep some open each; the soft limit of most systems would end at a dozen busy peers."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard > 1024, "nothing can be told here"
    assert resource.prlimit(world.connectors["provider"]._process.pid, resource.RLIMIT_NOFILE) == (hard, hard)


def test_the_command_line_takes_a_member_in(world):
    company = world.company("provider")
    code, out, _ = run_identity(world, "member", "invite", "--did", world.did("provider"), "--name", company.name,
                                "--corporate-number", company.corporate_number, "--role", "mill", "--json")  # fmt: skip
    assert code == 0
    made = json.loads(out)
    assert re.fullmatch("[0-9a-f]{32}", made["invitation"]), (
        "a code that begins with a hyphen would be an option of `connector join`"
    )
    code, _, err = run(world, "catalog", "show", world.did("provider"))
    assert code == 1
    assert "not a member of the data space yet" in err
    assert "kizuna connector join CODE" in err
    code, out, err = run(world, "connector", "join", made["invitation"], "--wait", "0", "--json")
    assert code == 0, err
    assert json.loads(out)["state"] == "APPLIED"
    assert run_identity(world, "member", "approve", world.did("provider"))[0] == 0
    for _ in range(100):
        status = json.loads(run(world, "connector", "status", "--json")[1])
        if status["membership"]["state"] == "ACTIVE":
            break
        time.sleep(0.1)
    assert status["certificate"]["did"] == world.did("provider")
    code, out, _ = run_identity(world, "member", "list", "--json")
    assert json.loads(out)["members"][0]["state"] == "ACTIVE"
    sample = world.samples / world.space.payload
    code, out, err = run(world, "asset", "add", str(sample), "--schema", world.space.schema, "--title", "Certificate", "--json")
    assert code == 0, err
    asset = json.loads(out)
    code, out, err = run(
        world, "offer", "add", asset["id"], "--template", world.space.template, "--set", "role=serviceCentre", "--json"
    )
    assert code == 0, err
    code, out, _ = run(world, "asset", "list")
    assert asset["id"] in out.replace("\n", "")


def run_identity(world, *arguments):
    done = subprocess.run(kizuna(*arguments, "--dir", str(world.identity.directory)), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_payload_that_violates_its_schema_is_refused_with_path_and_reason(world, tmp_path):
    broken = tmp_path / "broken.json"
    value = json.loads((world.samples / world.space.payload).read_text())
    broken.write_text(json.dumps({name: each for name, each in value.items() if name != min(value)}))
    before = run(world, "asset", "list", "--json")[1]
    code, _, err = run(world, "asset", "add", str(broken), "--schema", world.space.schema, "--title", "x")
    assert code == 1
    assert "required property" in err
    assert "next:" in err
    assert run(world, "asset", "list", "--json")[1] == before
    assert not list((world.connectors["provider"].directory / "payloads").glob(".*.part"))


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "not JSON"),
        (b'{"a":1,"a":2}', 400, "same member twice"),
        (b"[" * 5000 + b"]" * 5000, 400, "nested deeper"),
        (b'{"@context":["https://evil.example/context.jsonld"]}', 400, "@context"),
        (b'{"x":"' + b"y" * 300_000 + b'"}', 413, "large"),
        (b'{"x":NaN}', 400, "not JSON"),
        (b'{"x":"\xff"}', 400, "not JSON"),
    ],
)
def test_a_malformed_message_is_refused_with_the_reason(world, body, status, said):
    found, error = post(world, "/negotiations/request", body)
    assert found == status
    assert error["@type"] == "ContractNegotiationError"
    assert said in error["reason"][0]


def test_401_says_the_same_for_known_and_unknown_and_every_fault(world):
    answers = {
        json.dumps(post(world, "/negotiations/request", message(), **headers), sort_keys=True)
        for headers in (
            {},
            {"Authorization": "Bearer x.y.z"},
            {"Authorization": "Basic abc"},
            {"Authorization": "Bearer " + "a" * 20_000},
        )
    }
    assert len(answers) == 1
    assert '"unauthorized"' in answers.pop()
    code, out, _ = run(world, "connector", "refusals", "--json")
    told = json.loads(out)["items"]
    assert code == 0
    assert [each["reason"] for each in told[:4]] == ["size", "header", "form", "header"], (
        "our own side is told the stage and the reason"
    )
    assert {each["stage"] for each in told} == {"parse"}


def test_get_of_a_process_without_token_is_401(world):
    context = ssl.create_default_context(cafile=str(world.roots))
    connection = http.client.HTTPSConnection("localhost", world.port(0), context=context, timeout=10)
    connection.request("GET", "/dsp/2025-1/negotiations/urn:uuid:1")
    assert connection.getresponse().status == 401
    connection.close()


def test_a_wrong_management_key_is_401(world):
    connection = http.client.HTTPConnection("127.0.0.1", world.port(0) + 2, timeout=10)
    connection.request("GET", "/v1/status", headers={"Authorization": "Bearer wrong"})
    assert connection.getresponse().status == 401
    connection.close()


def test_keys_roles_and_the_audit_log_from_the_command_line(world, tmp_path):
    for runner, prefix, refused in ((run, (), "/v1/offers"), (run_identity, ("identity",), "/v1/invitations")):
        code, out, err = runner(world, *prefix, "key", "add", "--role", "read", "--name", "dashboard", "--expires", "12h", "--json")
        assert code == 0, err
        made = json.loads(out)
        assert made["key"].startswith(f"kzk_{made['id']}_")
        port = world.port(0) + 2 if not prefix else settings_of(world.identity)["management_port"]
        assert call(port, "GET", "/v1/audit?limit=1", made["key"])[0] == 200
        status, problem = call(port, "POST", refused, made["key"])
        assert (status, problem["code"], bool(problem["nextStep"])) == (403, "forbidden", True)
        code, out, err = runner(world, *prefix, "audit", "list", "--json")
        last = json.loads(out)["items"][-1]
        assert (last["who"], last["name"], last["action"], last["outcome"]) == (
            f"key:{made['id']}", "dashboard", f"POST {refused}", "forbidden",
        ), err  # fmt: skip
        code, out, err = runner(world, *prefix, "audit", "verify", "--json")
        head = json.loads(out)["head"]
        assert (code, json.loads(out)["intact"]) == (0, True), err
        assert runner(world, *prefix, "key", "revoke", made["id"])[0] == 0
        assert call(port, "GET", "/v1/audit?limit=1", made["key"])[0] == 401
        keys = {each["id"]: each for each in json.loads(runner(world, *prefix, "key", "list", "--json")[1])["items"]}
        assert keys[made["id"]]["revoked"]
        file = tmp_path / f"log{len(prefix)}.jsonl"
        assert runner(world, *prefix, "audit", "export", "--output", str(file))[0] == 0
        assert runner(world, *prefix, "audit", "verify", "--file", str(file), "--head", head)[0] == 0
        file.write_text(file.read_text().replace("forbidden", "done"))
        code, out, _ = runner(world, *prefix, "audit", "verify", "--file", str(file))
        assert code == 1
        assert str(last["seq"]) in out
        assert made["key"].split("_", 2)[2] not in file.read_text()


def test_commands_take_the_key_of_a_file_and_have_its_role(world, tmp_path):
    made = json.loads(run(world, "key", "add", "--role", "read", "--scope", "assets", "--name", "warehouse", "--json")[1])
    file = tmp_path / "warehouse.key"
    file.write_text(made["key"] + "\n")
    directory = str(world.connectors["provider"].directory)

    def with_key(*arguments, key=file):
        environment = {**os.environ, "KIZUNA_DIR": directory, "KIZUNA_KEY_FILE": str(key)}
        return subprocess.run(kizuna(*arguments), capture_output=True, text=True, check=False, env=environment)

    assert with_key("asset", "list").returncode == 0
    refused = with_key("offer", "list")
    assert refused.returncode == 1
    assert "role read in scope offers" in refused.stderr
    assert with_key("asset", "list", key=tmp_path / "none").returncode == 3


def test_a_management_address_for_everybody_without_tls_stops_the_start(world, tmp_path):
    for directory, command, prefix in (
        (world.connectors["provider"].directory, "connector", "KIZUNA_CONNECTOR_"),
        (world.identity.directory, "identity", "KIZUNA_IDENTITY_"),
    ):
        environment = {**os.environ, f"{prefix}MANAGEMENT_BIND": "0.0.0.0"}
        done = subprocess.run(
            kizuna(command, "run", "--dir", str(directory)),
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=60,
        )
        assert done.returncode == 3, done.stderr
        assert "in the clear" in done.stderr


def test_what_commands_do_stands_in_the_audit_log(world):
    sample = str(world.samples / world.space.payload)
    asset = json.loads(run(world, "asset", "add", sample, "--schema", world.space.schema, "--title", "x", "--json")[1])["id"]
    assert run(world, "asset", "add", sample, "--schema", "none", "--title", "x")[0] != 0
    assert run(world, "transfer", "terminate", "urn:uuid:unknown")[0] == 1
    rows = [
        (each["action"], each["object"], each["outcome"]) for each in json.loads(run(world, "audit", "list", "--json")[1])["items"]
    ]
    assert ("POST /v1/assets", asset, "done") in rows
    assert ("POST /v1/transfers/{id}/terminate", "urn:uuid:unknown", "unknown-process") in rows
    assert ("POST /v1/assets", "", "unknown-entry") in rows
    did = "did:web:audited.example"
    invite = ("member", "invite", "--did", did, "--name", "Audited KK", "--corporate-number", "5010101023456", "--role", "mill")
    code, _, err = run_identity(world, *invite)
    assert code == 0, err
    rows = [
        (each["action"], each["object"], each["outcome"])
        for each in json.loads(run_identity(world, "identity", "audit", "list", "--json")[1])["items"]
    ]
    assert ("POST /v1/invitations", did, "done") in rows


def test_a_key_of_an_impossible_life_is_refused(world):
    for life in ("90", "0d", "d", "-1d", "tomorrow", "2020-01-01T00:00:00Z"):
        code, _, err = run(world, "key", "add", "--role", "read", "--name", "x", "--expires", life)
        assert code in (1, 2), life
        assert "next:" in err
    assert run(world, "audit", "verify", "--file", str(world.connectors["provider"].directory / "connector.toml"))[0] == 2


def call(port, method, path, key):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, b"{}" if method == "POST" else None, {"Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


def settings_of(node):
    return tomllib.loads((node.directory / "identity.toml").read_text())


def test_the_management_api_describes_itself(world):
    connection = http.client.HTTPConnection("127.0.0.1", world.port(0) + 2, timeout=10)
    key = (world.connectors["provider"].directory / "management.key").read_text().strip()
    connection.request("GET", "/openapi.json", headers={"Authorization": f"Bearer {key}"})
    document = json.loads(connection.getresponse().read())
    connection.close()
    assert document["openapi"].startswith("3.1")
    assert "/v1/negotiations/{id}/terminate" in document["paths"]


def test_a_second_process_on_the_directory_is_refused(world):
    code, _, err = run(world, "connector", "run")
    assert code == 5
    assert "open in another process" in err


def test_a_port_in_use_is_named(world, tmp_path):
    other = tmp_path / "c"
    shutil.copytree(world.connectors["provider"].directory, other)
    (other / "data.sqlite.lock").unlink(missing_ok=True)
    done = subprocess.run([sys.executable, "-m", "connector", "--dir", str(other)], capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert str(world.port(0)) in done.stderr
    assert "next:" in done.stderr


def test_a_directory_of_a_newer_version_is_refused(world, tmp_path):
    import sqlite3

    other = tmp_path / "c"
    shutil.copytree(world.connectors["provider"].directory, other)
    for extra in other.glob("data.sqlite-*"):
        extra.unlink()
    with sqlite3.connect(other / "data.sqlite") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    done = subprocess.run([sys.executable, "-m", "connector", "--dir", str(other)], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "newer version" in done.stderr


def test_an_unknown_setting_names_the_nearest(world, tmp_path):
    other = tmp_path / "c"
    shutil.copytree(world.connectors["provider"].directory, other)
    settings = other / "connector.toml"
    settings.write_text("page_sise = 5\n" + settings.read_text())
    done = subprocess.run([sys.executable, "-m", "connector", "--dir", str(other)], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "page_size" in done.stderr


def test_a_management_address_that_is_not_local_needs_tls(world, tmp_path):
    other = tmp_path / "c"
    shutil.copytree(world.connectors["provider"].directory, other)
    environment = {**os.environ, "KIZUNA_CONNECTOR_MANAGEMENT_BIND": "0.0.0.0"}
    done = subprocess.run(
        [sys.executable, "-m", "connector", "--dir", str(other)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 3
    assert "in the clear" in done.stderr


def test_a_key_that_others_can_read_is_refused(world, tmp_path):
    other = tmp_path / "c"
    shutil.copytree(world.connectors["provider"].directory, other)
    next((other / "keys").glob("si-*.pem")).chmod(0o644)
    done = subprocess.run([sys.executable, "-m", "connector", "--dir", str(other)], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "chmod 600" in done.stderr


def test_init_overwrites_nothing(world):
    code, _, err = run(world, "connector", "init", "--name", "x", "--profile", "steel", "--authority", "did:web:a.example",
                       "--tls-cert", str(world.roots), "--tls-key", str(world.roots), "--roots", str(world.roots),
                       "--public-port", "1", "--member-port", "2", "--management-port", "3",
                       "--dir", str(world.connectors["provider"].directory))  # fmt: skip
    assert code == 3
    assert "already" in err


def test_slow_clients_do_not_hold_others_up(world):
    idle = [socket.create_connection(("127.0.0.1", world.port(0))) for _ in range(50)]
    try:
        began = time.monotonic()
        assert post(world, "/negotiations/request", b"{")[0] == 400
        assert time.monotonic() - began < 2
    finally:
        for each in idle:
            each.close()


def test_it_ends_cleanly_on_sigterm(world, tmp_path):
    node = world.connectors["provider"]
    assert node._process is not None
    node._process.send_signal(signal.SIGTERM)
    assert node._process.wait(timeout=15) == 0
    text = node.log_file.read_text()
    assert "Traceback" not in text
    assert "Unclosed" not in text
    node.start()
    node.wait_ready()


def test_both_management_apis_speak_tls(world, monkeypatch):
    """The last test here: it starts both services anew."""
    secure = ssl.create_default_context(cafile=str(world.roots))
    for node, prefix, command in (
        (world.identity, "KIZUNA_IDENTITY_", ("member", "list", "--dir")),
        (world.connectors["provider"], "KIZUNA_CONNECTOR_", ("connector", "status", "--dir")),
    ):
        node.stop()
        with monkeypatch.context() as patch:
            patch.setenv(f"{prefix}MANAGEMENT_BIND", "localhost")
            patch.setenv(f"{prefix}MANAGEMENT_CERTIFICATE", str(node.directory / "tls/server.pem"))
            patch.setenv(f"{prefix}MANAGEMENT_KEY", str(node.directory / "tls/server.key"))
            patch.setenv("SSL_CERT_FILE", str(world.roots))
            node.start()
            port = urlsplit(node._management).port
            for _ in range(200):
                try:
                    connection = http.client.HTTPSConnection("localhost", port, context=secure, timeout=10)
                    connection.request("GET", "/health")
                    assert connection.getresponse().status == 200
                    break
                except OSError:
                    time.sleep(0.1)
                finally:
                    connection.close()
            done = subprocess.run(kizuna(*command, str(node.directory)), capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            with pytest.raises((OSError, http.client.HTTPException)):
                call(port, "GET", "/health", "")
            node.stop()
        node.start()
        node.wait_ready()
