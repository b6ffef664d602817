"""A wire that can be cut: a TCP relay on this machine, behind whose address the event feed is found. TLS goes through it untouched.

In a data space this is the network between a company and the operator. Cutting it ends all connections and refuses new ones.
"""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any

HOST = "127.0.0.1"


class Relay:
    """Carries bytes from `port` to `target`, in a thread of its own, until it is cut."""

    def __init__(self, port: int, target: int) -> None:
        self._port, self._target = port, target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        """Begin to carry."""
        self._thread.start()
        self.mend()

    def mend(self) -> None:
        """Carry again."""
        self._run(self._listen())

    def cut(self) -> None:
        """End all connections, take no new ones."""
        self._run(self._close())

    def stop(self) -> None:
        """Cut for good."""
        if self._thread.is_alive():
            self.cut()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=5)
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._carry, HOST, self._port)

    async def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            # Accept no more, and let what was accepted begin: asyncio loses a connection whose server is closed before.
            for each in server.sockets:
                self._loop.remove_reader(each.fileno())
            await self._turns()
            server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._turns()  # transports say goodbye

    async def _turns(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # cut since it was accepted
            writer.transport.abort()
            return
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            there, back = await asyncio.open_connection(*self._where())
            try:
                await asyncio.gather(_pump(reader, back), _pump(there, writer))
            finally:
                back.transport.abort()
        writer.transport.abort()

    def _where(self) -> tuple[str, int]:
        """Where the next connection goes."""
        return HOST, self._target

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)


async def _pump(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    while data := await source.read(65_536):
        to.write(data)
        await to.drain()
    to.close()
