"""The closed vocabulary of what a node writes to its own log.

An event is a member of `Event`; each declares which fields it takes and of what type. Free text, addresses, request
paths, names and coordinates have no place to go. In tests an undeclared field raises; in production it is dropped and the
line carries `"dropped": n`, so that a slip loses a detail and never leaks one.
"""

import enum
import os
import re
import sys
import traceback
from collections.abc import Mapping
from typing import Any

import structlog

from fairwitness.kit import clock


class JournalError(Exception):
    """An event was logged with a field that it does not declare, or with a value of the wrong kind."""


class Kind(enum.Enum):
    """What a field may hold."""

    INT = "a whole number: counts, sizes in classes, seconds, ticks, indexes"
    BOOL = "true or false"
    CODE = "a word of our own vocabulary: [a-z0-9_.-], at most 64 characters"
    PUBLIC_ID = "an id that is public by design (agency, witness, request): [A-Za-z0-9_.:/+-], at most 80"


INT, BOOL, CODE, PUBLIC_ID = Kind.INT, Kind.BOOL, Kind.CODE, Kind.PUBLIC_ID
_CODE = re.compile(r"[a-z0-9_.\-]{1,64}")
_PUBLIC_ID = re.compile(r"[A-Za-z0-9_.:/+\-]{1,80}")


class Event(enum.Enum):
    """Everything that a node can say in its log; the value is (name, fields)."""

    # Life of a process
    STARTED = ("started", {"process": CODE, "version": CODE})
    STOPPED = ("stopped", {"process": CODE})
    CHILD_DIED = ("child_died", {"process": CODE, "status": INT, "restart_in": INT})
    MIGRATED = ("migrated", {"applied": INT})
    UPGRADED = ("upgraded", {"before": CODE, "after": CODE, "applied": INT})
    ROTATED = ("rotated", {"key": CODE, "count": INT})
    DRILLED = ("drilled", {"role": CODE, "items": INT})
    DISK_FULL = ("disk_full", {"store": CODE})
    DEFECT = ("defect", {"where": CODE, "error": CODE})
    # Beat
    JOB_DONE = ("job_done", {"job": CODE})
    JOB_FAILED = ("job_failed", {"job": CODE, "error": CODE, "failures": INT, "retry_in": INT})
    # Log, ticks and witnesses
    TICK_PUBLISHED = ("tick_published", {"tick": INT, "entries": INT})
    TICK_LATE = ("tick_late", {"tick": INT, "late_seconds": INT})
    LOG_APPENDED = ("log_appended", {"first": INT, "count": INT})
    LOG_REFUSED = ("log_refused", {"code": CODE})
    WITNESS_UNREACHABLE = ("witness_unreachable", {"witness": PUBLIC_ID})
    WITNESS_REFUSED = ("witness_refused", {"witness": PUBLIC_ID, "code": CODE})
    QUORUM_MISSING = ("quorum_missing", {"have": INT, "need": INT})
    HEAD_BEHIND = ("head_behind", {"ours": INT, "theirs": INT})
    # Peers
    PEER_UNREACHABLE = ("peer_unreachable", {"peer": CODE})
    MESSAGE_REFUSED = ("message_refused", {"kind": CODE, "code": CODE})
    # Requests
    REQUEST_REFUSED = ("request_refused", {"request": PUBLIC_ID, "rule": CODE})
    REQUEST_PUBLISHED = ("request_published", {"request": PUBLIC_ID})
    REQUEST_WITHDRAWN = ("request_withdrawn", {"request": PUBLIC_ID})
    REQUEST_EXTENDED = ("request_extended", {"request": PUBLIC_ID})
    REQUEST_RESOLVED = ("request_resolved", {"request": PUBLIC_ID})
    # Responses and evidence (sizes only in classes of a power of two)
    UPLOAD_STORED = ("upload_stored", {"size_class": INT})
    UPLOAD_REFUSED = ("upload_refused", {"code": CODE})
    UPLOAD_EXPIRED = ("upload_expired", {"count": INT})
    RESPONSES_COLLECTED = ("responses_collected", {"count": INT})
    EVIDENCE_OPENED = ("evidence_opened", {"record": INT})
    EVIDENCE_DESTROYED = ("evidence_destroyed", {"count": INT})
    RETENTION_PURGED = ("retention_purged", {"kind": CODE, "count": INT})
    # Search
    SEARCH_EXECUTED = ("search_executed", {"index": INT})
    SEARCH_REFUSED = ("search_refused", {"rule": CODE})
    # Accounts (no names, no user ids)
    USER_CREATED = ("user_created", {"role": CODE})
    USER_FROZEN = ("user_frozen", {"role": CODE})
    ENROLMENT_OPENED = ("enrolment_opened", {"role": CODE})
    ENROLMENT_REFUSED = ("enrolment_refused", {"code": CODE})
    PASSKEY_ADDED = ("passkey_added", {"role": CODE})
    PASSKEY_REFUSED = ("passkey_refused", {"code": CODE})
    SIGNED_IN = ("signed_in", {"role": CODE, "method": CODE})
    SIGN_IN_REFUSED = ("sign_in_refused", {"code": CODE})
    SESSION_REVOKED = ("session_revoked", {"count": INT})
    TOTP_GRANTED = ("totp_granted", {"role": CODE, "hours": INT})
    TOTP_USED = ("totp_used", {"role": CODE})
    # Home
    FEED_FETCHED = ("feed_fetched", {"tick": INT})
    FEED_REFUSED = ("feed_refused", {"tick": INT, "code": CODE})
    CAMERA_UNREACHABLE = ("camera_unreachable", {"code": CODE})
    NOTIFY_FAILED = ("notify_failed", {"channel": INT})

    @property
    def label(self) -> str:
        """The name under which the event stands in the log."""
        return str(self.value[0])

    @property
    def fields(self) -> Mapping[str, Kind]:
        """The fields that the event takes and the kind of each."""
        declared: Mapping[str, Kind] = self.value[1]
        return declared


