"""The data plane: tokens bound to certificate, use and state; ranges; pulls that go on after faults; files that are whole or not there."""

import asyncio
import base64
import errno
import hashlib
import io
import tracemalloc
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import ClientPayloadError
from aiohttp.test_utils import TestClient
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from catalog.dcat import Asset
from connector.plane import addresses, files, pull
from connector.plane import endpoint as module
from connector.plane import tokens as data_tokens
from connector.plane.addresses import property_of
from connector.plane.endpoint import Endpoint
from connector.plane.push import push
from connector.plane.tokens import LIFE, REFRESH_LIFE, UNBOUND_LIFE, DataTokens
from connector.processes.model import Pending, Process
from identity.keys import FileSigner
from kernel.errors import BadInput, StorageFull, TooLarge, Unauthorized
from kernel.http import GuardedClient, Outbound, Unreachable
from kernel.web import application
from tests.support.participant import participant
from tests.support.web import TestServer

ME, PEER, LEAF, OTHER = "did:web:me.example", "did:web:peer.example", "leaf-thumbprint", "another-thumbprint"
BEGIN = datetime(2026, 11, 24, 9, tzinfo=UTC)
PAYLOAD = bytes(range(256)) * 40_000  # 10 MB: several ranges
SHA = hashlib.sha256(PAYLOAD).hexdigest()


class Clock:
    def __init__(self):
        self.moment = BEGIN

    def now(self):
        return self.moment


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tokens(clock):
    signer = FileSigner(f"{ME}#data-1", "ES256", ec.generate_private_key(ec.SECP256R1()))
    return DataTokens(ME, signer, clock, lambda _peer: "https://me.example")


def transfer(**more):
    values = {
        "state": "STARTED",
        "data": {"dataset": "d", "thumbprint": LEAF, "agreementId": "a", "format": "HttpData-PULL"},
    } | more
    return Process(id="urn:uuid:t", participant=ME, kind="transfer", role=values.pop("role", "provider"), peer=PEER, **values)


def test_an_access_token_works_with_its_own_certificate_only(tokens):
    token, life = tokens.access(transfer(), LEAF)
    assert life == LIFE
    assert tokens.check(token, "access", "urn:uuid:t", LEAF) == PEER
    for thumbprint in (OTHER, None):
        with pytest.raises(Unauthorized) as found:
            tokens.check(token, "access", "urn:uuid:t", thumbprint)
        assert "another certificate" in found.value.facts["reason"]


def test_an_unbound_token_lives_shorter(tokens):
    assert tokens.access(transfer(), None)[1] == UNBOUND_LIFE


@pytest.mark.parametrize(("use", "key"), [("push", "urn:uuid:t"), ("access", "urn:uuid:other")])
def test_a_token_is_for_one_use_and_one_transfer(tokens, use, key):
    token, _ = tokens.access(transfer(), LEAF)
    with pytest.raises(Unauthorized):
        tokens.check(token, use, key, LEAF)
    with pytest.raises(Unauthorized):
        tokens.refreshes(token if key != "urn:uuid:t" else property_of(tokens.inbox(transfer()), "authorization"), key)


def test_an_expired_token(tokens, clock):
    token, _ = tokens.access(transfer(), LEAF)
    clock.moment += timedelta(seconds=LIFE)
    with pytest.raises(Unauthorized) as found:
        tokens.check(token, "access", "urn:uuid:t", LEAF)
    assert "expired" in found.value.facts["reason"]


def test_a_token_signed_by_somebody_else(tokens, clock):
    signer = FileSigner(f"{ME}#data-1", "ES256", ec.generate_private_key(ec.SECP256R1()))
    forged, _ = DataTokens(ME, signer, clock, lambda _peer: "").access(transfer(), LEAF)
    with pytest.raises(Unauthorized):
        tokens.check(forged, "access", "urn:uuid:t", LEAF)


def test_the_address_carries_token_and_refresh(tokens):
    address = tokens.address(transfer())
    assert address["endpoint"] == "https://me.example/data/urn:uuid:t"
    assert property_of(address, "refreshEndpoint").endswith("/token")
    token = property_of(address, "refreshToken")
    assert token == property_of(address, "authorization")
    assert tokens.refreshes(token, "urn:uuid:t") == tokens.check(token, "access", "urn:uuid:t", LEAF) == PEER


def test_a_start_costs_one_signature(tokens, monkeypatch):
    signed, real = [], data_tokens.sign
    monkeypatch.setattr(data_tokens, "sign", lambda *claims, **more: signed.append(claims) or real(*claims, **more))
    tokens.address(transfer())
    assert len(signed) == 1


