"""Two replicas of one connector on one PostgreSQL, real processes: one is killed, or stopped past its lease, and nothing changes in the outcome.

A consumer on SQLite negotiates with a provider of two replicas behind a balancer (TCP; TLS and its client certificates go through). The victim halts at a named point of
its work; the balancer then sends everything to the other one, as a health check would have it do. A stopped victim is continued after the other has finished. Then
both journals have one row a transition, both sides one agreement more, and nothing is left to send.
"""

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.demo.processes import Node
from deploy.demo.relay import Relay
from kernel.errors import KizunaError
from tests.faults.consortium import begin, consortium, join, on_server, publish

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
HALTING = Path(__file__).with_name("halting.py")
FIRST, SECOND = "127.0.0.2", "127.0.0.3"
LEASE = 2.0
PATIENCE = 60.0
NEGOTIATED = ["REQUESTED", "AGREED", "VERIFIED", "FINALIZED"]
# The point where the victim halts, and at which passing: a negotiation has two messages in and two out.
POINTS = [
    ("inbound:before-commit", 1),
    ("inbound:after-commit", 1),
    ("database:before-commit", 2),  # the first one spends the token of the look into the catalog
    ("database:after-commit", 2),
    ("outbox:before-send", 1),
    ("outbox:after-send", 1),
    ("outbox:after-commit", 1),
    ("inbound:before-commit", 2),
    ("inbound:after-commit", 2),
    ("outbox:before-send", 2),  # after the first one the peer may be faster than the answer, so there is no second `after-send`
]


class Balancer(Relay):
    """Sends connections to the hosts in turn; those to a host that is taken out end at once."""

    hosts = (FIRST, SECOND)
    _turn = 0

    def route(self, *hosts):
        self.hosts = hosts
        self.cut()
        self.mend()

    def _where(self):
        self._turn += 1
        return self.hosts[self._turn % len(self.hosts)], self._target


class Replica(Node):
    """A process of the provider at an address of its own."""

    def __init__(self, node, host, forks):
        self.forks = forks
        super().__init__(f"{node.name} at {host}", node.directory, (), node._management.replace("127.0.0.1", host))
        self.host = host

    @property
    def log_file(self):
        return self.directory.parent / f"replica-{self.host}.log"

    def start(self, how="kill", point="", nth=0):
        environment = {**os.environ, "KIZUNA_CONNECTOR_BIND": self.host, "KIZUNA_CONNECTOR_MANAGEMENT_BIND": self.host}
        arguments = [how, point, str(nth), str(self.armed), "--dir", str(self.directory)]
        self._process = self.forks.start(HALTING, *arguments, log=self.log_file, environment=environment)

    @property
    def armed(self):
        """The file from whose making on it counts."""
        return self.log_file.with_suffix(".armed")

    def halted(self, how):
        if how == "kill":
            return self._process.poll() is not None
        return Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T"

    def go_on(self):
        self._process.send_signal(signal.SIGCONT)

    def stop(self):
        if self._process is not None and self._process.poll() is None:
            self.go_on()
        super().stop()


class Case:
    """The data space of these tests; what it starts is stopped with the stack."""

    def __init__(self, place, postgres, forks, stack):
        self.server = postgres
        self.postgres = postgres.create_database("replicas")
        stack.callback(postgres.drop_database, "replicas")
        self.world = world = stack.enter_context(consortium(place / "w", {"provider": self.postgres}))
        node = world.connectors["provider"]
        node.stop()
        file = node.directory / "connector.toml"
        file.write_text(file.read_text(encoding="utf-8").replace("\n", f"\nlease = {LEASE}\n", 1), encoding="utf-8")
        self.victim, self.other = Replica(node, FIRST, forks), Replica(node, SECOND, forks)
        self.balancers = [Balancer(world.port(0), world.port(0)), Balancer(world.port(0) + 1, world.port(0) + 1)]
        self.consumer = world.connectors["consumer"]
        for each in (self.victim, self.other):
            begin(each, stack)
        for each in self.balancers:
            each.start()
            stack.callback(each.stop)
        self.dataset = publish(world, self.other)

    def route(self, *replicas):
        for each in self.balancers:
            each.route(*(replica.host for replica in replicas))

    def negotiate(self):
        wanted = {"peer": self.world.did("provider"), "dataset": self.dataset["id"]}
        return self.consumer.api.post("/v1/negotiations", wanted)["id"]

    def query(self, sql):
        return self.server.query("replicas", sql)


@pytest.fixture(scope="module")
def case(tmp_path_factory, postgres, forks):
    with ExitStack() as stack:
        yield Case(tmp_path_factory.mktemp("replicas"), postgres, forks, stack)


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            found = condition()
        except (KizunaError, OSError):
            found = None
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE} s: {what}")


@pytest.mark.parametrize(("point", "nth"), POINTS)
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_replica_that_halts_changes_nothing_in_the_outcome(case, how, point, nth):
    case.victim.stop()
    case.victim.start(how, point, nth)
    case.victim.wait_ready()
    case.route(case.victim)
    case.other.stop()  # so that it cannot take what the victim is to have in its hands
    before = int(case.query("SELECT count(*) FROM agreement"))
    try:
        case.victim.armed.touch()
        key = case.negotiate()
        until(lambda: case.victim.halted(how), f"the victim halts at {point}")
        case.other.start()
        case.other.wait_ready()
        case.route(case.other)
        until(lambda: _finalized(case, key), "the other replica finishes")
        if how == "stop":
            case.victim.go_on()
            case.victim.api.get("/health")
        _settled(case, key, before)
        if how == "stop":  # and stays so, whatever the continued one still had in its hands
            time.sleep(LEASE / 2)
            _settled(case, key, before)
    except AssertionError as error:
        raise AssertionError(f"{error}; log: {case.victim.log_file.read_text(encoding='utf-8')[-2000:]}") from error
    finally:
        case.victim.armed.unlink()
        case.route(case.other)


