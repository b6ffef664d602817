"""Free ports for tests, apart from those of every other process (`deploy.demo.ports`): a thousand to go round in, since most are free again soon."""

from itertools import cycle, islice

from deploy.demo.ports import ROW, free, reserve

ROWS = 50


def _all():
    rows = []
    for _ in range(ROWS):
        rows.append(reserve())
        yield from range(rows[-1], rows[-1] + ROW)
    yield from cycle(port for base in rows for port in range(base, base + ROW))


_ports = _all()


def free_ports(count):
    """Ports that nobody listens on."""
    return list(islice(filter(free, _ports), count))


def free_port():
    return free_ports(1)[0]
