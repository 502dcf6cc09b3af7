"""Answering a request, step by step, and what becomes of it. A draft leaves nothing; only `check` sends."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from fairwitness_core.model.response import MAX_CLIPS, Identity
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.api_pictures import sent
from fairwitness.home.config import Config
from fairwitness.home.errors import invalid
from fairwitness.home.models import Answer, AnswerClip
from fairwitness.home.services import answers, blur, delivery, footage, household, matching, previews, sharing, tokens
from fairwitness.home.views import progress
from fairwitness.kit import clock, config, secrets_store
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused

DAY = 86_400
_KEPT = "private, max-age=300"


def _refused(error: Refused | ProtocolError) -> Refused:
    """Return what a page says of an error of ours or of a format's."""
    if isinstance(error, Refused):
        return error
    return Refused(422, error.code, error.message, error.hint or "")


def _page(request: HttpRequest, template: str, context: dict[str, Any], problem: Refused | None) -> HttpResponse:
    return render(request, template, {**context, "problem": problem}, status=problem.status if problem else 200)


def _to(name: str, *args: object) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse(name, args=args))


# ---------------------------------------------------------------- all answers, one answer


@gate.require("owner", "member")
@never_cache
@require_safe
def listing(request: HttpRequest) -> HttpResponseBase:
    """All answers of this home, newest first."""
    rows = [
        {
            "row": row,
            "state": sharing.state_of(row),
            "word": progress.word(row),
            "mood": progress.mood(row),
            "sentence": sharing.sentence(row),
        }
        for row in answers.listing()
        if row.kind == "clips"
    ]
    over = ("cancelled", "withdrawn", "declined", "expired")
    context = {
        "open": [one for one in rows if one["state"] not in over],
        "over": [one for one in rows if one["state"] in over],
    }
    return render(request, "home/answers.html", context)


@gate.require("owner", "member")
@never_cache
@require_safe
def answer(request: HttpRequest, answer_id: int) -> HttpResponseBase:
    """Where an answer stands; of a draft its first step. Raises Refused."""
    row = answers.get(answer_id)
    if row.state == "draft":
        return _to("home_answer_clips", answer_id)
    return _progress(request, row, None)


def _progress(request: HttpRequest, row: Answer, problem: Refused | None) -> HttpResponse:
    original = row.of or row
    live = original.request.expires > clock.now() and not original.request.withdrawn
    steps = original.steps.exclude(state__in=("cancelled", "failed"))
    context = {
        "answer": row,
        "progress": progress.of(row),
        "clips": row.clips.select_related("camera"),
        "may_send": household.may_send(gate.actor(request)),
        "may_step": original is row and row.mode == "anonymous" and row.state == "uploaded" and live and not steps.exists(),
        "may_retry": row.state == "failed" and row.problem != "upload.unclear" and live,
        "step": steps.first() if original is row else None,
        "typed": request.POST,
    }
    part = request.headers.get("HX-Request") == "true"
    return _page(request, "home/answer_progress.html" if part else "home/answer.html", context, problem)


@gate.require("owner", "member")
@sensitive_post_parameters("name", "contact")
@never_cache
@require_POST
def act(request: HttpRequest, answer_id: int) -> HttpResponseBase:
    """Do what is asked with an answer: throw a draft away, send now, send again, take back, step forward. Raises Refused."""
    row = answers.get(answer_id)
    wish = request.POST.get("act", "")
    if wish == "discard":
        answers.discard(answer_id)
        messages.success(request, _("The draft was thrown away. Nothing had left this home."))
        return _to("home_request", row.request_id)
    household.check_may_send(gate.actor(request))
    at_once = request.POST.get("when") == "now"
    acts: dict[str, Callable[[], str]] = {
        "send-now": lambda: _said(answers.send_now(answer_id), _("It leaves now.")),
        "retry": lambda: _said(delivery.retry(answer_id, at_once=at_once), _("It is prepared anew.")),
        "withdraw": lambda: sharing.withdraw(answer_id),
        "step-forward": lambda: _said(
            sharing.step_forward(answer_id, request.POST.get("name", ""), request.POST.get("contact", ""), at_once=at_once),
            _("Your name and contact are on their way to the agency, sealed for it alone."),
        ),
    }
    if wish not in acts:
        return _to("home_answer", answer_id)
    try:
        messages.success(request, acts[wish]())
    except (Refused, ProtocolError) as error:
        return _progress(request, answers.get(answer_id), _refused(error))
    return _to("home_answer", answer_id)


def _said(_done: object, sentence: str) -> str:
    return sentence


