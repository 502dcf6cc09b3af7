"""What happens to an answer after consent: receipts, status, withdrawal, stepping forward, and opening a commitment later."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from fairwitness_core.crypto.sign import PublicKey
from fairwitness_core.model.recording import original_commitment
from fairwitness_core.model.response import Identity, Promise, ResponseStatus, Withdraw
from fairwitness_core.rules import feed
from fairwitness_core.rules.inbox import inbox_leaf, inbox_root
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.config import Config
from fairwitness.home.errors import conflict, unknown
from fairwitness.home.models import Answer, AnswerClip, AnswerPiece, InboxRoot
from fairwitness.home.services import answers, follower, join, requests, tokens
from fairwitness.kit import clock, config, foreign, http, secrets_store
from fairwitness.kit.journal import Event, log

_SMALL = 1 << 16
INBOX_LATE_S = 2 * 86_400  # after its day, a list that is still to be logged counts as kept back
_MAX_STATUS = 1 << 18
_MAX_LEAVES = 1 << 28
FINAL_STATES = ("expired", "withdrawn")
WATCHED_S = 400 * 86_400

SENTENCES = {
    "draft": gettext_noop("Nothing has left this home."),
    "queued": gettext_noop("Waiting here. Nothing has left this home; you can still cancel without a trace."),
    "sealed": gettext_noop("Encrypted, and waiting here for a random time. You can still cancel without a trace."),
    "uploading": gettext_noop("On its way to the hub, which cannot read it."),
    "uploaded": gettext_noop("The hub holds it encrypted; the agency has not collected it yet. You can still take it back."),
    "collected": gettext_noop("The agency has it. You can ask for its deletion; that request goes on record."),
    "accepted": gettext_noop("The agency has taken it into the case. You can ask for its deletion; that request goes on record."),
    "declined": gettext_noop("The agency has no use for it; it can no longer open it, and destroys it after 30 days."),
    "exported": gettext_noop("It was handed on as evidence. It cannot be recalled; a notice can be added to it."),
    "expired": gettext_noop("Its time is over; the agency must destroy it."),
    "cancelled": gettext_noop("Cancelled. Nothing ever left this home."),
    "withdrawn": gettext_noop("The agency has your withdrawal on record."),
    "failed": gettext_noop("It could not be sent. Nothing of it is with the agency."),
}
_SEEN = gettext_noop(
    "They have it already and may have seen it. Your wish for deletion is on record; only a legal hold may delay it."
)
WITHDRAWN = {
    "draft": gettext_noop("Cancelled. Nothing ever left this home."),
    "queued": gettext_noop("Cancelled. Nothing ever left this home."),
    "sealed": gettext_noop("Cancelled. Nothing ever left this home."),
    "failed": gettext_noop("Cancelled. Nothing of it is with the agency."),
    "uploading": gettext_noop(
        "Taken back before the agency could collect it: the hub deletes what it has. It could never read it."
    ),
    "uploaded": (
        "Taken back: the hub deletes it before the agency collects it. A hub that secretly kept its copy is not covered by this."
    ),
    "collected": _SEEN,
    "accepted": _SEEN,
    "declined": gettext_noop("They had declined it already. Your notice is on record."),
    "exported": gettext_noop(
        "It was handed on as evidence and cannot be recalled. Your notice is added to its chain of custody."
    ),
    "expired": gettext_noop("Its time was over already. Your notice is on record."),
}


# ---------------------------------------------------------------- receipts


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an owner holds about an answer. `state` is the local state or the agency's word; `inbox`: "", listed or missing."""

    answer: int
    request_id: str
    state: str
    sentence: str
    response_id: str
    sealed: str
    size: int
    promise: bytes | None
    inbox: str
    not_before: int | None
    events: tuple[tuple[int, str, str], ...]
    clips: tuple[tuple[str, str, float, tuple[str, ...]], ...]


def state_of(answer: Answer) -> str:
    """Return where an answer stands: the agency's latest word once there is one, else the local state."""
    return answer.status or answer.state if answer.state == "uploaded" else answer.state


def sentence(answer: Answer) -> str:
    """Return the honest sentence for where an answer stands, or for how it was withdrawn."""
    if answer.state == "withdrawn":
        return _(WITHDRAWN[answer.withdrawn_from])
    return _(SENTENCES[state_of(answer)])


