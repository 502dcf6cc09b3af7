"""What the hub's keepers were asked to hand over by law, what there is to hand over, and the public count (SG21).

There are ciphertexts that nobody here can open, and the same public files that everybody has. Nothing else exists to give.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction
from django.db.models import Sum
from fairwitness_core.model.hub import LEGAL_KINDS, LegalCount
from fairwitness_core.model.hub import LegalProcess as Document
from fairwitness_core.wire import canonical

from fairwitness.hub.models import LegalDemand, Mark, Upload
from fairwitness.hub.services import entries, identity
from fairwitness.kit import clock
from fairwitness.kit.errors import Refused

ANSWERS = ("nothing", "sealed_bytes", "refused", "pending")
_TEXT_MAX = 300
_COUNTED = "legal_month"


@dataclass(frozen=True, slots=True)
class Held:
    """All that lies here and is not public: sealed uploads, by number and bytes, which no key of the hub opens."""

    uploads: int
    size: int


def held() -> Held:
    """Return what there is."""
    rows = Upload.objects.filter(state__in=("sealed", "collected"))
    return Held(rows.count(), rows.aggregate(size=Sum("size"))["size"] or 0)


def listing() -> Sequence[LegalDemand]:
    """Return every demand, the newest first."""
    return list(LegalDemand.objects.all())


def enter(kind: str, reference: str, asked: str, answer: str, silent_until: int | None = None) -> LegalDemand:
    """Enter a demand that came in. `asked`: what was wanted, in the keepers' words. Raises Refused, ProtocolError."""
    if kind not in LEGAL_KINDS:
        raise Refused(400, "legal.kind", "Say of which kind the demand is.", ", ".join(LEGAL_KINDS))
    if answer not in ANSWERS:
        raise Refused(400, "legal.answer", "Say what was handed over.", ", ".join(ANSWERS))
    for name, text in (("reference", reference), ("asked", asked)):
        canonical.check_text(text, name)
        if not text.strip() or len(text) > _TEXT_MAX:
            raise Refused(
                400, "legal.text", "Say who asks, under which number, and what for.", f"At most {_TEXT_MAX} characters."
            )
    return LegalDemand.objects.create(
        at=clock.now(), kind=kind, reference=reference.strip(), asked=asked.strip(), answer=answer, silent_until=silent_until
    )


def answer(pk: int, given: str) -> None:
    """Say what a pending demand came to. Raises Refused."""
    if given not in ANSWERS or given == "pending":
        raise Refused(400, "legal.answer", "Say what was handed over.", ", ".join(ANSWERS))
    if not LegalDemand.objects.filter(pk=pk, answer="pending").update(answer=given):
        raise Refused(409, "legal.answered", "This demand was answered already, or does not exist.")


def month_of(at: int) -> str:
    """Return the UTC month of a Unix second as the log writes it, such as 202611."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m")


def close_months(now: int) -> int:
    """Log the counts of every UTC month that is over, in order, also of those without a demand; returns how many."""
    begun = _number(month_of(identity.load().document.at))
    count = 0
    with transaction.atomic():
        mark, _ = Mark.objects.select_for_update().get_or_create(name=_COUNTED, defaults={"number": begun - 1})
        while mark.number + 1 < _number(month_of(now)):
            mark.number += 1
            entries.state(_counts(mark.number, now))
            count += 1
        mark.save(update_fields=["number"])
    return count


def _number(month: str) -> int:
    return int(month[:4]) * 12 + int(month[4:]) - 1


def _counts(number: int, now: int) -> Document:
    month = f"{number // 12:04}{number % 12 + 1:02}"
    # One under an order of silence counts in the month in which the order ends.
    rows = [row for row in LegalDemand.objects.all() if month_of(max(row.at, row.silent_until or 0)) == month]
    asked = Counter(row.kind for row in rows)
    given = Counter(row.kind for row in rows if row.answer == "sealed_bytes")
    counts = tuple(LegalCount(kind=kind, asked=asked[kind], sealed_bytes_given=given[kind]) for kind in sorted(asked))
    return Document(month=month, counts=counts, at=now)
