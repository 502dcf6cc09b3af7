"""Metrics for Prometheus, from a closed list, and health pages; all but /healthz for this machine alone.

What is measured is public, or the state of the machine: nothing counts residents, cameras, matches, answers or evidence.
docs/operate/metrics.md lists every name and why it tells nothing of anybody.
"""

import ipaddress
import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HEARTBEAT = "beat.at"
LOW_BYTES = 1 << 28
LOW_PART = 0.05
TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricsError(Exception):
    """A sample is not of the closed list."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One declared metric. `labels`: name to the closed list of its values, or None for public log origins."""

    name: str
    kind: str
    help: str
    labels: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a declared metric."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


COMMON = (
    Metric("fairwitness_ready", "gauge", "1 where this node can do its work, else 0"),
    Metric("fairwitness_disk_low", "gauge", "1 where less than 5 % of the data folder's disk, or less than 256 MiB, is free"),
    Metric("fairwitness_beat_age_seconds", "gauge", "seconds since the beat last ran; -1 before the first time"),
)


def render(declared: Sequence[Metric], samples: Iterable[Sample]) -> bytes:
    """Return Prometheus's text format 0.0.4. Raises MetricsError for a sample that is not declared."""
    known = {metric.name: metric for metric in declared}
    by_name: dict[str, list[str]] = {}
    for sample in samples:
        metric = known.get(sample.name)
        if metric is None or set(metric.labels) != set(sample.labels):
            raise MetricsError(f"{sample.name} with these labels is not declared")
        for label, value in sample.labels.items():
            allowed = metric.labels[label]
            if allowed is not None and value not in allowed:
                raise MetricsError(f"{sample.name}: {label} takes no such value")
        inner = ",".join(f'{k}="{_escape(v)}"' for k, v in sorted(sample.labels.items()))
        number = int(sample.value) if math.isfinite(sample.value) and sample.value == int(sample.value) else sample.value
        by_name.setdefault(sample.name, []).append(f"{sample.name}{f'{{{inner}}}' if inner else ''} {number}")
    lines = []
    for metric in declared:
        if metric.name in by_name:
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}", *by_name[metric.name]]
    return ("\n".join(lines) + "\n").encode()


def is_local(headers: Mapping[str, object]) -> bool:
    """Tell whether a request (its WSGI environment) comes from this machine itself and through no proxy."""
    if any(name in headers for name in ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_FORWARDED", "HTTP_X_REAL_IP")):
        return False
    try:
        return ipaddress.ip_address(str(headers.get("REMOTE_ADDR", ""))).is_loopback
    except ValueError:
        return False


def one_hot(name: str, label: str, values: Sequence[str], present: str) -> list[Sample]:
    """Return a sample for each of `values`, 1 for `present` and 0 for the others."""
    return [Sample(name, float(value == present), {label: value}) for value in values]


def safely(take: Callable[[], Sequence[Sample]]) -> Sequence[Sample]:
    """Return the samples, none where they cannot be taken: a page of metrics must not fail because the node does."""
    try:
        return take()
    except MetricsError:
        raise
    except Exception:  # noqa: BLE001 - whatever is wrong shows as fairwitness_ready 0 and in doctor
        return ()


def heartbeat_age(folder: Path, now: int) -> int:
    """Return the seconds since the beat last ran, -1 where it never did."""
    try:
        return max(0, now - int((folder / "run" / HEARTBEAT).read_text()))
    except (FileNotFoundError, ValueError):
        return -1


def disk_low(folder: Path) -> bool:
    """Tell whether the disk of `folder` is nearly full."""
    usage = shutil.disk_usage(folder)
    return usage.free < max(LOW_BYTES, usage.total * LOW_PART)


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
