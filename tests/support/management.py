"""How tests and benchmarks speak to management APIs on this machine, ours and a peer's by the same code: our own client, since it takes the least CPU beside what is measured."""

import ssl
from collections.abc import Mapping
from typing import Any

import orjson

from kernel.http import GuardedClient, Outbound
from kernel.lines import Reply

LONGEST, LARGEST = 600.0, 1 << 28


class Management:
    """Plain HTTP to one API; `headers` go with every call."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        rules = Outbound(allow=frozenset({"localhost", "127.0.0.1"}), require_https=False, timeout=LONGEST, max_bytes=LARGEST)
        self._client = GuardedClient(rules, tls=ssl.create_default_context)
        self._headers = dict(headers or {})

    async def call(self, method: str, url: str, body: Any = None) -> Reply:
        """One call: bytes go as they are, anything else as JSON."""
        if body is None or isinstance(body, bytes):
            return await self._client.request(method, url, headers=self._headers, body=body)
        headers = {**self._headers, "Content-Type": "application/json"}
        return await self._client.request(method, url, headers=headers, body=orjson.dumps(body))

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()
