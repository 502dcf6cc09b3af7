"""A request while it is written: what its rules say of what is there so far, and what came back with a note."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import h3
from django.db import transaction
from fairwitness_core.rules import caps, wording
from fairwitness_core.rules.violation import Flag, Violation
from fairwitness_core.wire import canonical
from fairwitness_core.wire.errors import ProtocolError
from fairwitness_core.wire.fields import is_cell

from fairwitness.agency.models import Case, Officer, Request
from fairwitness.agency.services import audit, cases, officers, requests
from fairwitness.kit import clock
from fairwitness.kit.errors import Refused

FIELDS = ("area", "window", "msg", "contact", "expires", "wide", "rest")
NOTE_MAX = 1000
_OF_FIELD = {"area": "area", "live": "area", "window": "window", "expiry": "expires"}
_CELLS_MAX = 64
_STAND_IN = "Somebody broke a rear window and left in a silver van with a ladder."


@dataclass(frozen=True, slots=True)
class Looked:
    """What is known of an unfinished draft. `found`: violations by field; `missing`: fields that are still empty.

    `km2`: the area's size; `dwellings`: None where this node has no census file or no area.
    """

    found: dict[str, list[Violation]]
    missing: tuple[str, ...]
    flags: tuple[Flag, ...]
    cells: int
    km2: float
    dwellings: int | None

    @property
    def ready(self) -> bool:
        """Tell whether nothing is missing and nothing violated."""
        return not self.missing and not any(self.found.values())


def look(officer: Officer, case: Case, wanted: requests.Draft) -> Looked:
    """Apply the rules to what is written so far; what is empty is said to be missing. Stores nothing. Raises Refused.

    `from_`, `to` are 0 and texts and area empty where nothing was written yet. Each text is judged in its own field; the same
    rules judge the whole again when it is drafted, approved and submitted.
    """
    officers.need(officer, *officers.SIGNERS)
    cases.need_member(officer, case)
    now = clock.now()
    found: dict[str, list[Violation]] = {name: [] for name in FIELDS}
    empty = [
        name
        for name, there in (
            ("area", wanted.area), ("window", wanted.from_ and wanted.to), ("msg", wanted.msg.strip()),
            ("contact", wanted.contact.strip()), ("modes", wanted.modes),
        )
        if not there
    ]  # fmt: skip
    if wanted.msg.strip():
        found["msg"] = _text(wanted.msg, "msg") or wording.check_message(wanted.msg, case=case.number)
    if wanted.contact.strip():
        found["contact"] = _text(wanted.contact, "contact") or wording.check_contact(wanted.contact)
    if wanted.wide_reason and wanted.wide_reason != caps.SPARSE_REASON:
        found["wide"] = _text(wanted.wide_reason, "reason") or wording.check_reason(wanted.wide_reason, case=case.number)
    if wanted.from_ and wanted.to and wanted.from_ >= wanted.to:
        found["window"].append(Violation("window.short", "The window ends before it starts.", "choose a later end"))
    standing = _facts(case, wanted, now)
    skip = {name for name in ("area", "window") if name in empty or found[name]}
    verdict = requests.judge_draft(officer, case, standing)
    for one in verdict.violations:
        field = _OF_FIELD.get(one.rule.partition(".")[0], "rest")
        if field not in skip and not one.rule.startswith(("text.", "contact.")):
            found[field].append(one)
    cells = [cell for cell in wanted.area if is_cell(cell)]
    homes = requests.dwellings()
    return Looked(
        found,
        tuple(empty),
        tuple(flag for flag in verdict.flags if flag.rule != "dwellings_unchecked"),
        len(cells),
        sum(h3.cell_area(cell, "km^2") for cell in cells),
        homes(tuple(cells)) if homes is not None and cells else None,
    )


def centre() -> tuple[float, float]:
    """Return the middle of the jurisdiction's bounds, latitude and longitude in degrees: where a new map begins."""
    ring: list[list[float]] = []

    def gather(value: object) -> None:
        if isinstance(value, list) and value and isinstance(value[0], int | float):
            ring.append(value)
        elif isinstance(value, list):
            for item in value:
                gather(item)

    gather(officers.registration()["jurisdiction"].get("coordinates", []))
    if not ring:
        return 0.0, 0.0
    lons, lats = [at[0] for at in ring], [at[1] for at in ring]
    return (min(lats) + max(lats)) / 2, (min(lons) + max(lons)) / 2


def give_back(officer: Officer, request: Request, note: str) -> Request:
    """Return a draft to its drafter with a note that stays in this agency. Raises Refused, ProtocolError."""
    officers.need(officer, "supervisor")
    text = note.strip().replace("\r\n", "\n")
    canonical.check_text(text.replace("\n", " "), "note")
    if not text or len(text) > NOTE_MAX:
        raise Refused(400, "request.note", f"Say what should change, in at most {NOTE_MAX} characters.")
    if request.drafted_by_id == officer.pk:
        raise Refused(403, "request.same_person", "Your own draft you can change yourself.", "Open it and edit it.")
    with transaction.atomic():
        changed = Request.objects.filter(pk=request.pk, state="draft").update(
            state="returned", returned_by=officer, returned_at=clock.now(), return_note=text
        )
        if not changed:
            raise Refused(409, "request.state", f"This request is {request.state}.", "Only a draft can be returned.")
        audit.note(officer, "request.returned", f"request {request.id}", case=request.case, words=text)
    request.refresh_from_db()
    return request


def redraft(officer: Officer, old: Request, wanted: requests.Draft) -> Request:
    """Draft a request anew, under a new id, after an earlier one; a draft or a returned one is replaced by it.

    What both officers of the old one signed stays as it was. Raises what `requests.draft` raises; then nothing changed.
    """
    with transaction.atomic():
        made = requests.draft(officer, old.case, wanted)
        if Request.objects.filter(pk=old.pk, state__in=requests.UNSIGNED).update(state="replaced", ended_at=clock.now()):
            Request.objects.filter(pk=made.pk).update(replaces=old)
            audit.note(officer, "request.replaced", f"request {old.id}", case=old.case)
    made.refresh_from_db()
    return made


def _text(value: str, name: str) -> list[Violation]:
    try:
        canonical.check_text(value, name)
    except ProtocolError as error:
        return [Violation(error.code, "This text holds a character that cannot be sent.", error.hint)]
    return []


def _facts(case: Case, wanted: requests.Draft, now: int) -> requests.Draft:
    """Return the draft with a stand-in for whatever is empty or cannot stand in a document; those are judged elsewhere."""
    sound = bool(wanted.from_ and wanted.to and wanted.from_ < wanted.to)
    return replace(
        wanted,
        area=_bounded(wanted.area) or (h3.latlng_to_cell(0.0, 0.0, 9),),
        from_=wanted.from_ if sound else now - 3600,
        to=wanted.to if sound else now - 60,
        msg=_STAND_IN,
        contact=case.number,
        modes=wanted.modes or ("anonymous",),
        wide_reason=caps.SPARSE_REASON if wanted.wide_reason == caps.SPARSE_REASON else wanted.wide_reason and _STAND_IN,
    )


def _bounded(cells: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({cell for cell in cells if is_cell(cell) and h3.get_resolution(cell) == 9}))[:_CELLS_MAX]