_logger: Any = None
_strict = "PYTEST_VERSION" in os.environ
_sink: list[dict[str, Any]] | None = None


def configure(*, strict: bool | None = None) -> None:
    """Set up the output (JSON lines on standard error); `strict` makes undeclared fields raise, as tests have it."""
    global _logger, _strict  # noqa: PLW0603 - one journal per process is the point
    if strict is not None:
        _strict = strict
    _logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[structlog.processors.JSONRenderer(sort_keys=True)],
        wrapper_class=structlog.BoundLogger,
    )


def record_to(sink: list[dict[str, Any]] | None) -> None:
    """Send events to `sink` instead of standard error, for tests and drivers; None undoes it."""
    global _sink  # noqa: PLW0603 - one journal per process is the point
    _sink = sink


def log(event: Event, **values: int | bool | str) -> None:
    """Write one line for `event`. Raises JournalError in strict mode when a field is undeclared or of the wrong kind."""
    declared = event.fields
    accepted: dict[str, int | bool | str] = {}
    dropped = 0
    for name, value in values.items():
        kind = declared.get(name)
        if kind is not None and _fits(kind, value):
            accepted[name] = value
        elif _strict:
            reason = "is not declared" if kind is None else f"must be {kind.value}"
            raise JournalError(f"{event.label}: the field {name!r} {reason}")
        else:
            dropped += 1
    line: dict[str, Any] = {"at": clock.now(), "event": event.label, **accepted}
    if dropped:
        line["dropped"] = dropped
    if _sink is not None:
        _sink.append(line)
        return
    if _logger is None:
        configure()
    fields = {key: value for key, value in line.items() if key != "event"}
    _logger.info(event.label, **fields)


def _fits(kind: Kind, value: object) -> bool:
    match kind:
        case Kind.INT:
            return type(value) is int
        case Kind.BOOL:
            return type(value) is bool
        case Kind.CODE:
            return isinstance(value, str) and _CODE.fullmatch(value) is not None
        case Kind.PUBLIC_ID:
            return isinstance(value, str) and _PUBLIC_ID.fullmatch(value) is not None


def error_code(error: BaseException) -> str:
    """Return a CODE for an exception: its class's name in lower case (its text may hold personal data)."""
    return re.sub(r"[^a-z0-9_.\-]", "", type(error).__name__.lower())[:64] or "error"


def place_of(error: BaseException) -> str:
    """Return `module.line` of the innermost frame of ours in the error's trace, as a CODE."""
    place = "unknown"
    for frame, line in traceback.walk_tb(error.__traceback__):
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith("fairwitness"):
            place = f"{name.removeprefix('fairwitness.')}.{line}"
    return place.lower()[-64:]


def size_class(size: int) -> int:
    """Return the exponent of the power of two that holds `size` bytes, the only form in which a size is logged."""
    return max(size - 1, 0).bit_length()
