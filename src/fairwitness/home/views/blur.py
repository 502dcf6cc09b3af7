"""Covering faces, plates and anything else that moves in one clip of a draft: the program proposes, the owner decides."""

import math
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.api_pictures import sent
from fairwitness.home.errors import invalid
from fairwitness.home.models import AnswerClip, ClipRegion
from fairwitness.home.services import answers, blur, blurring, footage
from fairwitness.home.views import progress
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused
from fairwitness.kit.video.regions import HOLD, Box

_LINE = 1000  # units of a row's line


@gate.require("owner", "member")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def editor(request: HttpRequest, answer_id: int, number: int) -> HttpResponseBase:
    """What is covered in a clip, with its video; or, with `leaves`, the very clip that leaves. Raises Refused."""
    clip = footage.clip_of(answer_id, number)
    problem = None
    if request.method == "POST":
        try:
            problem = _act(request, clip)
        except ProtocolError as error:
            problem = Refused(422, error.code, error.message, error.hint or "")
        except Refused as error:
            problem = error
        if problem is None and request.headers.get("HX-Request") != "true":
            return HttpResponseRedirect(reverse("home_blur", args=[answer_id, number]))
        clip = footage.clip_of(answer_id, number)
    if clip.answer.state != "draft":
        return HttpResponseRedirect(reverse("home_answer", args=[answer_id]))
    status = problem.status if problem else 200
    if "leaves" in request.GET:
        return render(request, "home/blur_leaves.html", _leaves(clip, number))
    # A page that waits for its video asks for all of itself; everything else renews the list.
    part = request.headers.get("HX-Request") == "true" and "whole" not in request.GET
    context = {**_context(clip, number), "problem": problem}
    return render(request, "home/blur_part.html" if part else "home/blur.html", context, status=status)


@gate.require("owner", "member")
@never_cache
@require_safe
def film(request: HttpRequest, answer_id: int, number: int) -> HttpResponse | HttpResponseBase:
    """The clip as it is edited: fixed areas and moving ones still open. Raises Refused."""
    clip = footage.clip_of(answer_id, number)
    return sent(request, footage.opened(clip, blurring.edited(clip)))


# ---------------------------------------------------------------- what is pressed


def _act(request: HttpRequest, clip: AnswerClip) -> Refused | None:
    """Do what was pressed; returns what did not work of it where the rest did. Raises Refused, ProtocolError."""
    wish = request.POST.get("act", "")
    acts: dict[str, Callable[[], object]] = {
        "cover": lambda: blur.set_state(clip, _id(request), "covered"),
        "clear": lambda: blur.set_state(clip, _id(request), "clear", described=True),
        "remove": lambda: blur.set_state(clip, _id(request), "removed"),
        "span": lambda: blur.span(clip, _id(request), _at(request, "begin"), _at(request, "end")),
        "move": lambda: blur.move(clip, _id(request), _at(request, "at"), _box(request)),
        "follow": lambda: blurring.follow(clip, _id(request), _at(request, "at")),
        "off": lambda: blur.choose(clip.answer_id, on=False),
        "on": lambda: blur.choose(clip.answer_id, on=True),
        "again": lambda: blur.again(clip),
    }
    if wish == "add":
        return _add(request, clip)
    if wish not in acts:
        raise invalid("blur.act", _("Nothing was chosen."))
    acts[wish]()
    return None


def _add(request: HttpRequest, clip: AnswerClip) -> Refused | None:
    """Cover a new box, and follow what is in it; where that cannot be, it stays for two seconds and its owner is told."""
    at = _at(request, "at")
    row = blur.add(clip, at, at, _box(request))
    try:
        blurring.follow(clip, row.pk, at)
    except (Refused, ProtocolError):
        end = max(answers.end_of(clip), at)
        blur.span(clip, row.pk, max(at - 1, clip.cut_start), min(at + 1, end))
        words = _("What is in this box could not be followed, so it stays where it is for two seconds.")
        return Refused(409, "region.lost", words, _("Set its times, and move it where it goes."))
    return None


def _id(request: HttpRequest) -> int:
    text = request.POST.get("region", "")
    return int(text) if text.isdecimal() and len(text) < 16 else 0


def _number(request: HttpRequest, name: str) -> float:
    try:
        found = float(request.POST.get(name, "").replace(",", "."))
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise invalid("blur.number", _("Fill in numbers."))
    return found


