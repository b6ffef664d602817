"""identity.keys.seal and .ring: keys encrypted at rest, and their rotation with overlap."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from identity import jose
from identity.jose import BadToken
from identity.keys import KeyRing, KeyStore, passphrase, seal
from identity.keys.ring import LEAD, OVERLAP
from kernel.errors import Conflict, Misconfigured, NotFound

DID, SECRET = "did:web:a.example", "correct horse battery staple"


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    monkeypatch.setattr(seal, "_COST", 2)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


@pytest.fixture
def store(tmp_path):
    return KeyStore(tmp_path / "keys", DID, SECRET)


def files(store):
    return sorted(path.name for path in store.directory.iterdir())


def test_with_a_passphrase_no_key_is_readable_in_its_file(store):
    made = store.generate("si")
    store.generate("vp")
    assert files(store) == ["seal.json", "si-1.sealed", "vp-1.sealed"]
    assert all(b"PRIVATE KEY" not in path.read_bytes() and path.stat().st_mode & 0o077 == 0 for path in store.directory.iterdir())
    again = KeyStore(store.directory, DID, SECRET).open("si")
    jose.verify(jose.parse(jose.sign({}, again)), made.public_jwk())
    assert [each.kid for each in store.published()] == [f"{DID}#si-1", f"{DID}#vp-1"]


@pytest.mark.parametrize(("given", "said"), [(None, "no passphrase"), ("another passphrase of some length", "does not open")])
def test_without_the_right_passphrase_nothing_starts(store, given, said):
    store.generate("si")
    with pytest.raises(Misconfigured, match=said) as caught:
        KeyStore(store.directory, DID, given).open("si")
    assert caught.value.next_step


def test_a_file_that_was_changed_or_moved_is_refused(store):
    store.generate("si")
    store.generate("vp")
    path = store.directory / "si-1.sealed"
    good = path.read_bytes()
    for bad in (good[:-1] + bytes([good[-1] ^ 1]), b"", good[:8], (store.directory / "vp-1.sealed").read_bytes()):
        path.write_bytes(bad)
        with pytest.raises(Misconfigured, match="changed"):
            store.open("si")
    path.write_bytes(good)
    with pytest.raises(Misconfigured, match="changed"):
        KeyStore(store.directory, "did:web:b.example", SECRET).open("si")


@pytest.mark.parametrize("damage", ["{}", "no json", '{"kdf": "md5", "n": 2, "r": 8, "p": 1, "salt": "", "check": ""}',
                                    '{"kdf": "scrypt", "n": 1073741824, "r": 8, "p": 1, "salt": "", "check": ""}'])  # fmt: skip
def test_a_damaged_seal_is_refused_and_costs_nothing(store, damage):
    store.generate("si")
    (store.directory / "seal.json").write_text(damage)
    with pytest.raises(Misconfigured, match="damaged"):
        KeyStore(store.directory, DID, SECRET).open("si")


def test_plain_keys_are_encrypted_later_and_stopped_half_way_it_is_done_again(tmp_path):
    plain = KeyStore(tmp_path / "keys", DID)
    kids = [plain.generate("si").kid, plain.generate("si").kid, plain.generate("vp").kid]
    before = [plain.created(each) for each in kids]
    (plain.directory / "page.key").write_bytes(b"x" * 32)
    store = KeyStore(tmp_path / "keys", DID, SECRET)
    kept = (plain.directory / "vp-1.pem").read_bytes()
    assert store.encrypt() == 3
    (plain.directory / "vp-1.pem").write_bytes(kept)  # as if the last step had not been taken
    (plain.directory / "vp-1.pem").chmod(0o600)
    with pytest.raises(Misconfigured, match="not encrypted"):
        store.open("vp")
    assert store.encrypt() == 1
    assert [each.kid for purpose in ("si", "vp") for each in store.all(purpose)] == kids
    assert [store.created(each) for each in kids][:2] == before[:2]
    assert not list(plain.directory.glob("*.pem"))


def test_a_new_key_beside_encrypted_ones_needs_the_passphrase(store):
    store.generate("si")
    with pytest.raises(Misconfigured, match="no passphrase"):
        KeyStore(store.directory, DID).generate("si")


def test_the_passphrase_comes_from_a_private_file_or_a_systemd_credential(tmp_path, monkeypatch):
    path = tmp_path / "kizuna-passphrase"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    assert passphrase(path) == SECRET
    assert passphrase() is None
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert passphrase() == SECRET
    path.chmod(0o644)
    for given in (path, ""):
        with pytest.raises(Misconfigured, match="readable by others"):
            passphrase(given)
    path.chmod(0o600)
    path.write_text("short")
    with pytest.raises(Misconfigured, match="less than 16"):
        passphrase(path)
    with pytest.raises(Misconfigured, match="cannot be read"):
        passphrase(tmp_path / "nothing")


class Moved:
    moment = datetime(2026, 11, 24, 9, tzinfo=UTC)

    def now(self):
        return self.moment


@pytest.fixture
def clock():
    return Moved()


@pytest.fixture
def ring(tmp_path, clock):
    store = KeyStore(tmp_path / "keys", DID)
    store.generate("si")
    dated(store, "si-1", clock)
    return KeyRing(store, clock)


def dated(store, name, clock):
    os.utime(store.directory / f"{name}.pem", (clock.now().timestamp(),) * 2)


def rotated(ring, clock):
    made = ring.rotate("si")
    dated(ring._store, made.kid.rpartition("#")[2], clock)
    return made


def words(ring):
    return [each.state for each in ring.states()]


def test_the_first_key_signs_at_once(ring):
    assert ring.signer("si").kid == f"{DID}#si-1"
    assert words(ring) == ["ACTIVE"]


def test_a_new_key_is_published_at_once_and_signs_when_caches_are_over(ring, clock):
    signer = ring.signer("si")
    old = jose.sign({}, signer)
    rotated(ring, clock)
    assert [each.kid for each in ring.published()] == [f"{DID}#si-1", f"{DID}#si-2"]
    assert words(ring) == ["ACTIVE", "NEXT"]
    assert signer.kid == f"{DID}#si-1"
    clock.moment += LEAD
    assert signer.kid == f"{DID}#si-2"
    assert words(ring) == ["OLDER", "ACTIVE"]
    token = jose.parse(jose.sign({}, signer))
    assert (token.kid, token.header["alg"]) == (f"{DID}#si-2", "ES256")
    jose.verify(token, signer.own_jwk(token.kid))
    jose.verify(jose.parse(old), signer.own_jwk(f"{DID}#si-1"))


def test_an_older_key_is_retired_after_the_overlap_and_revoked_before(ring, clock):
    rotated(ring, clock)
    with pytest.raises(Conflict, match="ACTIVE"):
        ring.retire(f"{DID}#si-1")
    with pytest.raises(Conflict, match="waits to begin"):
        ring.rotate("si")
    clock.moment += LEAD
    with pytest.raises(Conflict, match="under way"):
        ring.retire(f"{DID}#si-1")
    clock.moment += OVERLAP
    ring.retire(f"{DID}#si-1")
    assert [each.kid for each in ring.published()] == [f"{DID}#si-2"]
    with pytest.raises(BadToken):
        ring.signer("si").own_jwk(f"{DID}#si-1")
    rotated(ring, clock)
    clock.moment += LEAD + timedelta(seconds=1)
    ring.retire(f"{DID}#si-2", revoke=True)
    assert ring.signer("si").kid == f"{DID}#si-3"


@pytest.mark.parametrize("kid", [f"{DID}#si-9", f"{DID}#vp-1", "did:web:b.example#si-1", ""])
def test_an_unknown_key_cannot_be_retired(ring, kid):
    with pytest.raises(NotFound):
        ring.retire(kid)


def test_an_unknown_purpose_cannot_be_rotated(ring):
    for purpose in ("vp", "tls", ""):
        with pytest.raises(NotFound):
            ring.rotate(purpose)


def test_a_key_whose_signatures_last_goes_by_revocation_alone(tmp_path, clock):
    store = KeyStore(tmp_path / "keys", DID)
    for _ in range(2):
        dated(store, store.generate("vc").kid.rpartition("#")[2], clock)
    ring = KeyRing(store, clock)
    clock.moment += timedelta(days=1)
    with pytest.raises(Conflict, match="good for long"):
        ring.retire(f"{DID}#vc-1")
    ring.retire(f"{DID}#vc-1", revoke=True)
    assert ring.signer("vc").kid == f"{DID}#vc-2"
