"""A response's chain of custody for people: who did what, when, why, for whom, and how well each link is proven.

The words are for reading; the signed events that they are read from stay what counts.
"""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy
from fairwitness_core.model.custody import CustodyEvent
from fairwitness_core.wire import dsse

from fairwitness.agency.models import CustodyRecord, Officer, Response
from fairwitness.agency.services import custody

ACTIONS: dict[str, str | Promise] = {
    "accepted": gettext_lazy("Accepted into the case"),
    "collected": gettext_lazy("Collected, checked and sealed again"),
    "declined": gettext_lazy("Declined"),
    "destroyed": gettext_lazy("Key and files destroyed"),
    "downloaded": gettext_lazy("Downloaded"),
    "exported": gettext_lazy("Exported"),
    "held": gettext_lazy("Put under a hold"),
    "opened": gettext_lazy("Opened"),
    "quarantined": gettext_lazy("Put into quarantine, unopened"),
    "released": gettext_lazy("Released"),
    "viewed": gettext_lazy("Viewed"),
    "withdrawal_noted": gettext_lazy("Its owner took it back; noted here"),
}
STATES: dict[str, str | Promise] = {
    "collected": gettext_lazy("Waiting for a decision"),
    "accepted": gettext_lazy("Accepted"),
    "exported": gettext_lazy("Exported"),
    "declined": gettext_lazy("Declined"),
    "held": gettext_lazy("Under a hold"),
    "destroyed": gettext_lazy("Destroyed"),
    "quarantined": gettext_lazy("In quarantine"),
}
QUARANTINE: dict[str, str | Promise] = {
    "intake.no_key": gettext_lazy("None of our keys opens it: it was made for another request, or changed on the way."),
    "intake.step_forward": gettext_lazy("Somebody made themselves known, but not as the rules ask."),
    "intake.response_id": gettext_lazy("Its signed cover sheet belongs to another answer."),
    "intake.request": gettext_lazy("It names another request than the one it was sealed for."),
    "intake.clips": gettext_lazy("The clips are not those that its owner signed for."),
    "intake.mode": gettext_lazy("It was given in a way that the request did not offer."),
    "intake.boxes": gettext_lazy("A clip holds data beside pictures and sound, which no answer may."),
    "intake.decode": gettext_lazy("A clip shows no pictures."),
    "intake.failed": gettext_lazy("Checking it broke down three times."),
}
_KINDS: dict[str, str | Promise] = {
    "seal": gettext_lazy("Its seal is damaged."),
    "frames": gettext_lazy("Its contents are cut short or changed."),
    "dsse": gettext_lazy("Its signature does not hold."),
    "response": gettext_lazy("Its cover sheet contradicts itself."),
    "clip": gettext_lazy("A clip cannot be read."),
}
_OTHER = gettext_lazy("It failed a check.")


@dataclass(frozen=True, slots=True)
class Step:
    """One link. `name` and `role` are empty where the node itself acted. `target`: the one file opened, if it was one."""

    number: int
    action: str
    title: str | Promise
    actor: str
    name: str
    role: str
    at: int
    purpose: str
    recipient: str
    target: str
    state: str
    index: int | None
    sha256: str


def of(response: Response) -> list[Step]:
    """Return the chain in order."""
    links = custody.chain(response)
    people = {
        person.actor: person for person in Officer.objects.select_related("user").filter(actor__in={link.actor for link in links})
    }
    return [_step(link, people.get(link.actor)) for link in links]


def step_of(link: CustodyRecord) -> Step:
    """Return one link in words."""
    return _step(link, Officer.objects.select_related("user").filter(actor=link.actor).first())


def purpose_of(link: CustodyRecord) -> str:
    """Return why a link was written, as it was signed."""
    return CustodyEvent.from_statement(dsse.Envelope.parse(bytes(link.envelope)).payload).purpose


def why_quarantined(code: str) -> str | Promise:
    """Return in words why a response failed."""
    return QUARANTINE.get(code) or _KINDS.get(code.partition(".")[0], _OTHER)


def _step(link: CustodyRecord, person: Officer | None) -> Step:
    event = CustodyEvent.from_statement(dsse.Envelope.parse(bytes(link.envelope)).payload)
    single = event.subjects[0].name if len(event.subjects) == 1 and link.action in ("viewed", "opened", "downloaded") else ""
    return Step(
        number=link.number,
        action=link.action,
        title=ACTIONS.get(link.action, link.action),
        actor=link.actor,
        name=person.user.display_name if person else "",
        role=person.user.role if person else "",
        at=link.at,
        purpose="" if event.purpose == custody.NO_PURPOSE else event.purpose,
        recipient=event.recipient or "",
        target=single,
        state=link.state,
        index=link.index,
        sha256=link.sha256,
    )