def receipts(answer_id: int) -> Receipt:
    """Return the receipt of an answer. Raises Refused."""
    answer = answers.get(answer_id)
    return Receipt(
        answer.pk,
        answer.request_id,
        state_of(answer),
        sentence(answer),
        answer.response_id,
        answer.sealed,
        answer.size,
        None if answer.promise is None else bytes(answer.promise),
        answer.inbox_state,
        answer.not_before,
        tuple((event.at, event.kind, event.detail) for event in answer.events.all()),
        tuple((clip.name, clip.sha256, clip.seconds, tuple(clip.tracks)) for clip in answer.clips.all()),
    )


def read_promise(data: bytes, hub: PublicKey, *, response_id: str, sealed: str) -> Promise:
    """Return the hub's promise if it signed it about this very ciphertext. Raises ProtocolError."""
    promise = Promise.parse(dsse.Envelope.parse(data).verify(dsse.RECEIPT, hub))
    if (promise.response_id, promise.sealed) != (response_id, sealed):
        raise ProtocolError("promise.other", "the hub's promise is about another response")
    return promise


# ---------------------------------------------------------------- status, on its slot


def status_due(now: int) -> int | None:
    """Ask for the status of one uploaded answer, the one not asked for longest: one GET a slot. Returns its id or None.

    An answer whose day at the hub is over has its receipt compared with that day's list first, once.
    """
    waiting = Answer.objects.filter(
        state__in=("uploaded", "withdrawn"), promise__isnull=False, uploaded_at__gt=now - WATCHED_S
    ).exclude(status__in=FINAL_STATES)
    answer = waiting.order_by("status_checked_at", "pk").first()
    if answer is None:
        return None
    answer.status_checked_at = now
    answer.save(update_fields=["status_checked_at"])
    if not answer.inbox_state and _inbox_over(answer, now):
        _check_inbox(answer, now)
    else:
        _fetch_status(answer, now)
    return answer.pk


def _promise_of(answer: Answer) -> Promise:
    hub = PublicKey(join.current().join.hub_key)
    return read_promise(bytes(answer.promise or b""), hub, response_id=answer.response_id, sealed=answer.sealed)


def _inbox_over(answer: Answer, now: int) -> bool:
    """Tell whether the day's list can be judged: its root came in the feed, or should have come long ago."""
    day = _promise_of(answer).inbox_day
    if now < feed.first_tick_after(day, 1) + 3600:
        return False
    return InboxRoot.objects.filter(day=day).exists() or _inbox_overdue(day)


def _inbox_overdue(day: str) -> bool:
    """Tell whether this home has read the feed so far behind `day` that a root in the log would be known to it."""
    return follower.status().next_tick * join.current().pin.tick_seconds >= feed.first_tick_after(day, 1) + INBOX_LATE_S


def _fetch_status(answer: Answer, now: int) -> None:
    try:
        reply = http.Http().get(f"{join.current().join.url}/v1/responses/{answer.response_id}/status", max_bytes=_MAX_STATUS)
    except (http.Unreachable, http.TooLarge):
        return
    if reply.status != 200:
        return
    try:
        _take_statuses(answer, _envelopes(reply.body), now)
    except ProtocolError as error:
        log(Event.MESSAGE_REFUSED, kind="status", code=error.code)


def _envelopes(body: bytes) -> list[bytes]:
    try:
        value = foreign.json_value(body)
    except ValueError as error:
        raise ProtocolError("status.shape", "the status answer is not JSON") from error
    found = value.get("envelopes") if isinstance(value, dict) else None
    if not isinstance(found, list) or len(found) > 64:
        raise ProtocolError("status.shape", "the status answer holds a list of envelopes")
    return [dsse.unb64(item, "envelope") for item in found]


