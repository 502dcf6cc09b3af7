"""Sealing an answer to its spool and bringing it to the hub, resumable at every step (design.md 9.5).

Each step is stored before the next begins: token and consent, then a whole spool, then "upload begun" before the first byte
leaves, then "finalizing", then the hub's promise. A process killed anywhere goes on from there. One answer has one response
key and one token from consent on, so it cannot arrive twice; another token is taken only by the owner's word after the hub
itself said that nothing of the first attempt is left.
"""

import errno
import hashlib
import io
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.db import transaction
from django.utils.translation import gettext as _
from fairwitness_core.crypto import seal
from fairwitness_core.crypto.random import token_bytes
from fairwitness_core.crypto.sign import PublicKey, SigningKey
from fairwitness_core.model.recording import original_commitment
from fairwitness_core.model.response import (
    PART_SIZE,
    Clip,
    Consent,
    Finalize,
    Identity,
    Manifest,
    Span,
    StepForward,
    UploadOpen,
    UploadPart,
    parts_of,
    response_id,
)
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError
from fairwitness_core.wire.frames import FrameSource

from fairwitness.home.errors import conflict
from fairwitness.home.models import Answer, AnswerClip, AnswerPiece
from fairwitness.home.services import answers, blur, follower, join, masks, matching, provenance, requests, sharing, tokens
from fairwitness.kit import clock, config, files, foreign, http, secrets_store
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, log, size_class
from fairwitness.kit.video.clip import Cut, Next
from fairwitness.kit.video.masks import Polygon
from fairwitness.kit.video.regions import Track
from fairwitness.kit.video.spool import ClipResult, Job, SpoolResult
from fairwitness.kit.video.worker import pass_to_spool

type Hidden = tuple[tuple[Polygon, ...], tuple[Track, ...]]
"""Areas that are black in all of a clip, and what is followed through it and black as well."""

PART_MAGIC = b"FWP1"
RETRY_S = 60
LONGEST_RETRY_S = 3600
SEAL_S = 1800
SEAL_TIMES = 4  # seconds of work that a second of footage may take at most, converted on a slow machine
_SMALL = 1 << 18
# What the hub says when this attempt is over and only a new token could begin another.
_OVER = frozenset({"token.spent", "token.invalid", "token.epoch", "token.key", "token.challenge", "token.binding",
                   "token.authenticator", "upload.expired", "upload.exists_other", "agency.unknown"})  # fmt: skip


# ---------------------------------------------------------------- sealing


def seal_due(now: int) -> int:
    """Seal every answer that was consented to and is not sealed yet; returns how many were."""
    sweep()
    done = 0
    for answer in Answer.objects.filter(state="queued", try_after__lte=now).select_related("request", "token").order_by("pk"):
        done += _seal(answer, now)
    return done


def sweep() -> None:
    """Remove spools that no answer names: left by a kill while sealing, or of answers that ended."""
    named = set(Answer.objects.filter(state__in=("sealed", "uploading")).exclude(spool="").values_list("spool", flat=True))
    for path in sharing.spool_folder().iterdir():
        if path.name not in named:
            path.unlink(missing_ok=True)


