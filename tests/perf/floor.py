"""What the libraries alone cost for the messages of a negotiation: the same four messages, answers, tokens and mutual TLS, and the fewest durable commits (`side.least`).

No connector in Python over aiohttp and SQLite can be cheaper; what ours costs beyond it is what it does. Read the CPU, not the rate.
"""

import asyncio
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from identity.tls.ca import create
from identity.tls.contexts import client_context
from tests.perf.measure import Measure, told
from tests.perf.side.process import Spent

OUTSTANDING = 500
ROUNDS = 3
PORTS = (22_001, 22_002)


async def measures() -> AsyncIterator[Measure]:
    """CPU of both sides, rate and latency."""
    with tempfile.TemporaryDirectory(prefix="kizuna-bench-") as folder:
        place = Path(folder)
        _certify(place)
        sides = [_side(place / name, *ports) for name, ports in (("consumer", PORTS), ("provider", PORTS[::-1]))]
        try:
            connector = aiohttp.TCPConnector(ssl=client_context(place / "roots.pem"))
            async with aiohttp.ClientSession(f"https://localhost:{PORTS[0]}", connector=connector) as session:
                for each in PORTS:
                    await _listening(each)
                await _round(session, [], 100)
                many = [await _round(session, [each.pid for each in sides], OUTSTANDING) for _ in range(ROUNDS)]
                alone = [(await _round(session, [], 1)).seconds for _ in range(20)]
        finally:
            for each in sides:
                each.terminate()
                each.wait()
    yield told("floor_cpu", median(each.cpu for each in many) / OUTSTANDING * 1e3, "ms CPU, both sides")
    yield told("floor_rate", OUTSTANDING / median(each.seconds for each in many), "exchanges/s")
    yield told("floor_latency", median(alone) * 1e3, "ms, one alone, p50")


def _certify(place: Path) -> None:
    """One key and one member certificate of a consortium's CA, for both sides."""
    authority = create(place / "ca", name="floor", crl_url="http://localhost/crl", now=datetime.now(UTC))
    key = generate_private_key(SECP256R1())
    asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256())
    made = authority.issue_member(
        asked.public_bytes(Encoding.PEM), "did:web:localhost", ["localhost"], now=datetime.now(UTC), life=timedelta(days=1)
    )
    (place / "server.pem").write_text(made.certificate + made.chain)
    (place / "server.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (place / "roots.pem").write_text(authority.bundle)


def _side(place: Path, port: int, peer: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.perf.side.least", str(place), str(port), str(peer)])


async def _listening(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            await asyncio.sleep(0.05)


async def _round(session: aiohttp.ClientSession, pids: list[int], count: int) -> Spent:
    with Spent(pids) as spent:
        async with session.post(f"/begin/{count}") as answer:
            assert answer.status == 200
    return spent