def _take_statuses(answer: Answer, envelopes: list[bytes], now: int) -> None:
    """Believe what the request's own agency signed with a key that counts, and nothing older than what is known."""
    record = follower.directory().agency(answer.request.agency)
    keys = record.consoles(now) if record else ()
    for data in envelopes:
        envelope = dsse.Envelope.parse(data)
        if envelope.payload_type != dsse.RECEIPT or len(envelope.signatures) != 1 or not envelope.signers(keys):
            raise ProtocolError("status.signer", "no current key of the agency signed this status")
        status = ResponseStatus.parse(envelope.payload)
        if (status.response_id, status.agency) != (answer.response_id, answer.request.agency):
            raise ProtocolError("status.other", "the status is about another response")
        if answer.status_at is not None and status.at <= answer.status_at:
            continue
        with transaction.atomic():
            answer.status, answer.status_at = status.status, status.at
            answer.statuses = [*answer.statuses, {"status": status.status, "note": status.note, "at": status.at}]
            answer.save(update_fields=["status", "status_at", "statuses"])
            answers.note(answer, status.status, status.at, status.note)


def _check_inbox(answer: Answer, now: int) -> None:
    """Look for the promise's leaf in its day's list under the root in the log.

    A leaf that is missing proves suppression, with the signed promise. So does a list that is not served, or whose root is
    not in the log, once it is overdue: a list without its root could have been made for this home alone.
    """
    promise = _promise_of(answer)
    try:
        reply = http.Http().get(f"{join.current().join.url}/feed/v1/inbox/{promise.inbox_day}", max_bytes=_MAX_LEAVES)
    except (http.Unreachable, http.TooLarge):
        return
    served = reply.status == 200 and bool(reply.body) and len(reply.body) % 32 == 0
    if not served and not _inbox_overdue(promise.inbox_day):
        return
    leaves = [reply.body[i : i + 32] for i in range(0, len(reply.body), 32)] if served else []
    logged = InboxRoot.objects.filter(day=promise.inbox_day).first()
    rooted = logged is not None and bytes(logged.root) == inbox_root(leaves)
    if rooted and inbox_leaf(promise.response_id, promise.sealed, promise.tick) in leaves:
        answer.inbox_state = "logged"
        answers.note(answer, "inbox_listed", now)
    else:
        answer.inbox_state = "missing"
        answers.note(answer, "inbox_missing", now)
        follower.raise_alarm(
            "inbox.missing",
            "The hub signed a receipt for your answer, but it is not in that day's list. The receipt proves it: keep it.",
            now,
        )
    answer.save(update_fields=["inbox_state"])


# ---------------------------------------------------------------- withdrawal


def withdraw(answer_id: int, *, now: int | None = None) -> str:
    """Take an answer back, whatever its stage, and return the honest sentence about what that means. Raises Refused.

    The signed notice is stored before it is sent, and sent again until the hub has it.
    """
    moment = clock.now() if now is None else now
    with transaction.atomic():
        answer = Answer.objects.select_for_update().select_related("request", "token").filter(pk=answer_id).first()
        if answer is None:
            raise unknown("answer")
        before = state_of(answer)
        if answer.state in ("cancelled", "withdrawn"):
            raise conflict("answer.over", _("This answer was taken back already."))
        if answer.state in ("draft", "queued", "sealed") or (answer.state == "failed" and not answer.tries):
            _cancel(answer, moment, "withdrawn")
            return _(WITHDRAWN[before])
        key = tokens.key_of(answer.token) if answer.token else None
        if key is None:
            raise conflict("answer.state", _("This answer was never sent."))
        notice = Withdraw(response_id=answer.response_id, pk=key.public.raw, at=moment)
        answer.withdrawal = dsse.sign(dsse.RESPONSE, notice.encode(), key).encode()
        answer.state, answer.withdrawn_from = "withdrawn", before
        answer.save()
        answers.note(answer, "withdrawn", moment)
    drop_spool(answer)
    send_withdrawal(answer, moment)
    return _(WITHDRAWN[before])


def _cancel(answer: Answer, now: int, why: str) -> None:
    """End an answer of which nothing has left; its token was never shown to anybody and stays good."""
    drop_spool(answer)
    if answer.token is not None:
        tokens.give_back(answer.token)
    answer.state, answer.token, answer.problem = "cancelled", None, why
    answer.response_id = ""
    answer.save()
    answers.note(answer, "cancelled", now, why)


cancel = _cancel


