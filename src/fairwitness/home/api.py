"""The household's API under /api/: it shows what the services return and does what they do, nothing of its own."""

# ruff: noqa: ARG001 - an operation is handed the request whether it reads it or not

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from fairwitness_core.wire import dsse

from fairwitness.home.access import Owner, person
from fairwitness.home.api_pictures import router as picture_router
from fairwitness.home.api_recorders import router as recorder_router
from fairwitness.home.api_uploads import router as upload_router
from fairwitness.home.models import Alarm, Answer, Camera, Channel, Recording, Source
from fairwitness.home.services import (
    answers,
    cameras,
    delivery,
    follower,
    household,
    join,
    notifier,
    optouts,
    requests,
    sharing,
    sources,
    tokens,
)
from fairwitness.kit.api import StrictSchema, make_api

api = make_api("home")
owner = Owner()
together = Owner("member")
everyone = Owner("member", "viewer")
api.add_router("/recorders", recorder_router)
api.add_router("", picture_router)
api.add_router("/uploads", upload_router)

type Json = dict[str, Any]


class CameraIn(StrictSchema):
    """A camera; degrees, metres, seconds. Its place may be said later; until then no request concerns it."""

    name: str
    lat: float | None = None
    lon: float | None = None
    heading: float = 0.0
    fov: float = 360.0
    range_m: float = 30.0
    pre_roll: int = 30


class SourceIn(StrictSchema):
    """A folder of recordings; `offset`: seconds that the camera's clock is ahead."""

    camera: int
    folder: str
    zone: str | None = None
    offset: int = 0
    container_trusted: bool = False


class ClockIn(StrictSchema):
    """What is known of a camera's clock."""

    zone: str | None = None
    offset: int = 0
    container_trusted: bool = False


class StartIn(StrictSchema):
    """When a recording began, Unix seconds UTC."""

    start: int


class OffIn(StrictSchema):
    """Opt out (true) or in (false)."""

    off: bool


class QuietIn(StrictSchema):
    """Quiet hours in minutes of the day, both or none."""

    begin: int | None = None
    end: int | None = None
    zone: str = "UTC"


class ChannelIn(StrictSchema):
    """Where to tell the owner."""

    name: str
    url: str
    instant: bool = False
    understood: bool = False


class MinuteIn(StrictSchema):
    """A minute of the day."""

    minute: int


class ClipIn(StrictSchema):
    """A stretch of a recording, seconds from its start; `through`: the last of several that follow each other."""

    recording: int
    start: float
    end: float | None = None
    mute: bool = True
    through: int | None = None


class AnswerIn(StrictSchema):
    """What an owner changes about a draft; what is left out stays."""

    clips: list[ClipIn] | None = None
    mode: str | None = None
    name: str = ""
    contact: str = ""
    statement: str | None = None
    until: int | None = None


class ConfirmIn(StrictSchema):
    """Consent: hash of the terms shown, and whether to skip the delay."""

    terms_sha256: str
    at_once: bool = False


class OnceIn(StrictSchema):
    """Whether to skip the delay."""

    at_once: bool = False


class StepIn(StrictSchema):
    """Who steps forward."""

    name: str
    contact: str
    at_once: bool = False


class JoinIn(StrictSchema):
    """Where a hub's join file is, and the invite; `accept` after comparing fingerprints."""

    url: str
    invite: str = ""
    accept: bool = False
    successor: bool = False


def _camera(row: Camera) -> Json:
    names = ("name", "lat", "lon", "heading", "fov", "range_m", "pre_roll")
    return {"id": row.pk, **{name: getattr(row, name) for name in names}}


def _source(row: Source) -> Json:
    names = ("folder", "zone", "offset", "container_trusted", "scanned_at", "pending", "problem")
    refused = [{"path": item["path"], "code": item["code"], "message": item["message"]} for item in row.refused]
    return {"id": row.pk, "camera": row.camera_id, **{name: getattr(row, name) for name in names}, "refused": refused}


