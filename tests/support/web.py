"""An application of ours for aiohttp's test client, which comes with a server for applications of the library."""

from aiohttp import web
from aiohttp.test_utils import BaseTestServer


class TestServer(BaseTestServer):
    """Serves an application (`kernel.web`) on a free port, with the settings of a listener."""

    def __init__(self, app, **more):
        super().__init__(**more)
        self.app = app

    async def _make_runner(self, **settings):
        return web.ServerRunner(self.app.server(**settings))