def _at(request: HttpRequest, name: str) -> float:
    """Return a time of the form, seconds into the video, as seconds from the first recording's start."""
    return max(_number(request, name), 0.0) + _number(request, "zero")


def _box(request: HttpRequest) -> Box:
    """Return the box of the form, in hundredths of the picture, kept inside it."""
    x, y, width, height = (_number(request, name) / 100 for name in ("x", "y", "width", "height"))
    left, top = min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)
    right, bottom = min(max(x + width, left), 1.0), min(max(y + height, top), 1.0)
    return Box(round(left, 4), round(top, 4), round(right - left, 4), round(bottom - top, 4))


# ---------------------------------------------------------------- what is shown


def _context(clip: AnswerClip, number: int) -> dict[str, Any]:
    look = blur.wanted(clip)
    sight = footage.prepare(clip, blurring.edited(clip))
    zero = sight.facts.start if sight.facts is not None else clip.cut_start
    seconds = (sight.facts.end - zero) if sight.facts is not None else max(answers.end_of(clip) - clip.cut_start, 0.1)
    rows = [_row(row, zero, seconds) for row in clip.regions.all()]
    off = clip.answer.blur == "off"
    for row in rows:
        row["readable"] = row["state"] == "clear" or (off and row["kind"] != "own" and row["state"] == "covered")
    return {
        "answer": clip.answer,
        "clip": clip,
        "number": number,
        "look": look,
        "off": off,
        "sight": sight,
        "why": progress.problem(sight.problem),
        "look_why": progress.problem(look.problem) if look.state == "failed" else "",
        "film": reverse("home_blur_film", args=[clip.answer_id, number]),
        "zero": zero,
        "seconds": seconds,
        "rows": [row for row in rows if row["state"] != "removed"],
        "removed": [row for row in rows if row["state"] == "removed"],
        "data": {
            "zero": zero,
            "hold": HOLD,
            "regions": [
                {"id": r["id"], "name": r["name"], "said": r["said"], "covered": not r["readable"], "track": r["track"]}
                for r in rows
                if r["state"] != "removed"
            ],
        },
    }


def _row(row: ClipRegion, zero: float, seconds: float) -> dict[str, Any]:
    names = {"face": _("Face %(n)d"), "plate": _("Plate %(n)d"), "own": _("Box %(n)d")}
    begin, end = blur.covered_span(row)
    begin, end = min(max(begin - zero, 0.0), seconds), min(max(end - zero, 0.0), seconds)
    first = row.track[0]
    readable = row.state == "clear"
    span = {"begin": _clock(begin), "end": _clock(end)}
    if readable:
        said = {"face": _("stays visible"), "plate": _("stays readable"), "own": _("stays visible")}[row.kind]
    else:
        said = _("covered %(begin)s–%(end)s") % span  # noqa: RUF001 - a span of time
    return {
        "id": row.pk,
        "kind": row.kind,
        "state": row.state,
        "name": names[row.kind] % {"n": row.number},
        "said": said,
        "track": row.track,
        "begin": round(max(row.track[0][0] - zero, 0.0), 2),
        "end": round(max(row.track[-1][0] - zero, 0.0), 2),
        "x": round(first[1] * 100, 1),
        "y": round(first[2] * 100, 1),
        "width": round(first[3] * 100, 1),
        "height": round(first[4] * 100, 1),
        "line": {"at": round(begin / seconds * _LINE), "long": max(round((end - begin) / seconds * _LINE), 4)},
    }


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02}"


def _leaves(clip: AnswerClip, number: int) -> dict[str, Any]:
    sight = footage.prepare(clip, footage.leaving(clip))
    context = _context_rows(clip)
    return {
        **context,
        "answer": clip.answer,
        "clip": clip,
        "number": number,
        "sight": sight,
        "look": blur.look_of(clip),
        "off": clip.answer.blur == "off",
        "why": progress.problem(sight.problem),
        "film": reverse("home_answer_film", args=[clip.answer_id, number]),
        "begin": clip.started + (sight.facts.start if sight.facts is not None else clip.cut_start),
    }


def _context_rows(clip: AnswerClip) -> dict[str, Any]:
    seconds = max(answers.end_of(clip) - clip.cut_start, 0.1)
    rows = [_row(row, clip.cut_start, seconds) for row in clip.regions.exclude(state="removed")]
    off = clip.answer.blur == "off"
    open_ = [row for row in rows if row["state"] == "clear" or (off and row["kind"] != "own")]
    return {"covered": [row for row in rows if row not in open_], "open": open_}