def test_a_token_that_opens_nothing_any_more_is_refreshed_for_thirty_days(tokens, clock):
    token, _ = tokens.access(transfer(), LEAF)
    clock.moment += timedelta(seconds=REFRESH_LIFE - 1)
    assert tokens.refreshes(token, "urn:uuid:t") == PEER
    with pytest.raises(Unauthorized):
        tokens.check(token, "access", "urn:uuid:t", LEAF)
    clock.moment += timedelta(seconds=1)
    with pytest.raises(Unauthorized) as found:
        tokens.refreshes(token, "urn:uuid:t")
    assert "too old" in found.value.facts["reason"]


class Gate:
    """Lets everybody through until `shut` says why not."""

    shut = None

    async def permit(self, did, certificate):
        if self.shut:
            raise Unauthorized("invalid token", reason=self.shut)

    def closed(self, did):
        return self.shut


# endpoint ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def served(tokens, tmp_path, monkeypatch):
    """A data endpoint whose callers show the leaf that `served.leaf` names."""
    (tmp_path / "payloads").mkdir()
    (tmp_path / "payloads/x").write_bytes(PAYLOAD)
    asset = Asset(id="d", participant=ME, profile="p", schema="", title={"en": "x"}, media_type="application/octet-stream", size=len(PAYLOAD),
                  sha256=SHA, source="payloads/x", created="")  # fmt: skip

    class Served:
        leaf, process, taken, gate, refused, kept = LEAF, transfer(), [], Gate(), False, None
        dataset = asset

        async def proven(self, request):
            return participant(PEER, thumbprint=self.leaf)

        async def renewed(self, process, who):
            if self.refused:
                raise Unauthorized("invalid token", reason="the policy does not permit it", peer=who.did)
            return self.kept or process

        async def found(self, key):
            return self.process if key == "urn:uuid:t" else None

        async def published(self, key):
            return self.dataset if key == self.dataset.id else None

        async def spend(self, token):
            return None

        async def take(self, process, spool):
            self.taken.append(spool.sha256)

    made = Served()
    monkeypatch.setattr(module, "_thumbprint", lambda _request: made.leaf)
    monkeypatch.setattr(module, "client_certificate", lambda _request: None)
    plane = Endpoint(
        tmp_path, tokens, process=made.found, asset=made.published, proven=made.proven, renewed=made.renewed, spend=made.spend, take=made.take,
        limit=20_000_000, gate=made.gate,
    )  # fmt: skip
    async with TestClient(TestServer(application(plane.routes(), limit=30_000_000))) as made.client:
        yield made


def bearer(token, **more):
    return {"Authorization": f"Bearer {token}", **more}


async def test_the_whole_and_its_ranges(served, tokens):
    token, _ = tokens.access(served.process, LEAF)
    whole = await served.client.get("/data/urn:uuid:t", headers=bearer(token))
    assert await whole.read() == PAYLOAD
    assert whole.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(bytes.fromhex(SHA)).decode()}:"
    part = await served.client.get("/data/urn:uuid:t", headers=bearer(token, Range="bytes=5-9"))
    assert (part.status, await part.read(), part.headers["Content-Range"]) == (206, PAYLOAD[5:10], f"bytes 5-9/{len(PAYLOAD)}")
    tail = await served.client.get("/data/urn:uuid:t", headers=bearer(token, Range=f"bytes={len(PAYLOAD) - 3}-"))
    assert await tail.read() == PAYLOAD[-3:]
    beyond = await served.client.get("/data/urn:uuid:t", headers=bearer(token, Range=f"bytes={len(PAYLOAD)}-"))
    assert beyond.status == 416
    changed = await served.client.get("/data/urn:uuid:t", headers=bearer(token, **{"If-Match": '"other"'}))
    assert changed.status == 412


@pytest.mark.parametrize("state", ["REQUESTED", "SUSPENDED", "COMPLETED", "TERMINATED"])
async def test_a_token_opens_nothing_unless_the_transfer_is_started(served, tokens, state):
    token, _ = tokens.access(served.process, LEAF)
    served.process = replace(served.process, state=state)
    assert (await served.client.get("/data/urn:uuid:t", headers=bearer(token))).status == 401


async def test_a_decision_to_end_closes_the_data_before_the_peer_knows(served, tokens):
    token, _ = tokens.access(served.process, LEAF)
    served.process = replace(served.process, pending=Pending("TransferTerminationMessage", "TERMINATED", "r"))
    assert (await served.client.get("/data/urn:uuid:t", headers=bearer(token))).status == 401


