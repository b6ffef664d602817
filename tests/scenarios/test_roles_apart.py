"""Authority, issuer and CA as three processes over one PostgreSQL (ADR 0021): each with its own keys, one transaction for what concerns them all."""

import json
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509

from deploy.demo import topology
from deploy.demo.processes import Node, command, kizuna
from deploy.demo.world import World
from identity.status import BitString
from kernel import wire
from kernel.cli import Refused
from kernel.errors import UnavailableError
from tests.faults.consortium import join, publish

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROLES = ("authority", "issuer", "ca")


class Apart:
    """The three processes, a provider and a consumer that have joined, and the database itself."""

    def __init__(self, place, postgres, name):
        self.postgres, self.name = postgres, name
        self.world = World(place, "battery", topology.load("battery"))
        self.world.make_identity(database=postgres.url(name))
        self.nodes = dict(zip(ROLES, (self.world.identity, *self.world.other_roles), strict=True))
        self.tls = ssl.create_default_context(cafile=str(self.world.roots))
        self.extra = []

    def start(self):
        for node in self.nodes.values():
            node.start()
        for node in self.nodes.values():
            node.wait_ready()
        for part in ("provider", "consumer"):
            self.world.make_connector(part)
            self.world.connectors[part].start()
            self.world.connectors[part].wait_ready()
            join(self.world, part)

    def stop(self):
        for node in (*self.extra, *self.world.connectors.values(), *self.nodes.values()):
            node.stop()

    def sql(self, text):
        return self.postgres.query(self.name, text).strip()

    def url(self, role):
        port = {"authority": self.world.base, "issuer": self.world.base + 2, "ca": self.world.base + 16}[role]
        return f"https://localhost:{port}"

    def fetch(self, url):
        with urllib.request.urlopen(url, context=self.tls, timeout=20) as answer:
            return answer.read()

    def status(self, url):
        try:
            self.fetch(url)
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    def operate(self, role, part, action):
        return self.nodes[role].api.post(f"/v1/members/{quote(self.world.did(part), safe='')}/{action}", {})

    def marked(self):
        """How many positions the published suspension lists have set: read from the issuer, as a verifier does."""
        lists = self.sql("SELECT id FROM status_list WHERE purpose = 'suspension' ORDER BY id").splitlines()
        return sum(_set(self.fetch(f"{self.url('issuer')}/status/{key}").decode()) for key in lists)

    def suspendable(self):
        """How many positions a suspension of the consumer sets."""
        did = self.world.did("consumer")
        return int(
            self.sql(
                "SELECT count(*) FROM status_entry e JOIN credential c ON c.id = e.credential JOIN status_list l ON l.id = e.list"
                f" WHERE l.purpose = 'suspension' AND c.holder = '{did}'"
            )
        )

    def listed(self):
        """Number and serials of the CA's revocation list."""
        found = x509.load_der_x509_crl(self.fetch(f"{self.url('ca')}/ca/v1/crl/issuing.crl"))
        number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        return number, {f"{each.serial_number:x}" for each in found}

    def kinds(self, role="authority"):
        return [(each["seq"], each["kind"]) for each in self.nodes[role].api.items("/v1/events")]

    def catalog(self):
        """What the consumer is answered by the provider: `let in` or the code of the refusal."""
        try:
            self.world.connectors["consumer"].api.post("/v1/catalog", {"peer": self.world.did("provider")})
        except Refused as error:
            return error.code
        return "let in"

    def until(self, holds, seconds=60.0):
        began = time.monotonic()
        while not holds():
            assert time.monotonic() - began < seconds
            time.sleep(0.2)
        return time.monotonic() - began


def _set(jwt):
    claims = json.loads(wire.unb64url(jwt.split(".")[1]))
    subject = claims.get("vc", claims)["credentialSubject"]
    return sum(each.bit_count() for each in bytes(BitString.decode(subject["encodedList"])))


@pytest.fixture(scope="module")
def apart(postgres, tmp_path_factory):
    name = f"r{uuid.uuid4().hex}"
    postgres.create_database(name)
    made = Apart(tmp_path_factory.mktemp("apart"), postgres, name)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        postgres.drop_database(name)


