"""What callers of a peer are told (`connector.peers`)."""

import pytest

from connector.peers import PeerRefused, Peers
from identity.standing import Unfollowed
from identity.verify import PeerRule
from kernel.errors import NotFound
from kernel.http import Reply

PEER = "did:web:peer.example"
RULE = PeerRule(PEER)


class Web:
    def __init__(self, status):
        self.status = status

    async def request(self, method, url, **_):
        return Reply(self.status, {}, b'{"@type":"CatalogError"}')


def asked(status):
    peers = Peers(Web(status), None, lambda _: "Bearer x", lambda _: RULE, Unfollowed())
    return peers.call("POST", "https://peer.example/catalog/request", PEER, b"{}", max_bytes=100)


async def test_who_is_not_let_in_hears_where_the_reason_is():
    with pytest.raises(PeerRefused, match="answers 401: .*CatalogError") as caught:
        await asked(401)
    assert "connector status" in caught.value.next_step
    assert "connector refusals" in caught.value.next_step


async def test_other_refusals_say_what_the_peer_says():
    with pytest.raises(PeerRefused, match="answers 400: .*CatalogError") as caught:
        await asked(400)
    assert not caught.value.next_step


async def test_what_is_hidden_is_not_there():
    with pytest.raises(NotFound, match="no such thing, or hides it"):
        await asked(404)


async def test_a_full_answer_is_returned():
    assert (await asked(200)).status == 200
