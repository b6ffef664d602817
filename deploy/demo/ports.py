"""Ports for the processes of a story, twenty in a row, held against everybody else who asks here.

A process takes its ports only when it starts: another story that looks for free ports meanwhile would find the same ones. Whoever is given ports therefore
holds the UDP port of the first number until its process ends; nothing of ours listens on UDP. All lie below those that systems give to outgoing connections.
"""

import socket
from typing import Final

from kernel.errors import InUse

ROW: Final = 20
FIRST: Final = 17_000
_LAST: Final = 32_000


def reserve() -> int:
    """The first of twenty ports that nobody listens on and nobody else is given; raises `InUse`."""
    for base in range(FIRST, _LAST, ROW):
        held = socket.socket(type=socket.SOCK_DGRAM)
        if _bound(held, base) and all(free(port) for port in range(base, base + ROW)):
            held.detach()  # open until this process ends
            return base
        held.close()
    raise InUse(f"no {ROW} free ports in a row from {FIRST} on", next_step="stop a demonstration that was kept running")


def free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return _bound(probe, port)


def _bound(found: socket.socket, port: int) -> bool:
    try:
        found.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True
