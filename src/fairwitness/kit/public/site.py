"""Draws the public page: the same log gives the same bytes, wherever, whenever and by whomever it is drawn.

Nothing is read but the books, this program's own templates and translations, and `Look`, which says how a map is shown. What did
not change is not drawn again; what is written is written in one step a file, the list of files (`public.json`) last.
"""

import contextlib
import functools
import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from django.template import Context, Engine
from django.utils import translation
from fairwitness_core.rules.history import STATES
from fairwitness_core.wire import canonical

from fairwitness.kit import files
from fairwitness.kit.public import model
from fairwitness.kit.public.books import Books, PublicError

MANIFEST = "public.json"
LANGUAGES = ("en", "es")
_KIT = Path(__file__).parent.parent
_TEMPLATES = Path(__file__).parent / "templates"
_CATALOGUE = _KIT.parent / "locale" / "es" / "LC_MESSAGES" / "django.mo"
_ASSETS = (
    "kit/base.css", "kit/icon.svg", "web/icons.svg", "web/map-worker.js", "web/map.css", "web/map.js", "web/page.js",
)  # fmt: skip
_BASEMAP = "basemap.pmtiles"
_MAX_BASEMAP = 64 << 20
_SYNC_EACH = 64  # files; more are made durable together
_NEWEST = 20


@dataclass(frozen=True, slots=True)
class Look:
    """How maps are shown; says nothing of what. `basemap`: SHA-256 of the operator's base map, in hex, '' for a plain grid."""

    basemap: str = ""
    attribution: str = ""
    units: str = "metric"


def _built() -> list[Path]:
    """Return the scripts and styles; those that are built at installation are not there in a bare checkout."""
    return [path for name in _ASSETS if (path := _KIT / "static" / name).is_file()]


@functools.cache
def program() -> str:
    """Return what draws: the version, and a digest of templates, words and scripts. Pages of two of these may differ."""
    digest = hashlib.sha256()
    paths = [*sorted(Path(__file__).parent.rglob("*.py")), *sorted(_TEMPLATES.rglob("*.html")), _CATALOGUE]
    for path in [*paths, *_built()]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"fairwitness {metadata.version('fairwitness')} {digest.hexdigest()[:16]}"


@functools.cache
def _engine() -> Engine:
    return Engine(
        dirs=[str(_TEMPLATES)],
        builtins=["django.templatetags.i18n", "fairwitness.kit.public.tags"],
        string_if_invalid="",
    )