async def test_a_participant_that_is_kept_out_gets_no_data_with_its_next_request(served, tokens):
    token, _ = tokens.access(served.process, LEAF)
    assert (await served.client.get("/data/urn:uuid:t", headers=bearer(token))).status == 200
    served.gate.shut = "suspension"
    assert (await served.client.get("/data/urn:uuid:t", headers=bearer(token))).status == 401
    served.gate.shut = None
    assert (await served.client.get("/data/urn:uuid:t", headers=bearer(token))).status == 200


async def test_a_stream_under_way_to_a_participant_that_is_kept_out_is_broken_off(served, tokens):
    token, _ = tokens.access(served.process, LEAF)
    answer = await served.client.get("/data/urn:uuid:t", headers=bearer(token))
    first = await answer.content.readany()
    served.gate.shut = "revocation"
    with pytest.raises((ClientPayloadError, ConnectionError)):
        await answer.read()
    assert len(first) < len(PAYLOAD)


async def test_a_push_of_a_participant_that_is_kept_out_is_refused(served, tokens):
    served.process = transfer(role="consumer")
    token = property_of(tokens.inbox(served.process), "authorization")
    served.gate.shut = "suspension"
    sent = await served.client.put("/inbox/urn:uuid:t", headers=bearer(token), data=b"x")
    assert (sent.status, served.taken) == (401, [])


async def test_another_certificate_and_no_token(served, tokens):
    token, _ = tokens.access(served.process, LEAF)
    served.leaf = OTHER
    assert (await served.client.get("/data/urn:uuid:t", headers=bearer(token))).status == 401
    assert (await served.client.get("/data/urn:uuid:t")).status == 401


@pytest.mark.parametrize("state", ["SUSPENDED", "COMPLETED", "TERMINATED"])
async def test_a_transfer_that_ends_while_it_is_decided_gets_no_fresh_token(served, tokens, state):
    refresh = property_of(tokens.address(served.process), "refreshToken")
    served.kept = replace(served.process, state=state)
    answer = await served.client.post("/data/urn:uuid:t/token", data={"grant_type": "refresh_token", "refresh_token": refresh})
    assert answer.status == 401


async def test_a_refresh_binds_to_the_certificate_of_the_moment(served, tokens):
    refresh = property_of(tokens.address(served.process), "refreshToken")
    served.leaf = OTHER
    answer = await served.client.post("/data/urn:uuid:t/token", data={"grant_type": "refresh_token", "refresh_token": refresh})
    found = await answer.json()
    assert tokens.check(found["access_token"], "access", "urn:uuid:t", OTHER) == PEER
    assert found["refresh_token"] == found["access_token"]
    forged = FileSigner(f"{ME}#data-1", "ES256", ec.generate_private_key(ec.SECP256R1()))
    others = DataTokens(ME, forged, Clock(), lambda _peer: "")
    stranger, _ = tokens.access(replace(served.process, peer="did:web:other.example"), OTHER)
    for given in (
        "x.y.z",
        others.access(served.process, OTHER)[0],
        stranger,
        property_of(tokens.inbox(served.process), "authorization"),
    ):
        wrong = await served.client.post("/data/urn:uuid:t/token", data={"grant_type": "refresh_token", "refresh_token": given})
        assert wrong.status == 401


async def test_a_refresh_that_the_policy_does_not_permit_any_more_gets_no_token(served, tokens):
    refresh = property_of(tokens.address(served.process), "refreshToken")
    served.refused = True
    answer = await served.client.post("/data/urn:uuid:t/token", data={"grant_type": "refresh_token", "refresh_token": refresh})
    assert (answer.status, "policy" in await answer.text()) == (401, False), "why is not the peer's business"


async def test_a_push_is_verified_taken_and_a_wrong_digest_leaves_nothing(served, tokens, tmp_path):
    served.process = transfer(role="consumer", state="REQUESTED")
    token = property_of(tokens.inbox(served.process), "authorization")
    good = files.digest_header(SHA)
    done = await served.client.put("/inbox/urn:uuid:t", data=io.BytesIO(PAYLOAD), headers=bearer(token, **{"Content-Digest": good}))
    assert (done.status, served.taken) == (204, [SHA])
    bad = await served.client.put(
        "/inbox/urn:uuid:t", data=io.BytesIO(PAYLOAD[:-1]), headers=bearer(token, **{"Content-Digest": good})
    )
    assert bad.status == 400
    assert served.taken == [SHA]
    assert not list((tmp_path / "inbox").iterdir())


