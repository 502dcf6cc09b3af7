"""The pages that have no request to lean on, and refusals in the reader's language."""

import pytest
from django.template.loader import render_to_string
from django.utils import translation

from fairwitness.kit.accounts.start import start_url
from fairwitness.kit.errors import Refused


@pytest.mark.parametrize("name", ["400.html", "404.html", "500.html"])
def test_error_pages_need_no_context(name):
    page = render_to_string(name)
    assert page.count("<h1>") == 1
    assert 'lang="en"' in page
    with translation.override("es"):
        assert 'lang="es"' in render_to_string(name)


def test_a_refusal_without_gettext_is_translated_where_it_is_shown():
    with translation.override("es"):
        page = render_to_string(
            "kit/refused.html", {"error": Refused(409, "token.spent", "This token was spent.", "Use a fresh token.")}
        )
    assert "Este vale ya se gastó." in page
    assert "Use un vale nuevo." in page
    assert "token.spent" in page


def test_the_start_is_a_page_that_exists(client):
    assert client.get(start_url(), headers={"host": "localhost", "accept": "text/html"}).status_code in (200, 302)