def _recording(row: Recording) -> Json:
    names = ("path", "start", "end", "seconds", "time_source", "why", "codec", "size")
    return {"id": row.pk, "source": row.source_id, **{name: getattr(row, name) for name in names}}


def _channel(row: Channel) -> Json:
    return {"id": row.pk, "name": row.name, "third_party": row.third_party, "instant": row.instant, "failed_at": row.failed_at}


def _alarm(row: Alarm) -> Json:
    return {"code": row.code, "message": _(row.message), "at": row.at, "count": row.count, "evidence": row.evidence}


def _answer(row: Answer) -> Json:
    names = ("kind", "mode", "statement", "until", "not_before", "problem")
    leaving = {one.clip: asdict(one) for one in answers.leaving(row)} if row.state == "draft" else {}
    clips = [
        {
            "id": clip.pk,
            "leaves": leaving.get(clip.pk),
            "recording": clip.recording_id,
            "more": [piece.recording_id for piece in clip.pieces.all()],
            "cut_start": clip.cut_start,
            "cut_end": clip.cut_end,
            "mute": clip.mute,
            "name": clip.name,
            "sha256": clip.sha256,
            "seconds": clip.seconds,
            "tracks": clip.tracks,
        }
        for clip in row.clips.all()
    ]
    return {
        "id": row.pk,
        "request": row.request_id,
        "state": sharing.state_of(row),
        "sentence": sharing.sentence(row),
        "response_id": row.response_id,
        "left_out": answers.left_out(row),
        **{name: getattr(row, name) for name in names},
        "clips": clips,
    }


@api.get("/status", auth=together)
def status(request: HttpRequest) -> Json:
    """How current this home is, what is wrong, and what waits."""
    found = follower.status()
    return {
        **asdict(found),
        "sentence": follower.explain(found.outcome),
        "alarms": [_alarm(row) for row in follower.alarms()],
        "badge": notifier.badge(),
        "tokens": tokens.available(),
    }


@api.post("/join", auth=owner)
def join_hub(request: HttpRequest, body: JoinIn) -> Json:
    """Show a hub's fingerprints; pin it with `accept`."""
    data = join.fetch_join(body.url)
    document = join.read_join(data)
    prints = [{**asdict(item), "agrees": item.agrees} for item in join.fingerprints(document)]
    if body.accept:
        join.accept(data, invite=body.invite, successor=body.successor)
    return {"name": document.name, "url": document.url, "fingerprints": prints, "accepted": body.accept}


@api.get("/cameras", auth=everyone)
def camera_list(request: HttpRequest) -> list[Json]:
    """The cameras that this person sees; to a viewer their names alone."""
    who = person(request)
    if household.role_of(who) == "viewer":
        return [{"id": row.pk, "name": row.name} for row in household.cameras_of(who)]
    return [_camera(row) for row in cameras.listing()]


@api.post("/cameras", auth=owner)
def camera_add(request: HttpRequest, body: CameraIn) -> Json:
    """Add a camera."""
    values = body.dict()
    return _camera(cameras.add(values.pop("name"), values.pop("lat"), values.pop("lon"), **values))


@api.put("/cameras/{camera_id}", auth=owner)
def camera_edit(request: HttpRequest, camera_id: int, body: CameraIn) -> Json:
    """Change a camera."""
    return _camera(cameras.edit(camera_id, **body.dict()))


@api.delete("/cameras/{camera_id}", auth=owner)
def camera_remove(request: HttpRequest, camera_id: int) -> Json:
    """Forget a camera."""
    cameras.remove(camera_id)
    return {"ok": True}


@api.get("/sources", auth=owner)
def source_list(request: HttpRequest) -> list[Json]:
    """All folders."""
    return [_source(row) for row in sources.listing()]


@api.post("/sources", auth=owner)
def source_add(request: HttpRequest, body: SourceIn) -> Json:
    """Add a folder."""
    row = sources.add(body.camera, body.folder, zone=body.zone, offset=body.offset, container_trusted=body.container_trusted)
    return _source(row)