def send_withdrawal(answer: Answer, now: int) -> bool:
    """Send the stored notice; tells whether the hub has it."""
    try:
        reply = http.Http().post(f"{join.current().join.url}/v1/withdrawals", bytes(answer.withdrawal or b""), max_bytes=_SMALL)
    except (http.Unreachable, http.TooLarge):
        return False
    if reply.status != 200:
        return False
    answer.withdrawal_sent_at = now
    answer.save(update_fields=["withdrawal_sent_at"])
    return True


def withdrawals_due(now: int) -> int:
    """Send one withdrawal that the hub has not confirmed; returns how many it has now.

    One a slot: two answers of one home that were taken back in the same second would be joined by it.
    """
    waiting = list(Answer.objects.filter(withdrawal__isnull=False, withdrawal_sent_at=None).order_by("pk"))
    return int(send_withdrawal(waiting[now % len(waiting)], now)) if waiting else 0


# ---------------------------------------------------------------- stepping forward


@transaction.atomic
def step_forward(answer_id: int, name: str, contact: str, *, at_once: bool = False, now: int | None = None) -> Answer:
    """Make oneself known for an anonymous answer: queued as a sealed message of its own (design.md 9.6).

    The hub sees one more upload and not to which answer it belongs; the agency sees that the same key signed both. Raises
    Refused, ProtocolError.
    """
    moment = clock.now() if now is None else now
    original = answers.get(answer_id)
    if original.mode != "anonymous" or original.kind != "clips" or original.state != "uploaded":
        raise conflict("step.state", _("Only an anonymous answer that was sent can be stepped forward for."))
    if original.steps.exclude(state__in=("cancelled", "failed")).exists():
        raise conflict("step.done", _("You stepped forward for this answer already."))
    requests.check_live(original.request, moment)
    identity = Identity(name=name.strip(), contact=contact.strip())
    step = Answer(
        request=original.request,
        kind="step_forward",
        of=original,
        mode="identified",
        identity=secrets_store.wrap(canonical.encode(identity.to_json())),
        created_at=moment,
    )
    answers.queue(step, moment, at_once=at_once)
    answers.note(original, "step_forward", moment)
    return step


# ---------------------------------------------------------------- originals


@dataclass(frozen=True, slots=True)
class Reveal:
    """What opens a clip's commitment: anyone can recompute it from the original files.

    `original_sha256` and `path`: of the first. `originals`: all of them in order, each hash with its path, "" = gone.
    `unchanged`: all files still match.
    """

    name: str
    commitment: str
    salt: str
    original_sha256: str
    path: str
    unchanged: bool
    originals: tuple[tuple[str, str], ...]


def parts_of(clip: AnswerClip) -> list[AnswerClip | AnswerPiece]:
    """Return a clip and its further pieces: each names one recording and its kept original."""
    return [clip, *clip.pieces.all()]


def reveal_original(clip_id: int) -> Reveal:
    """Open the commitment to a clip's originals: shows that they existed unchanged when the clip was sent. Raises Refused."""
    clip = AnswerClip.objects.filter(pk=clip_id).first()
    if clip is None or clip.salt is None:
        raise unknown("clip")
    parts = parts_of(clip)
    paths = [original_of(part) for part in parts]
    hashes = [part.original_sha256 for part in parts]
    return Reveal(
        clip.name,
        original_commitment(bytes(clip.salt), hashes),
        bytes(clip.salt).hex(),
        hashes[0],
        "" if paths[0] is None else str(paths[0]),
        all(path is not None and file_sha256(path) == sha for path, sha in zip(paths, hashes, strict=True)),
        tuple((sha, "" if path is None else str(path)) for path, sha in zip(paths, hashes, strict=True)),
    )


def original_of(part: AnswerClip | AnswerPiece) -> Path | None:
    """Return where the kept original of a clip's part lies, or None when it is gone."""
    kept = config.current(Config).folder("originals") / part.original if part.original else None
    for path in (kept, Path(part.source_path)):
        if path is not None and path.is_file():
            return path
    return None


def file_sha256(path: Path) -> str:
    """Return a file's SHA-256 in hex, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def spool_folder() -> Path:
    """Return the folder of ciphertexts on their way."""
    return config.current(Config).folder("spool")


def drop_spool(answer: Answer) -> None:
    """Remove an answer's ciphertext from this home."""
    if answer.spool:
        (spool_folder() / answer.spool).unlink(missing_ok=True)
