"""Where an answer stands, in words that a resident would use."""

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from fairwitness.home.models import Answer
from fairwitness.home.services import sharing
from fairwitness.kit import clock

_WORDS = {
    "draft": (gettext_noop("Draft"), ""),
    "queued": (gettext_noop("Waiting here"), "here"),
    "sealed": (gettext_noop("Waiting here"), "here"),
    "uploading": (gettext_noop("On its way"), "here"),
    "uploaded": (gettext_noop("Sent"), "good"),
    "collected": (gettext_noop("Collected"), "good"),
    "accepted": (gettext_noop("Accepted"), "good"),
    "declined": (gettext_noop("Declined"), ""),
    "exported": (gettext_noop("Handed on"), "warn"),
    "expired": (gettext_noop("Over"), ""),
    "cancelled": (gettext_noop("Cancelled"), ""),
    "withdrawn": (gettext_noop("Taken back"), ""),
    "failed": (gettext_noop("Not sent"), "bad"),
}
_EVENTS = {
    "confirmed": gettext_noop("You agreed to send it"),
    "sealed": gettext_noop("Encrypted here, for the agency alone"),
    "uploaded": gettext_noop("The hub took it, encrypted, and signed a receipt"),
    "collected": gettext_noop("The agency collected it"),
    "accepted": gettext_noop("The agency took it into the case"),
    "declined": gettext_noop("The agency declined it"),
    "exported": gettext_noop("It was handed on as evidence"),
    "expired": gettext_noop("The time that you set is over"),
    "withdrawn": gettext_noop("You took it back"),
    "cancelled": gettext_noop("You cancelled it before it left"),
    "failed": gettext_noop("It could not be sent"),
    "step_forward": gettext_noop("You stepped forward with your name"),
    "inbox_listed": gettext_noop("The hub listed it in that day's public count"),
    "inbox_missing": gettext_noop("It is missing in the hub's public count of that day"),
}
_PROBLEMS = {
    "unreachable": gettext_noop("The hub cannot be reached just now. It is tried again by itself."),
    "disk_full": gettext_noop("The disk of your home node is full. Make room on it; it is tried again by itself."),
    "disk_failed": gettext_noop("The disk of your home node could not be read or written. It is tried again by itself."),
    "clip.gone": gettext_noop("A recording that you chose is not there any more."),
    "clip.changed": gettext_noop("A recording that you chose has changed since."),
    "recording.gone": gettext_noop("This recording is not there any more, or cannot be read."),
    "recording.changed": gettext_noop("This recording has changed since it was chosen."),
    "clip.undecodable": gettext_noop("A recording is damaged and cannot be read."),
    "clip.limits": gettext_noop("A recording took too long to prepare. A shorter clip may work."),
    "clip.crashed": gettext_noop("A recording cannot be processed safely."),
    "mask.missed": gettext_noop("An area could not be covered, so nothing was sent."),
    "blur.looking": gettext_noop("Faces and number plates are still being looked for. It leaves when that is finished."),
    "blur.failed": gettext_noop("A clip could not be looked through for faces and plates, so nothing is sent without your word."),
    "region.count": gettext_noop("There are too many faces and plates in it. A shorter clip may work."),
    "upload.unclear": gettext_noop("The hub may have it already; it is not sent twice."),
    "upload.expired": gettext_noop("The hub's time for this upload ran out. You can send it again."),
    "token.spent": gettext_noop("The hub says that this answer's token was used. You can send it again with another one."),
    "request.withdrawn": gettext_noop("The agency withdrew its request before your answer left."),
    "request.expired": gettext_noop("The request ended before your answer left."),
    "storage.full": gettext_noop("There is too little room on this disk for a preview."),
    "withdrawn": "",
    "": "",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened, or that comes: `at` Unix seconds UTC, None = not yet; `mood` "", bad or waiting."""

    label: str
    at: int | None
    mood: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """An answer's way. `running`: the page asks again; `share` of the wait that is over, 0..1, None where that is not known."""

    word: str
    mood: str
    state: str
    sentence: str
    steps: list[Step]
    running: bool
    share: float | None
    leaves_at: int | None
    problem: str
    may_withdraw: bool
    before: bool


def word(row: Answer) -> str:
    """Return the one word for where an answer stands."""
    return _(_WORDS[sharing.state_of(row)][0])


def mood(row: Answer) -> str:
    """Return the mood of that word's badge."""
    return _WORDS[sharing.state_of(row)][1]


def problem(code: str) -> str:
    """Return the sentence for what keeps an answer or a preview back; the code itself where there is none."""
    found = _PROBLEMS.get(code)
    if found is None:
        return _("This did not work: %(code)s") % {"code": code}
    return _(found) if found else ""


def of(row: Answer, now: int | None = None) -> Progress:
    """Return where an answer stands."""
    moment = clock.now() if now is None else now
    state = sharing.state_of(row)
    running = row.state in ("queued", "sealed", "uploading")
    waits = row.state in ("queued", "sealed") and row.not_before is not None and row.not_before > moment
    share = None
    if waits and row.confirmed_at is not None and row.not_before is not None:
        share = (moment - row.confirmed_at) / max(row.not_before - row.confirmed_at, 1)
    return Progress(
        word=word(row),
        mood=_WORDS[state][1],
        state=state,
        sentence=sharing.sentence(row),
        steps=[*_steps(row), *_coming(row)],
        running=running,
        share=share,
        leaves_at=row.not_before if waits else None,
        problem=problem(row.problem) if row.state != "withdrawn" else "",
        may_withdraw=row.kind == "clips" and row.state not in ("draft", "cancelled", "withdrawn"),
        before=state in ("queued", "sealed", "uploading", "uploaded", "failed"),
    )


def _steps(row: Answer) -> list[Step]:
    bad = ("failed", "inbox_missing")
    return [
        Step(
            _(_EVENTS.get(event.kind, event.kind)),
            event.at,
            "bad" if event.kind in bad else "",
            problem(event.detail) if event.kind in ("failed", "cancelled") else event.detail,
        )
        for event in row.events.all()
    ]


def _coming(row: Answer) -> list[Step]:
    """Return what comes next, as far as it is sure."""
    coming = {
        "queued": [
            gettext_noop("It is encrypted here"),
            gettext_noop("It goes to the hub"),
            gettext_noop("The agency collects it"),
        ],
        "sealed": [gettext_noop("It goes to the hub"), gettext_noop("The agency collects it")],
        "uploading": [gettext_noop("The hub signs a receipt"), gettext_noop("The agency collects it")],
        "uploaded": [] if row.status else [gettext_noop("The agency collects it")],
    }
    return [Step(_(one), None, "waiting") for one in coming.get(row.state, [])]
