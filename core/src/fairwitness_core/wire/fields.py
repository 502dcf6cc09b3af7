"""Field types of wire documents: each turns a parsed JSON value into a typed one and back, or raises ProtocolError."""

import base64
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeGuard

import h3

from fairwitness_core.wire import canonical
from fairwitness_core.wire.errors import ProtocolError

# Looked at before h3 is: that library raises OverflowError for more digits than an index has.
_CELL = re.compile(r"[1-9a-f][0-9a-f]{14}")


@dataclass(frozen=True, slots=True)
class Kind:
    """How one field is read (`decode(value, where)`) and written (`encode(value)`)."""

    decode: Callable[[Any, str], Any]
    encode: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _fail(where: str, rule: str, value: object) -> ProtocolError:
    return ProtocolError("field.invalid", f"{where}: {rule}", evidence=repr(value))


def integer(low: int = 0, high: int = canonical.MAX_INTEGER) -> Kind:
    """Whole number from `low` to `high` inclusive."""

    def decode(value: Any, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _fail(where, f"a whole number from {low} to {high}", value)
        return value

    return Kind(decode, _same)


def boolean() -> Kind:
    """True or false."""

    def decode(value: Any, where: str) -> bool:
        if not isinstance(value, bool):
            raise _fail(where, "true or false", value)
        return value

    return Kind(decode, _same)


def text(max_bytes: int, *, min_bytes: int = 0, pattern: str | None = None, newline: bool = False) -> Kind:
    """NFC text of `min_bytes` to `max_bytes` UTF-8 bytes, optionally of a pattern; newline only where said."""
    compiled = re.compile(pattern) if pattern else None

    def decode(value: Any, where: str) -> str:
        if not isinstance(value, str):
            raise _fail(where, "text", value)
        canonical.check_text(value, where)
        if not min_bytes <= len(value.encode()) <= max_bytes:
            raise _fail(where, f"text of {min_bytes} to {max_bytes} bytes", value)
        if not newline and "\n" in value:
            raise _fail(where, "text in one line", value)
        if compiled and not compiled.fullmatch(value):
            raise _fail(where, f"text of the form {compiled.pattern}", value)
        return value

    return Kind(decode, _same)


def hex_bytes(size: int) -> Kind:
    """`size` bytes as lower-case hex; kept as text."""
    return text(size * 2, min_bytes=size * 2, pattern="[0-9a-f]+")


def base64_bytes(size: int | None = None, *, max_size: int = 4096) -> Kind:
    """Bytes as canonical standard base64: exactly `size`, or at most `max_size`."""

    def decode(value: Any, where: str) -> bytes:
        if not isinstance(value, str):
            raise _fail(where, "base64 text", value)
        try:
            raw = base64.b64decode(value, validate=True)
        except ValueError as error:
            raise _fail(where, "standard base64", value) from error
        if base64.b64encode(raw).decode() != value:
            raise _fail(where, "canonical base64", value)
        if (size is not None and len(raw) != size) or len(raw) > max_size:
            raise _fail(where, f"{size if size is not None else f'at most {max_size}'} bytes", value)
        return raw

    return Kind(decode, lambda raw: base64.b64encode(raw).decode())


def one_of(*choices: str) -> Kind:
    """One of the named words."""

    def decode(value: Any, where: str) -> str:
        if value not in choices or not isinstance(value, str):
            raise _fail(where, "one of " + ", ".join(choices), value)
        return value

    return Kind(decode, _same)


def is_cell(value: object) -> TypeGuard[str]:
    """Tell whether something is an H3 cell as text in its one spelling: 15 lower-case hex digits (16 would not fit an index)."""
    return isinstance(value, str) and _CELL.fullmatch(value) is not None and bool(h3.is_valid_cell(value))


def cell(low: int = 0, high: int = 15) -> Kind:
    """An H3 cell index as text, of a resolution from `low` to `high`."""

    def decode(value: Any, where: str) -> str:
        if not is_cell(value):
            raise _fail(where, "an H3 cell", value)
        if not low <= h3.get_resolution(value) <= high:
            raise _fail(where, f"an H3 cell of resolution {low} to {high}", value)
        return value

    return Kind(decode, _same)


def array(item: Kind, *, low: int = 0, high: int, ordered_set: bool = False) -> Kind:
    """A list of `low` to `high` items; `ordered_set` demands sorted and distinct. A tuple in Python."""

    def decode(value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple) or not low <= len(value) <= high:
            raise _fail(where, f"a list of {low} to {high} items", value)
        result = tuple(item.decode(one, f"{where}[{i}]") for i, one in enumerate(value))
        if ordered_set and any(a >= b for a, b in itertools.pairwise(result)):
            raise _fail(where, "sorted and without repeats", value)
        return result

    return Kind(decode, lambda items: [item.encode(one) for one in items])


def optional(inner: Kind) -> Kind:
    """A field that may be absent (None in Python); null on the wire is refused."""

    def decode(value: Any, where: str) -> Any:
        return None if value is None else inner.decode(value, where)

    return Kind(decode, lambda value: None if value is None else inner.encode(value))


AGENCY_ID = text(32, pattern=r"us-[a-z]{2}-[a-z0-9]{2,24}")
HASH = hex_bytes(32)
ID16 = hex_bytes(16)
TIME = integer(0, 253402300799)
