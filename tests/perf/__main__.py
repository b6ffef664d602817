"""`./run bench NAME... [--json]`: measures on this machine; every module here but `measure` is a benchmark. Exit code 1 when a target is missed."""

import argparse
import asyncio
import importlib
import sys
from pathlib import Path

NAMES = sorted(each.stem for each in Path(__file__).parent.glob("*.py") if each.stem not in ("__main__", "measure"))


async def run(names: list[str], *, as_json: bool) -> bool:
    """Run the benchmarks one after the other, printing each figure as it comes; whether all targets were met."""
    met = True
    for name in names:
        module = importlib.import_module(f"tests.perf.{name}")
        async for measure in module.measures():
            print(measure.line(as_json=as_json), flush=True)
            met = met and measure.ok
    return met


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME", choices=[*NAMES, "all"], help=", ".join([*NAMES, "all"]))
    parser.add_argument("--json", action="store_true", help='lines {"name","value","unit","target","ok"}')
    given = parser.parse_args()
    names = NAMES if "all" in given.names else given.names
    return 0 if asyncio.run(run(names, as_json=given.json)) else 1


if __name__ == "__main__":
    sys.exit(main())
