"""`fairwitness public DIR OUT` draws the public page from a copy of the log; `--compare` says whether a hub shows the same."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import django
from django.conf import settings

from fairwitness.kit.public.books import Books, PublicError, place_of
from fairwitness.kit.public.compare import compare
from fairwitness.kit.public.site import Site

_NAMED = 20


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `fairwitness public`."""
    text = "draw a hub's public page again from a copy of its log, or compare it with what is shown"
    parser = commands.add_parser("public", help=text, description=text)
    parser.add_argument("directory", type=Path, help="a folder that `fairwitness mirror` made, or a hub's data folder")
    parser.add_argument("out", type=Path, nargs="?", help="where to write the pages; any web server can serve them")
    parser.add_argument("--compare", metavar="URL-or-DIR", help="compare with the pages that a hub, or a copy, shows")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    ready()
    try:
        if options.compare:
            return _compare(options)
        if options.out is None:
            print("fairwitness: name a folder for the pages, or --compare", file=sys.stderr)
            return 2
        site = Site(Books(place_of(options.directory)), options.out.absolute())
        site.draw()
    except PublicError as error:
        print(f"fairwitness: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"fairwitness: {error.filename or options.directory}: {error.strerror}", file=sys.stderr)
        return 1
    print(json.dumps({"pages": str(options.out), "files": len(site.files), "tick": json.loads(site.manifest())["tick"]}))
    return 0


def _compare(options: argparse.Namespace) -> int:
    found = compare(options.directory, options.compare)
    print(
        json.dumps(
            {**asdict(found), "same": found.same} | {k: getattr(found, k)[:_NAMED] for k in ("differ", "missing", "extra")}
        )
    )
    if found.same:
        return 0
    if found.program:
        print(f"fairwitness: those pages were drawn by {found.program}; compare with that version", file=sys.stderr)
    return 1


def ready() -> None:
    """Set up what templates need where no node runs: translations, and no database, no session, no clock."""
    if not settings.configured:
        settings.configure(
            USE_I18N=True,
            USE_TZ=True,
            TIME_ZONE="UTC",
            LANGUAGE_CODE="en",
            LANGUAGES=[("en", "English"), ("es", "Español")],
            LOCALE_PATHS=[str(Path(__file__).parents[2] / "locale")],
            LOGGING_CONFIG=None,
            INSTALLED_APPS=[],
        )
        django.setup()
