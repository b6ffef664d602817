"""How much is measured: whole, or a quick look at whether everything runs, whose figures say nothing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    rounds: int = 3
    outstanding: int = 500  # negotiations, and transfers, at once
    started: int = 700  # transfers that are open while idle CPU is measured
    alone: int = 20  # negotiations one after the other
    assets: int = 10_000
    pages: int = 60  # of one median
    idle: float = 5.0  # seconds
    many: int = 100_000  # assets of the big catalog, and definitions that do not apply to its reader
    definitions: int = 3_000


WHOLE = Size()
QUICK = Size(rounds=1, outstanding=20, started=30, alone=2, assets=300, pages=10, idle=1.0, many=600, definitions=30)
