"""`./run conformance dsp | dcp --role ROLE  --port N --kit URL --properties FILE`: what the outside kit tests, until it is interrupted."""

import argparse
import asyncio
import signal
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

from kernel import telemetry


@asynccontextmanager
async def serving(options, place):
    """Serve what was asked for; gives the kit's properties."""
    if options.protocol == "dsp":
        from tests.conformance import under_test as dsp

        async with dsp.serving(place, options.port, pause=dsp.LONG_PAUSE, one_by_one=True):
            yield dsp.properties(options.port, options.kit)
        return
    from tests.conformance import dcp_under_test as dcp

    async with dcp.under_test(options.role, place, options.port, options.kit).serving() as found:
        yield dcp.properties(found)


async def main() -> None:
    parser = argparse.ArgumentParser(prog="./run conformance")
    parser.add_argument("protocol", choices=["dsp", "dcp"])
    parser.add_argument("--role", choices=["credential-service", "verifier", "issuer"], help="the part that is tested (dcp)")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--kit", required=True, help="callback address of the kit")
    parser.add_argument("--properties", type=Path, required=True, help="where to write the kit's properties")
    parser.add_argument(
        "--log-level", default="warning", choices=["debug", "info", "warning", "error"], help="info shows the refusals"
    )
    options = parser.parse_args()
    if (options.protocol == "dcp") != (options.role is not None):
        parser.error("--role goes with dcp, and dcp needs one")
    telemetry.configure(options.log_level)
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    with tempfile.TemporaryDirectory(prefix="kizuna-conformance-") as place:
        async with serving(options, Path(place)) as text:
            options.properties.write_text(text, encoding="utf-8")
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
