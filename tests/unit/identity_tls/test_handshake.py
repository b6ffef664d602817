"""identity.tls.contexts over real loopback connections: who may come in, who is believed, and rotation without a restart."""

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from identity.leaf import read_leaf
from identity.tls import ca
from identity.tls.contexts import accept_clients, client_context, load_own, server_context
from identity.tls.web import WebCa
from kernel.errors import Misconfigured

SERVER, MEMBER = "did:web:server.example", "did:web:member.example"


class Consortium:
    """A CA in a directory, and leaves in files."""

    def __init__(self, directory):
        self.directory = directory
        self.authority = ca.create(directory / "ca", name="Test", crl_url="https://authority.example/crl", now=datetime.now(UTC))
        self.bundle = directory / "consortium.pem"
        self.bundle.write_text(self.authority.bundle)

    def leaf(self, name, did, hosts=("localhost",), *, ago=timedelta(0)):
        """(certificate with chain, key) of a member; `ago` puts its making into the past."""
        key = ec.generate_private_key(ec.SECP256R1())
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        made = self.authority.issue_member(
            csr.public_bytes(serialization.Encoding.PEM), did, hosts, now=datetime.now(UTC) - ago, life=timedelta(hours=24)
        )
        certificate, secret = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        certificate.write_text(made.certificate + made.chain)
        ca.write_private(secret, key)
        return certificate, secret


@pytest.fixture
def consortium(tmp_path):
    (tmp_path / "one").mkdir()
    return Consortium(tmp_path / "one")


@pytest.fixture
def foreign(tmp_path):
    (tmp_path / "two").mkdir()
    return Consortium(tmp_path / "two")