async def test_data_stream_through_in_pieces_whatever_their_size(served, tokens, tmp_path):
    """Both ends of a pull, and of a push, in one process: 64 and 19 MB, and never more than 8 MB of memory."""
    sizes = {"pull": 64_000_000, "push": 19_000_000}
    client = GuardedClient(Outbound(allow=frozenset({"127.0.0.1"}), require_https=False), tls=lambda: False)
    for name, size in sizes.items():
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
        with (tmp_path / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        served.dataset = replace(served.dataset, size=size, sha256=digest, source=name)
        tracemalloc.start()
        try:
            if name == "pull":
                address = served.client.make_url("/data/urn:uuid:t")
                shown = pull.Tokens(tokens.address(served.process), client, lambda: "", None)
                pulled = await pull.pull(
                    client,
                    str(address),
                    shown,
                    tmp_path / "inbox",
                    limit=size,
                    sha256=digest,
                    rate=0,
                    expect_did=None,
                    going=always,
                )
                assert pulled.spool.size == size
                pulled.spool.drop()
            else:
                served.process = transfer(role="consumer", state="REQUESTED")
                inbox = tokens.inbox(served.process) | {"endpoint": str(served.client.make_url("/inbox/urn:uuid:t"))}
                await push(client, tmp_path, served.dataset, inbox, expect_did=None)
                assert served.taken == [digest]
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 8_000_000, f"{name}: {peak}"
    await client.close()


async def test_a_push_with_a_pull_token_or_to_a_terminated_transfer(served, tokens):
    served.process = transfer(role="consumer")
    access, _ = tokens.access(served.process, LEAF)
    assert (await served.client.put("/inbox/urn:uuid:t", data=b"x", headers=bearer(access))).status == 401
    push = property_of(tokens.inbox(served.process), "authorization")
    served.process = replace(served.process, state="TERMINATED")
    assert (await served.client.put("/inbox/urn:uuid:t", data=b"x", headers=bearer(push))).status == 401


# pulling -----------------------------------------------------------------------------------------------------------------


class Provider:
    """Answers ranges; faults by their number: cut (the connection breaks in the middle), 401, 500, flip (a bit), whole."""

    def __init__(self, *faults):
        self.faults, self.asked, self.renewed = list(faults), [], 0

    @asynccontextmanager
    async def stream(self, method, url, *, headers, timeout, expect_did):
        self.asked.append(headers)
        fault = self.faults.pop(0) if self.faults else ""
        start, end = (int(each) for each in headers["Range"].removeprefix("bytes=").split("-"))
        body = PAYLOAD[start : end + 1]
        status = int(fault) if fault.isdigit() else 206

        class Content:
            async def iter_chunked(self, _size):
                yield body[: len(body) // 2]
                if fault == "cut":
                    raise Unreachable("cut")
                rest = body[len(body) // 2 :]
                yield bytes([rest[0] ^ 1]) + rest[1:] if fault == "flip" else rest

        class Answer:
            pass

        answer = Answer()
        answer.status, answer.content, answer.content_length = status, Content(), len(body)
        answer.headers = {"ETag": '"e"', "Content-Range": f"bytes {start}-{start + len(body) - 1}/{len(PAYLOAD)}"}
        yield answer

    async def request(self, method, url, *, headers, body, expect_did):
        self.renewed += 1

        class Answered:
            status, body = 200, b'{"access_token":"second"}'

        return Answered()


async def always():
    return None


async def pulled(provider, tmp_path, sha256=SHA, limit=20_000_000, going=always):
    address = addresses.source(
        "dsp", "https://p/data/t", "first", {"refreshToken": "r", "refreshEndpoint": "https://p/data/t/token"}
    )
    tokens = pull.Tokens(address, provider, lambda: "Bearer si", None)
    return await pull.pull(
        provider, "https://p/data/t", tokens, tmp_path, limit=limit, sha256=sha256, rate=0, expect_did=None, going=going
    )


async def test_a_pull_goes_on_from_where_it_broke(tmp_path):
    provider = Provider("", "cut", "", "500")
    found = await pulled(provider, tmp_path)
    assert (found.spool.sha256, found.spool.size) == (SHA, len(PAYLOAD))
    starts = [int(each["Range"].partition("=")[2].partition("-")[0]) for each in provider.asked]
    assert starts[2] == pull.RANGE + pull.RANGE // 2, "not from the beginning"
    assert all(each["If-Match"] == '"e"' for each in provider.asked[1:])


async def test_a_pull_ends_before_the_next_range_when_it_is_to_end(tmp_path):
    provider, asked = Provider("", "", "", ""), []

    async def once():
        asked.append(1)
        if len(asked) > 1:
            raise Unauthorized("the provider is kept out")

    with pytest.raises(Unauthorized):
        await pulled(provider, tmp_path, going=once)
    assert len(provider.asked) == 1
    assert not list(tmp_path.iterdir())


async def test_a_refused_token_is_renewed_and_the_pull_goes_on(tmp_path):
    provider = Provider("", "401")
    found = await pulled(provider, tmp_path)
    assert (found.spool.sha256, found.tokens, provider.renewed) == (SHA, 2, 1)
    assert provider.asked[-1]["Authorization"] == "Bearer second"


async def test_a_token_that_stays_refused_ends_the_pull_and_leaves_nothing(tmp_path):
    with pytest.raises(pull.PullFailed):
        await pulled(Provider("401", "401"), tmp_path)
    assert not list(tmp_path.iterdir())


async def test_a_flipped_bit_is_found_and_nothing_is_left(tmp_path):
    with pytest.raises(BadInput, match="not the ones announced"):
        await pulled(Provider("", "flip"), tmp_path)
    assert not list(tmp_path.iterdir())


async def test_more_than_the_limit_is_refused_and_nothing_is_left(tmp_path):
    with pytest.raises(TooLarge):
        await pulled(Provider(), tmp_path, limit=3_000_000)
    assert not list(tmp_path.iterdir())


# files -------------------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_said_and_nothing_is_kept(tmp_path, monkeypatch):
    spool = files.Spool(tmp_path, 100)

    class Full:
        def write(self, _data):
            raise OSError(errno.ENOSPC, "full")

        def close(self):
            return None

    spool._file.close()
    monkeypatch.setattr(spool, "_file", Full())
    with pytest.raises(StorageFull) as found:
        spool.add(b"x")
    assert "make space" in found.value.next_step
    spool.drop()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", ["../../etc/passwd", "urn:uuid:../x", "", "urn:uuid:a/b", "urn:uuid:ａ"])
def test_ids_never_become_paths(key):
    with pytest.raises(BadInput):
        files.safe_name(key)


def test_what_a_crash_left_is_swept(tmp_path):
    files.Spool(tmp_path, 10)._file.close()
    (tmp_path / "kept").write_bytes(b"x")
    files.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@asynccontextmanager
async def pushing(tokens, place, monkeypatch, inbox, size):
    """A push of that many bytes to an inbox of the caller's own making, which may stand still for a second."""
    monkeypatch.setattr("connector.plane.push.STANDSTILL", 1.0)
    with (place / "data").open("wb") as file:
        file.truncate(size)
    asset = Asset(id="d", participant=ME, profile="", schema="", title={}, size=size, sha256=SHA, source="data", created="")
    async with asyncio.timeout(40), await asyncio.start_server(inbox, "127.0.0.1", 0, limit=1 << 21) as server:
        port = server.sockets[0].getsockname()[1]
        address = tokens.inbox(transfer(role="consumer", state="REQUESTED")) | {"endpoint": f"http://127.0.0.1:{port}/inbox"}
        client = GuardedClient(Outbound(allow=frozenset({"127.0.0.1"}), require_https=False), tls=lambda: False)
        yield push(client, place, asset, address, expect_did=None)
        await client.close()


@pytest.mark.parametrize("takes", [0, 8_000_000])
async def test_a_push_to_an_inbox_that_takes_nothing_more_or_never_answers_ends(tokens, tmp_path, monkeypatch, takes):
    done, taken = asyncio.Event(), 0

    async def inbox(reader, writer):
        nonlocal taken
        while taken < takes and (part := await reader.read(1 << 20)):
            taken += len(part)
        await done.wait()
        writer.close()

    async with pushing(tokens, tmp_path, monkeypatch, inbox, 8_000_000) as pushed:
        with pytest.raises(Unreachable, match="takes nothing more, or does not answer"):
            await pushed
        assert taken >= takes
        done.set()


async def test_a_push_that_goes_on_slowly_has_the_time_that_it_needs(tokens, tmp_path, monkeypatch):
    size = 80_000_000

    async def inbox(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        taken = 0
        while taken < size:
            taken += len(await reader.read(1 << 22))
            await asyncio.sleep(0.1)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async with pushing(tokens, tmp_path, monkeypatch, inbox, size) as pushed:
        began = asyncio.get_running_loop().time()
        await pushed
        assert asyncio.get_running_loop().time() - began > 1.0
