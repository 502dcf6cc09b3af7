"""Reports as PDF: what is known of a piece of evidence, or of a case, without opening anything.

A report holds facts, hashes, checks, custody and the agency's notes. What an owner wrote or showed stays sealed: it is in the
bag. The PDF is tagged, has an outline and names its language. Typst makes it from data in memory; text is never read as markup.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typst
from django.db import transaction
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from fairwitness.agency.models import Annotation, Case, Hold, Officer, Response
from fairwitness.agency.services import annotations, audit, cases, checks, library, node, officers, story
from fairwitness.kit import clock
from fairwitness.kit.errors import Refused

_TEMPLATE = Path(__file__).parent.parent / "report.typ"
_MOST = 400
_NONE = "-"
_ROLES = ("officer", "supervisor", "technician")

type Row = tuple[str, str, bool]


def of_response(officer: Officer, response: Response) -> bytes:
    """Return the report of one response as PDF, having noted who made it. Raises Refused."""
    officers.need(officer, *_ROLES)
    if response.request is None:
        raise Refused(409, "report.request", "This answer belongs to no request, so there is nothing to report on.")
    case = response.request.case
    cases.need_member(officer, case)
    with transaction.atomic():
        audit.note(officer, "evidence.report_made", f"response {response.id}", case=case)
    number = _number(response)
    title = _("Report on answer %(n)s") % {"n": number}
    return _render(title, case, [_part(response, title)])


def of_case(officer: Officer, case: Case) -> bytes:
    """Return the report of a case as PDF: every answer collected for it. Raises Refused."""
    officers.need(officer, *_ROLES)
    cases.need_member(officer, case)
    found = list(
        Response.objects.filter(request__case=case).select_related("request__case").order_by("collected_at", "id")[: _MOST + 1]
    )
    if len(found) > _MOST:
        raise Refused(409, "report.large", f"A report covers at most {_MOST} answers.", "Make reports of single answers.")
    with transaction.atomic():
        audit.note(officer, "case.report_made", f"case {case.pk}", case=case)
    parts = [_overview(case, found)]
    for one in found:
        when = _moment(one.request.created_at if one.request else one.collected_at)
        parts.append(_part(one, _("Answer %(n)s to the request of %(when)s") % {"n": _number(one), "when": when}))
    return _render(_("Report on case %(number)s") % {"number": case.number}, case, parts)


def _render(title: str, case: Case, parts: list[dict[str, Any]]) -> bytes:
    now = clock.now()
    agency = node.settings().name
    data = {
        "title": title,
        "agency": agency,
        "lang": (get_language() or "en").split("-")[0],
        "paper": "us-letter",
        "header": f"{agency} · {case.number} · {_moment(now)}",
        "subtitle": f"{agency} · {_('Case')} {case.number}{f' · {case.title}' if case.title else ''}",
        "intro": _(
            "All times are UTC. This report says what stands on record at the time of its making; it holds nothing of what "
            "owners wrote or showed. What proves it is the exported bag, which anybody can check with fairwitness-verify."
        ),
        "contents": _("Contents"),
        "facts_head": [_("What"), _("Value")],
        "parts": parts,
    }
    inputs = {"data": json.dumps(data, ensure_ascii=False)}
    stamp = datetime.fromtimestamp(now, UTC)
    try:
        made = typst.compile(str(_TEMPLATE), sys_inputs=inputs, pdf_standards=["ua-1"], timestamp=stamp)
    except typst.TypstError:
        # A letter that no font here has: the report is made all the same, tagged but not certified as universally readable.
        made = typst.compile(str(_TEMPLATE), sys_inputs=inputs, timestamp=stamp)
    if not isinstance(made, bytes):
        raise TypeError("a report is one file")
    return made


def _part(response: Response, title: str) -> dict[str, Any]:
    sections = [
        _facts(_("Facts"), "", _facts_of(response)),
        _facts(
            _("Hashes (SHA-256)"),
            _("Of the sealed file as it came, of the signed cover sheet, and of each clip."),
            _hashes(response),
        ),
        _list(_("Checks"), "", [_check(one) for one in checks.of(response)]),
        _list(
            _("Custody"),
            _("Every act on this answer, in order; each is signed and stands in the sealed ledger."),
            [_step(s) for s in story.of(response)],
        ),
    ]
    written = list(annotations.listing(response))
    if written:
        sections.append(
            _list(
                _("Notes, markers and clips"),
                _("Written by the agency; what was struck stays readable."),
                [_note(w) for w in written],
            )
        )
    return {"title": title, "sections": sections}


def _facts_of(response: Response) -> list[Row]:
    asked = response.request
    rows: list[Row] = [
        (_("State"), str(story.STATES.get(response.state, response.state)), False),
        (_("Answer"), response.id, True),
        (_("Request"), response.request_id or "", True),
        (
            _("Place of the request in the public log"),
            str(asked.log_index) if asked and asked.log_index is not None else _NONE,
            False,
        ),
        (_("Given"), {"identified": _("with a name"), "anonymous": _("anonymously")}.get(response.mode, _NONE), False),
        (_("Collected"), _moment(response.collected_at), False),
    ]
    if response.decided_at:
        rows.append((_("Decided"), _moment(response.decided_at), False))
    if response.until:
        rows.append((_("Its owner agreed until"), _moment(response.until), False))
    if response.withdrawn_at:
        rows.append((_("Taken back by its owner"), _moment(response.withdrawn_at), False))
    if response.destroyed_at:
        rows.append((_("Destroyed"), _moment(response.destroyed_at), False))
    if response.reason:
        rows.append((_("Failed check"), str(story.why_quarantined(response.reason)), False))
    rows += [(_("Hold"), f"{held.reference} ({_moment(held.placed_at)})", False) for held in _holds(response)]
    rows += [(_("Exported bag"), one.tagmanifest, True) for one in library.exports_of(response) if one.written_at]
    return rows


def _holds(response: Response) -> list[Hold]:
    return list(Hold.objects.filter(response=response, lifted_at=None))


def _hashes(response: Response) -> list[Row]:
    rows: list[Row] = [(_("Sealed file"), response.sealed, True)]
    if response.manifest_sha256:
        rows.append((_("Cover sheet"), response.manifest_sha256, True))
    return [*rows, *((clip.name, clip.sha256, True) for clip in response.clips.all())]


def _check(one: checks.Check) -> dict[str, Any]:
    words = {
        "ok": _("holds"), "failed": _("does not hold"), "waiting": _("not proven yet"), "told": _("on another's word"),
        "absent": _("nothing to check"),
    }  # fmt: skip
    return {"title": f"{one.title}: {words[one.state]}", "lines": [str(one.words)], "codes": []}


def _step(step: story.Step) -> dict[str, Any]:
    who = f"{step.name} ({step.actor})" if step.name else _("The node itself")
    lines = [f"{_moment(step.at)} · {who}"]
    if step.recipient:
        lines.append(_("For %(whom)s") % {"whom": step.recipient})
    if step.purpose:
        lines.append(step.purpose)
    proven = _("Proven: entry %(n)s of the sealed ledger") % {"n": step.index} if step.state == "proven" else _("Not proven yet")
    title = f"{step.number}. {step.title}{f' · {step.target}' if step.target else ''}"
    return {"title": title, "lines": [*lines, proven], "codes": [step.sha256]}


def _note(one: Annotation) -> dict[str, Any]:
    kinds = {"note": _("Note"), "marker": _("Marker"), "clip": _("Clip")}
    title = kinds[one.kind]
    if one.clip and one.start_ms is not None:
        end = f" - {one.end_ms / 1000:.1f} s" if one.end_ms is not None else ""
        title += f" · {one.clip}, {one.start_ms / 1000:.1f} s{end}"
    lines = [*one.text.split("\n"), f"{one.officer.user.display_name} ({one.officer.actor}) · {_moment(one.at)}"]
    if one.struck_at is not None and one.struck_by is not None:
        title = _("Struck: %(what)s") % {"what": title}
        lines.append(
            _("Struck by %(who)s, %(when)s: %(why)s")
            % {"who": one.struck_by.user.display_name, "when": _moment(one.struck_at), "why": one.struck_words}
        )
    return {"title": title, "lines": lines, "codes": []}


def _overview(case: Case, found: list[Response]) -> dict[str, Any]:
    rows: list[Row] = [
        (_("Case"), case.number, False),
        (_("Title"), case.title or _NONE, False),
        (_("Offence"), case.offense.removeprefix("nibrs:"), False),
        (_("Opened"), _moment(case.opened_at), False),
        (_("Requests"), str(case.requests.count()), False),
        (_("Answers"), ngettext("%(n)s answer", "%(n)s answers", len(found)) % {"n": len(found)}, False),
    ]
    for state, words in story.STATES.items():
        count = sum(one.state == state for one in found)
        if count:
            rows.append((str(words), str(count), False))
    return {"title": _("Overview"), "sections": [_facts(_("The case"), "", rows)]}


def _facts(title: str, words: str, rows: list[Row]) -> dict[str, Any]:
    return {"title": title, "kind": "facts", "words": words, "rows": [list(row) for row in rows]}


def _list(title: str, words: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"title": title, "kind": "list", "words": words, "rows": rows}


def _number(response: Response) -> int:
    rows = Response.objects.filter(request=response.request).order_by("collected_at", "id").values_list("id", flat=True)
    return list(rows).index(response.id) + 1


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