@gate.require("owner", "member")
@never_cache
@require_safe
def receipt(request: HttpRequest, answer_id: int) -> HttpResponseBase:
    """What the household holds about an answer, to print. Raises Refused."""
    found = sharing.receipts(answer_id)
    row = answers.get(answer_id)
    context = {
        "answer": row,
        "receipt": found,
        "promise": "" if found.promise is None else dsse.b64(found.promise),
        "progress": progress.of(row),
    }
    return render(request, "home/answer_receipt.html", context)


@gate.require("owner", "member")
@never_cache
@require_safe
def receipt_file(request: HttpRequest, answer_id: int) -> HttpResponseBase:  # noqa: ARG001 - Django's signature
    """The same as a JSON file. Raises Refused."""
    found = sharing.receipts(answer_id)
    data = {**asdict(found), "promise": None if found.promise is None else dsse.b64(found.promise)}
    headers = {"Content-Disposition": f'attachment; filename="fairwitness-receipt-{answer_id}.json"'}
    return HttpResponse(json.dumps(data, indent=2) + "\n", content_type="application/json", headers=headers)


# ---------------------------------------------------------------- step 1: clips


@gate.require("owner", "member")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def clips(request: HttpRequest, answer_id: int) -> HttpResponseBase:
    """Choose what of one's recordings goes into the answer. Raises Refused."""
    row = answers.get(answer_id)
    problem = None
    if request.method == "POST":
        then, _colon, wanted = request.POST.get("then", "").partition(":")
        kept = {int(one) for one in request.POST.getlist("clip") if one.isdecimal()}
        sound = {int(one) for one in request.POST.getlist("sound") if one.isdecimal()}
        added = request.POST.getlist("add")
        try:
            if then == "statement":
                answers.pick(answer_id, (), (), ())
            else:
                answers.pick(answer_id, kept, added, sound)
        except (Refused, ProtocolError) as error:
            problem = _refused(error)
        else:
            return _after_clips(row, then, wanted)
    if row.state != "draft":
        return _to("home_answer", answer_id)
    context = {
        "answer": row,
        "clips": [_chosen(clip) for clip in _clips_of(row)],
        "others": answers.others(row),
        "gaps": [(one.name, one.gaps) for one in matching.own_clips(row.request) if one.gaps and one.pieces],
        "most": MAX_CLIPS,
        "left_out": answers.left_out(row),
    }
    return _page(request, "home/answer_clips.html", context, problem)


def _after_clips(row: Answer, then: str, wanted: str) -> HttpResponseRedirect:
    """Go where the pressed button leads, now that what was ticked is kept."""
    found = row.clips.filter(pk=int(wanted)).first() if wanted.isdecimal() else None
    if then == "trim" and found is not None:
        return _to("home_answer_trim", row.pk, found.position + 1)
    if then == "blur" and found is not None and (url := blur_url(row.pk, found.position + 1)):
        return HttpResponseRedirect(url)
    if then in ("trim", "blur", "stay"):
        return _to("home_answer_clips", row.pk)
    return _to("home_answer_who", row.pk)


def _clips_of(row: Answer) -> list[AnswerClip]:
    return list(row.clips.select_related("recording__source__camera", "camera", "answer__request").prefetch_related("pieces"))


def blur_url(answer_id: int, number: int) -> str:
    """Return the address of the editor of covered things, or "" where there is none."""
    try:
        return reverse("home_blur", args=[answer_id, number])
    except NoReverseMatch:
        return ""


def _chosen(clip: AnswerClip) -> dict[str, Any]:
    end = answers.end_of(clip)
    return {
        "clip": clip,
        "number": clip.position + 1,
        "begin": int(clip.started + clip.cut_start),
        "end": int(clip.started + end),
        "seconds": end - clip.cut_start,
        "joined": len(clip.pieces.all()) + 1,
        "blur": blur_url(clip.answer_id, clip.position + 1),
        "part": clip.cut_start > 0 or _ends_early(clip, end),
    }


def _ends_early(clip: AnswerClip, end: float) -> bool:
    last = clip.pieces.last()
    recording = clip.recording if last is None else last.recording
    return recording is not None and end < (0.0 if last is None else last.offset) + recording.seconds - 0.5


@gate.require("owner", "member")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def trim(request: HttpRequest, answer_id: int, number: int) -> HttpResponseBase:
    """Trim one clip, with handles on its filmstrip. Raises Refused."""
    clip = footage.clip_of(answer_id, number)
    problem = None
    if request.method == "POST":
        try:
            answers.trim(answer_id, clip.pk, _seconds(request, "start"), _seconds(request, "end"))
        except (Refused, ProtocolError) as error:
            problem = _refused(error)
        else:
            messages.success(request, _("Trimmed. What lies outside does not leave your home."))
            return _to("home_answer_clips", answer_id)
    if clip.answer.state != "draft":
        return _to("home_answer", answer_id)
    return _page(request, "home/answer_trim.html", _trimming(request, clip, number), problem)