@api.put("/sources/{source_id}", auth=owner)
def source_edit(request: HttpRequest, source_id: int, body: ClockIn) -> Json:
    """Say what is known of the camera's clock."""
    return _source(sources.edit(source_id, zone=body.zone, offset=body.offset, container_trusted=body.container_trusted))


@api.delete("/sources/{source_id}", auth=owner)
def source_remove(request: HttpRequest, source_id: int) -> Json:
    """Forget a folder."""
    sources.remove(source_id)
    return {"ok": True}


@api.post("/scan", auth=owner)
def scan(request: HttpRequest) -> Json:
    """Look through the folders now."""
    return asdict(sources.scan())


@api.get("/recordings/unknown", auth=owner)
def recordings_unknown(request: HttpRequest) -> list[Json]:
    """Recordings whose time only the owner can say."""
    return [_recording(row) for row in sources.unknown_times()]


@api.post("/recordings/{recording_id}/start", auth=owner)
def recording_start(request: HttpRequest, recording_id: int, body: StartIn) -> Json:
    """Say when a recording began."""
    return _recording(sources.answer_time(recording_id, body.start))


@api.get("/choices", auth=owner)
def choices(request: HttpRequest) -> Json:
    """The owner's opt-outs."""
    found = optouts.get()
    return {
        "alerts_off": found.alerts_off,
        "agencies": sorted(found.agencies),
        "offenses": sorted(found.offenses),
        "quiet": found.quiet,
        "zone": found.zone,
    }


@api.post("/choices/all", auth=owner)
def choose_all(request: HttpRequest, body: OffIn) -> Json:
    """Opt out of everything."""
    optouts.set_all(body.off)
    return {"ok": True}


@api.post("/choices/agencies/{agency}", auth=owner)
def choose_agency(request: HttpRequest, agency: str, body: OffIn) -> Json:
    """Opt out of an agency."""
    optouts.set_agency(agency, body.off)
    return {"ok": True}


@api.post("/choices/offenses/{code}", auth=owner)
def choose_offense(request: HttpRequest, code: str, body: OffIn) -> Json:
    """Opt out of an offence code."""
    optouts.set_offense(code, body.off)
    return {"ok": True}


@api.post("/choices/quiet", auth=owner)
def choose_quiet(request: HttpRequest, body: QuietIn) -> Json:
    """Set quiet hours."""
    optouts.set_quiet(body.begin, body.end, body.zone)
    return {"ok": True}


@api.get("/channels", auth=owner)
def channel_list(request: HttpRequest) -> list[Json]:
    """Where the owner is told; addresses are not shown again."""
    return [_channel(row) for row in notifier.channels()]


@api.post("/channels", auth=owner)
def channel_add(request: HttpRequest, body: ChannelIn) -> Json:
    """Add a channel."""
    return _channel(notifier.add_channel(body.name, body.url, instant=body.instant, understood=body.understood))


@api.delete("/channels/{int:channel_id}", auth=owner)
def channel_remove(request: HttpRequest, channel_id: int) -> Json:
    """Forget a channel."""
    notifier.remove_channel(channel_id)
    return {"ok": True}


@api.post("/channels/digest", auth=owner)
def channel_digest(request: HttpRequest, body: MinuteIn) -> Json:
    """Set the minute of the daily message."""
    notifier.set_digest_minute(body.minute)
    return {"ok": True}


@api.get("/requests", auth=together)
def request_list(request: HttpRequest, *, muted: bool = False, past: bool = False) -> list[Json]:
    """Requests that concern this home."""
    return [asdict(view) for view in requests.listing(include_muted=muted, include_past=past)]


@api.get("/requests/refused", auth=together)
def request_refused(request: HttpRequest) -> list[Json]:
    """What this home refused, and by which rule."""
    return [asdict(item) for item in requests.refused()]