def keys_in(directory):
    return {path.name for path in (*(directory / "keys").iterdir(), *(directory / "ca").iterdir()) if path.suffix in (".pem", ".key")} - {
        "root.pem", "issuing.pem"
    }  # fmt: skip


def test_each_process_has_its_own_keys_and_routes_and_the_did_document_names_all(apart):
    assert {role: keys_in(apart.nodes[role].directory) for role in ROLES} == {
        "authority": {"trust-1.pem"}, "issuer": {"si-1.pem", "vc-1.pem"}, "ca": {"issuing.key"},
    }  # fmt: skip
    document = json.loads(apart.fetch(f"{apart.url('authority')}/.well-known/did.json"))
    assert {each["id"].partition("#")[2] for each in document["verificationMethod"]} == {"si-1", "vc-1", "trust-1"}
    found = {each["type"]: each["serviceEndpoint"] for each in document["service"]}
    assert found["IssuerService"] == f"{apart.url('issuer')}/issuer"
    assert found["CertificateAuthority"] == f"{apart.url('ca')}/ca/v1"
    assert found["MemberRegister"] == f"{apart.url('authority')}/authority/v1"
    paths = {"authority": "/authority/v1/trust-list", "issuer": "/issuer/metadata", "ca": "/ca/v1/bundle"}
    for role in ROLES:
        assert {other: apart.status(apart.url(role) + path) for other, path in paths.items()} == {
            other: 200 if other == role else 404 for other in ROLES
        }
        assert apart.nodes[role].api.get("/health")["did"] == apart.world.authority_did


def test_a_command_for_another_role_says_which_process_to_ask(apart):
    did = apart.world.did("provider")
    answered = command("member", "certificates", did, "--dir", str(apart.nodes["ca"].directory), "--json")
    assert json.loads(answered)["certificates"]
    arguments = kizuna("member", "certificates", did, "--dir", str(apart.nodes["issuer"].directory))
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "for the role ca" in done.stderr
    assert "process with the role ca" in done.stderr


