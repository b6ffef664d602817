"""The key store: files of mode 0600, purposes apart, rotation with overlap."""

import stat
from pathlib import Path

import pytest

from identity import did as dids
from identity import jose
from identity.keys import KeyStore
from kernel.errors import Misconfigured

DID = "did:web:a.example"


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys", DID)


@pytest.mark.parametrize("alg", ["ES256", "ES384", "EdDSA"])
def test_generate_and_open(store: KeyStore, alg: str) -> None:
    made = store.generate("si", alg=alg)
    again = store.open("si")
    assert (made.kid, made.alg) == (again.kid, again.alg) == (f"{DID}#si-1", alg)
    jose.verify(jose.parse(jose.sign({"a": 1}, again)), made.public_jwk())


def test_files_are_private(store: KeyStore) -> None:
    store.generate("vp")
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    assert [(path.name, stat.S_IMODE(path.stat().st_mode)) for path in store.directory.iterdir()] == [("vp-1.pem", 0o600)]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_key_that_others_can_read_is_refused(store: KeyStore, mode: int) -> None:
    store.generate("si")
    (store.directory / "si-1.pem").chmod(mode)
    with pytest.raises(Misconfigured, match="readable by others") as caught:
        store.open("si")
    assert "chmod 600" in caught.value.next_step


def test_directory_that_others_can_write_is_refused(store: KeyStore) -> None:
    store.directory.mkdir()
    store.directory.chmod(0o777)
    with pytest.raises(Misconfigured, match="writable by others"):
        store.generate("si")


def test_private_key_is_nowhere_shown(store: KeyStore) -> None:
    signer = store.generate("si")
    assert "key" not in repr(signer).lower().replace("si-1", "")
    assert "d" not in signer.public_jwk()


def test_rotation_overlaps_until_the_old_key_is_retired(store: KeyStore) -> None:
    old, new = store.generate("vc"), store.generate("vc")
    assert store.open("vc").kid == new.kid != old.kid
    assert [key.kid for key in store.published()] == [old.kid, new.kid]
    store.retire(old.kid)
    assert [key.kid for key in store.published()] == [new.kid]
    for kid in (new.kid, old.kid, "did:web:b.example#vc-1", f"{DID}#vc-x"):
        with pytest.raises(Misconfigured):
            store.retire(kid)


def test_tenth_key_follows_the_ninth(store: KeyStore) -> None:
    for _ in range(10):
        last = store.generate("si")
    assert store.open("si").kid == last.kid == f"{DID}#si-10"


def test_published_document_has_each_key_for_its_purpose_alone(store: KeyStore) -> None:
    for purpose in ("si", "vp", "vc", "data"):
        store.generate(purpose)
    document = dids.document(DID, store.published())
    assert document["capabilityInvocation"] == [f"{DID}#si-1"]
    assert document["authentication"] == [f"{DID}#vp-1"]
    assert document["assertionMethod"] == [f"{DID}#vc-1"]
    assert len(document["verificationMethod"]) == 3
    found = dids.parse_document(document, DID)
    jose.verify(jose.parse(jose.sign({}, store.open("si"))), found.key(f"{DID}#si-1", dids.INVOCATION))


def test_ensure_makes_a_key_once(store: KeyStore) -> None:
    assert store.ensure("data").kid == store.ensure("data").kid


def test_what_is_not_there_or_no_key(store: KeyStore) -> None:
    with pytest.raises(Misconfigured, match="no key for si"):
        store.open("si")
    with pytest.raises(Misconfigured, match="no purpose"):
        store.open("tls")
    with pytest.raises(Misconfigured, match="not made"):
        store.generate("si", alg="RS256")
    store.generate("si")
    (store.directory / "si-1.pem").write_bytes(b"not a key")
    with pytest.raises(Misconfigured, match="holds no private key"):
        store.open("si")
