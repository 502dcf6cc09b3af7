"""Canonical JSON: RFC 8785 restricted to what protocol.md section 3 allows.

Objects, arrays, strings, booleans, null and integers of magnitude at most 2**53-1. No floats. Strings are NFC and hold no
control character but newline. A document is read from bytes exactly once, and only if encoding it again gives those bytes.
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import rfc8785

from fairwitness_core.wire.errors import ProtocolError

MAX_INTEGER = 2**53 - 1
MAX_DEPTH = 16
DEFAULT_LIMIT = 1 << 20


# Not the code points that are merely unassigned (Cn): which those are changes with each version of Unicode, and a program must
# read what a newer one wrote. Rules about what people may write refuse them (`rules.wording`).
_UNSEEN = frozenset({"Cc", "Cs", "Co", "Cf", "Zl", "Zp"})


def _is_noncharacter(code: int) -> bool:
    """Tell whether a code point will never be a character (Unicode 3.4, D14)."""
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def check_text(text: str, where: str = "string") -> str:
    """Return `text` if it is NFC without control characters other than newline; raises ProtocolError."""
    if not text.isascii() and unicodedata.normalize("NFC", text) != text:
        raise ProtocolError("text.not_nfc", f"{where} is not in Unicode normal form C", evidence=text, hint="normalise")
    if not text.isprintable():
        for character in text:
            if character != "\n" and (unicodedata.category(character) in _UNSEEN or _is_noncharacter(ord(character))):
                raise ProtocolError(
                    "text.control",
                    f"{where} holds a control or invisible character",
                    evidence=f"U+{ord(character):04X}",
                    hint="only newline is allowed",
                )
    return text


def _check(value: object, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ProtocolError("json.depth", f"nested deeper than {MAX_DEPTH}")
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise ProtocolError("json.integer", "integer beyond 2**53-1", evidence=str(value)[:40])
    elif isinstance(value, str):
        check_text(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ProtocolError("json.key", "object keys are strings", evidence=repr(key))
            check_text(key, "key")
            _check(item, depth + 1)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for item in value:
            _check(item, depth + 1)
    else:
        raise ProtocolError(
            "json.type",
            "only objects, arrays, strings, integers, true, false and null are allowed",
            evidence=type(value).__name__,
        )


def encode(value: Any) -> bytes:
    """Return the one canonical form of `value` (RFC 8785); raises ProtocolError for what the subset does not hold."""
    _check(value, 0)
    return rfc8785.dumps(value)


def _no_float(text: str) -> Any:
    raise ProtocolError("json.float", "numbers are whole", evidence=text)


def _integer(text: str) -> int:
    if len(text) > 17:
        raise ProtocolError("json.integer", "integer beyond 2**53-1", evidence=text[:40])
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ProtocolError("json.duplicate_key", "an object names a key twice", evidence=key)
            seen.add(key)
    return result


def decode(data: bytes, *, limit: int = DEFAULT_LIMIT) -> Any:
    """Read canonical JSON bytes; raises ProtocolError unless `encode(decode(data)) == data` and the size is within `limit`.

    Refusing every other spelling removes attacks that rest on two parsers reading one document differently.
    """
    if len(data) > limit:
        raise ProtocolError("json.too_large", f"{len(data)} bytes where at most {limit} are allowed")
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_unique, parse_float=_no_float, parse_constant=_no_float, parse_int=_integer)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ProtocolError("json.malformed", "not JSON in UTF-8", evidence=str(error)) from error
    if encode(value) != data:
        raise ProtocolError("json.not_canonical", "the bytes are not in canonical form", hint="RFC 8785")
    return value
