"""The page of metrics and the declared ones are the same list."""

import importlib
import re
from pathlib import Path

import pytest

from fairwitness.kit.operate import metrics

PAGE = Path(__file__).parents[3] / "docs" / "operate" / "metrics.md"


@pytest.mark.parametrize("role", ["hub", "agency", "home", "witness"])
def test_each_metric_is_explained(role):
    declared = importlib.import_module(f"fairwitness.{role}.operate").METRICS
    lines = {m[1]: m[2] for m in re.finditer(r"^\| `([a-z_]+)[`{].*?\| ([a-z, ]+) \|", PAGE.read_text("utf-8"), re.MULTILINE)}
    assert {metric.name for metric in declared} <= {name for name, roles in lines.items() if role in roles}
    assert {name for name, roles in lines.items() if roles == role} <= {metric.name for metric in declared}
    assert {metric.name for metric in metrics.COMMON} <= set(lines)
