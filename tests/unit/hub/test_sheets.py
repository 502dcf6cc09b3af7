"""Invites on paper: what a page says, what it must not fetch, and that each fits on one sheet of either size."""

import re
import shutil
import subprocess

import pytest

from fairwitness.hub.models import Invite
from fairwitness.hub.services import sheets, tokens
from fairwitness.kit.errors import Refused

CODE = re.compile(r"\b[A-Z2-7]{4}(?:-[A-Z2-7]{4}){3}\b")


def test_a_page_has_the_code_the_address_and_what_to_compare(world, tmp_path):
    out = tmp_path / "sheet.html"
    before = Invite.objects.count()
    assert sheets.make(out, 3, uses=2, language="en") == 3
    assert out.stat().st_mode & 0o777 == 0o600
    text = out.read_text()
    codes = CODE.findall(text)
    assert len(set(codes)) == len(codes) == 3
    assert Invite.objects.count() == before + 3
    for code in codes:
        row = Invite.objects.get(code_sha256=tokens._code_hash(code))
        assert row.uses == 2
        assert code not in str(list(Invite.objects.values_list()))
    join = sheets.identity.join_file(sheets.directory.policy_text(sheets.clock.now()))
    for vkey in (join.public_log, join.sealed_log):
        assert text.count(sheets.short(vkey)) == 3
    assert text.count("<svg") == 3
    assert "for 2 households" in text
    # Nothing is fetched from anywhere, and no script runs.
    assert not re.search(r"<(?:script|link|img|iframe|object)|\burl\(|@import|\bon\w+=|src=|href=", text)


def test_pages_in_spanish(world, tmp_path):
    out = tmp_path / "hoja.html"
    sheets.make(out, 1, language="es")
    text = out.read_text()
    assert '<html lang="es">' in text
    assert "Código de invitación" in text
    assert "You are" not in text


def test_nothing_is_overwritten_and_unwritten_codes_do_not_count(world, tmp_path):
    out = tmp_path / "sheet.html"
    out.write_text("an older one")
    before = Invite.objects.count()
    with pytest.raises(Refused, match="there already"):
        sheets.make(out, 1)
    with pytest.raises(Refused):
        sheets.make(tmp_path / "x.html", 501)
    with pytest.raises(OSError):
        sheets.make(tmp_path / "no" / "such" / "x.html", 2)
    assert Invite.objects.count() == before


@pytest.mark.slow
@pytest.mark.parametrize("language", sheets.LANGUAGES)
@pytest.mark.parametrize("paper", ["A4", "letter"])
def test_each_invite_is_one_printed_page(world, tmp_path, language, paper):
    chromium = shutil.which("chromium")
    assert chromium, "the test of printed pages needs chromium (Debian: apt-get install chromium)"
    page = tmp_path / "sheet.html"
    sheets.make(page, 2, language=language)
    page.write_text(page.read_text().replace("@page {", f"@page {{ size: {paper};"))
    made = tmp_path / "sheet.pdf"
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={tmp_path / 'profile'}"]
    subprocess.run([chromium, *words, f"--print-to-pdf={made}", page.as_uri()], check=True, capture_output=True, timeout=120)
    data = made.read_bytes()
    assert len(re.findall(rb"/Type\s*/Page[^s]", data)) == 2
    (width,) = {int(float(found)) for found in re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+)", data)}
    assert width == {"A4": 594, "letter": 612}[paper] or (paper, width) == ("A4", 595)
