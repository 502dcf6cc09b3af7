"""A camera's timeline: a day to look through, playing from any moment of it, downloading, and deleting with a receipt."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils.http import content_disposition_header, urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from fairwitness.home.api_pictures import sent
from fairwitness.home.errors import invalid, unknown
from fairwitness.home.models import Deletion, Recording
from fairwitness.home.services import cameras, days, deletion, downloads, household, live, optouts, sources
from fairwitness.home.services.days import At, Entry, Shown
from fairwitness.home.services.marks import MarkView
from fairwitness.kit import clock
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused

ZONE_COOKIE: Final = "zone"
SLOTS: Final = 48
"""Links on the band for who has no script; with it any moment can be chosen."""
PICTURES: Final = 8
CHIPS: Final = 6
_PLAIN: Final = (".mp4", ".m4v")
_TICKS: Final = {days.DAY: 3 * 3600, days.HOURS: 1800, days.MINUTES: 240}


@dataclass(frozen=True, slots=True)
class Bar:
    """Something drawn on the band: where in per cent, its kind, and what it says."""

    x: str
    width: str
    kind: str
    words: str
    href: str = ""


# ---------------------------------------------------------------- the page


@gate.require("owner", "member", "viewer", per_object=True)
@never_cache
@require_safe
def timeline(request: HttpRequest, camera_id: int) -> HttpResponseBase:
    """Show one camera's day, three hours or twenty minutes of it."""
    household.check_may_see(gate.actor(request), camera_id)
    camera = cameras.get(camera_id)
    where = zone_of(request)
    now = clock.now()
    zoom = request.GET.get("zoom", days.DAY)
    if zoom not in days.ZOOMS:
        raise invalid("timeline.zoom", _("There is no such zoom."))
    known = days.days(camera.pk, where)
    chosen, moment = _asked(request, camera.pk, where, known, now)
    start, end = _window(chosen, moment, zoom, where)
    shown = days.show(camera.pk, start, end, zoom, now)
    here = days.at(camera.pk, moment if moment is not None else start)
    if here is not None and (here.recording.start or 0) >= end:
        here = None
    context = {
        "camera": camera,
        "shown": shown,
        "zoom": zoom,
        "zooms": [(name, _link(camera.pk, chosen, name, moment or (start + end) // 2)) for name in days.ZOOMS],
        "day": chosen,
        "noon": days.bounds(chosen, where)[0] + 43_200,
        "zone": where.key,
        "dates": known,
        "days": _days(camera.pk, chosen, known, days.day_of(now, where), zoom),
        "around": _around(camera.pk, start, end, zoom, now),
        "band": _band(shown, chosen, zoom, where, now),
        "pictures": _pictures(shown),
        "entries": [_entry(one, where, camera.pk, chosen, zoom) for one in shown.entries],
        "requests": [(one, _request_link(one.id)) for one in shown.asked],
        "playing": _playing(here) if here is not None else None,
        "moment": moment,
        "untimed": days.untimed(camera.pk),
        "recorded": sum(last - first for first, last in _clipped(shown)),
        "owner": gate.actor(request).role == "owner",
        "live": live.kind(camera.pk),
        "words": _words(),
    }
    return render(request, "home/timeline.html", context)


def zone_of(request: HttpRequest) -> ZoneInfo:
    """Return the zone that days are counted in: the browser's, as its script said; else the one the owner chose."""
    said = request.COOKIES.get(ZONE_COOKIE, "")
    return days.zone(said or optouts.get().zone)


def _asked(request: HttpRequest, camera_id: int, where: ZoneInfo, known: list[date], now: int) -> tuple[date, int | None]:
    """Return the day and the moment that were asked for: without any, the newest recording's."""
    text = request.GET.get("at", "")
    if text:
        if not text.isdecimal() or len(text) > 11:
            raise invalid("timeline.at", _("A moment is a number of seconds since 1970."))
        return days.day_of(int(text), where), int(text)
    if request.GET.get("day"):
        return days.read_day(request.GET["day"]), None
    newest = days.newest(camera_id)
    if newest is None or newest.start is None:
        return (known[-1] if known else days.day_of(now, where)), None
    return days.day_of(newest.start, where), newest.start


def _window(day: date, moment: int | None, zoom: str, where: ZoneInfo) -> tuple[int, int]:
    begin, end = days.bounds(day, where)
    if zoom == days.DAY:
        return begin, end
    length = days.ZOOMS[zoom]
    middle = moment if moment is not None else begin + 43_200
    step = length // 4
    start = (middle - length // 2) // step * step
    return start, start + length


def _link(camera_id: int, day: date | None, zoom: str, moment: int | None = None) -> str:
    asked: dict[str, Any] = {"zoom": zoom} if zoom != days.DAY else {}
    if moment is not None:
        asked["at"] = moment
    elif day is not None:
        asked["day"] = day.isoformat()
    return f"{reverse('home_camera', args=[camera_id])}?{urlencode(asked)}"


def _days(camera_id: int, day: date, known: list[date], today: date, zoom: str) -> dict[str, str]:
    """Return where to go from a day: to the one before and after it on which something was recorded, and to the last one."""
    before = max((one for one in known if one < day), default=None)
    after = min((one for one in known if one > day), default=None)
    last = today if today in known else max(known, default=None)
    found = {"before": before, "after": after, "last": last if last != day else None}
    return {name: _link(camera_id, one, days.DAY if zoom == days.DAY else zoom) for name, one in found.items() if one}


def _around(camera_id: int, start: int, end: int, zoom: str, now: int) -> dict[str, str]:
    if zoom == days.DAY:
        return {}
    middle, half = (start + end) // 2, (end - start) // 2
    found = {"before": _link(camera_id, None, zoom, middle - half)}
    if end < now:
        found["after"] = _link(camera_id, None, zoom, middle + half)
    return found


# ---------------------------------------------------------------- the band


def _percent(value: float) -> str:
    return f"{max(min(value, 100.0), 0.0):.3f}%"


def _band(shown: Shown, day: date, zoom: str, where: ZoneInfo, now: int) -> dict[str, list[Bar]]:
    length = shown.end - shown.start

    def bar(first: float, last: float, kind: str, words: str = "", *, href: str = "", least: float = 0.0) -> Bar:
        low, high = max(first, shown.start), min(last, shown.end)
        x, width = 100 * (low - shown.start) / length, max(100 * (high - low) / length, least)
        return Bar(_percent(x), _percent(width), kind, words, href)

    def said(first: float, last: float) -> str:
        return f"{_clock(first, where)}\u2013{_clock(last, where)}"

    spans = [bar(first, last, "recorded", said(first, last), least=0.4) for first, last in shown.spans]
    gaps = [bar(one.start, one.end, "gap", f"{said(one.start, one.end)}: {reason(one.reason)}") for one in shown.gaps]
    seen = [bar(one.start, one.end, one.kind, mark_words(one, where), least=0.4) for one in shown.marks]
    asks = [bar(one.start, one.end, "asked", f"{one.agency}: {said(one.start, one.end)}") for one in shown.asked]
    slot = length / SLOTS
    links = [
        bar(
            shown.start + n * slot,
            shown.start + (n + 1) * slot,
            "slot",
            _clock(shown.start + n * slot, where),
            href=_link(shown.camera.pk, day, zoom, int(shown.start + n * slot)),
        )
        for n in range(SLOTS)
    ]
    ticks = [bar(moment, moment, "tick", _clock(moment, where)) for moment in _ticks(shown.start, shown.end, _TICKS[zoom], where)]
    coming = [bar(max(now, shown.start), shown.end, "coming")] if now < shown.end else []
    return {"asks": asks, "spans": spans, "gaps": gaps, "marks": seen, "links": links, "ticks": ticks, "coming": coming}


def _ticks(start: int, end: int, step: int, where: ZoneInfo) -> list[int]:
    """Return round local times between two moments; on days on which clocks change they stay round."""
    found = []
    moment = start - start % 900
    while moment < end:
        local = datetime.fromtimestamp(moment, UTC).astimezone(where)
        into = local.hour * 3600 + local.minute * 60
        if moment > start and into % step == 0:
            found.append(moment)
        moment += 60 if step < 900 else 900
    return found


def _clock(moment: float, where: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(moment, UTC).astimezone(where):%H:%M}"


def _clipped(shown: Shown) -> list[tuple[int, int]]:
    return [(max(first, shown.start), min(last, shown.end)) for first, last in shown.spans]


def _pictures(shown: Shown) -> list[dict[str, Any]]:
    """Return pictures from all over the band, each where something was recorded in its part of it."""
    slot = (shown.end - shown.start) / PICTURES
    made: list[dict[str, Any]] = []
    for number in range(PICTURES):
        low, high = shown.start + number * slot, shown.start + (number + 1) * slot
        middle = (low + high) / 2
        row = next((one for one in shown.recordings if one.start <= middle < one.end), None)
        row = row or next((one for one in shown.recordings if one.end > low and one.start < high), None)
        if row is None:
            made.append({})
            continue
        moment = max(row.start, low, middle if row.end > middle >= row.start else low)
        made.append({"src": _thumb(row.id, moment - row.start), "at": int(moment)})
    return made


def _thumb(recording: int, offset: float) -> str:
    return f"{reverse('home:recording_thumb', args=[recording])}?at={offset:.1f}"


# ---------------------------------------------------------------- the list


def reason(code: str) -> str:
    """Say why there is nothing."""
    return {
        "start": _("recording had not begun"),
        "camera": _("the camera could not be reached"),
        "stream": _("pictures were lost on the way"),
        "clock": _("a clock was set anew"),
        "disk": _("the disk was full"),
        "crash": _("recording was cut off and began again"),
        "source": _("the recorder had nothing for this time"),
    }.get(code, _("nothing was recorded"))


def mark_words(mark: MarkView, where: ZoneInfo) -> str:
    """Say what was marked and when."""
    word = _("person") if mark.kind == "person" else _("motion")
    return f"{_clock(mark.start, where)} {word}"


def _entry(one: Entry, where: ZoneInfo, camera_id: int, day: date, zoom: str) -> dict[str, Any]:
    chips = []
    for mark in one.marks[:CHIPS]:
        at = int(mark.start)
        href = _link(camera_id, day, zoom, at)
        chips.append({"words": mark_words(mark, where), "kind": mark.kind, "at": at, "href": href})
    begin, end = int(one.start), int(-(-one.end // 1))
    span = urlencode({"start": begin, "end": end})
    return {
        "kind": one.kind,
        "start": begin,
        "end": end,
        "seconds": one.seconds,
        "reason": reason(one.reason),
        "known": bool(one.reason),
        "thumb": _thumb(one.recording, one.offset) if one.recording else "",
        "href": _link(camera_id, day, zoom, begin),
        "chips": chips,
        "more": max(len(one.marks) - CHIPS, 0),
        "download": f"{reverse('home_camera_download', args=[camera_id])}?{span}",
        "delete": f"{reverse('home_camera_delete', args=[camera_id])}?{span}",
    }


def _request_link(request_id: str) -> str:
    try:
        return reverse("home_request", args=[request_id])
    except NoReverseMatch:
        return ""


# ---------------------------------------------------------------- playing


def _playing(found: At) -> dict[str, Any]:
    row = found.recording
    addresses = _sources(row)
    return {
        "recording": row.pk,
        "start_source": f"{addresses[0]}#t={found.offset:.2f}",
        "begin": row.start,
        "end": row.end,
        "seconds": row.seconds,
        "offset": round(found.offset, 2),
        "waited": found.waited,
        "sources": addresses,
        "strip": f"{reverse('home:recording_strip', args=[row.pk])}?count=10",
        "download": reverse("home_recording_download", args=[row.pk]),
        "delete": reverse("home_recording_delete", args=[row.pk]),
        "next": f"{reverse('home_camera_play', args=[row.source.camera_id])}?behind={row.pk}",
    }


def _sources(row: Recording) -> list[str]:
    """Return addresses to play a recording from, best first: its own bytes where a browser plays those, else converted."""
    converted = f"{reverse('home:recording_preview', args=[row.pk])}?sound=true"
    plain = row.codec == "h264" and row.path.lower().endswith(_PLAIN)
    return [reverse("home:recording_media", args=[row.pk]), converted] if plain else [converted]


@gate.require("owner", "member", "viewer", per_object=True)
@never_cache
@require_safe
def play(request: HttpRequest, camera_id: int) -> HttpResponseBase:
    """Say what to play from a moment on (`t`, Unix seconds), or behind a recording that has ended (`behind`)."""
    household.check_may_see(gate.actor(request), camera_id)
    text, before = request.GET.get("t", ""), request.GET.get("behind", "")
    if before.isdecimal() and len(before) < 16:
        row = sources.recordings([int(before)])[int(before)]
        if row.source.camera_id != camera_id:
            raise unknown("recording")
        found = days.behind(int(before))
    elif text.isdecimal() and len(text) < 12:
        found = days.at(cameras.get(camera_id).pk, int(text))
    else:
        raise invalid("timeline.at", _("A moment is a number of seconds since 1970."))
    return JsonResponse({"found": None if found is None else _playing(found)})


def _words() -> dict[str, str]:
    return {
        "failed": _("This recording cannot be played here. You can download it."),
        "over": _("This is the newest recording."),
        "waited": _("Nothing was recorded then. This is the next recording."),
        "lost": _("Your home node does not answer. Try again in a moment."),
    }


# ---------------------------------------------------------------- downloading


@gate.require("owner", "member", "viewer", per_object=True)
@never_cache
@require_safe
def download_recording(request: HttpRequest, recording_id: int) -> HttpResponseBase:
    """Hand out a recording as it is."""
    household.check_recording(gate.actor(request), recording_id)
    return _handed_out(request, downloads.whole(recording_id, zone_of(request)))


@gate.require("owner", "member", "viewer", per_object=True)
@never_cache
@require_safe
def download_span(request: HttpRequest, camera_id: int) -> HttpResponseBase:
    """Hand out what a camera recorded between `start` and `end` as one file."""
    household.check_may_see(gate.actor(request), camera_id)
    start, end = _span(request.GET.get("start", ""), request.GET.get("end", ""))
    return _handed_out(request, downloads.span(camera_id, start, end, zone_of(request)))


def _handed_out(request: HttpRequest, found: downloads.Download) -> HttpResponseBase:
    response = sent(request, found.file)
    response.headers["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=found.name) or "attachment"
    return response


def _span(start: str, end: str) -> tuple[int, int]:
    if not (start.isdecimal() and end.isdecimal() and max(len(start), len(end)) < 12 and int(start) < int(end)):
        raise invalid("timeline.span", _("Give a begin and a later end."))
    return int(start), int(end)


# ---------------------------------------------------------------- deleting


@gate.require("owner", per_object=True)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def delete_recording(request: HttpRequest, recording_id: int) -> HttpResponseBase:
    """Ask before one recording is deleted, and delete it."""
    return _delete(request, deletion.of_recording(recording_id))


@gate.require("owner", per_object=True)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def delete_span(request: HttpRequest, camera_id: int) -> HttpResponseBase:
    """Ask before all that was recorded between `start` and `end` is deleted, and delete it."""
    cameras.get(camera_id)
    start, end = _span(request.GET.get("start", ""), request.GET.get("end", ""))
    return _delete(request, deletion.of_span(camera_id, start, end))


def _delete(request: HttpRequest, plan: deletion.Plan) -> HttpResponseBase:
    problem: Refused | None = None
    chosen = request.POST.get("originals", "")
    if request.method == "POST":
        try:
            receipt = deletion.delete(
                plan,
                by=gate.actor(request).display_name,
                originals={"delete": True, "keep": False}.get(chosen),
                proofs=request.POST.get("proofs") == "on",
            )
        except Refused as refused:
            problem = refused
        else:
            messages.success(request, deletion.sentence(receipt))
            return HttpResponseRedirect(f"{reverse('home_deleted')}#receipt-{receipt.pk}")
    context = {
        "plan": plan,
        "problem": problem,
        "chosen": chosen,
        "proofs": request.POST.get("proofs") == "on",
        "files": ngettext("%(count)d file", "%(count)d files", len(plan.recordings)) % {"count": len(plan.recordings)},
        "copies": sum(one.copies for one in plan.shared),
        "elsewhere": [recorder_word(kind) for kind in plan.elsewhere],
        "back": _link(plan.camera.pk, None, days.DAY, plan.start),
        "shared": [(one, deletion.after_sharing(one.state)) for one in plan.shared],
    }
    return render(request, "home/timeline_delete.html", context, status=problem.status if problem else 200)


def recorder_word(kind: str) -> str:
    """Name what a recorder is."""
    return {"frigate": "Frigate", "onvif": _("the camera's own storage")}.get(kind, _("the other recorder"))


@gate.require("owner", "member")
@never_cache
@require_safe
def deleted(request: HttpRequest) -> HttpResponseBase:
    """Show the receipts of what was deleted here."""
    return render(request, "home/timeline_deleted.html", {"receipts": [_receipt(row) for row in deletion.listing()]})


def _receipt(row: Deletion) -> dict[str, Any]:
    return {
        "row": row,
        "sentence": deletion.sentence(row),
        "files": ngettext("%(count)d file", "%(count)d files", row.count) % {"count": row.count},
        "shared": [(one, deletion.after_sharing(one["state"])) for one in row.shared],
        "items": row.items[:200],
        "rest": max(len(row.items) - 200, 0),
        "chained": sum(1 for item in row.items if item["sha256"]),
        "copies": deletion.of_clips(row),
    }
