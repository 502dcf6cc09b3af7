"""What happens to accounts, told to whoever keeps a record of it."""

from typing import Final

from django.dispatch import Signal

from fairwitness.kit.accounts.models import User

acts: Final = Signal()
"""Sent with `action` (a dotted name), `user` (whose account), `by` (who did it, None: themselves or the node), `words`."""


def tell(action: str, user: User, *, by: User | None = None, words: str = "") -> None:
    """Tell of one act, inside its transaction where it has one."""
    acts.send(sender=None, action=action, user=user, by=by, words=words)
