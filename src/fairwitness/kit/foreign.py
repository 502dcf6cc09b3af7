"""JSON that another party wrote and that need not be canonical: answers of a hub, of a recorder, of a bucket."""

import json
from typing import Any


def json_value(data: bytes | str) -> Any:
    """Read JSON; raises ValueError, and nothing else, for whatever cannot be read.

    Python's reader also runs out of stack on deep nesting, takes NaN and the infinities for numbers (RFC 8259, section 6 has
    none of these) and hands out halves of surrogate pairs, which no encoder writes and no database takes. All are refused
    here, so that no caller meets them.
    """
    text = data if isinstance(data, str) else data.decode("utf-8")
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    return value


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number in JSON")


def _finite(text: str) -> float:
    found = float(text)
    if found - found != 0:
        raise ValueError("a number is too large")
    return found