def _seal(answer: Answer, now: int) -> bool:
    try:
        requests.check_live(answer.request, now)
    except Refused as refusal:
        sharing.cancel(answer, now, refusal.code)
        return False
    if answer.kind != "step_forward" and (waits := blur.waits(answer)):
        # Faces and plates were not looked for yet, or could not be: it leaves when they were, or by the owner's own word.
        Answer.objects.filter(pk=answer.pk, state="queued").exclude(problem=waits).update(problem=waits)
        return False
    if answer.token is None:
        raise RuntimeError("a queued answer has its token")
    key = tokens.key_of(answer.token)
    name = f"{token_bytes(12).hex()}.age"
    try:
        covered = [] if answer.kind == "step_forward" else _hidden(answer)
        result = (
            _seal_step(answer, key, name, now) if answer.kind == "step_forward" else _seal_clips(answer, key, name, covered, now)
        )
    except ProtocolError as error:
        _give_up(answer, now, error.code)
        return False
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        _give_up(answer, now, "clip.gone")
        return False
    except OSError as error:
        # Our own disk, or the recording's for now: neither ends what the owner agreed to.
        _later(answer, now, "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "disk_failed")
        return False
    with transaction.atomic():
        # The owner may have cancelled while the clip was sealed.
        if not Answer.objects.select_for_update().filter(pk=answer.pk, state="queued").exists():
            (sharing.spool_folder() / name).unlink(missing_ok=True)
            return False
        # Or have drawn an area: what was made without it goes, and is made anew at the next look.
        if _hidden(answer) != covered:
            (sharing.spool_folder() / name).unlink(missing_ok=True)
            return False
        answer.spool, answer.sealed, answer.size = name, result.sha256, result.size
        answer.response_id, answer.state, answer.problem, answer.tries = response_id(key.public.raw), "sealed", "", 0
        answer.save()
        answers.note(answer, "sealed", now)
    return True


def _seal_step(answer: Answer, key: SigningKey, name: str, now: int) -> SpoolResult:
    """Seal a StepForward, signed by the ORIGINAL answer's key; the upload itself goes under this one's `key`."""
    original = answer.of
    if original is None or original.token is None:
        raise RuntimeError("stepping forward follows an answer")
    identity = _identity(answer)
    if identity is None or key.public == tokens.key_of(original.token).public:
        raise RuntimeError("stepping forward names a person under a key of its own")
    signer = tokens.key_of(original.token)
    document = StepForward(
        response_id=original.response_id,
        pk=signer.public.raw,
        request_id=answer.request_id,
        name=identity.name,
        contact=identity.contact,
        at=_hour(now),
    )
    return _seal_small(answer, name, dsse.sign(dsse.RESPONSE, document.encode(), signer).encode())


def _seal_clips(answer: Answer, key: SigningKey, name: str, covered: list[Hidden], now: int) -> SpoolResult:
    chosen = list(answer.clips.select_related("recording__source__camera", "camera"))
    # No lead: what the owner trimmed away must not leave, so a cut between key frames is transcoded rather than copied.
    cuts = tuple(cut_of(clip, *hidden, _keep_original) for clip, hidden in zip(chosen, covered, strict=True))
    if not cuts:
        return _seal_small(answer, name, _manifest(answer, key, (), chosen, now))
    job = Job(cuts, (matching.document(answer.request).key,), sharing.spool_folder() / name)
    return pass_to_spool(
        job,
        lambda results: _manifest(answer, key, _covered(results, cuts), chosen, now),
        cancelled=lambda: not Answer.objects.filter(pk=answer.pk, state="queued").exists(),
        seconds=max(SEAL_S, sum(round(_length(clip)) for clip in chosen) * SEAL_TIMES),
    )


def cut_of(
    clip: AnswerClip,
    areas: tuple[Polygon, ...],
    tracks: tuple[Track, ...],
    path_of: Callable[[AnswerClip | AnswerPiece], Path],
) -> Cut:
    """Return what leaves of a clip: the same for sealing and for looking at it before, whichever files `path_of` names."""
    first = path_of(clip)
    more = tuple(Next(path_of(piece), piece.offset) for piece in clip.pieces.all())
    return Cut(first, clip.cut_start, clip.cut_end, clip.mute, lead=0.0, masks=areas, more=more, regions=tracks)


def _length(clip: AnswerClip) -> float:
    """Return the seconds of what was chosen, or more."""
    if clip.cut_end is not None:
        return clip.cut_end - clip.cut_start
    last = clip.pieces.last()
    recording = clip.recording if last is None else last.recording
    return (0.0 if last is None else last.offset) + (recording.seconds if recording is not None else 0.0)


def _covered(results: tuple[ClipResult, ...], cuts: tuple[Cut, ...]) -> tuple[ClipResult, ...]:
    """Return the clips if every area of every one is covered, so that nothing else is ever signed. Raises ProtocolError."""
    for result, cut in zip(results, cuts, strict=True):
        if (result.covered, result.regions) != (len(cut.masks), len(cut.regions)):
            raise ProtocolError("mask.missed", "an area was not covered", evidence=result.name)
    return results


def hidden_of(clip: AnswerClip) -> Hidden:
    """Return what has to be black in a clip as things stand now: areas, and what moves. Raises ProtocolError."""
    return masks.of_clip(clip), blur.tracks_of(clip)


def _hidden(answer: Answer) -> list[Hidden]:
    return [hidden_of(clip) for clip in answer.clips.select_related("answer", "recording__source__camera", "camera")]


def _seal_small(answer: Answer, name: str, manifest: bytes) -> SpoolResult:
    """Seal what has no clip, in memory: a statement or a name."""
    sink = io.BytesIO()
    seal.seal_stream(FrameSource((), lambda _digests: manifest), sink, (matching.document(answer.request).key,))
    data = sink.getvalue()
    files.write_atomic(sharing.spool_folder() / name, data)
    return SpoolResult(hashlib.sha256(data).hexdigest(), len(data), ())


def _keep_original(part: AnswerClip | AnswerPiece) -> Path:
    """Keep the untouched original beside us, and its salted hash; a camera may overwrite its own folder any day.

    A second name for the file costs no space; where the folder is on another disk it is copied. Raises ProtocolError
    `clip.changed` when the file is no longer the one that the owner chose.
    """
    kept = sharing.original_of(part) if part.original else None
    if kept is not None and part.original_sha256:
        return kept
    source = chosen_file(part)
    folder = config.current(config.RoleConfig).folder("originals")
    number = f"{part.answer_id}-{part.pk}" if isinstance(part, AnswerClip) else f"{part.clip.answer_id}-{part.clip_id}-{part.pk}"
    part.original = f"{number}{source.suffix.lower()[:8]}"
    target = folder / part.original
    target.unlink(missing_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        with files.disk_errors("originals"):
            shutil.copyfile(source, target, follow_symlinks=False)
    part.original_sha256 = sharing.file_sha256(target)
    if isinstance(part, AnswerClip):
        part.salt = token_bytes(32)
    part.save()
    return target


def chosen_file(part: AnswerClip | AnswerPiece) -> Path:
    """Return the recording that the owner chose. Raises ProtocolError `clip.changed` for another one of its name, OSError."""
    source = Path(part.source_path)
    info = source.stat()
    if [info.st_size, info.st_mtime_ns, info.st_ino] != [part.identity[k] for k in ("size", "mtime_ns", "inode")]:
        raise ProtocolError("clip.changed", "the recording changed after it was chosen")
    return source


def _manifest(answer: Answer, key: SigningKey, results: tuple[ClipResult, ...], chosen: list[AnswerClip], now: int) -> bytes:
    """Return the signed cover sheet; what each clip came to is stored with the answer in the same moment."""
    clips = tuple(_clip(result, clip) for result, clip in zip(results, chosen, strict=True))
    for made, result, clip in zip(clips, results, chosen, strict=True):
        clip.name, clip.sha256, clip.size = made.name, made.sha256, made.bytes
        clip.start, clip.end, clip.seconds = made.start, made.end, result.seconds
        clip.tracks, clip.transcoded, clip.covered = list(result.tracks), result.transcoded, result.covered
        clip.save()
    if any(result.covered for result in results) and masks.REDACTION not in answer.redactions:
        answer.redactions = [*answer.redactions, masks.REDACTION]
    if any(result.regions for result in results) and blur.REDACTION not in answer.redactions:
        answer.redactions = [*answer.redactions, blur.REDACTION]
    document = Manifest(
        response_id=response_id(key.public.raw),
        pk=key.public.raw,
        request_id=answer.request_id,
        mode=answer.mode,
        statement=answer.statement,
        consent=Consent(terms_sha256=answer.terms_sha256, scope="this_case", until=_until(answer)),
        clips=clips,
        gaps=tuple(Span(start=start, end=end) for start, end in answer.gaps),
        redactions=tuple(answer.redactions),
        at=_hour(now),
        identity=_identity(answer),
    )
    return dsse.sign(dsse.RESPONSE, document.encode(), key).encode()


def _clip(result: ClipResult, clip: AnswerClip) -> Clip:
    if clip.salt is None:
        raise RuntimeError("an original is kept before its clip is made")
    start = int(clip.started + result.start)
    end = clip.started + result.end
    return Clip(
        name=result.name,
        sha256=result.sha256,
        bytes=result.bytes,
        start=start,
        end=max(int(end) + (end != int(end)), start + 1),
        mime="video/mp4",
        time_source=clip.time_source,
        muted="audio" not in result.tracks,
        transcoded=result.transcoded,
        orig_commit=original_commitment(bytes(clip.salt), [part.original_sha256 for part in sharing.parts_of(clip)]),
        chain_commit=provenance.commit(clip),
    )


def _until(answer: Answer) -> int:
    if answer.until is None:
        raise RuntimeError("an answer that was consented to has an end")
    return answer.until


def _identity(answer: Answer) -> Identity | None:
    if answer.identity is None:
        return None
    return Identity.from_json(canonical.decode(secrets_store.unwrap(bytes(answer.identity))), "identity")


def _hour(now: int) -> int:
    """Round down to the hour: when an owner sat down to answer concerns nobody."""
    return now - now % 3600


# ---------------------------------------------------------------- upload


class _Wait(Exception):
    """The hub could not be reached or asks for patience: try again later."""


class _Over(Exception):
    """The hub will never take this attempt; `args[0]` is its code."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """All that an upload needs; nothing of it changes between tries."""

    answer: Answer
    key: SigningKey
    token: bytes
    agency: str
    base: str
    hub: PublicKey


def upload_due(now: int) -> int:
    """Bring every sealed answer whose time has come to the hub; returns how many arrived."""
    rows = Answer.objects.filter(state__in=("sealed", "uploading"), not_before__lte=now, try_after__lte=now)
    return sum(_upload(answer, now) for answer in rows.select_related("request", "token").order_by("not_before", "pk"))


def _upload(answer: Answer, now: int) -> bool:
    if answer.state == "sealed":
        try:
            requests.check_live(answer.request, now)
        except Refused as refusal:
            sharing.cancel(answer, now, refusal.code)
            return False
    spool = sharing.spool_folder() / answer.spool
    if not spool.is_file() or spool.stat().st_size != answer.size:
        return _reseal(answer, now)
    try:
        envelope = _attempt(answer, spool, now)
    except _Wait as wait:
        _later(answer, now, str(wait))
        return False
    except _Over as over:
        _give_up(answer, now, str(over))
        return False
    with transaction.atomic():
        fresh = Answer.objects.select_for_update().get(pk=answer.pk)
        fresh.promise, fresh.uploaded_at, fresh.problem = envelope, now, ""
        if fresh.state == "uploading":
            fresh.state = "uploaded"
        fresh.save()
        answers.note(fresh, "uploaded", now)
    sharing.drop_spool(answer)
    log(Event.UPLOAD_STORED, size_class=size_class(answer.size))
    return True


def _attempt(answer: Answer, spool: Path, now: int) -> bytes:
    if answer.token is None or answer.token.token is None:
        raise RuntimeError("a sealed answer has its token")
    joined = join.current()
    attempt = _Attempt(
        answer,
        tokens.key_of(answer.token),
        bytes(answer.token.token),
        answer.request.agency,
        f"{joined.join.url}/v1/uploads",
        PublicKey(joined.join.hub_key),
    )
    if answer.state == "sealed":
        # From here on the hub may know the response: stored first, so that a withdrawal after a kill tells it.
        if not Answer.objects.filter(pk=answer.pk, state="sealed").update(state="uploading"):
            raise _Wait("changed")
        answer.state = "uploading"
    if answer.finalizing:
        # The answer to the last call may have been lost: asking again costs nothing and sends nothing twice.
        done = _finalize(attempt, again=True)
        if done is not None:
            return done
    try:
        have = _open(attempt, now)
    except _Over as over:
        # The hub may have taken it and forgotten the upload since: only a person decides to send it again.
        raise _Over("upload.unclear" if answer.finalizing else str(over)) from over
    with spool.open("rb") as stream:
        for number in range(parts_of(answer.size)):
            if number not in have:
                _part(attempt, stream, number)
    # A withdrawal in the meantime ends the upload here: nothing is finalised after it.
    if not Answer.objects.filter(pk=answer.pk, state="uploading").update(finalizing=True):
        raise _Wait("changed")
    answer.finalizing = True
    done = _finalize(attempt, again=False)
    if done is None:
        raise _Wait("incomplete")
    return done


def _open(attempt: _Attempt, now: int) -> set[int]:
    answer = attempt.answer
    document = UploadOpen(
        response_id=answer.response_id,
        pk=attempt.key.public.raw,
        agency=attempt.agency,
        size=answer.size,
        parts=parts_of(answer.size),
        token=attempt.token,
        at=now,
    )
    reply = _call("POST", attempt.base, dsse.sign(dsse.RESPONSE, document.encode(), attempt.key).encode())
    return _parts_have(_checked(reply))


def _part(attempt: _Attempt, stream: BinaryIO, number: int) -> None:
    stream.seek(number * PART_SIZE)
    data = stream.read(PART_SIZE)
    document = UploadPart(
        response_id=attempt.answer.response_id,
        pk=attempt.key.public.raw,
        part=number,
        sha256=hashlib.sha256(data).hexdigest(),
    )
    envelope = dsse.sign(dsse.RESPONSE, document.encode(), attempt.key).encode()
    head = PART_MAGIC + struct.pack(">I", len(envelope)) + envelope

    def chunks() -> Iterator[bytes]:
        yield head
        yield data

    try:
        reply = http.Http().upload(
            "PUT", f"{attempt.base}/{attempt.answer.response_id}/{number}", chunks(), size=len(head) + len(data), max_bytes=_SMALL
        )
    except (http.Unreachable, http.TooLarge) as error:
        raise _Wait("unreachable") from error
    _checked(reply)


def _finalize(attempt: _Attempt, *, again: bool) -> bytes | None:
    """Ask for the promise. Returns None where the hub lacks something of the upload, which is then sent (again)."""
    answer = attempt.answer
    document = Finalize(
        response_id=answer.response_id,
        pk=attempt.key.public.raw,
        agency=attempt.agency,
        sealed=answer.sealed,
        size=answer.size,
        parts=parts_of(answer.size),
        token=attempt.token,
    )
    body = dsse.sign(dsse.RESPONSE, document.encode(), attempt.key).encode()
    reply = _call("POST", f"{attempt.base}/{answer.response_id}/finalize", body)
    if reply.status in (400, 404, 409) and tokens.error_code(reply) in ("upload.incomplete", "upload.hash", "upload.unknown"):
        return None
    if again and reply.status == 410:
        return None
    value = _checked(reply)
    try:
        promise = dsse.unb64(value.get("promise"), "promise")
        sharing.read_promise(promise, attempt.hub, response_id=answer.response_id, sealed=answer.sealed)
    except ProtocolError as error:
        follower.raise_alarm("promise.false", "The hub took your answer and gave no true receipt for it.", clock.now())
        raise _Wait(error.code) from error
    return promise


def _call(method: str, url: str, body: bytes) -> http.Response:
    try:
        return http.Http().request(method, url, body, max_bytes=_SMALL)
    except (http.Unreachable, http.TooLarge) as error:
        raise _Wait("unreachable") from error


def _checked(reply: http.Response) -> dict[str, object]:
    if reply.status == 200:
        try:
            value = foreign.json_value(reply.body)
        except ValueError as error:
            raise _Wait("answer") from error
        if isinstance(value, dict):
            return value
        raise _Wait("answer")
    code = tokens.error_code(reply)
    raise (_Over if code in _OVER else _Wait)(code)


def _parts_have(value: dict[str, object]) -> set[int]:
    found = value.get("parts_have")
    if not isinstance(found, list) or not all(type(item) is int for item in found):
        raise _Wait("answer")
    return set(found)


# ---------------------------------------------------------------- when it does not work


def _later(answer: Answer, now: int, code: str) -> None:
    tries = answer.tries + 1
    Answer.objects.filter(pk=answer.pk).update(
        tries=tries, problem=code[:64], try_after=now + min(RETRY_S * 2 ** min(tries - 1, 8), LONGEST_RETRY_S)
    )


def _reseal(answer: Answer, now: int) -> bool:
    """The spool is gone or cut short: seal again, as long as the hub knows nothing of the old ciphertext."""
    if answer.state == "uploading":
        _give_up(answer, now, "spool.lost")
        return False
    Answer.objects.filter(pk=answer.pk, state="sealed").update(state="queued", spool="", sealed="", size=0)
    return False


def _give_up(answer: Answer, now: int, code: str) -> None:
    sent = answer.state == "uploading"
    with transaction.atomic():
        fresh = Answer.objects.select_for_update().select_related("token").get(pk=answer.pk)
        if fresh.state not in ("queued", "sealed", "uploading"):
            return
        if fresh.token is not None and not sent:
            tokens.give_back(fresh.token)
            fresh.token = None
        fresh.state, fresh.problem, fresh.finalizing = "failed", code[:64], False
        fresh.tries = max(fresh.tries, 1) if sent else 0
        fresh.save()
        answers.note(fresh, "failed", now, code)
    sharing.drop_spool(fresh)


def retry(answer_id: int, *, at_once: bool = False, now: int | None = None) -> Answer:
    """Send a failed answer anew, by the owner's word: sealed again, under a new key and token. Raises Refused.

    The hub refused the first attempt or let it expire, so nothing of it can still be collected.
    """
    moment = clock.now() if now is None else now
    with transaction.atomic():
        answer = answers.get(answer_id)
        if answer.state != "failed":
            raise conflict("answer.state", _("Only an answer that could not be sent is sent again."))
        if answer.problem == "upload.unclear":
            raise conflict("answer.unclear", _("The hub may have this answer already; it is not sent twice."))
        requests.check_live(answer.request, moment)
        if answer.token is not None:
            answer.token.state = "dead"
            answer.token.save()
        answer.token, answer.response_id, answer.spool, answer.sealed, answer.size = None, "", "", "", 0
        answers.queue(answer, moment, at_once=at_once)
    return answer
