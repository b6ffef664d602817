"""The wire of the stories that can be cut (`deploy.demo.relay`)."""

import gc
import socket
import threading
import time

import pytest

from deploy.demo.relay import HOST, Relay
from tests.support.ports import free_ports


@pytest.fixture
def relay():
    port, target = free_ports(2)
    with socket.create_server((HOST, target)) as behind:
        made = Relay(port, target)
        made.start()
        yield made, port, behind
        made.stop()


def _connected(port):
    return socket.create_connection((HOST, port), timeout=5)


def _ended(connection):
    """Whether it has ended, in order or not."""
    try:
        return connection.recv(10) == b""
    except ConnectionError:
        return True


def test_bytes_go_through_in_both_directions(relay):
    _, port, behind = relay
    with _connected(port) as one:
        other, _ = behind.accept()
        with other:
            one.sendall(b"there")
            assert other.recv(10) == b"there"
            other.sendall(b"back")
            assert one.recv(10) == b"back"


def test_a_cut_ends_connections_and_refuses_new_ones_until_it_is_mended(relay):
    made, port, behind = relay
    with _connected(port) as one:
        behind.accept()[0].close()
        made.cut()
        assert _ended(one)
    with pytest.raises(ConnectionRefusedError):
        _connected(port)
    made.mend()
    _connected(port).close()


def test_connections_that_are_accepted_while_the_wire_is_cut_are_ended(relay):
    made, port, _ = relay
    for _ in range(20):
        held = threading.Event()
        made._loop.call_soon_threadsafe(held.wait)  # the loop is busy while they come
        caught = [_connected(port) for _ in range(3)]
        cut = threading.Thread(target=made.cut)
        cut.start()
        time.sleep(0.01)  # both wait for the loop now
        held.set()
        cut.join()
        for each in caught:
            with each:
                assert _ended(each)
        made.mend()
    gc.collect()  # one that was lost would be heard of here or at the end of the test (ResourceWarning)
