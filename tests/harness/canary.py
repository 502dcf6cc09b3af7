"""Strings that must never leave a home, in every spelling, and the search for them in bytes (protocol.md 11, T4)."""

import base64
import gzip
import json
import math
import struct
import zlib
from collections.abc import Iterable, Iterator

import h3

FINEST, COARSEST = 15, 5


def spellings(lat: float, lon: float) -> dict[str, bytes]:
    """The ways to write a place down; all long enough not to come by chance."""
    found: dict[str, bytes] = {}
    for name, value in (("lat", lat), ("lon", lon)):
        for digits in (5, 6, 7):
            found[f"{name} to {digits} digits"] = f"{value:.{digits}f}".encode()
            found[f"{name} with a comma, {digits} digits"] = f"{value:.{digits}f}".replace(".", ",").encode()
        found[f"{name} as written"] = repr(value).encode()
        found[f"{name} in ten-millionths"] = str(round(abs(value) * 10**7)).encode()
        found[f"{name} in radians"] = f"{math.radians(value):.9f}".encode()
        degrees, rest = divmod(abs(value), 1)
        found[f"{name} in minutes"] = f"{int(degrees)}°{rest * 60:.4f}".encode()
        for order, word in ((">", "big"), ("<", "little")):
            found[f"{name} as a double, {word} endian"] = struct.pack(f"{order}d", value)
    for order in "><":
        found[f"place as floats {order}"] = struct.pack(f"{order}ff", lat, lon)
    return found


def cells(lat: float, lon: float, public: Iterable[str]) -> dict[str, bytes]:
    """The cells of a place from resolution 5 to 15, but for those that were published or contain what was."""
    known = set()
    for cell in public:
        known |= {h3.cell_to_parent(cell, r) for r in range(h3.get_resolution(cell) + 1)}
    found: dict[str, bytes] = {}
    for resolution in range(COARSEST, FINEST + 1):
        cell = h3.latlng_to_cell(lat, lon, resolution)
        if cell in known:
            continue
        number = h3.str_to_int(cell)
        found[f"cell of resolution {resolution}"] = cell.encode()
        found[f"cell of resolution {resolution} in decimal"] = str(number).encode()
        found[f"cell of resolution {resolution} as bytes"] = number.to_bytes(8, "big")
    return found


def encodings(plain: bytes) -> Iterator[tuple[str, bytes]]:
    """A needle as it may be dressed: raw, hex, base64 at each alignment, UTF-16, reversed."""
    yield "raw", plain
    yield "reversed", plain[::-1]
    yield "hex", plain.hex().encode()
    yield "HEX", plain.hex().upper().encode()
    for shift in range(3):
        for word, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            # The first and last characters depend on the neighbours.
            text = encode(bytes(shift) + plain)[(shift * 8 + 5) // 6 :].rstrip(b"=")
            text = text[: len(text) - (1 if (shift + len(plain)) % 3 else 0)]
            if len(text) >= 8:
                yield f"{word} at {shift}", text
    try:
        text = plain.decode()
    except UnicodeDecodeError:
        return
    yield "upper case", text.upper().encode()
    yield "UTF-16", text.encode("utf-16-le")
    yield "UTF-16 big endian", text.encode("utf-16-be")
    yield "JSON", json.dumps(text).strip('"').encode()


def unpacked(data: bytes) -> Iterator[bytes]:
    """Whatever is compressed inside."""
    for magic in (b"\x1f\x8b\x08", b"\x78\x9c", b"\x78\x01", b"\x78\xda"):
        start = data.find(magic)
        while start >= 0:
            try:
                stream = zlib.decompressobj(47)
                out = stream.decompress(data[start:], 1 << 24)
                if len(out) > 8:
                    yield out
            except zlib.error:
                pass
            start = data.find(magic, start + 1)


def packed(plain: bytes) -> Iterator[tuple[str, bytes]]:
    """What a needle alone looks like compressed."""
    yield "gzip", gzip.compress(plain, mtime=0)[10:-8]
    yield "zlib", zlib.compress(plain)[2:-4]


def sweep(needles: dict[str, bytes], haystacks: Iterable[tuple[str, bytes]]) -> str:
    """Return where the first needle was found, in words, or an empty text."""
    dressed = {}
    for name, plain in needles.items():
        for how, data in [*encodings(plain), *(packed(plain) if len(plain) > 10 else ())]:
            if len(data) >= 6:
                dressed.setdefault(data, f"{name} ({how})")
    places = []
    for place, data in haystacks:
        places.append((place, data))
        places += [(f"{place}, unpacked", inner) for inner in unpacked(data)]
    everything = b"\x00|\x00".join(data for _, data in places)
    for needle, name in dressed.items():
        if needle in everything:
            where = next((place for place, data in places if needle in data), "a seam between two")
            return f"{name} in {where}"
    return ""