def _trimming(request: HttpRequest, clip: AnswerClip, number: int) -> dict[str, Any]:
    at = _number(request.GET.get("at"))
    stage = footage.stage(clip, at)
    sight = footage.prepare(clip, stage.cut)
    # Of a copy, the first picture is a key frame, perhaps a little before the stage.
    base = footage.base_of(clip, stage.cut)
    first = base + (sight.facts.start if sight.facts is not None else stage.cut.start)
    shown_end = base + (stage.cut.end or 0.0)
    end = answers.end_of(clip)
    asked = "" if at is None else f"?at={at}"
    return {
        "answer": clip.answer,
        "clip": clip,
        "number": number,
        "stage": stage,
        "sight": sight,
        "film": reverse("home_answer_stage", args=[clip.answer_id, number]) + asked,
        "strip": reverse("home_answer_strip", args=[clip.answer_id, number]) + asked,
        "why": progress.problem(sight.problem),
        "whole_end": end,
        "begin": clip.started + first,
        "first": first,
        "start": max(clip.cut_start - first, 0.0),
        "end": max(end - first, 0.0),
        "start_at": clip.started + clip.cut_start,
        "end_at": clip.started + end,
        "low_at": clip.started + stage.begin,
        "high_at": clip.started + stage.end,
        "earlier": first - previews.MAX_SECONDS if stage.long and first > stage.begin + 1 else None,
        "later": shown_end if stage.long and shown_end < stage.end - 1 else None,
    }


def _number(text: str | None) -> float | None:
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if 0 <= found < 10**7 else None


def _seconds(request: HttpRequest, name: str) -> float:
    """Return a handle's place in seconds from the recording's start: `base` plus what the player or the field says."""
    found = _number(request.POST.get(name))
    base = _number(request.POST.get("base"))
    if found is None or base is None:
        raise invalid("answer.cut", _("Say where the clip begins and where it ends."))
    return base + found


@gate.require("owner", "member")
@never_cache
@require_safe
def stage_film(request: HttpRequest, answer_id: int, number: int) -> HttpResponseBase:
    """The stretch that a clip may be trimmed to. Raises Refused."""
    clip = footage.clip_of(answer_id, number)
    return sent(request, footage.opened(clip, footage.stage(clip, _number(request.GET.get("at"))).cut))


@gate.require("owner", "member")
@require_safe
def stage_strip(request: HttpRequest, answer_id: int, number: int) -> HttpResponseBase:
    """Its filmstrip. Raises Refused."""
    clip = footage.clip_of(answer_id, number)
    data = footage.strip(clip, footage.stage(clip, _number(request.GET.get("at"))).cut)
    return HttpResponse(data, content_type="image/jpeg", headers={"Cache-Control": _KEPT})


@gate.require("owner", "member")
@require_safe
def cover(request: HttpRequest, answer_id: int, number: int) -> HttpResponseBase:  # noqa: ARG001 - Django's signature
    """A picture of a clip's beginning. Raises Refused."""
    data = footage.cover(footage.clip_of(answer_id, number))
    return HttpResponse(data, content_type="image/jpeg", headers={"Cache-Control": _KEPT})


# ---------------------------------------------------------------- step 2: who answers


@gate.require("owner", "member")
@sensitive_post_parameters("name", "contact")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def who(request: HttpRequest, answer_id: int) -> HttpResponseBase:
    """Answer anonymously or with a name. Raises Refused."""
    row = answers.get(answer_id)
    mode, known = row.mode, _identity(row)
    name, contact = (known.name, known.contact) if known else ("", "")
    problem = None
    if request.method == "POST":
        mode = request.POST.get("mode", "")
        name, contact = request.POST.get("name", ""), request.POST.get("contact", "")
        try:
            if mode == "identified" and not (name.strip() and contact.strip()):
                raise invalid("answer.identity", _("Give a name and a contact, or answer anonymously."))
            answers.set_mode(answer_id, mode, name=name, contact=contact)
        except (Refused, ProtocolError) as error:
            problem = _refused(error)
        else:
            return _to("home_answer_words", answer_id)
    if row.state != "draft":
        return _to("home_answer", answer_id)
    context = {
        "answer": row,
        "modes": matching.document(row.request).modes,
        "mode": mode,
        "name": name,
        "contact": contact,
    }
    return _page(request, "home/answer_who.html", context, problem)


def _identity(row: Answer) -> Identity | None:
    if row.identity is None:
        return None
    return Identity.from_json(canonical.decode(secrets_store.unwrap(bytes(row.identity))), "identity")


# ---------------------------------------------------------------- step 3: words


