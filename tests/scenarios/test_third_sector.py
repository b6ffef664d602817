"""A third sector is a folder: its profile and story are made in a temporary folder, and the whole story is told with it, with no new Python."""

import msgspec
import pytest

from deploy.demo import report, topology
from deploy.demo.outsider import Outsider
from deploy.demo.story import Story
from deploy.demo.world import World
from tests.support import sector

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


class Quiet:
    def __init__(self):
        self.rows = []

    def chapter(self, title):
        pass

    def step(self, row):
        self.rows.append(row)

    end = step


def test_the_whole_story_of_a_third_sector(tmp_path):
    story = sector.make(tmp_path)
    space = msgspec.toml.decode((story / "dataspace.toml").read_bytes(), type=topology.DataSpace)
    world = World(tmp_path / "world", str(story), space)
    outsider = Outsider.create(world.directory / "outsider", world.outsider_port, world.roots)
    told = Quiet()
    try:
        world.make_identity()
        outsider.make(world.server_certificate("outsider-server"))
        for part in world.connectors:
            world.make_connector(part, outsider.issuer_did)
        for node in world.nodes:
            node.start()
        for node in world.nodes:
            node.wait_ready()
        outsider.start()
        Story(world, report.Trail(told), outsider).tell()
    finally:
        outsider.stop()
        for node in world.nodes:
            node.stop()
    assert all(row["ok"] for row in told.rows)
    assert {"negotiate", "pull", "push", "rotate", "terminate", "suspend", "outsider"} <= {row["step"] for row in told.rows}
    logs = "".join(node.log_file.read_text() for node in world.nodes)
    assert "Traceback" not in logs
    for key in world.directory.glob("*/management.key"):
        assert key.read_text().strip() not in logs, "a management key stands in a log"
    assert "eyJ" not in logs, "a token stands in a log"
