"""Pids of peers' processes, as the one process that writes the file knows them: that a first message is new need not be looked for in the table.

Rules
- Of each peer that was asked for the last pid that the file had then is known (by order, not by time), and every pid that was written since. One behind that last one which is not
  among them is in no row. Peers whose pids begin with the time, as ours do, always come behind it; those of others are the table's business more often.
- What is too much to keep, and one whose write may or may not have come about, are the table's business as well: its peer's last pid is then no less than it.
- A pid that is written twice all the same is refused by the table's key.
"""

from collections import OrderedDict
from typing import Final

CAPACITY: Final = 8_192
_PEERS: Final = 1_024
Peer = tuple[str, str]  # DID, kind of process


class Pids:
    """Pids of peers in one participant's processes."""

    def __init__(self) -> None:
        self._last: OrderedDict[Peer, str] = OrderedDict()
        self._since: OrderedDict[tuple[Peer, str], None] = OrderedDict()

    def asked(self, peer: Peer) -> bool:
        """Whether anything is known of this peer."""
        return peer in self._last

    def read(self, peer: Peer, last: str) -> None:
        """The last pid of this peer that the file has now; empty where it has none."""
        self._last[peer] = last
        if len(self._last) > _PEERS:
            self._last.popitem(last=False)

    def new(self, peer: Peer, pid: str) -> bool:
        """Whether certainly no row has it."""
        last = self._last.get(peer)
        return last is not None and pid > last and (peer, pid) not in self._since

    def add(self, peer: Peer, pid: str) -> None:
        """It is written, durably."""
        self._since[peer, pid] = None
        if len(self._since) > CAPACITY:
            self.doubt(*self._since.popitem(last=False)[0])

    def doubt(self, peer: Peer, pid: str) -> None:
        """It may be written."""
        if peer in self._last:
            self._last[peer] = max(self._last[peer], pid)
