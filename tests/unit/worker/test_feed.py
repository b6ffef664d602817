"""Following the authority: what a connector believes, for how long, and what it does then. The authority is a web of canned, properly signed answers."""

import asyncio
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from connector.membership.authority import Authority as Pinned
from connector.membership.standing import Standing
from connector.plane.gate import Gate
from connector.store.port import Followed, Membership
from connector.store.sqlite import SqliteStore, open_database
from connector.worker.feed import CRL_FILE, Follower
from identity import did as dids
from identity import feed
from identity.feed import BadFeed, Event, Question
from identity.jose import thumbprint
from identity.pinned import NotPinned
from identity.tls import ca, enrol
from identity.tls.revoked import RevocationLists
from identity.verify import authenticate
from identity.wallet.sts import Sts
from kernel.errors import Unauthorized, UnavailableError
from kernel.http import Reply
from tests.unit.identity_core.world import ALL, World, json_reply, signer

BAD = "did:web:bad.example"
SILENCE = 50.0


class Told:
    """Measures that are only remembered."""

    def __init__(self):
        self.taken, self.restored = [], True

    async def suspended(self, did):
        self.taken.append(("suspended", did))

    async def revoked(self, did):
        self.taken.append(("revoked", did))

    async def reinstated(self, did):
        self.taken.append(("reinstated", did))
        return self.restored


class Authority:
    """Its DID document, feed and revocation list in the world's web."""

    def __init__(self, world, tmp_path):
        self.world, self.did = world, "did:web:authority.example"
        self.key = signer(self.did, "trust-1")
        self.events, self.head, self.asked, self.broken = [], None, 0, None
        self.ca = ca.create(tmp_path / "ca", name="Test", crl_url="https://authority.example/crl", now=world.clock.now())
        self.crl_number, self.serials = 1, ()
        self.publish()
        world.web.answers["https://authority.example/ca/v1/crl/issuing.crl"] = self.crl

    def publish(self, key=None):
        services = [
            dids.Service("#issuer", "IssuerService", "https://authority.example/issuer"),
            dids.Service("#ca", enrol.SERVICE, "https://authority.example/ca/v1"),
            dids.Service("#events", feed.SERVICE, "https://authority.example/events"),
        ]
        key = key or self.key
        document = dids.document(self.did, [dids.Key(key.kid, key.public_jwk(), ALL)], services)
        self.world.web.answers[dids.web_url(self.did)] = lambda *_: json_reply(document, "application/did+json")

    def tell(self, kind, did=BAD, subject=""):
        self.events.append(Event(len(self.events) + 1, kind, "2026-11-24T09:00:00.000Z", did, subject))

    def page(self, url):
        self.asked += 1
        if self.broken is not None:
            raise self.broken
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        asked = Question("did:web:verifier.example%3A8443", int(query["after"]), query["nonce"])
        head = len(self.events) if self.head is None else self.head
        text = feed.write(self.key, asked, head, self.events[asked.after :], self.world.clock.now())
        return Reply(200, {}, text.encode())

    def crl(self, *_):
        entries = [ca.Revoked(each, self.world.clock.now(), "certificateHold") for each in self.serials]
        now = self.world.clock.now()
        self.crl_number += 1
        return Reply(200, {}, self.ca.crl(entries, number=self.crl_number, this_update=now, next_update=now + timedelta(days=1)))


class Web:
    """The world's web, with the feed's address whatever its query."""

    def __init__(self, world):
        self.world = world

    async def request(self, method, url, **more):
        if url.startswith("https://authority.example/events"):
            return self.world.authority.page(url)
        return await self.world.web.request(method, url, **{k: v for k, v in more.items() if k != "timeout"})


@pytest.fixture
async def world(tmp_path):
    found = World()
    found.tick = 0.0
    found.authority = Authority(found, tmp_path)
    found.store = SqliteStore(open_database(tmp_path / "data.sqlite"), found.verifier.did)
    await found.store.save_membership(Membership(state="ACTIVE"))
    found.tls = tmp_path / "tls"
    found.tls.mkdir()
    (found.tls / enrol.CONSORTIUM).write_text(found.authority.ca.bundle)
    found.pin = ""
    make(found)
    yield found
    await found.store.close()


