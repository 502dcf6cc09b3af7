"""Every sentence is translated, and what is compiled is what was translated."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def messages():
    spec = importlib.util.spec_from_file_location("messages", ROOT / "scripts" / "messages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_sentence_is_translated_and_compiled(messages):
    for language in messages.LANGUAGES:
        assert messages.stale(language) == [], "run scripts/messages.py and translate what it names"


def test_what_is_missing_is_found(messages):
    catalog = messages.read("es")
    assert messages.missing(catalog) == []
    catalog["Sign in"].string = ""
    catalog["Try again."].flags.add("fuzzy")
    catalog["%(name)s may sign in again."].string = "%(nombre)s puede volver a iniciar sesión."
    catalog.delete("Your account")
    assert messages.missing(catalog) == ["%(name)s may sign in again.", "Sign in", "Try again.", "Your account"]
    assert messages.compiled(catalog) != messages.compiled(messages.read("es"))


def test_sentences_are_found_in_code_and_in_templates(messages):
    files = {}
    for name, message in messages.demanded():
        files.setdefault(message, set()).add(Path(name).suffix)
    assert ".html" in files["Sign in with a passkey"]
    assert ".py" in files["This code is unknown, used or expired."]
    assert any(isinstance(message, tuple) and kinds == {".html"} for message, kinds in files.items()), "plurals of templates too"
