"""How many dwellings stand in a place, by a census file of the operator's: CSV of `cell,dwellings`, H3 cells of resolution 9."""

import csv
import functools
from collections.abc import Callable
from pathlib import Path

import h3
from fairwitness_core.wire.fields import is_cell

type Dwellings = Callable[[tuple[str, ...]], int]


def dwellings(path: Path) -> Dwellings:
    """Return a function that counts the dwellings of cells. Raises OSError, ValueError naming the line that cannot be read."""
    counts = _read(path, path.stat().st_mtime_ns)
    return lambda cells: sum(counts.get(cell, 0) for cell in cells)


@functools.lru_cache(maxsize=2)
def _read(path: Path, _changed: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    with path.open(newline="", encoding="utf-8") as stream:
        for number, row in enumerate(csv.reader(stream), 1):
            if number == 1 and row == ["cell", "dwellings"]:
                continue
            if len(row) != 2 or not is_cell(row[0]) or h3.get_resolution(row[0]) != 9 or not row[1].isdigit():
                raise ValueError(f"{path}, line {number}: expected an H3 cell of resolution 9 and a number")
            counts[row[0]] = counts.get(row[0], 0) + int(row[1])
    return counts