def make(world):
    """The connector's side, as a start makes it."""
    world.standing = Standing(world.authority.did, RevocationLists(world.clock), silence=SILENCE, monotonic=lambda: world.tick)
    world.measures, world.changed, world.lists = Told(), [], []
    world.door.standing = world.standing
    world.follower = Follower(
        authority=Pinned(world.authority.did, world.pin, resolver=world.resolver, store=world.store, standing=world.standing),
        store=world.store,
        client=Web(world),
        sts=Sts(world.verifier.did, world.verifier.key, world.clock),
        clock=world.clock,
        standing=world.standing,
        measures=world.measures,
        tls=world.tls,
        status_changed=world.changed.append,
        trust_changed=lambda: world.lists.append(1),
    )


async def test_a_suspended_member_is_barred_measured_and_let_in_again(world):
    await world.follower._once()
    assert world.standing.live
    assert world.standing.barred(BAD) is None
    world.authority.tell("suspended")
    await world.follower._once()
    assert (world.standing.barred(BAD), world.measures.taken) == ("suspension", [("suspended", BAD)])
    assert world.changed == [world.authority.did]
    world.authority.tell("reinstated")
    await world.follower._once()
    assert world.standing.barred(BAD) is None
    assert world.measures.taken[-1] == ("reinstated", BAD)
    assert len(world.changed) == 2, "lists that say suspended are read anew, too"
    world.authority.tell("revoked")
    await world.follower._once()
    assert (world.standing.barred(BAD), world.measures.taken[-1]) == ("revocation", ("revoked", BAD))


async def test_a_new_trust_list_is_told_to_whoever_keeps_it(world):
    world.authority.tell("trust-list", world.authority.did, "2")
    await world.follower._once()
    assert (world.lists, world.measures.taken) == ([1], [])


async def test_a_restart_forgets_nobody_and_asks_from_where_it_was(world):
    world.authority.tell("suspended")
    await world.follower._once()
    make(world)
    assert world.standing.barred(BAD) is None
    await world.follower.load()
    assert world.standing.barred(BAD) == "suspension"
    assert not world.standing.live, "nothing was heard yet"
    await world.follower._once()
    assert world.measures.taken == [], "the event was read before"


async def test_a_crash_before_the_number_is_stored_repeats_the_measures(world, monkeypatch):
    async def crash(_followed):
        raise OSError("dies here")

    world.authority.tell("suspended")
    await world.follower._ask()  # pins the key
    monkeypatch.setattr(world.store, "save_followed", crash)
    with pytest.raises(OSError, match="dies here"):
        await world.follower._once()
    monkeypatch.undo()
    make(world)
    await world.follower.load()
    await world.follower._once()
    assert world.measures.taken == [("suspended", BAD)]


@pytest.mark.parametrize("fault", ["unreachable", "gap", "older", "foreign"])
async def test_what_cannot_be_believed_is_no_answer_and_our_word_goes_stale(world, fault):
    await world.follower._once()
    world.authority.tell("suspended")
    if fault == "unreachable":
        world.authority.broken = UnavailableError("cut")
    elif fault == "gap":
        world.authority.tell("approved")
        del world.authority.events[0]
    elif fault == "older":
        await world.follower._once()
        world.authority.events.clear()
    else:
        world.authority.key = signer(world.authority.did, "trust-1")
    world.tick += SILENCE + 1
    with pytest.raises((BadFeed, UnavailableError)) as refused:
        await world.follower._once()
    assert isinstance(refused.value, UnavailableError) or refused.value.facts["reason"] == fault
    assert not world.standing.live
    assert not world.standing.speaks_for(world.authority.did)


async def test_the_first_key_is_pinned_and_another_key_of_the_document_is_not_believed(world):
    await world.follower._once()
    assert (await world.store.followed()).keys == (thumbprint(world.authority.key.public_jwk()),)
    world.authority.key = signer(world.authority.did, "trust-2")
    world.authority.publish()
    world.clock.forward(600)
    with pytest.raises(NotPinned):
        await world.follower._once()
    make(world)
    await world.follower.load()
    with pytest.raises(NotPinned):
        await world.follower._once()


async def test_a_key_pinned_at_installation_is_the_only_one_believed(world):
    world.pin = thumbprint(signer(world.authority.did, "x").public_jwk())
    make(world)
    with pytest.raises(NotPinned):
        await world.follower._once()
    world.pin = thumbprint(world.authority.key.public_jwk())
    make(world)
    await world.follower._once()
    assert world.standing.live