class Site:
    """Draws `books` into the folder `out`; without a folder it only works out what every file would be (`files`)."""

    def __init__(self, books: Books, out: Path | None, look: Look | None = None, *, basemap: Path | None = None) -> None:
        """Begin; what lies in `out` from an earlier run of the same program is not drawn again.

        `look` is given by who compares; else it follows from `basemap`, if there is one that is not too large.
        """
        self._books, self._out = books, out
        self._basemap = basemap
        self.look = look or Look()
        self.files: dict[str, str] = {}
        self._rows: dict[str, model.Row] = {}
        self._keys: dict[str, str] = {}
        self._fresh: list[Path] = []
        self._written = 0
        self._drawn = False
        self._told: dict[str, str] = {}
        self._pages: set[str] = set()
        self._resume()

    def draw(self, until: int | None = None) -> int:
        """Bring the pages up to the books' newest tick (or `until`); returns how many files were written.

        Raises ProtocolError where the log does not hold, PublicError where it is not all here.
        """
        if not self._books.advance(until) and self._rows:
            return 0
        if self._books.head is None:
            raise PublicError("the feed has not begun: there is no tick yet")
        self._written = 0
        changed = self._update()
        with contextlib.ExitStack() as stack:
            stack.enter_context(translation.override("en"))
            self._assets()
            ordered = sorted(self._rows.values(), key=lambda row: row.order)
            summary = model.summary(self._books, ordered)
            for row in changed:
                self._request(row)
            briefs = self._briefs(ordered)
            self._singles(ordered, summary, briefs)
            self._agencies(ordered, briefs)
            if changed or not self._drawn:
                self._lists(ordered)
                self._put("requests.json", b'{"requests":[' + b",".join(row.data for row in ordered) + b"]}\n")
                self._feed(ordered)
            self._drawn = True
            self._put("summary.json", canonical.encode(summary) + b"\n")
        self._drop()
        self._finish()
        return self._written

    # -- what changed

    def _update(self) -> list[model.Row]:
        history = self._books.history
        touched, history.touched = history.touched, set()
        changed = []
        ids = {name for kind, name in touched if kind == "request"}
        agencies = {name for kind, name in touched if kind == "agency"}
        for request_id, found in history.requests.items():
            known = self._rows.get(request_id)
            same = known is not None and request_id not in ids and known.agency not in agencies
            if not model.is_shown(found) or (same and known is not None and known.state == found.state(history.at)):
                continue
            row = model.row_of(found, history)
            if known is None or known.key != row.key:
                self._rows[request_id] = row
                changed.append(row)
        return changed

    # -- pages

    def _request(self, row: model.Row) -> None:
        place = f"requests/{row.id}"
        if self._keys.get(row.id) == row.key and all(f"{base}{place}.html" in self.files for base in ("", "es/")):
            return
        history, books = self._books.history, self._books
        found = history.requests[row.id]
        first = found.first
        head = books.head_of(first)
        proof = books.proof(first)
        self._put(f"{place}.envelope.json", books.entry(first.index))
        self._put(f"{place}.tlog-proof", proof)
        value = json.loads(row.data)
        agency = history.agencies.get(found.agency)
        context = {
            "one": value,
            "brief": row.brief,
            "agency": agency.record.authorized.name if agency else found.agency,
            "known_agency": agency is not None,
            "first": {"index": first.index, "leaf": first.leaf.hex(), "at": first.at, "tick": first.tick},
            "head": {"size": head.checkpoint.size, "root": head.checkpoint.root.hex(), "origin": head.checkpoint.origin},
            "witnesses": [{"name": name, "at": at} for name, at in head.times],
            "seen": max((at for _, at in head.times), default=0),
            "proof": proof.decode(),
            "url": books.join.url,
            "drawn": {"areas": [{"cells": value.get("area", []), "kind": "request" if row.state == "open" else "past"}]},
        }
        self._page(f"{place}.html", "request.html", context)
        # Rows keep what it was drawn from, for a later run too.
        self._told.pop(f"{place}.html", None)
        self._pages -= {f"{place}.html", f"es/{place}.html"}
        self._keys[row.id] = row.key

    def _singles(self, ordered: Sequence[model.Row], summary: Mapping[str, Any], agencies: Sequence[Mapping[str, Any]]) -> None:
        history = self._books.history
        months = model.months(ordered, model.month_of(history.at))
        common = {"summary": summary, "months": months, "agencies": agencies, "url": self._books.join.url}
        newest = [row.brief for row in reversed(ordered[-_NEWEST:])]
        self._page("index.html", "index.html", {**common, "newest": newest, "drawn": model.drawn(ordered, history)})
        genesis, join = history.genesis, self._books.join
        policy = self._books.policy()
        hosts = {
            "retention": genesis.retention if genesis else "",
            "hub_since": history.pin.genesis_at,
            "policies": model.policies(history),
            "same": model.same_hands(history),
            "witnesses": [{"name": witness.name, "url": witness.url} for witness in policy.witnesses],
        }
        self._page("hosts.html", "hosts.html", {**common, **hosts})
        self._page("check.html", "check.html", {**common, "genesis": join.genesis, "public_log": join.public_log})
        self._page("agencies.html", "agencies.html", {**common})

    def _briefs(self, ordered: Sequence[model.Row]) -> list[dict[str, Any]]:
        by_agency: dict[str, list[model.Row]] = {}
        for row in ordered:
            by_agency.setdefault(row.agency, []).append(row)
        at = self._books.history.at
        every = sorted(self._books.history.agencies.items())
        return [model.agency_brief(one, by_agency.get(name, ()), at) for name, one in every]

    def _lists(self, ordered: Sequence[model.Row]) -> None:
        self._pages = {path for path in self._pages if not path.removeprefix("es/").startswith("requests")}
        by_month: dict[str, list[model.Row]] = {}
        by_state: dict[str, list[model.Row]] = {state: [] for state in STATES}
        for row in ordered:
            by_month.setdefault(row.month, []).append(row)
            by_state[row.state].append(row)
        links = {
            "months": [{"month": name, "count": len(rows)} for name, rows in sorted(by_month.items(), reverse=True)],
            "states": [{"state": name, "count": len(rows)} for name, rows in by_state.items()],
            "count": len(ordered),
        }
        self._list("requests", ordered, links, {})
        for name, rows in by_month.items():
            self._list(f"requests/{name}", rows, links, {"month": name})
        for state, rows in by_state.items():
            self._list(f"requests/{state}", rows, links, {"state": state})

    def _list(
        self, name: str, rows: Sequence[model.Row], links: Mapping[str, Any] | None, told: Mapping[str, Any]
    ) -> tuple[Sequence[model.Row], str]:
        """Draw a list's pages, the newest one only with `links`; returns what the newest lists and the way to the one before.

        What stands on an older page changes with what it lists alone, not with every new request's count.
        """
        pages = model.chunks(rows)
        stem = "requests/all" if name == "requests" else name
        for number, chunk in enumerate(pages, 1):
            newest = number == len(pages)
            newer = "" if newest else f"{name}.html" if number + 1 == len(pages) else f"{stem}.{number + 1}.html"
            older = f"{stem}.{number - 1}.html" if number > 1 else ""
            if newest and links is None:
                return chunk, older
            context = {**told, **((links or {}) if newest else {}), "newer": newer, "older": older, "is_newest": newest}
            path = f"{name}.html" if newest else f"{stem}.{number}.html"
            self._page(path, "requests.html", {**context, "rows": [row.brief for row in reversed(chunk)]})
        return pages[-1], ""

    def _agencies(self, ordered: Sequence[model.Row], briefs: Sequence[Mapping[str, Any]]) -> None:
        history = self._books.history
        by_agency: dict[str, list[model.Row]] = {one["id"]: [] for one in briefs}
        for row in ordered:
            if row.agency in by_agency:
                by_agency[row.agency].append(row)
        for brief in briefs:
            one = history.agencies[brief["id"]]
            rows = by_agency[one.id]
            newest, older = self._list(f"agencies/{one.id}", rows, None, {"agency_name": brief["name"], "agency_id": one.id})
            context = {
                "agency": brief,
                "history": model.agency_history(one)[::-1],
                "months": model.months(rows, model.month_of(history.at)),
                "drawn": model.cover(one.record.authorized.jurisdiction),
                "rows": [row.brief for row in reversed(newest)],
                "older": older,
            }
            self._page(f"agencies/{one.id}.html", "agency.html", context)
        self._put("agencies.json", canonical.encode({"agencies": list(briefs)}) + b"\n")

    def _feed(self, ordered: Sequence[model.Row]) -> None:
        newest = [row.brief for row in reversed(ordered[-_NEWEST:])]
        join = self._books.join
        context = {
            "rows": newest, "url": join.url, "genesis": join.genesis, "hub": join.name,
            "updated": max((row["logged_at"] for row in newest), default=self._books.history.pin.genesis_at),
        }  # fmt: skip
        self._page("feed.atom", "atom.html", context)

    def _page(self, path: str, template: str, told: Mapping[str, Any]) -> None:
        """Draw a page in each language from its context, unless it was drawn from the same."""
        key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        self._pages |= {path, f"es/{path}"}
        if self._told.get(path) == key:
            return
        genesis = self._books.history.genesis
        base = "../" * path.count("/")
        for language in LANGUAGES:
            root = base if language == "en" else f"{base}../"
            context = {
                **told, "base": base, "root": root, "other": f"{root}es/{path}" if language == "en" else f"{root}{path}",
                "language": language, "look": asdict(self.look), "hub": genesis.name if genesis else "", "template": template,
            }  # fmt: skip
            with translation.override(language):
                text = _engine().get_template(f"public/{template}").render(Context(context))
            self._put(path if language == "en" else f"{language}/{path}", text.encode())
        self._told[path] = key

    # -- files

    def _drop(self) -> None:
        """Remove what a first drawing of this log would not make: a list that became shorter has fewer pages."""
        wanted = {f"requests/{name}{tail}" for name in self._rows for tail in (".html", ".envelope.json", ".tlog-proof")}
        wanted |= self._pages | {f"es/requests/{name}.html" for name in self._rows}
        for path in [path for path in self.files if path.startswith(("requests/", "agencies/", "es/")) and path not in wanted]:
            del self.files[path]
            self._told.pop(path.removeprefix("es/"), None)
            if self._out is not None:
                (self._out / path).unlink(missing_ok=True)

    def _assets(self) -> None:
        if self.files.get("static/kit/base.css"):
            return
        for path in _built():
            self._put(path.relative_to(_KIT).as_posix(), path.read_bytes())
        if self._basemap is not None and self.look.basemap:
            self._put(_BASEMAP, self._basemap.read_bytes())
        elif self.look.basemap:
            self.files[_BASEMAP] = self.look.basemap

    def _put(self, path: str, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()
        if self.files.get(path) == digest:
            return
        self.files[path] = digest
        self._written += 1
        if self._out is None:
            return
        target = self._out / path
        _folder(target.parent)
        spare = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
        try:
            with files.disk_errors("a public page"):
                spare.write_bytes(data)
                spare.chmod(0o644)
                spare.replace(target)
        except BaseException:
            spare.unlink(missing_ok=True)
            raise
        self._fresh.append(target)

    def _finish(self) -> None:
        """Make what was written durable, then say so: a list that names a file is never older than it."""
        if self._out is None:
            return
        if len(self._fresh) > _SYNC_EACH:
            os.sync()
        else:
            for path in self._fresh:
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
        if self._fresh:
            keys = {"program": program(), "look": asdict(self.look), "keys": self._keys}
            files.write_atomic(self._out.parent / f"{self._out.name}.keys", json.dumps(keys).encode())
            files.write_atomic(self._out / MANIFEST, self.manifest(), mode=0o644)
        self._fresh.clear()

    def manifest(self) -> bytes:
        """Return the list of all files with what they were made from."""
        head = self._books.head
        value = {
            "format": 1, "program": program(), "look": asdict(self.look), "tick": head.tick if head else -1,
            "genesis": self._books.join.genesis, "files": self.files,
        }  # fmt: skip
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"

    def _resume(self) -> None:
        if self._basemap is not None:
            data = self._basemap.read_bytes() if self._basemap.stat().st_size <= _MAX_BASEMAP else b""
            found = hashlib.sha256(data).hexdigest() if data else ""
            self.look = Look(found, self.look.attribution, self.look.units)
        if self._out is None:
            return
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            value = json.loads((self._out / MANIFEST).read_bytes())
            kept = json.loads((self._out.parent / f"{self._out.name}.keys").read_bytes())
            same = (program(), asdict(self.look))
            made = (kept["program"], kept["look"]) == same == (value["program"], value["look"])
            if made and value["genesis"] == self._books.join.genesis:
                self.files, self._keys = dict(value["files"]), dict(kept["keys"])


def _folder(path: Path) -> None:
    """Make a folder that a web server of another user can read; the data is public."""
    for folder in reversed([p for p in (path, *path.parents) if not p.exists()]):
        folder.mkdir(mode=0o755, exist_ok=True)
