"""`./run bench NAME... [--peer edc] [--json] [--record FILE]`: measures on this machine. Exit code 1 when a target is missed or a benchmark gives no figure.

With `--peer edc`, `all` means what can be measured beside Eclipse EDC, in alternating rounds. A benchmark that fails is told of, and the next one begins.
"""

import argparse
import asyncio
import importlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import uvloop

from tests.perf.measure import Comparison, Measure, failed
from tests.perf.record import record
from tests.perf.size import QUICK, WHOLE, Size

BESIDE = ("negotiation", "catalog", "transfer", "start")  # those that take a peer
SIZED = (*BESIDE, "catalog_scale", "negotiation_postgres")
_PARTS = ("__main__", "measure", "record", "size")
NAMES = sorted(each.stem for each in Path(__file__).parent.glob("*.py") if each.stem not in _PARTS)
LONGEST = 1800.0  # seconds for one benchmark


async def run(names: list[str], *, peer: str, size: Size, as_json: bool) -> tuple[list[Comparison | Measure], bool]:
    """Run the benchmarks one after the other, printing each figure as it comes: the figures, and whether all targets were met."""
    found: list[Comparison | Measure] = []
    for name in names:
        try:
            async with asyncio.timeout(LONGEST):
                async for measure in _measures(name, peer, size):
                    found.append(measure)
                    print(measure.line(as_json=as_json), flush=True)
        except Exception as error:  # noqa: BLE001  whatever it was: the others are measured all the same
            found.append(failed(name, f"{type(error).__name__} {error}".strip()[:500]))
            print(found[-1].line(as_json=as_json), flush=True)
    return found, all(each.ok for each in found)


def _measures(name: str, peer: str, size: Size) -> AsyncIterator[Comparison | Measure]:
    module = importlib.import_module(f"tests.perf.{name}")
    given = ([peer] if name in BESIDE else []) + ([size] if name in SIZED else [])
    return module.measures(*given)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME", choices=[*NAMES, "all"], help=", ".join([*NAMES, "all"]))
    parser.add_argument("--peer", choices=["edc"], default="", help="measure it in the same run")
    parser.add_argument("--json", action="store_true", help="one JSON object a line for every figure")
    parser.add_argument("--quick", action="store_true", help="one small round: whether everything runs; its figures say nothing")
    parser.add_argument("--record", type=Path, metavar="FILE", help="put the figures into this page, in the place of the last ones")
    given = parser.parse_args()
    names = (BESIDE if given.peer else NAMES) if "all" in given.names else given.names
    found, met = uvloop.run(run(list(names), peer=given.peer, size=QUICK if given.quick else WHOLE, as_json=given.json))
    if given.record is not None:
        record(given.record, found, command=" ".join(["./run bench", *sys.argv[1:]]))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