@pytest.mark.parametrize(
    ("directory", "role", "said"),
    [
        ("ca", "authority", "holds no key for trust"),
        ("issuer", "authority", "holds no key for trust"),
        ("authority", "issuer", "holds no key for vc"),
        ("ca", "issuer", "holds no key for vc"),
        ("issuer", "ca", "crl-url"),
        ("authority", "ca", "crl-url"),
    ],
)
def test_a_role_without_its_key_does_not_start(apart, directory, role, said):
    place = apart.nodes[directory].directory
    done = subprocess.run(
        [sys.executable, "-P", "-m", "identity.service", "--dir", str(place), "--role", role],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3
    assert f"role {role}: " in done.stderr
    assert said in done.stderr
    assert "next:" in done.stderr


def test_a_suspension_given_to_one_process_is_seen_from_all_three_and_so_are_reinstatement_and_revocation(apart, figure):
    publish(apart.world)
    assert apart.catalog() == "let in"
    before, (number, serials), events = apart.marked(), apart.listed(), len(apart.kinds())
    apart.operate("ca", "consumer", "suspend")
    assert apart.kinds("issuer")[events:] == [(events + 1, "suspended")]
    assert apart.marked() == before + apart.suspendable() > before, (
        "the issuer has signed, though the CA's process took the command"
    )
    held = apart.listed()
    assert held[0] == number + 1
    assert len(held[1] - serials) == 1
    seconds = apart.until(lambda: apart.catalog() != "let in")
    figure(f"roles apart: suspended at the CA's process, refused by the other company after {seconds:.1f} s")
    apart.operate("issuer", "consumer", "reinstate")
    assert apart.marked() == before
    assert apart.listed() == (number + 2, serials)
    apart.until(lambda: apart.catalog() == "let in")
    assert [kind for _, kind in apart.kinds()[events:]] == ["suspended", "reinstated"]


@contextmanager
def dying_at(apart, role, point):
    """In place of a role's process one that dies at this point; it is awaited at the end of the block, and the real one starts again after it."""
    node = apart.nodes[role]
    node.stop()
    process = subprocess.Popen([sys.executable, "-m", "tests.faults.dying", point, "--dir", str(node.directory)])
    try:
        apart.until(lambda: _listens(apart, role))
        yield node
        assert process.wait(timeout=30) == 137
    finally:
        process.kill()
        process.wait()


def test_an_issuer_that_dies_between_commit_and_signing_signs_the_change_once(apart):
    before = apart.marked()
    with dying_at(apart, "issuer", "statuslist.signed") as node:
        apart.operate("authority", "consumer", "suspend")
    behind = apart.sql(
        "SELECT DISTINCT version - signed_version FROM status_list WHERE purpose = 'suspension' AND version <> signed_version"
    )
    assert behind == "1"
    node.start()
    node.wait_ready()
    assert apart.sql("SELECT count(*) FROM status_list WHERE version <> signed_version") == "0"
    assert apart.marked() == before + apart.suspendable()
    apart.operate("authority", "consumer", "reinstate")
    assert apart.marked() == before


def test_what_an_authority_has_committed_before_it_died_is_signed_by_the_others_unasked(apart):
    unsigned = (
        "SELECT (SELECT count(*) FROM status_list WHERE version <> signed_version)"
        " + (SELECT count(*) FROM crl WHERE name = 'issuing' AND version <> signed_version)"
    )
    numbers = "SELECT string_agg(signed_version::text, ' ' ORDER BY id) FROM status_list WHERE purpose = 'suspension'"
    before, crl = apart.sql(numbers), int(apart.sql("SELECT number FROM crl WHERE name = 'issuing'"))
    with dying_at(apart, "authority", "standing.committed") as node, pytest.raises(UnavailableError):
        apart.operate("authority", "consumer", "suspend")
    apart.until(lambda: apart.sql(unsigned) == "0" and apart.sql(numbers) != before, 20)
    assert int(apart.sql("SELECT number FROM crl WHERE name = 'issuing'")) == crl + 1
    node.start()
    node.wait_ready()
    apart.operate("authority", "consumer", "reinstate")


def _listens(apart, role):
    try:
        return apart.status(f"{apart.url(role)}/health") == 200
    except OSError:
        return False


def test_two_authorities_side_by_side_continue_one_sequence(apart):
    port = apart.world.base + 18
    place = apart.world.directory / "authority-2"
    command(
        "identity", "split", "--dir", str(apart.world.directory / "identity"), "--to", str(place), "--role", "authority",
        "--port", str(port),
    )  # fmt: skip
    second = Node("second authority", place, ("identity", "run"), f"http://127.0.0.1:{port + 1}")
    apart.extra.append(second)
    second.start()
    second.wait_ready()
    assert apart.sql("SELECT count(*) FROM trust_list") == "1", "the second one finds the list signed"
    invited = [
        api.post("/v1/invitations", {"did": f"did:web:new{count}.example", "name": "x", "corporateNumber": "7123456789012"})
        for count in range(4)
        for api in [(second if count % 2 else apart.nodes["authority"]).api]
    ]
    assert len({each["member"] for each in invited}) == 4
    events = apart.kinds()
    assert [seq for seq, _ in events] == list(range(1, len(events) + 1))
    assert [(each["seq"], each["kind"]) for each in second.api.items("/v1/events")] == events


def test_one_audit_log_of_all_processes(apart):
    apart.operate("issuer", "provider", "suspend")
    apart.operate("ca", "provider", "reinstate")
    for role in ROLES:
        answered = command("identity", "audit", "verify", "--dir", str(apart.nodes[role].directory), "--json")
        assert json.loads(answered)["intact"], answered


def test_a_revocation_is_final_in_every_process(apart):
    number, _ = apart.listed()
    apart.operate("authority", "consumer", "revoke")
    assert apart.listed()[0] == number + 1
    for role in ROLES:
        with pytest.raises(Refused) as refused:
            apart.operate(role, "consumer", "reinstate")
        assert refused.value.code == "conflict"
    apart.until(lambda: apart.catalog() != "let in")


def test_the_directories_hold_nothing_that_others_can_read(apart):
    for role in ROLES:
        for path in Path(apart.nodes[role].directory).rglob("*.key"):
            assert path.stat().st_mode & 0o077 == 0, path