@gate.require("owner", "member")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def words(request: HttpRequest, answer_id: int) -> HttpResponseBase:
    """Say what one saw, and until when the agency may keep the answer. Raises Refused."""
    row = answers.get(answer_id)
    statement, until = row.statement, _day(row.until or clock.now() + answers.KEEP_DAYS * DAY)
    problem = None
    if request.method == "POST":
        statement, until = request.POST.get("statement", "").replace("\r\n", "\n"), request.POST.get("until", "")
        try:
            answers.set_statement(answer_id, statement)
            answers.set_until(answer_id, _end_of_day(until))
            if not statement.strip() and not row.clips.exists():
                raise invalid("answer.empty", _("Choose a clip or write a statement."))
        except (Refused, ProtocolError) as error:
            problem = _refused(error)
        else:
            return _to("home_answer_check", answer_id)
    if row.state != "draft":
        return _to("home_answer", answer_id)
    now = clock.now()
    context = {
        "answer": row,
        "statement": statement,
        "until": until,
        "first": _day(now + DAY),
        "last": _day(now + answers.MAX_KEEP_DAYS * DAY - DAY),
        "alone": not row.clips.exists(),
    }
    return _page(request, "home/answer_words.html", context, problem)


def _day(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _end_of_day(text: str) -> int:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise invalid("answer.until", _("Choose a date within ten years.")) from error
    return int((day + timedelta(days=1)).timestamp()) - 1


# ---------------------------------------------------------------- step 4: what leaves, and sending it


@gate.require("owner", "member")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def check(request: HttpRequest, answer_id: int) -> HttpResponseBase:
    """Show exactly what will leave; a POST agrees and sends it on its way. Raises Refused."""
    row = answers.get(answer_id)
    problem = None
    if request.method == "POST":
        household.check_may_send(gate.actor(request))
        try:
            if blur.readiness(row).state == "looking":
                raise invalid("answer.looking", _("Faces and plates are still looked for. Look at the result, then send it."))
            if not request.POST.get("agree"):
                raise invalid("answer.agree", _("Tick that you agree, or go back and change something."))
            answers.confirm(answer_id, at_once=request.POST.get("when") == "now", terms=request.POST.get("terms", ""))
        except (Refused, ProtocolError) as error:
            problem = _refused(error)
        else:
            return _to("home_answer", answer_id)
    if row.state != "draft":
        return _to("home_answer", answer_id)
    cfg = config.current(Config)
    hidden = blur.readiness(row)
    # What is shown here is what leaves: before it is known what is covered, there is nothing to show.
    looking = hidden.state == "looking"
    context = {
        "answer": row,
        "looks": [] if looking else [_look(clip, sight) for clip, sight in footage.sights(row)],
        "hidden": hidden,
        "identity": _identity(row),
        "terms": [part for part in _(answers.TERMS).replace(". ", ".\n").split("\n") if part],
        "terms_sha256": answers.TERMS_SHA256,
        "delay": cfg.upload_delay_minutes,
        "cap": cfg.upload_cap_minutes,
        "may_send": household.may_send(gate.actor(request)),
        "tokens": tokens.available(),
        "typed": request.POST,
        "empty": not row.clips.exists() and not row.statement.strip(),
    }
    page = _page(request, "home/answer_check.html", context, problem)
    if looking:
        page.headers["Refresh"] = "5"
    return page


def _look(clip: AnswerClip, sight: footage.Sight) -> dict[str, Any]:
    facts = sight.facts
    begin = clip.started + (facts.start if facts else clip.cut_start)
    end = clip.started + (facts.end if facts else answers.end_of(clip))
    asked = clip.answer.request
    return {
        "clip": clip,
        "number": clip.position + 1,
        "sight": sight,
        "begin": begin,
        "end": end,
        "seconds": end - begin,
        "before": max(asked.start - begin, 0.0),
        "after": max(end - asked.end, 0.0),
        "sound": "audio" in facts.tracks if facts else not clip.mute,
        "blur": blur_url(clip.answer_id, clip.position + 1),
        "why": progress.problem(sight.problem),
    }


@gate.require("owner", "member")
@never_cache
@require_safe
def look(request: HttpRequest, answer_id: int, number: int) -> HttpResponseBase:
    """One clip of the last step, asked for again while it is prepared. Raises Refused."""
    clip = footage.clip_of(answer_id, number)
    sight = footage.prepare(clip, footage.leaving(clip))
    return render(request, "home/answer_look.html", {"answer": clip.answer, "look": _look(clip, sight)})


@gate.require("owner", "member")
@never_cache
@require_safe
def film(request: HttpRequest, answer_id: int, number: int) -> HttpResponseBase:
    """The very bytes that would leave of a clip. Raises Refused."""
    clip = footage.clip_of(answer_id, number)
    return sent(request, footage.opened(clip, footage.leaving(clip)))
