"""How the hub refuses. Codes are stable; the words say what happened and what would satisfy the rule.

Bodies about responses are the same for an unknown and a withdrawn one, so that they tell nobody which exist.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fairwitness.kit.errors import Refused


@dataclass(frozen=True, slots=True)
class Detail:
    """One of several reasons."""

    rule: str
    message: str
    hint: str = ""


class RulesRefused(Refused):
    """Several rules refuse at once; the first one gives the code."""

    def __init__(self, status: int, details: Sequence[Detail]) -> None:
        first = details[0]
        super().__init__(status, first.rule, first.message, first.hint)
        self.details = tuple(details)


def unknown_upload() -> Refused:
    """Return the one answer to a response id that is unknown, withdrawn or long gone."""
    return Refused(404, "upload.unknown", "There is no open upload of this response.", "Open it first.")


def unknown_request() -> Refused:
    """Return the answer to a request id that this agency never submitted."""
    return Refused(404, "request.unknown", "There is no such request of this agency.")


def storage_full() -> Refused:
    """Return the answer when the disk is full; nothing was stored."""
    return Refused(507, "storage.full", "The hub has no space left; nothing was stored.", "Try again later with the same parts.")


class HubState(Exception):
    """The hub cannot be run as it stands; the message says why and what to do."""