async def test_the_revocation_list_is_fetched_at_events_and_kept_for_a_restart(world):
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    made = world.authority.ca.issue_member(
        csr.public_bytes(serialization.Encoding.PEM), BAD, ["bad.example"], now=world.clock.now(), life=timedelta(days=1)
    )
    assert world.standing.revoked(made.der), "no list yet: nothing is accepted"
    await world.follower._once()
    assert not world.standing.revoked(made.der)
    world.authority.serials = (x509.load_der_x509_certificate(made.der).serial_number,)
    await world.follower._once()
    assert not world.standing.revoked(made.der), "nothing happened, nothing is fetched"
    world.authority.tell("suspended")
    await world.follower._once()
    assert world.standing.revoked(made.der)
    assert (world.tls / f"issuing-{CRL_FILE}").exists()
    make(world)
    del world.web.answers["https://authority.example/ca/v1/crl/issuing.crl"]
    await world.follower.load()
    assert world.standing.revoked(made.der)


async def test_who_is_no_member_yet_asks_nothing(world):
    await world.store.save_membership(Membership(state="APPLIED"))
    task = asyncio.create_task(world.follower.run())
    for _ in range(50):
        await asyncio.sleep(0)
    said = []
    world.store._db._reader.set_trace_callback(said.append)
    await world.store.save_followed(Followed(after=1))
    assert [each for each in said if "membership" not in each], "what is read by others is seen here"
    for _ in range(50):
        await asyncio.sleep(0)
    assert not [each for each in said if "membership" in each], "commits of others are none of its business"
    assert world.authority.asked == 0
    await world.store.save_membership(Membership(state="ACTIVE"))
    async with asyncio.timeout(20):
        while not world.authority.asked:
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Lists:
    """A revocation list with everything on it, or nothing."""

    def __init__(self, *, revoked):
        self._revoked = revoked

    def revoked(self, _leaf):
        return self._revoked

    def consortium(self, _leaf):
        return ""

    def load(self, _der, _bundle):
        return 1


# data ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def gate(world):
    return Gate(world.door, world.standing)


async def permitted(gate, did, leaf):
    try:
        await gate.permit(did, leaf)
    except Unauthorized as error:
        return str(error.facts["reason"])
    return "yes"


async def test_data_flows_to_members_while_the_feed_is_heard(world, gate):
    world.standing.lists = Lists(revoked=False)
    member = world.member
    assert await permitted(gate, member.did, member.leaf) == "its credentials are not known"
    await world.follower._once()
    assert await permitted(gate, member.did, member.leaf) == "yes"
    world.authority.tell("suspended", member.did)
    await world.follower._once()
    assert await permitted(gate, member.did, member.leaf) == "suspension"


async def test_without_the_feed_status_is_read_anew_and_what_cannot_be_read_means_no_data(world, gate):
    from tests.unit.identity_core.world import StatusHost

    world.standing.lists = Lists(revoked=False)
    host, member = StatusHost(world.issuer, "s1", "suspension"), world.member
    member.held[:] = [world.issuer.issue(member.did, status=[host.entry(7)])]
    await authenticate(world.door, member.caller(), fresh=True)
    assert await permitted(gate, member.did, member.leaf) == "yes"
    asked = host.asked
    world.clock.forward(1)
    assert await permitted(gate, member.did, member.leaf) == "yes"
    assert host.asked == asked + 1, "read for every decision"
    host.set(7)
    world.clock.forward(1)
    assert await permitted(gate, member.did, member.leaf) == "suspension"
    host.set(7, 0)
    world.clock.forward(1)
    assert await permitted(gate, member.did, member.leaf) == "yes"
    del world.web.answers[host.url]
    world.clock.forward(1)
    assert (await permitted(gate, member.did, member.leaf)).startswith("its status cannot be read")


async def test_a_revoked_certificate_gets_no_data_on_a_connection_that_is_kept_alive(world, gate):
    await world.follower._once()
    world.standing.lists = Lists(revoked=True)
    assert await permitted(gate, world.member.did, world.member.leaf) == "the certificate is revoked"


def test_a_stale_word_is_never_live_again_by_a_clock_that_is_set_back(world):
    world.standing.followed = Followed()
    world.standing.heard()
    world.tick += SILENCE + 0.1
    world.clock.forward(-86_400)
    assert not world.standing.live