def _finalized(case, key):
    found = case.consumer.api.get(f"/v1/negotiations/{key}", wait=1)
    assert found["state"] != "TERMINATED", found
    return found["state"] == "FINALIZED"


def _settled(case, key, before):
    """One journal row a transition on both sides, one agreement more, nothing left to send."""
    found = case.consumer.api.get(f"/v1/negotiations/{key}")
    assert [row["after"] for row in found["journal"]] == NEGOTIATED
    until(lambda: case.query("SELECT count(*) FROM outbox") == "0\n", "the provider's outbox is empty")
    theirs = found["peerPid"]
    assert case.query(f"SELECT after FROM journal WHERE process = '{theirs}' ORDER BY seq").split() == NEGOTIATED
    assert case.query(f"SELECT count(*) FROM agreement WHERE negotiation = '{theirs}'") == "1\n"
    assert int(case.query("SELECT count(*) FROM agreement")) == before + 1
    pids = "SELECT count(*) FROM process WHERE kind = 'negotiation' GROUP BY peer_pid HAVING count(*) > 1"
    assert case.query(pids) == ""


def test_two_replicas_share_the_work(case, figure):
    case.victim.stop()
    case.victim.start()
    case.victim.wait_ready()
    case.route(case.victim, case.other)
    before = int(case.query("SELECT count(*) FROM agreement"))
    keys = [case.negotiate() for _ in range(30)]
    for key in keys:
        until(lambda key=key: _finalized(case, key), "all are finalised")
    until(lambda: case.query("SELECT count(*) FROM outbox") == "0\n", "the provider's outbox is empty")
    assert int(case.query("SELECT count(*) FROM agreement")) == before + 30
    doubled = "SELECT process FROM journal GROUP BY process, after HAVING count(*) > 1"
    assert case.query(doubled) == ""
    sent = [each.log_file.read_text(encoding="utf-8").count('"delivered"') for each in (case.victim, case.other)]
    figure(f"replicas: 30 negotiations, messages delivered by either since its start: {sent}")
    assert all(sent)


def test_an_offer_of_one_replica_is_shown_by_the_other(case):
    for each in (case.victim, case.other):
        case.route(each)
        dataset = publish(case.world, case.victim if each is case.other else case.other)
        until(lambda dataset=dataset: dataset["id"] in _shown(case), f"{each.name} shows it")


def _shown(case):
    found = case.consumer.api.post("/v1/catalog", {"peer": case.world.did("provider")})
    return {each["@id"] for each in found.get("dataset", [])}


def test_a_pull_goes_on_at_another_replica(case):
    case.route(case.victim)
    key = case.negotiate()
    until(lambda: _finalized(case, key), "it is finalised")
    agreement = case.consumer.api.get(f"/v1/negotiations/{key}")["agreement"]["id"]
    started = case.consumer.api.post("/v1/transfers", {"agreement": agreement, "format": "HttpData-PULL"}, wait=20)
    assert started["state"] == "STARTED", started
    case.route(case.other)  # its token was made by the first one
    pulled = until(lambda: case.consumer.api.post(f"/v1/transfers/{started['id']}/pull", {}), "the data come")
    assert pulled["sha256"] == case.dataset["sha256"]


def test_a_server_that_restarts_is_found_again(case):
    case.route(case.victim, case.other)
    for pid in case.query("SELECT pid FROM pg_stat_activity WHERE datname = 'replicas' AND pid <> pg_backend_pid()").split():
        case.query(f"SELECT pg_terminate_backend({pid})")
    key = until(lambda: case.negotiate(), "a negotiation can be asked for")
    until(lambda: _finalized(case, key), "it is finalised")
    dataset = until(lambda: publish(case.world, case.victim), "a dataset is published")
    case.route(case.other)
    until(lambda: dataset["id"] in _shown(case), "the other replica hears again")


def test_one_replica_at_a_time_joins_and_both_listen_for_members(tmp_path, postgres, forks):
    """Both replicas of a new connector run while it joins: one certificate, one set of credentials, and both open the member listener."""
    url = postgres.create_database("joining")
    from deploy.demo import topology
    from deploy.demo.world import World

    world = World(tmp_path / "w", "battery", topology.load("battery"))
    world.make_identity()
    world.make_connector("provider")
    node = world.connectors["provider"]
    on_server(node.directory, url, lease=LEASE)
    replicas = [Replica(node, FIRST, forks), Replica(node, SECOND, forks)]
    balancers = [Balancer(world.port(0), world.port(0)), Balancer(world.port(0) + 1, world.port(0) + 1)]
    started = [world.identity, *replicas]
    try:
        for each in started:
            each.start()
        for each in balancers:
            each.start()
        for each in started:
            each.wait_ready()
        world.connectors["provider"] = replicas[0]
        join(world, "provider")
        for each in replicas:
            until(lambda each=each: each.api.get("/v1/status")["certificate"], f"{each.name} has the certificate")
            until(lambda each=each: _listens(each.host, world.port(0) + 1), f"{each.name} listens for members")
        serials = {each.api.get("/v1/status")["certificate"]["serial"] for each in replicas}
        assert len(serials) == 1
        types = [each["type"] for each in replicas[1].api.get("/v1/status")["credentials"]]
        assert len(types) == len(set(types))
    finally:
        for each in (*replicas, world.identity, *balancers):
            each.stop()
        postgres.drop_database("joining")


def _listens(host, port):
    import socket

    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0
