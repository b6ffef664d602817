"""`./run bench NAME... [--peer edc] [--json]`: measures on this machine; every module here but `measure` is a benchmark. Exit code 1 when a target is missed.

With `--peer edc`, `all` means what can be measured beside Eclipse EDC, in alternating rounds.
"""

import argparse
import asyncio
import importlib
import sys
from pathlib import Path

NAMES = sorted(each.stem for each in Path(__file__).parent.glob("*.py") if each.stem not in ("__main__", "measure"))


BESIDE = ("negotiation", "catalog", "transfer", "start")  # those that take a peer


async def run(names: list[str], *, peer: str, as_json: bool) -> bool:
    """Run the benchmarks one after the other, printing each figure as it comes; whether all targets were met."""
    met = True
    for name in names:
        module = importlib.import_module(f"tests.perf.{name}")
        async for measure in module.measures(peer) if name in BESIDE else module.measures():
            print(measure.line(as_json=as_json), flush=True)
            met = met and measure.ok
    return met


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME", choices=[*NAMES, "all"], help=", ".join([*NAMES, "all"]))
    parser.add_argument("--peer", choices=["edc"], default="", help="measure it in the same run")
    parser.add_argument("--json", action="store_true", help='lines {"name","value","unit","target","ok"}')
    given = parser.parse_args()
    names = (BESIDE if given.peer else NAMES) if "all" in given.names else given.names
    return 0 if asyncio.run(run(list(names), peer=given.peer, as_json=given.json)) else 1


if __name__ == "__main__":
    sys.exit(main())
