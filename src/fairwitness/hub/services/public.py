"""The public page of this hub: drawn by the beat from its own public files and served as files."""

from pathlib import Path

from fairwitness.hub.config import Config
from fairwitness.hub.services import feed, identity
from fairwitness.kit import config, files
from fairwitness.kit.http_static import Cache
from fairwitness.kit.public.books import Books, Place
from fairwitness.kit.public.site import Look, Site
from fairwitness.kit.static_view import basemap_file

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".atom": "application/atom+xml; charset=utf-8",
    ".tlog-proof": "text/plain; charset=utf-8",
}
_held: dict[Path, Site] = {}


def folder() -> Path:
    """Return where the pages lie."""
    return config.current(Config).folder("public")


def cache_policy(path: str) -> Cache | None:
    """Say how a page may be cached; None for what is none."""
    return Cache.SHORT if Path(path).suffix in _KINDS else None


def kind_of(path: str) -> str:
    """Return a page's media type."""
    return _KINDS.get(Path(path).suffix, "application/octet-stream")


def draw(_now: int) -> int:
    """Bring the pages up to the newest tick; returns how many files were written.

    The log's history is kept between calls; what does not hold is forgotten, so that the next call begins at entry 0. Raises
    ProtocolError, PublicError.
    """
    if not (feed.root() / "v1" / "latest").exists():
        return 0
    out = folder()
    site = _held.pop(out, None) or _begin(out)
    written = site.draw()
    _held[out] = site
    return written


def _begin(out: Path) -> Site:
    cfg = config.current(Config)
    _held.clear()
    place = Place(feed.root() / "join.json", identity.log_folder("p") / "public", feed.root() / "v1")
    base = basemap_file()
    look = Look("", cfg.basemap_attribution if base else "", cfg.units)
    return Site(Books(place), files.private_dir(out), look, basemap=base)
