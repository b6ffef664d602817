"""`./run conformance dsp --port N --kit URL --properties FILE`: a connector for the outside kit, until it is interrupted."""

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from kernel import telemetry
from tests.conformance.under_test import properties, serving


async def main() -> None:
    parser = argparse.ArgumentParser(prog="./run conformance")
    parser.add_argument("protocol", choices=["dsp"])
    parser.add_argument("--port", type=int, required=True, help="port of the connector on 127.0.0.1")
    parser.add_argument("--kit", required=True, help="callback address of the kit")
    parser.add_argument("--properties", type=Path, required=True, help="where to write the kit's properties")
    options = parser.parse_args()
    telemetry.configure("warning")
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    with tempfile.TemporaryDirectory(prefix="kizuna-conformance-") as place:
        async with serving(Path(place), options.port):
            options.properties.write_text(properties(options.port, options.kit), encoding="utf-8")
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
