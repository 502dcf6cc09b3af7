"""What `doctor` finds: one line a check, with what to do where something is wrong."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

OK, WARN, FAILED = "ok", "warning", "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `state`: ok, warning or failed; `todo`: what mends it, empty where nothing is wrong."""

    name: str
    state: str
    text: str
    todo: str = ""


def ok(name: str, text: str) -> Check:
    """Return a check that holds."""
    return Check(name, OK, text)


def warn(name: str, text: str, todo: str) -> Check:
    """Return a check that holds for now."""
    return Check(name, WARN, text, todo)


def failed(name: str, text: str, todo: str) -> Check:
    """Return a check that does not hold."""
    return Check(name, FAILED, text, todo)


def exit_code(checks: Sequence[Check]) -> int:
    """Return 0 where nothing failed (warnings are no failure), else 1."""
    return int(any(check.state == FAILED for check in checks))


def to_json(role: str, checks: Sequence[Check]) -> str:
    """Return the findings for programs."""
    value = {"role": role, "ok": not exit_code(checks), "checks": [asdict(check) for check in checks]}
    return json.dumps(value, ensure_ascii=False, indent=1)


def to_text(checks: Sequence[Check]) -> str:
    """Return the findings for people: what fails stands last, where the eye is."""
    order = {OK: 0, WARN: 1, FAILED: 2}
    lines = []
    for check in sorted(checks, key=lambda c: order[c.state]):
        lines.append(f"{check.state:8} {check.name}: {check.text}")
        if check.todo:
            lines.append(f"         -> {check.todo}")
    bad = sum(check.state == FAILED for check in checks)
    lines.append("Nothing is wrong." if not bad else f"{bad} of {len(checks)} checks failed.")
    return "\n".join(lines)
