"""Reports are read back: tagged, outlined, in the reader's language, and without what owners wrote."""

import io

import pypdf
import pytest
from django.utils import translation

from fairwitness.agency.models import AuditRecord
from fairwitness.agency.services import annotations, report, triage
from tests.unit.agency.agency_steps import PURPOSE
from tests.unit.agency.world import Owner


def read_back(data):
    reader = pypdf.PdfReader(io.BytesIO(data))
    return reader, " ".join(" ".join(page.extract_text() for page in reader.pages).split())


@pytest.fixture
def item(world, inline):
    request = world.published()
    [response] = world.collected(request, Owner(1, [world.clip], statement="Only the bag may say this.", name="Dana Owner"))
    triage.accept(world.ana, response, PURPOSE)
    annotations.add(world.ana, response, "note", "The light is #out* \\ [broken] <b>")
    struck = annotations.add(world.ana, response, "marker", "turns left", clip="clip-01.mp4", start_ms=500)
    annotations.strike(world.sam, response, struck.pk, "it goes straight")
    return response


def test_one_answers_report(world, item):
    reader, text = read_back(report.of_response(world.ana, item))
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"
    assert {"Report on answer 1"} <= {entry.title for entry in reader.outline if not isinstance(entry, list)}
    for words in (
        "Custody", "Accepted into the case", "Ana (", PURPOSE, "Proven: entry", "The light is #out* \\ [broken] <b>",
        "Struck: Marker", "it goes straight", "Signed by whoever answered", "26-001873", "Oakland Police",
    ):  # fmt: skip
        assert words in text, words
    squeezed = text.replace(" ", "").replace("\u200b", "")
    for digest in (item.sealed, item.manifest_sha256, item.clips.get().sha256, item.id):
        assert digest in squeezed
    assert "Only the bag" not in text
    assert "Dana Owner" not in text
    assert AuditRecord.objects.filter(action="evidence.report_made").count() == 1


def test_a_cases_report_in_spanish(world, item):
    with translation.override("es"):
        reader, text = read_back(report.of_case(world.sam, item.request.case))
    assert reader.trailer["/Root"]["/Lang"] == "es"
    assert "Custodia" in text
    assert "Informe" in text
    assert item.id in text.replace(" ", "").replace("\u200b", "")


def test_letters_without_a_font_do_not_stop_a_report(world, item):
    annotations.add(world.ana, item, "note", "A sign nobody draws: \U00012000")
    assert read_back(report.of_response(world.ana, item))[0].pages


def test_the_pages_hand_out_both(world, item, sit):
    ana = sit("ana")
    one = ana.post(f"/evidence/{item.id}/report")
    assert one["Content-Type"] == "application/pdf"
    assert "attachment" in one["Content-Disposition"]
    case = ana.post(f"/cases/{item.request.case_id}/report")
    assert read_back(case.content)[1].count("26-001873") > 1
