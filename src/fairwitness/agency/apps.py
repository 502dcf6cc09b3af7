"""Has what happens to accounts written down in the agency's own record."""

from typing import Any

from django.apps import AppConfig


class Agency(AppConfig):
    """The agency's Django app."""

    name = "fairwitness.agency"

    def ready(self) -> None:
        """Listen to what happens to accounts."""
        from fairwitness.kit.accounts.acts import acts  # noqa: PLC0415 - models are ready only now

        acts.connect(_note, dispatch_uid="fairwitness.agency.audit")


def _note(*, action: str, user: Any, by: Any = None, words: str = "", **_ignored: Any) -> None:
    from fairwitness.agency.services import audit  # noqa: PLC0415 - models are ready only now

    audit.account(action, user, by, words)
