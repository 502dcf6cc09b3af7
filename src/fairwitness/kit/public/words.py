"""Words for what the log says in codes."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from fairwitness_core.rules.caps import CAP_RULES

_STATES: Mapping[str, str | Promise] = {
    "open": _("Open"),
    "resolved": _("Resolved"),
    "withdrawn": _("Withdrawn"),
    "removed": _("Removed"),
    "expired": _("Expired"),
    "refused": _("Refused"),
}
_STANDINGS: Mapping[str, str | Promise] = {"active": _("May ask"), "suspended": _("Suspended"), "lapsed": _("Lapsed")}
_LEVELS: Mapping[str, str | Promise] = {
    "campus": _("Campus"),
    "county": _("County"),
    "federal": _("Federal"),
    "fire": _("Fire service"),
    "municipal": _("City"),
    "state": _("State"),
    "tribal": _("Tribal"),
}
_REASONS: Mapping[str, str | Promise] = {
    "court_order": _("by order of a court"),
    "lapsed": _("its authorisation lapsed"),
    "left": _("it left"),
    "misuse": _("for misuse"),
    "security": _("for its security"),
}
_OUTCOMES: Mapping[str, str | Promise] = {
    "resolved": _("the agency says it is resolved"),
    "withdrawn": _("the agency took it back"),
    "emergency_unreviewed": _("no moderator reviewed the emergency in time, so the hub took it back"),
    "moderation": _("moderators took it back"),
    "solved_with_footage": _("solved, and footage helped"),
    "solved_otherwise": _("solved in another way"),
    "not_solved": _("not solved"),
    "withdrawn_by_victim": _("the victim withdrew"),
    "unfounded": _("it did not happen as reported"),
}
_KINDS: Mapping[str, str | Promise] = {
    "request_published": _("Published, signed by officers"),
    "request_refused": _("Refused"),
    "request_withdrawn": _("Taken back"),
    "request_extended": _("Extended"),
    "request_resolved": _("Resolved"),
    "moderation_action": _("Moderated"),
    "agency_authorized": _("Authorised"),
    "agency_suspended": _("Suspended"),
    "key_rotated": _("Keys changed"),
}
_ACTIONS: Mapping[str, str | Promise] = {
    "approved": _("Approved by moderators"),
    "refused": _("Refused by a moderator"),
    "emergency_published": _("Published in the emergency lane, before any moderator looked"),
    "reviewed": _("Emergency reviewed by moderators; it stands"),
    "withdrawn": _("Taken back in the hub's name"),
}
_FLAGS: Mapping[str, str | Promise] = {
    "dwellings_unchecked": _("the hub did not count how many homes the area holds"),
    "assembly_overlap": _("a lawful assembly was announced near there"),
    "emergency_lane": _("asked as an emergency"),
}
_POLICIES: Mapping[str, str | Promise] = {
    "moderation": _("How moderators decide"),
    "retention": _("How long things are kept"),
    "standing": _("Which agencies from elsewhere may ask"),
    "witness": _("Which witnesses watch the log"),
}
_LEGAL: Mapping[str, str | Promise] = {
    "subpoena": _("subpoena"),
    "warrant": _("warrant"),
    "court_order": _("court order"),
    "emergency": _("emergency"),
    "preservation": _("preservation"),
    "other": _("other"),
}
_RULES: Mapping[str, str | Promise] = {
    "moderation.vague": _("The text does not say what happened and what to look for."),
    "moderation.purpose": _("This hub does not serve this purpose."),
    "moderation.person": _("The text points at a person who is no suspect, or at a group."),
    "moderation.proportion": _("The area or the window is too wide for what happened."),
    "moderation.duplicate": _("Another request asks the same."),
    "request.signers": _("The signatures are not those of two current officers of the agency."),
}


def _say(table: Mapping[str, str | Promise], code: str) -> str:
    return str(table.get(code, code))


def state(code: str) -> str:
    """Return the word for a request's state."""
    return _say(_STATES, code)


def standing(code: str) -> str:
    """Return the word for an agency's standing."""
    return _say(_STANDINGS, code)


def level(code: str) -> str:
    """Return the word for an agency's level."""
    return _say(_LEVELS, code)


def reason(code: str) -> str:
    """Return why an agency was suspended."""
    return _say(_REASONS, code)


def outcome(code: str) -> str:
    """Return how a request ended."""
    return _say(_OUTCOMES, code)


def kind(code: str) -> str:
    """Return the words for a kind of entry."""
    return _say(_KINDS, code)


def action(code: str) -> str:
    """Return the words for what moderators did."""
    return _say(_ACTIONS, code)


def flag(code: str) -> str:
    """Return the words for a caveat."""
    return _say(_FLAGS, code)


def policy(code: str) -> str:
    """Return the words for a kind of policy."""
    return _say(_POLICIES, code)


def legal(code: str) -> str:
    """Return the words for a kind of demand."""
    return _say(_LEGAL, code)


def rule(code: str) -> str:
    """Return a rule's words, else its code."""
    return _say(_RULES, code) if code in _RULES else gettext(CAP_RULES[code]) if code in CAP_RULES else code
