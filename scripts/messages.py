#!/usr/bin/env python3
"""Keep the translations in step with the program: `python scripts/messages.py`, or `--check` to change nothing.

Reads every sentence that Python code and templates hand to gettext, brings src/fairwitness/locale/*/LC_MESSAGES/django.po
up to date and compiles django.mo beside it. Both are committed, so that neither building nor running needs gettext. What
is untranslated is listed and makes the exit status 1. The literal sentences of the hub's and the agency's refusals are
taken in too (pages translate them when they show them), without being demanded.
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages import extract, mofile, pofile
from babel.messages.catalog import Catalog
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "fairwitness"
LOCALE = SOURCE / "locale"
LANGUAGES = ("es",)
KEYWORDS: dict[str, tuple[int, ...] | None] = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop")),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
}
type Message = str | tuple[str, ...]


def demanded() -> Iterator[tuple[str, Message]]:
    """Yield (file, message) for every call of gettext in code and templates."""
    for path in sorted(SOURCE.rglob("*.py")):
        yield from _python(path, path.read_bytes(), KEYWORDS)
    for path in sorted(SOURCE.rglob("*.html")):
        # Django writes templates as code that calls gettext; what stands between the calls is blanked, its indents are not.
        code = templatize(path.read_text(), origin=str(path))
        yield from _python(path, "\n".join(line.strip() for line in code.splitlines()).encode(), KEYWORDS)


def welcome() -> Iterator[tuple[str, Message]]:
    """Yield (file, message) for every literal sentence and hint with which a role refuses."""
    for path in sorted(SOURCE.rglob("*.py")):
        data = path.read_bytes()
        if b"Refused(" in data:
            for place in (3, 4):
                yield from _python(path, data, {"Refused": (place,)})


def _python(path: Path, data: bytes, keywords: dict[str, tuple[int, ...] | None]) -> Iterator[tuple[str, Message]]:
    name = path.relative_to(ROOT).as_posix()
    for _line, message, _comments, _context in extract.extract(
        "python", io.BytesIO(data), keywords, options={"encoding": "utf-8"}
    ):
        # Of other calls' arguments, only what reads like a sentence.
        if keywords is KEYWORDS or (isinstance(message, str) and " " in message.strip() and message.strip() == message):
            yield name, message


def template() -> Catalog:
    """Return every message with the files that use it."""
    found = Catalog(project="Fairwitness", version="1", charset="utf-8", fuzzy=False)
    for name, message in [*demanded(), *welcome()]:
        found.add(message, locations=[(name, 0)])
    return found


def read(language: str) -> Catalog:
    """Return the committed translations of `language`."""
    with (LOCALE / language / "LC_MESSAGES" / "django.po").open("rb") as file:
        return pofile.read_po(file, locale=language)


def missing(catalog: Catalog) -> list[str]:
    """Return the demanded messages that `catalog` does not translate, or translates with other placeholders."""
    found = []
    for _name, message in demanded():
        key = message if isinstance(message, str) else message[0]
        entry = catalog.get(key)
        whole = entry is not None and not entry.fuzzy and (all(entry.string) if isinstance(entry.string, tuple) else entry.string)
        if not whole or list(entry.check(catalog)):
            found.append(key)
    return sorted(set(found))


def compiled(catalog: Catalog) -> bytes:
    """Return what django.mo must hold."""
    out = io.BytesIO()
    mofile.write_mo(out, catalog)
    return out.getvalue()


def written(catalog: Catalog) -> bytes:
    """Return what django.po must hold."""
    out = io.BytesIO()
    pofile.write_po(out, catalog, width=120, sort_output=True, include_lineno=False, ignore_obsolete=True)
    return out.getvalue()


def stale(language: str) -> list[str]:
    """Return what keeps the committed files of `language` from serving the program as it stands."""
    catalog = read(language)
    found = [f"not translated: {message!r}" for message in missing(catalog)]
    if (LOCALE / language / "LC_MESSAGES" / "django.mo").read_bytes() != compiled(catalog):
        found.append("django.mo is not compiled from django.po")
    return found


def update(language: str) -> None:
    """Bring the files of `language` up to date; what was translated stays."""
    folder = LOCALE / language / "LC_MESSAGES"
    folder.mkdir(parents=True, exist_ok=True)
    fresh = template()
    if (folder / "django.po").exists():
        catalog = read(language)
        fresh.creation_date = catalog.creation_date
    else:
        catalog = Catalog(locale=language, project="Fairwitness", version="1", fuzzy=False)
    catalog.update(fresh, no_fuzzy_matching=True)
    catalog.header_comment = "# Fairwitness, translated. Brought up to date and compiled by scripts/messages.py."
    catalog.last_translator = catalog.language_team = catalog.msgid_bugs_address = "Fairwitness"
    catalog.revision_date = catalog.creation_date
    for name, data in (("django.po", written(catalog)), ("django.mo", compiled(catalog))):
        (folder / name).write_bytes(data)


def main(arguments: list[str]) -> int:
    """Update, or only check, every language."""
    status = 0
    for language in LANGUAGES:
        if "--check" not in arguments:
            update(language)
        for words in stale(language):
            print(f"{language}: {words}")
            status = 1
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
