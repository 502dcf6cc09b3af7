"""Says whether the pages that a hub shows are the ones that its log comes to."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fairwitness.kit import http
from fairwitness.kit.public.books import Books, PublicError, place_of
from fairwitness.kit.public.site import MANIFEST, Look, Site, program

_MOST = 128 << 20
_NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._\-]*/){0,4}[A-Za-z0-9_][A-Za-z0-9._\-]*")
_TRIES = 3

type Read = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True)
class Compared:
    """What was found. `differ`: other bytes; `missing`: not shown; `extra`: listed there and not made from the log.

    `files`: how many were compared; `program`: the other program that drew them, '' where it is this one.
    """

    tick: int
    files: int
    differ: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    program: str = ""

    @property
    def same(self) -> bool:
        """Tell whether every byte that is shown follows from the log."""
        return not (self.differ or self.missing or self.extra)


def shown_at(place: str) -> Read:
    """Return how to read the pages at an address or in a folder (drawn pages, or a hub's data folder)."""
    if "://" in place:
        return lambda path: _fetch(place.rstrip("/"), path)
    folder = Path(place)
    base = next((one for one in (folder, folder / "public", folder / "site") if (one / MANIFEST).is_file()), None)
    if base is None:
        raise PublicError(f"{place} holds no {MANIFEST}: no pages were drawn there")

    def read(path: str) -> bytes | None:
        try:
            return (base / path).read_bytes()
        except FileNotFoundError:
            return None

    return read


def compare(folder: Path, place: str) -> Compared:
    """Draw the pages of the log in `folder` anew, as of the tick that `place` shows, and compare every file there.

    Raises ProtocolError where the log does not hold, PublicError where the log here ends before that tick.
    """
    read = shown_at(place)
    for _ in range(_TRIES):
        listed = read(MANIFEST)
        found = _once(folder, read, listed)
        if found.same or read(MANIFEST) == listed:
            return found
        # It went on to its next tick while it was read.
    return found


def _once(folder: Path, read: Read, listed: bytes | None) -> Compared:
    if listed is None:
        raise PublicError(f"no {MANIFEST} is shown there")
    try:
        value = json.loads(listed)
        tick, told, look = int(value["tick"]), dict(value["files"]), Look(**value["look"])
        made_by = str(value["program"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise PublicError(f"the {MANIFEST} that is shown cannot be read") from error
    books = Books(place_of(folder))
    newest = books.newest()
    if newest is None or newest < tick:
        raise PublicError(f"the log here ends at tick {newest}, what is shown is of tick {tick}: bring the mirror up to date")
    site = Site(books, None, look)
    site.draw(tick)
    differ, missing = [], []
    for path, digest in sorted(site.files.items()):
        data = read(path)
        if data is None:
            missing.append(path)
        elif hashlib.sha256(data).hexdigest() != digest:
            differ.append(path)
    extra = sorted(path for path in told if path not in site.files and _NAME.fullmatch(path))
    other = "" if made_by == program() else made_by
    return Compared(tick, len(site.files), tuple(differ), tuple(missing), tuple(extra), other)


def _fetch(base: str, path: str) -> bytes | None:
    try:
        answer = http.Http().get(f"{base}/{path}", max_bytes=_MOST)
    except (http.Unreachable, http.TooLarge, ValueError) as error:
        raise PublicError(f"{base}/{path}: {error}") from error
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise PublicError(f"{base}/{path} answered {answer.status}")
    return answer.body
