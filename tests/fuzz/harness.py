"""The one property of every parser of somebody else's bytes, the mutator that feeds it, and the corpus that is kept.

A target is checked against one input so: 1. only its allowed errors come out; 2. within a ceiling of processor time;
3. without the process growing by more than its memory bound; 4. what it read is read the same again from its own encoding;
5. where the format has one spelling, that encoding is the input: no two byte strings are one object.
"""

import hashlib
import json
import random
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "corpus"
CPU_SECONDS = 2.0
MEMORY = 192 << 20
MAX_KEPT = 16 << 10

_WORDS = (
    b"", b"\0", b"\n", b"\n\n", b"\xff", b"\xed\xa0\x80", b"\xc3\x28", b"\xe2\x80\x94 ", b"\r\n", b"\t", b"=", b"+", b"..", b"/",
    b"0", b"-1", b"1e400", b"NaN", b"Infinity", b"null", b"9223372036854775807", b"9223372036854775808", b"18446744073709551616",
    b"9" * 400, b"9" * 5000, b"[" * 300, b"{" * 300, b'{"a":' * 300, b'"\\ud800"', b'"\\u0000"', b"\xcc\x81", b"\xef\xbb\xbf",
    b"A" * 70, b"A" * 300, b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\1", b"\x80\0\0\0", b"\xff" * 8,
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 63, 2**31, 2**53 - 1, 2**53, 2**64, 10**400, 1.5, "", "0", "a", "\n", "\0", "é", "e\u0301",
    "\ud800", "\u202e", "0" * 64, "f" * 64, "A" * 44, "=" * 4, "x" * 5000, [], {}, [[]], [None], {"a": None}, "89283081003ffff",
    "age1" + "q" * 58, "1970-01-01T00:00:00", "9999-12-31T23:59:59+00:00", ["0" * 64] * 40,
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """One parser. `covers`: the callables (module:qualified name) that this target is the fuzzer of.

    `run` reads bytes and returns what it read; `allowed` are the errors that it may raise. `encode` turns what was read back
    into bytes that `run` takes; `canonical` says that these are the very input. `seeds` makes good inputs. `shape` is `json`
    where seeds are JSON that is worth changing by value. `role` is the Django role whose settings it needs.
    """

    name: str
    covers: tuple[str, ...]
    run: Callable[[bytes], Any]
    seeds: Callable[[], Sequence[bytes]]
    allowed: tuple[type[BaseException], ...]
    encode: Callable[[Any], bytes] | None = None
    canonical: bool = False
    shape: str = "bytes"
    role: str = ""
    limit: int = 1 << 16
    memory: int = MEMORY
    examples: int = 150
    cpu: float = CPU_SECONDS
    same: Callable[[Any, Any], bool] = field(default=lambda one, other: one == other)


class Broken(AssertionError):
    """The property does not hold; the input stands in the message."""


def check(target: Target, data: bytes) -> bool:
    """Check the property for one input; returns whether it was read. Raises Broken."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.thread_time()
    value: Any = None
    good = False
    try:
        value = target.run(data)
        good = True
    except target.allowed:
        pass
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Broken(f"{target.name}: {type(error).__name__}: {error}; input {shown(data)}") from error
    spent = time.thread_time() - started
    if spent > target.cpu:
        raise Broken(f"{target.name}: {spent:.1f} s of processor time; input {shown(data)}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    if grown > target.memory:
        raise Broken(f"{target.name}: grew by {grown >> 20} MiB; input {shown(data)}")
    if good and target.encode is not None:
        again = target.encode(value)
        if target.canonical and again != data:
            raise Broken(f"{target.name}: two spellings of one object; input {shown(data)}, the other {shown(again)}")
        if again != data and not target.same(target.run(again), value):
            raise Broken(f"{target.name}: read differently from its own encoding; input {shown(data)}")
    return good


def shown(data: bytes) -> str:
    """Return an input as Python writes it, whole where it is short; a long one is kept in the corpus folder by `keep`."""
    return (
        repr(data) if len(data) <= 2000 else f"{data[:200]!r}... ({len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()})"
    )


def keep(name: str, data: bytes) -> Path:
    """Keep an input in the corpus under its hash."""
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()[:20]
    path.write_bytes(data)
    return path


def kept(name: str) -> list[bytes]:
    """Return the corpus of a target."""
    folder = CORPUS / name
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []


def mutate(rng: random.Random, seeds: Sequence[bytes], shape: str, limit: int) -> bytes:
    """Return a changed seed: by value where it is JSON, by bytes, or spliced with another."""
    data = rng.choice(seeds) if seeds else b""
    if shape == "json" and rng.randrange(4):
        data = _by_value(rng, data)
    for _ in range(rng.choice((0, 0, 1, 2, 5)) if shape == "json" else rng.choice((0, 1, 1, 2, 3, 8))):
        data = _by_bytes(rng, data, seeds)
    return data[:limit]


def _by_bytes(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.choice((1, 1, 2, 4, 8, 33, 200)))
    match rng.randrange(9):
        case 0:
            return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        case 1 if data:
            at = min(at, len(data) - 1)
            return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        case 2:
            return data[:at] + data[end:]
        case 3:
            return data[:end] + data[at:]
        case 4:
            return data[:at] + rng.choice(_WORDS) + data[at:]
        case 5:
            return data[:at] + rng.choice(_WORDS) + data[end:]
        case 6:
            return data[:at]
        case 7:
            other = rng.choice(seeds) if seeds else b""
            return data[:at] + other[rng.randrange(len(other) + 1) :]
        case _:
            # A whole line or field moves: what the text formats are made of.
            parts = data.split(b"\n")
            rng.shuffle(parts)
            return b"\n".join(parts) if rng.randrange(2) else data + data[at:end]


def _by_value(rng: random.Random, data: bytes) -> bytes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return data
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        value = _change(rng, value)
    # "surrogatepass": half a surrogate must reach the parser, which is to refuse it.
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=bool(rng.randrange(10) == 0))
    except (ValueError, RecursionError):
        return data
    return text.encode("utf-8", "surrogatepass")


def _change(rng: random.Random, value: Any, depth: int = 0) -> Any:
    if depth < 6 and isinstance(value, dict) and value and rng.randrange(8):
        name = rng.choice(sorted(value))
        match rng.randrange(12):
            case 0:
                return {k: v for k, v in value.items() if k != name}
            case 1:
                return value | {rng.choice(("x", "", name + "x", "v", "type", "é")): rng.choice(_VALUES)}
            case 2:
                return value | {rng.choice(sorted(value)): value[name]}
            case _:
                return value | {name: _change(rng, value[name], depth + 1)}
    if depth < 6 and isinstance(value, list) and value and rng.randrange(8):
        at = rng.randrange(len(value))
        match rng.randrange(6):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value[: at + 1] + value[at:]
            case 2:
                return value[::-1]
            case _:
                return [*value[:at], _change(rng, value[at], depth + 1), *value[at + 1 :]]
    if isinstance(value, int) and not isinstance(value, bool) and rng.randrange(2):
        return value + rng.choice((-1, 1, -1000, 1000, 2**40, -value, -2 * value))
    if isinstance(value, str) and value and rng.randrange(2):
        at = rng.randrange(len(value))
        return value[:at] + rng.choice(("", value[at] * 2, "\n", "A", "0", "\u0301", "\ud83d\ude00", " ")) + value[at + 1 :]
    return rng.choice(_VALUES)
