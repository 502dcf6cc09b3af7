"""`config --check`: every setting of a role with its value, its limits and its meaning."""

import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any

from fairwitness.kit.config import RoleConfig
from fairwitness.kit.operate.role import COMMON_MEANINGS, Operations


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: `limits` in words, `value` as it is in force, `default` as it is where nothing is set."""

    name: str
    value: Any
    default: Any
    limits: str
    meaning: str


def settings_of(role: Operations, cfg: RoleConfig) -> list[Setting]:
    """Return every setting of `cfg`, in the order of its declaration. Secrets of sign-in providers are not shown."""
    meanings: Mapping[str, str] = {**COMMON_MEANINGS, **role.meanings}
    hints = typing.get_type_hints(type(cfg))
    found = []
    for item in fields(cfg):
        if item.name == "data_dir":
            continue
        value = getattr(cfg, item.name)
        default = item.default if item.default is not MISSING else None
        meaning = item.metadata.get("about") or meanings.get(item.name, "")
        found.append(Setting(item.name, _shown(value), _shown(default), _limits(hints[item.name], item.metadata), meaning))
    return found


def to_text(settings: list[Setting]) -> str:
    """Return the settings for people."""
    lines = []
    for item in settings:
        changed = "" if item.value == item.default else f" (default {item.default!r})"
        lines.append(f"{item.name} = {item.value!r}{changed}")
        lines.append(f"    {item.meaning}" + (f"; {item.limits}" if item.limits else ""))
    return "\n".join(lines)


def _limits(hint: Any, metadata: Mapping[str, Any]) -> str:
    if "low" in metadata:
        return f"from {metadata['low']} to {metadata['high']}"
    if "options" in metadata:
        return f"one of {', '.join(metadata['options'])}"
    if hint is bool:
        return "true or false"
    if is_dataclass(hint):
        return "a table"
    return "a list" if typing.get_origin(hint) is tuple else "text"


def _shown(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_shown(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: ("(set)" if getattr(value, f.name) else "")
            if any(word in f.name for word in ("secret", "password", "token"))
            else _shown(getattr(value, f.name))
            for f in fields(value)
        }
    return value
