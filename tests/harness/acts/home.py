# ruff: noqa: PLC0415 - a role can be imported only in a process that is set up as it
"""An owner at home."""

from pathlib import Path
from typing import Any


def build(folder: Path, name: str) -> None:
    """Make a home that has joined nothing yet."""
    from fairwitness.kit import config, database, files, supervise

    files.private_dir(folder)
    config.write(
        folder,
        {
            "name": name,
            "upload_delay_minutes": 2,
            "upload_cap_minutes": 4,
            "settle_seconds": 0,
            "scan_seconds": 60,
            "propose_blur": False,
        },
    )
    supervise.setup("home", folder)
    database.migrate_at_start()


def join(data: bytes, invite: str = "", *, successor: bool = False) -> None:
    from fairwitness.home.services import join as joining

    joining.accept(data, invite=invite, successor=successor)


def camera(name: str, lat: float, lon: float, folder: str = "", **more: Any) -> int:
    from fairwitness.home.services import cameras, sources

    made = cameras.add(name, lat, lon, **more)
    if folder:
        sources.add(made.pk, folder, zone="UTC")
    return made.pk


def scan() -> int:
    from fairwitness.home.services import matching, sources
    from fairwitness.kit import clock

    found = sources.scan(clock.now())
    matching.rematch(clock.now())
    return found.added


def choose(*, everything: bool = False, agency: str = "", offense: str = "", quiet: tuple[int, int] | None = None) -> None:
    from fairwitness.home.services import optouts

    optouts.set_all(everything)
    if agency:
        optouts.set_agency(agency, True)
    if offense:
        optouts.set_offense(offense, True)
    if quiet:
        optouts.set_quiet(*quiet)


def channel(name: str, url: str, **more: Any) -> None:
    from fairwitness.home.services import notifier

    notifier.add_channel(name, url, **more)


def requests() -> list[str]:
    """Return the requests that this home believes, by id."""
    from fairwitness.home.models import Request

    return list(Request.objects.order_by("log_index").values_list("id", flat=True))


def matched() -> list[str]:
    from fairwitness.home.models import Request

    return list(Request.objects.filter(matched_at__isnull=False).order_by("log_index").values_list("id", flat=True))


def look(request_id: str) -> tuple[str, ...]:
    """Open the list, then one request, as the page does."""
    from fairwitness.home.services import requests

    requests.listing(include_muted=True)
    return requests.detail(request_id).proof


def ignore(request_id: str) -> None:
    from fairwitness.home.services import requests

    requests.ignore(request_id)


def draft_and_drop(request_id: str) -> None:
    from fairwitness.home.services import answers

    answer = answers.draft(request_id)
    answers.set_statement(answer.pk, "I wrote something and thought better of it.")
    answers.discard(answer.pk)


def confirm_and_cancel(request_id: str) -> None:
    from fairwitness.home.services import answers, sharing

    answer = answers.draft(request_id)
    answers.set_statement(answer.pk, "I nearly sent this.")
    answers.confirm(answer.pk)
    sharing.withdraw(answer.pk)


def answer(request_id: str, statement: str, *, at_once: bool = False, clips: bool = True) -> int:
    """Consent to an answer with every own clip of the window."""
    from fairwitness.home.services import answers

    row = answers.draft(request_id)
    if not clips:
        answers.set_clips(row.pk, [])
    answers.set_statement(row.pk, statement)
    answers.confirm(row.pk, at_once=at_once)
    return row.pk


def withdraw(answer_id: int) -> str:
    from fairwitness.home.services import sharing

    return sharing.withdraw(answer_id)


def answers() -> list[dict[str, Any]]:
    from fairwitness.home.models import Answer

    names = ("id", "request_id", "state", "status", "response_id", "sealed", "size", "promise", "inbox_state", "problem")
    return [{**row, "promise": bytes(row["promise"] or b"")} for row in Answer.objects.order_by("pk").values(*names)]


def tokens() -> int:
    from fairwitness.home.services import tokens as kept

    return kept.available()


def feed() -> dict[str, Any]:
    """Return how current the home is, its alarms and what it refused."""
    import dataclasses

    from fairwitness.home.models import RefusedLine
    from fairwitness.home.services import follower

    return dataclasses.asdict(follower.status()) | {
        "alarms": [row.code for row in follower.alarms()],
        "refused": list(RefusedLine.objects.order_by("log_index").values_list("request_id", "rule")),
        "evidence": [row.evidence for row in follower.alarms(past=True) if row.evidence],
    }


def poll() -> dict[str, Any]:
    """Take one poll slot now."""
    import dataclasses

    from fairwitness.home.services import follower
    from fairwitness.kit import clock

    done = follower.poll(clock.now_float())
    return {} if done is None else dataclasses.asdict(done)


def trust() -> bytes:
    from fairwitness.home.services import join as joining

    return joining.trust_policy()


def secrets() -> list[bytes]:
    """Return what must never leave: seeds of this home's slots, node key and unused response keys."""
    from fairwitness.home import slots
    from fairwitness.home.models import Token
    from fairwitness.home.services import tokens as kept
    from fairwitness.kit import secrets_store

    keys = [kept.key_of(token).seed for token in Token.objects.all()]
    return [slots.seed(), secrets_store.node_key().encode(), *keys]


def digest_at(minute: int) -> None:
    from fairwitness.home.services import notifier

    notifier.set_digest_minute(minute)


def fetch_tokens() -> int:
    """Take the token slot now."""
    from fairwitness.home.services import tokens as kept
    from fairwitness.kit import clock

    kept.fetch_due(clock.now())
    return kept.available()
