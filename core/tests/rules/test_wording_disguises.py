"""Links and numbers that a list misses because a program does not draw what splits them, or draws another alphabet alike."""

import pytest
from fairwitness_core.rules import wording

BASE = "A man in a red jacket broke the window of a bakery and ran north towards the bridge."
pytestmark = pytest.mark.claim("P1")  # a link opened tells its keeper who read the request


def rules(text):
    return {violation.rule for violation in wording.check_message(f"{BASE} {text}")}


@pytest.mark.parametrize(
    "sign", ["\ufe0f", "\u034f", "\u3164", "\u115f", "\uffa0", "\u2800", "\u180b", "\u17b4", "\u200e", "\U000e0101"]
)
def test_what_is_not_drawn_is_refused_where_it_splits_a_link_or_a_number(sign):
    for text in (f"See example{sign}.com for more", f"Call 510{sign}555{sign}0100 now", f"Look{sign}"):
        assert "text.hidden" in rules(text), text
        assert "text.hidden" in {v.rule for v in wording.check_contact(text)}


@pytest.mark.parametrize(
    "link",
    ["\u043f\u0440\u0438\u043c\u0435\u0440.com", "\u0435\u0445\u0430mple.com", "example.\u0441\u043em", "b\u00fccher.de",
     "\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444", "\u4f8b\u3048.xn--q9jyb4c"],
)  # fmt: skip
def test_a_link_in_another_alphabet_is_a_link(link):
    assert "text.link" in rules(f"See {link} for more")


@pytest.mark.parametrize(
    "text",
    [
        "Vieron una camioneta gris. Iba hacia el r\u00edo.",
        "\u041e\u043d \u0443\u0448\u0451\u043b. \u0421\u043b\u0435\u0432\u0430 \u0448\u0440\u0430\u043c.",
        "He left at 2.30 p.m. by van.",
    ],
)
def test_plain_sentences_stay_plain(text):
    assert not rules(text) & {"text.link", "text.hidden"}
