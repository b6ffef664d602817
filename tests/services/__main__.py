"""`./run services up|down`: servers that stay until they are taken down; running it twice changes nothing.

What was started stands in `.kizuna/services.json`; tests use it while it runs, and `down` ends that and nothing else.
"""

import json
import sys
from pathlib import Path

from deploy.demo.ports import free
from tests.services.postgres import Cluster, install

RECORD = Path(__file__).parents[2] / ".kizuna/services.json"
FIRST_PORT = 15_432


def running():
    """The cluster that `up` has started, if it runs."""
    if not RECORD.exists():
        return None
    found = json.loads(RECORD.read_text(encoding="utf-8"))["postgres"]
    cluster = Cluster(found["place"], found["port"])
    return cluster if cluster.running() else None


def up():
    install()
    cluster = running()
    if cluster is None:
        down()
        cluster = Cluster.create(_free_port())
        RECORD.parent.mkdir(exist_ok=True)
        RECORD.write_text(json.dumps({"postgres": {"place": str(cluster.place), "port": cluster.port}}), encoding="utf-8")
    print(f"postgres  {cluster.url()}  (127.0.0.1:{cluster.port})")


def down():
    if RECORD.exists():
        found = json.loads(RECORD.read_text(encoding="utf-8"))["postgres"]
        Cluster(found["place"], found["port"]).remove()
        RECORD.unlink()


def _free_port():
    for port in range(FIRST_PORT, FIRST_PORT + 100):
        if free(port):
            return port
    raise RuntimeError(f"no free port from {FIRST_PORT} on")


def main(arguments):
    if arguments not in (["up"], ["down"]):
        print("usage: ./run services up|down", file=sys.stderr)
        return 2
    try:
        {"up": up, "down": down}[arguments[0]]()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
