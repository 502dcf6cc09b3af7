"""Print a table and keep the numbers: shared by the benchmarks of the log."""

import json
import os
import platform
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def report(name, title, rows, goals):
    columns = list(rows[0])
    widths = [max(len(column), *(len(_text(row[column])) for row in rows)) for column in columns]
    print(title)
    print("  ".join(column.rjust(width) for column, width in zip(columns, widths, strict=True)))
    for row in rows:
        print("  ".join(_text(row[column]).rjust(width) for column, width in zip(columns, widths, strict=True)))
    for goal, reached in goals.items():
        print(f"{'reached' if reached else 'MISSED '}  {goal}")
    RESULTS.mkdir(exist_ok=True)
    found = {
        "benchmark": name,
        "title": title,
        "rows": rows,
        "goals": goals,
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


def _text(value):
    return f"{value:,}" if isinstance(value, int | float) else str(value)
