"""`python -m tests.perf.side.least DIR PORT PEER_PORT`: one side of an exchange that does the least that a negotiation may do, until it is ended (`floor`).

Four messages of the size of ours, each with its answer, over our libraries and nothing of ours above them: uvloop, aiohttp server and client with kept mutual TLS, an ES256
token signed and checked, the JSON parsed, a durable commit before each answer, shared by all that wait. No policy, credential, state machine, log, retry or management API.
"""

import asyncio
import secrets
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import uvloop
from aiohttp import web
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm

from connector.host import settle
from identity.tls.contexts import accept_clients, client_context, load_own, server_context
from kernel import wire
from kernel.db import Database
from kernel.http import PER_HOST
from kernel.web import Route, application, serve

MESSAGES = 4
BODY = {
    "@context": ["https://w3id.org/dspace/2025/1/context.jsonld"],
    "@type": "ContractAgreementMessage",
    "agreement": {"text": "x" * 900},
}
ANSWER = orjson.dumps({"@type": "ContractNegotiation", "state": "AGREED", "text": "x" * 250})
STORED = b"x" * 3_000  # a process of ours as it is stored
ES256 = ECAlgorithm(ECAlgorithm.SHA256)


def tables(path: Path) -> None:
    """The least that has to be stored: the process as it stands, and the tokens that were used."""
    import sqlite3

    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('1');"
        "CREATE TABLE process (id TEXT PRIMARY KEY, body BLOB); CREATE TABLE spent (jti TEXT PRIMARY KEY)"
    )
    connection.close()


class Side:
    """Server, client, store and key of one side."""

    def __init__(self, place: Path, peer: int) -> None:
        self._database = Database.open(place / "least.sqlite", head="1", upgrade=tables)
        self._peer = f"https://localhost:{peer}"
        self._key: Any = load_pem_private_key(
            (place.parent / "server.key").read_bytes(), None
        )  # both sides have the same, to keep this short
        self._public = self._key.public_key()
        context = client_context(place.parent / "roots.pem")
        load_own(context, place.parent / "server.pem", place.parent / "server.key")
        connector = aiohttp.TCPConnector(ssl=context, limit_per_host=PER_HOST)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        self._sending: set[asyncio.Task[None]] = set()
        self._open = 0
        self._ended = asyncio.Event()

    def routes(self) -> list[Route]:
        return [
            Route(method="POST", path=path, handler=handler, auth="none", summary="")
            for path, handler in (("/message/{number}", self._receive), ("/begin/{count}", self._begin))
        ]

    async def _begin(self, request: web.Request) -> web.Response:
        """That many exchanges at once; answers when the last one has ended."""
        self._open = int(request.match_info["count"])
        self._ended.clear()
        await asyncio.gather(*(self._one() for _ in range(self._open)))
        await self._ended.wait()
        return web.Response()

    async def _one(self) -> None:
        key = secrets.token_hex(16)
        await self._store(key)
        self._send(1, key)

    async def _receive(self, request: web.Request) -> web.Response:
        text = request.headers["Authorization"].partition(" ")[2]
        signed, _, signature = text.rpartition(".")
        assert ES256.verify(signed.encode(), self._public, wire.unb64url(signature))
        claims, body = orjson.loads(wire.unb64url(signed.partition(".")[2])), orjson.loads(await request.read())
        await self._store(body["@id"], claims["jti"])
        number = int(request.match_info["number"])
        if number < MESSAGES:
            self._send(number + 1, body["@id"])
        else:
            self._open -= 1
            if not self._open:
                self._ended.set()
        return web.Response(body=ANSWER, content_type="application/json")

    def _send(self, number: int, key: str) -> None:
        task = asyncio.create_task(self._post(number, key))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _post(self, number: int, key: str) -> None:
        head = wire.b64url(b'{"alg":"ES256","kid":"did:web:localhost#key","typ":"JWT"}')
        now = int(time.time())
        claims = {
            "iss": "did:web:localhost",
            "aud": "did:web:peer",
            "iat": now,
            "exp": now + 300,
            "jti": secrets.token_hex(16),
            "token": "x" * 400,
        }
        signed = f"{head}.{wire.b64url(orjson.dumps(claims))}"
        token = f"{signed}.{wire.b64url(ES256.sign(signed.encode(), self._key))}"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        async with self._session.post(
            f"{self._peer}/message/{number}", data=orjson.dumps({**BODY, "@id": key}), headers=headers
        ) as answer:
            orjson.loads(await answer.read())
            assert answer.status == 200

    async def _store(self, key: str, jti: str = "") -> None:
        def work(connection: Any) -> None:
            connection.execute(
                "INSERT INTO process VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body", (key, STORED)
            )
            if jti:
                connection.execute("INSERT INTO spent VALUES (?)", (jti,))

        await self._database.write(work)


async def main(place: Path, port: int, peer: int) -> None:
    server = server_context(place.parent / "server.pem", place.parent / "server.key")
    accept_clients(server, place.parent / "roots.pem")
    await serve(application(Side(place, peer).routes()), "127.0.0.1", port, server)
    settle()
    await asyncio.Event().wait()


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir()
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
