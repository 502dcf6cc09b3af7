"""How the home refuses its owner's wishes: a code, a sentence, and what to do."""

from django.utils.translation import gettext as _

from fairwitness.kit.errors import Refused


def unknown(what: str) -> Refused:
    """Return the answer to an id that names nothing."""
    return Refused(404, f"{what}.unknown", _("There is nothing of this id."))


def conflict(code: str, message: str, hint: str = "") -> Refused:
    """Return the answer to something that does not fit the present state."""
    return Refused(409, code, message, hint)


def invalid(code: str, message: str, hint: str = "") -> Refused:
    """Return the answer to an input that breaks a rule."""
    return Refused(422, code, message, hint)


def unreachable(code: str, message: str, hint: str = "") -> Refused:
    """Return the answer when another node could not be reached or spoke nonsense."""
    return Refused(502, code, message, hint)
