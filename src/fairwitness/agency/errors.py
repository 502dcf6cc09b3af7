"""How the agency refuses, beside `kit.errors.Refused`."""

from collections.abc import Iterable
from dataclasses import dataclass

from fairwitness_core.rules.violation import Violation

from fairwitness.kit.errors import Refused


@dataclass(frozen=True, slots=True)
class Detail:
    """One of several reasons for a refusal: the rule's id, a sentence, and what would satisfy it."""

    code: str
    message: str
    hint: str = ""


class RefusedWhole(Refused):
    """A refusal that names every rule broken, ours or the hub's, and not the first alone."""

    def __init__(self, status: int, code: str, message: str, hint: str = "", details: Iterable[Detail] = ()) -> None:
        super().__init__(status, code, message, hint)
        self.details = tuple(details)


class NotYetLogged(Exception):
    """The act stands in line for the sealed ledger but has no cosigned proof yet: nothing was opened, ask again.

    `record` is the custody record's id, `retry_after` how many seconds to wait before asking.
    """

    def __init__(self, record: int, retry_after: int) -> None:
        super().__init__("the ledger has not answered yet; nothing was opened")
        self.record = record
        self.retry_after = retry_after


def by_rules(violations: Iterable[Violation]) -> RefusedWhole:
    """Return the refusal that violations of the request rules come to."""
    details = [Detail(v.rule, v.message, v.hint) for v in violations]
    first = details[0]
    return RefusedWhole(409, first.code, first.message, first.hint, details)


def missing(what: str) -> Refused:
    """Return the answer to a name that nothing here has."""
    return Refused(404, "not_found", f"There is no such {what} here.")


def unlogged(why: str) -> Refused:
    """Return the refusal of a touch that cannot be logged: without a proof nothing is opened."""
    return Refused(503, "custody.unlogged", f"This cannot be logged now, so nothing was opened: {why}.", "Try again later.")
