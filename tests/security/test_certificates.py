"""Chain games against the member channel: identity.md 6, group 47, in real handshakes, and at the door what TLS lets through."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from identity import did as dids
from identity.leaf import read_leaf
from identity.tls import ca
from identity.tls.contexts import client_context, server_context
from identity.verify import authenticate
from kernel.errors import Unauthorized
from tests.unit.identity_core.world import World, certificate
from tests.unit.identity_tls.test_handshake import MEMBER, SERVER, Consortium, Listening

HOUR = timedelta(hours=1)
OWN = (x509.UniformResourceIdentifier(MEMBER),)


class Chain:
    """Root, intermediate and leaf, each built as the attack wants it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = datetime.now(UTC)
        self.root_key, self.middle_key, self.leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self.root = self._made("root", "root", self.root_key, self.root_key, ca_true=True)

    def _made(self, subject, issuer, key, signer, *, ca_true=False, ago=timedelta(0), usages=None, names=()):
        def named(text):
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        start = self.now - timedelta(minutes=5) - ago
        builder = x509.CertificateBuilder(named(issuer), named(subject), key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(start).not_valid_after(start + HOUR)
        builder = builder.add_extension(x509.BasicConstraints(ca=ca_true, path_length=None), critical=True)
        if usages is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
        return builder.sign(signer, hashes.SHA256())

    def middle(self, **changes):
        return self._made("middle", "root", self.middle_key, self.root_key, **{"ca_true": True} | changes)

    def leaf(self, *, usages=(ExtendedKeyUsageOID.CLIENT_AUTH,), names=OWN, **changes):
        return self._made("leaf", "middle", self.leaf_key, self.middle_key, usages=usages, names=names, **changes)

    def files(self, *certificates, key=None) -> tuple[Path, Path]:
        chain, secret = self.directory / "chain.pem", self.directory / "chain.key"
        chain.write_bytes(b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates))
        ca.write_private(secret, key or self.leaf_key)
        return chain, secret

    @property
    def bundle(self) -> Path:
        path = self.directory / "roots.pem"
        path.write_bytes(self.root.public_bytes(serialization.Encoding.PEM))
        return path


@pytest.fixture
def consortium(tmp_path):
    (tmp_path / "one").mkdir()
    return Consortium(tmp_path / "one")


@pytest.fixture
def chain(tmp_path):
    (tmp_path / "chain").mkdir()
    return Chain(tmp_path / "chain")


async def asked(consortium, chain, files) -> tuple[str, list]:
    """What a server that trusts the chain's root answers to a client with these files, and whom it let in."""
    async with Listening(server_context(*consortium.leaf("server", SERVER), client_ca=chain.bundle)) as server:
        try:
            answer, _ = await server.ask(client_context(None, consortium.bundle, *files))
        except OSError as error:
            answer = f"ended: {type(error).__name__}"
        return answer, server.seen


async def test_g47_the_chain_as_it_should_be_is_let_in(consortium, chain):
    assert await asked(consortium, chain, chain.files(chain.leaf(), chain.middle())) == (MEMBER, [MEMBER])


@pytest.mark.parametrize(
    "game",
    [
        lambda c: c.files(c.leaf()),
        lambda c: c.files(c.leaf(), c.middle(ago=2 * HOUR)),
        lambda c: c.files(c.leaf(), c.middle(ca_true=False)),
        lambda c: c.files(c.leaf(usages=(ExtendedKeyUsageOID.SERVER_AUTH,)), c.middle()),
        lambda c: c.files(c.leaf(usages=(ExtendedKeyUsageOID.CODE_SIGNING,)), c.middle()),
        lambda c: c.files(c._made("leaf", "leaf", c.leaf_key, c.leaf_key, names=OWN)),
        lambda c: c.files(c._made("leaf", "middle", c.leaf_key, c.leaf_key, names=OWN), c.middle()),
    ],
    ids=[
        "intermediate missing",
        "intermediate expired",
        "intermediate is no CA",
        "for servers",
        "for code",
        "self-signed",
        "signed by itself",
    ],
)
async def test_g47_chain_games_end_the_handshake(consortium, chain, game):
    answer, seen = await asked(consortium, chain, game(chain))
    assert answer.startswith("ended")
    assert seen == []


async def test_g47_chain_in_another_order_shows_the_first_certificate_and_its_key_must_fit(consortium, chain):
    with pytest.raises(Exception, match="cannot be used|mismatch|KEY_VALUES"):
        await asked(consortium, chain, chain.files(chain.middle(), chain.leaf()))


@pytest.mark.parametrize(
    "names",
    [
        (x509.UniformResourceIdentifier(MEMBER), x509.UniformResourceIdentifier("did:web:thief.example")),
        (x509.UniformResourceIdentifier(MEMBER + "\x00.thief.example"),),
        (x509.UniformResourceIdentifier(MEMBER.upper()),),
        (x509.UniformResourceIdentifier("https://member.example"),),
        (x509.DNSName("member.example"),),
        (),
    ],
    ids=["two DIDs", "NUL in the name", "other spelling", "no DID", "host only", "common name only"],
)
async def test_g47_names_that_name_nobody(consortium, chain, names):
    """TLS lets the chain in; the leaf names nobody, so the door does not take it for a member (`tls-did`)."""
    leaf = chain.leaf(names=names)
    assert await asked(consortium, chain, chain.files(leaf, chain.middle())) == ("None", [None])
    world = World()
    world.member.leaf = leaf.public_bytes(serialization.Encoding.DER)
    assert read_leaf(world.member.leaf).did is None
    with pytest.raises(Unauthorized) as caught:
        await authenticate(world.door, world.member.caller(), fresh=True)
    assert (caught.value.facts["reason"], caught.value.facts["stage"]) == ("tls-did", "binding")


async def test_g47_certificate_in_the_did_document_decides_nothing() -> None:
    """`x5c` and `x5u` beside a JWK are not looked at: the key in the document is the key, whatever chain it shows."""
    world = World()
    jwk = world.member.document["verificationMethod"][0]["publicKeyJwk"]
    jwk |= {
        "x5u": "https://thief.example/chain.pem",
        "x5c": [__import__("base64").b64encode(certificate("did:web:thief.example")).decode()],
    }
    assert await authenticate(world.door, world.member.caller(), fresh=True)
    assert not world.web.count("thief")
    thief = ec.generate_private_key(ec.SECP256R1())
    forged = type(world.member.key)(world.member.key.kid, "ES256", thief)
    with pytest.raises(Unauthorized) as caught:
        await authenticate(world.door, world.member.caller(world.member.token(key=forged)), fresh=True)
    assert caught.value.facts["reason"] == "signature"
    assert dids.INVOCATION in world.member.document
