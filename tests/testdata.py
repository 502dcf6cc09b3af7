"""Where the real test data lies. A clone of the project alone has none, and its tests say so and go on."""

import os
from pathlib import Path

import pytest


def data_dir() -> Path | None:
    """Return the folder of real data (FAIRWITNESS_TEST_DATA, else ../shared/data beside the project), or None."""
    named = os.environ.get("FAIRWITNESS_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    return folder if folder.is_dir() else None


def files(pattern: str) -> list[Path]:
    """Return every file that matches the glob `pattern` below the data folder, sorted.

    Skips the test where there is no data folder; fails it where the folder is there and the kind has no file.
    """
    folder = data_dir()
    if folder is None:
        pytest.skip("no real test data: set FAIRWITNESS_TEST_DATA")
    found = sorted(path for path in folder.glob(pattern) if path.is_file())
    assert found, f"the data folder has no file {pattern}"
    return found
