"""What may be done to a request that is public: it lives longer once, within its 14 days (design.md 7).

Hub, agency and home ask the same function. The whole life stays within what a request may have from the start, so an
extension gives nobody more than the first two officers could have asked for; it keeps a short life from being a loss.
"""

from collections.abc import Mapping
from types import MappingProxyType

from fairwitness_core.model.request import RequestExtended
from fairwitness_core.rules import wording
from fairwitness_core.rules.caps import CLOCK_TOLERANCE_S, DAY, EXPIRY_MAX_S, HOUR, LiveRequest
from fairwitness_core.rules.violation import Violation

LATE_S = HOUR  # between an extension's place in the log and the tick that carries it to homes

CHANGE_RULES: Mapping[str, str] = MappingProxyType(
    {
        "extension.ended": "Only a request that is alive is extended; one that is over stays over.",
        "extension.once": "A request is extended once.",
        "extension.shorter": "An extension never shortens: the new end is later than the old one.",
        "extension.long": "A request lives at most 14 days in all, counted from its date.",
        "extension.unreviewed": "An emergency request is extended after a moderator has reviewed it.",
        "extension.future": "An extension is not dated in the future.",
    }
)


def check_extension(wanted: RequestExtended, known: LiveRequest, *, now: int, late: int = 0) -> list[Violation]:
    """Return what speaks against extending `known` at Unix second `now`; `late` seconds after its end are overlooked."""
    found = []
    if known.withdrawn or known.expires + late <= now:
        found.append(_violation("extension.ended", "make a new request for the case"))
    if known.extended:
        found.append(_violation("extension.once", "make a new request for the case"))
    elif wanted.expires <= known.expires:
        found.append(_violation("extension.shorter", "choose a later end, or withdraw the request"))
    if wanted.expires - known.at > EXPIRY_MAX_S:
        life = f"{(wanted.expires - known.at) / DAY:.1f} days"
        found.append(_violation("extension.long", "choose an end within 14 days of the request's date", life))
    if wanted.at > now + CLOCK_TOLERANCE_S:
        found.append(_violation("extension.future", "check this machine's clock"))
    return found + wording.check_extension_reason(wanted.reason, case=known.case)


def _violation(rule: str, hint: str, evidence: str = "") -> Violation:
    return Violation(rule, CHANGE_RULES[rule], hint, evidence)