@api.get("/requests/{request_id}", auth=together)
def request_detail(request: HttpRequest, request_id: str) -> Json:
    """One request with its proof in plain words."""
    return asdict(requests.detail(request_id, note=household.may_send(person(request))))


@api.post("/requests/{request_id}/ignore", auth=owner)
def request_ignore(request: HttpRequest, request_id: str) -> Json:
    """Put a request away."""
    requests.ignore(request_id)
    return {"ok": True}


@api.post("/requests/{request_id}/answer", auth=together)
def answer_draft(request: HttpRequest, request_id: str) -> Json:
    """Begin an answer, or return the open draft."""
    return _answer(answers.draft(request_id))


@api.get("/terms", auth=together)
def terms(request: HttpRequest) -> Json:
    """What an owner consents to."""
    return {"text": answers.TERMS, "sha256": answers.TERMS_SHA256}


@api.get("/answers", auth=together)
def answer_list(request: HttpRequest) -> list[Json]:
    """All answers."""
    return [_answer(row) for row in answers.listing()]


@api.patch("/answers/{answer_id}", auth=together)
def answer_change(request: HttpRequest, answer_id: int, body: AnswerIn) -> Json:
    """Change a draft."""
    if body.clips is not None:
        answers.set_clips(answer_id, [answers.ClipChoice(c.recording, c.start, c.end, c.mute, c.through) for c in body.clips])
    if body.mode is not None:
        answers.set_mode(answer_id, body.mode, name=body.name, contact=body.contact)
    if body.statement is not None:
        answers.set_statement(answer_id, body.statement)
    if body.until is not None:
        answers.set_until(answer_id, body.until)
    return _answer(answers.get(answer_id))


@api.delete("/answers/{answer_id}", auth=together)
def answer_discard(request: HttpRequest, answer_id: int) -> Json:
    """Throw a draft away."""
    answers.discard(answer_id)
    return {"ok": True}


@api.post("/answers/{answer_id}/confirm", auth=together)
def answer_confirm(request: HttpRequest, answer_id: int, body: ConfirmIn) -> Json:
    """Consent and queue."""
    household.check_may_send(person(request))
    return _answer(answers.confirm(answer_id, at_once=body.at_once, terms=body.terms_sha256))


@api.post("/answers/{answer_id}/send-now", auth=together)
def answer_now(request: HttpRequest, answer_id: int) -> Json:
    """Skip what is left of the delay."""
    household.check_may_send(person(request))
    return _answer(answers.send_now(answer_id))


@api.post("/answers/{answer_id}/retry", auth=together)
def answer_retry(request: HttpRequest, answer_id: int, body: OnceIn) -> Json:
    """Send a failed answer anew."""
    household.check_may_send(person(request))
    return _answer(delivery.retry(answer_id, at_once=body.at_once))


@api.post("/answers/{answer_id}/withdraw", auth=together)
def answer_withdraw(request: HttpRequest, answer_id: int) -> Json:
    """Take an answer back."""
    household.check_may_send(person(request))
    return {"sentence": sharing.withdraw(answer_id), **_answer(answers.get(answer_id))}


@api.post("/answers/{answer_id}/step-forward", auth=owner)
def answer_step(request: HttpRequest, answer_id: int, body: StepIn) -> Json:
    """Make oneself known for an anonymous answer."""
    return _answer(sharing.step_forward(answer_id, body.name, body.contact, at_once=body.at_once))


@api.get("/answers/{answer_id}/receipt", auth=together)
def answer_receipt(request: HttpRequest, answer_id: int) -> Json:
    """What the owner holds about an answer."""
    found = sharing.receipts(answer_id)
    return {**asdict(found), "promise": None if found.promise is None else dsse.b64(found.promise)}


@api.post("/clips/{clip_id}/reveal", auth=owner)
def clip_reveal(request: HttpRequest, clip_id: int) -> Json:
    """Open the commitment to a clip's untouched original."""
    return asdict(sharing.reveal_original(clip_id))