class Listening:
    """A server that answers with the DID of the client's certificate and remembers whom it let in."""

    def __init__(self, context):
        self.context, self.seen = context, []

    async def _serve(self, reader, writer):
        with contextlib.suppress(OSError):
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            if await reader.readline():
                self.seen.append(read_leaf(der).did if der else None)
                writer.write(f"{self.seen[-1]}\n".encode())
                await writer.drain()
        writer.close()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def ask(self, context, name="localhost"):
        """(the server's answer, the DID of its certificate); an OSError when the handshake or what follows it fails."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname=name)
        try:
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            writer.write(b"hello\n")
            line = await reader.readline()
            if not line:
                raise ConnectionResetError("closed without an answer")
            return line.decode().strip(), read_leaf(der).did
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@pytest.fixture
async def server(consortium):
    context = server_context(*consortium.leaf("server", SERVER), client_ca=consortium.bundle)
    async with Listening(context) as found:
        yield found


async def test_a_member_is_known_by_its_certificate(server, consortium):
    context = client_context(None, consortium.bundle, *consortium.leaf("member", MEMBER))
    assert await server.ask(context) == (MEMBER, SERVER)


async def test_a_client_without_a_certificate_comes_in_as_nobody(server, consortium):
    assert await server.ask(client_context(None, consortium.bundle)) == ("None", SERVER)


async def test_a_client_certificate_of_another_authority_ends_the_handshake(server, consortium, foreign):
    context = client_context(None, consortium.bundle, *foreign.leaf("member", MEMBER))
    with pytest.raises(OSError):
        await server.ask(context)
    assert server.seen == []


async def test_a_self_made_client_certificate_ends_the_handshake(server, consortium, tmp_path):
    public = WebCa.create()
    certificate, key = public.issue(["localhost"])
    (tmp_path / "own.pem").write_bytes(certificate)
    (tmp_path / "own.key").write_bytes(key)
    with pytest.raises(OSError):
        await server.ask(client_context(None, consortium.bundle, tmp_path / "own.pem", tmp_path / "own.key"))
    assert server.seen == []


async def test_a_member_cannot_make_certificates_below_its_own(server, consortium, tmp_path):
    chain, secret = consortium.leaf("member", MEMBER)
    parent = x509.load_pem_x509_certificates(chain.read_bytes())[0]
    signer = serialization.load_pem_private_key(secret.read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    forged = (
        x509.CertificateBuilder(parent.subject, x509.Name([]), key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SERVER)]), critical=True)
        .sign(signer, hashes.SHA256())
    )
    (tmp_path / "forged.pem").write_bytes(forged.public_bytes(serialization.Encoding.PEM) + chain.read_bytes())
    ca.write_private(tmp_path / "forged.key", key)
    with pytest.raises(OSError):
        await server.ask(client_context(None, consortium.bundle, tmp_path / "forged.pem", tmp_path / "forged.key"))
    assert server.seen == []


async def test_an_expired_client_certificate_ends_the_handshake(server, consortium):
    context = client_context(None, consortium.bundle, *consortium.leaf("old", MEMBER, ago=timedelta(hours=25)))
    with pytest.raises(OSError):
        await server.ask(context)
    assert server.seen == []


async def test_a_server_of_another_authority_is_not_believed(foreign, consortium):
    async with Listening(server_context(*foreign.leaf("server", SERVER))) as found:
        with pytest.raises(ssl.SSLCertVerificationError):
            await found.ask(client_context(None, consortium.bundle))
        assert found.seen == []


async def test_a_server_with_an_expired_certificate_is_not_believed(consortium):
    async with Listening(server_context(*consortium.leaf("old", SERVER, ago=timedelta(hours=25)))) as found:
        with pytest.raises(ssl.SSLCertVerificationError):
            await found.ask(client_context(None, consortium.bundle))


async def test_a_server_under_another_name_is_not_believed(server, consortium):
    with pytest.raises(ssl.SSLCertVerificationError):
        await server.ask(client_context(None, consortium.bundle), "other.example")


async def test_rotation_counts_from_the_next_handshake_without_a_restart_and_keeps_open_connections(server, consortium):
    context = client_context(None, consortium.bundle)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context, server_hostname="localhost")
    load_own(server.context, *consortium.leaf("next", "did:web:next.example"))
    assert (await server.ask(context))[1] == "did:web:next.example"
    writer.write(b"hello\n")
    assert await reader.readline() == b"None\n"
    writer.close()
    await writer.wait_closed()


async def test_a_failed_rotation_leaves_the_old_certificate_in_use(server, consortium, tmp_path):
    with pytest.raises(Misconfigured):
        load_own(server.context, tmp_path / "none.pem", tmp_path / "none.key")
    certificate, _ = consortium.leaf("one", "did:web:one.example")
    _, key = consortium.leaf("two", "did:web:two.example")
    with pytest.raises(Misconfigured):
        load_own(server.context, certificate, key)
    assert (await server.ask(client_context(None, consortium.bundle)))[1] == SERVER


async def test_clients_may_be_asked_for_later(consortium):
    context = server_context(*consortium.leaf("server", SERVER))
    member = client_context(None, consortium.bundle, *consortium.leaf("member", MEMBER))
    async with Listening(context) as found:
        assert (await found.ask(member))[0] == "None"
        accept_clients(context, consortium.bundle)
        assert (await found.ask(member))[0] == MEMBER


async def test_a_public_authority_for_servers_is_none_for_members(consortium, tmp_path):
    public = WebCa.create()
    for name, data in zip(("own.pem", "own.key"), public.issue(["localhost", "127.0.0.1"]), strict=True):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "roots.pem").write_bytes(public.certificate_pem)
    context = server_context(tmp_path / "own.pem", tmp_path / "own.key", consortium.bundle)
    async with Listening(context) as found:
        member = client_context(tmp_path / "roots.pem", consortium.bundle, *consortium.leaf("member", MEMBER))
        assert await found.ask(member) == (MEMBER, None)
        assert await found.ask(member, "127.0.0.1") == (MEMBER, None)
        with pytest.raises(ssl.SSLCertVerificationError):
            await found.ask(client_context(None, consortium.bundle))


async def test_old_protocol_versions_are_refused(server, consortium):
    assert server.context.minimum_version >= ssl.TLSVersion.TLSv1_2
    old = client_context(None, consortium.bundle)
    assert old.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_clients_always_verify(consortium):
    for found in (client_context(None), client_context(None, consortium.bundle), client_context(consortium.bundle)):
        assert found.verify_mode == ssl.CERT_REQUIRED
        assert found.check_hostname


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_file_that_cannot_be_used_is_named(consortium, tmp_path, content):
    broken = tmp_path / "broken.pem"
    if content is not None:
        broken.write_bytes(content)
    good = consortium.leaf("good", MEMBER)
    with pytest.raises(Misconfigured, match=r"broken\.pem"):
        server_context(broken, good[1])
    with pytest.raises(Misconfigured, match=r"broken\.pem"):
        server_context(good[0], good[1], broken)
    with pytest.raises(Misconfigured) as caught:
        client_context(None, broken)
    assert caught.value.next_step


async def test_closing_cuts_off_a_client_that_does_not_answer_the_goodbye(consortium):
    """TLS wants a good-bye in both directions; a silent client must not leave a connection behind."""
    import socket

    from kernel.web import application, serve

    certificate, key = consortium.leaf("server", SERVER)
    listener = await serve(application([]), "127.0.0.1", 0, server_context(certificate, key))
    context = ssl.create_default_context(cafile=consortium.bundle)

    def connect():
        plain = socket.create_connection(("127.0.0.1", listener.port))
        wrapped = context.wrap_socket(plain, server_hostname="localhost")
        wrapped.sendall(b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wrapped.recv(1000)
        return wrapped

    silent = socket.socket(fileno=(await asyncio.to_thread(connect)).detach())
    silent.settimeout(1)
    with silent:
        await listener.close()
        with contextlib.suppress(ConnectionResetError):
            while await asyncio.to_thread(silent.recv, 1000):  # TimeoutError: the connection is still there
                pass
