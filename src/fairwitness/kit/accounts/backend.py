"""The authentication backend that authenticates nobody: sessions are opened by passkeys alone."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import BasePasswordHasher
from django.http import HttpRequest

from fairwitness.kit.accounts.models import User


class Backend(BaseBackend):
    """Loads the person of a session; accepts no credentials."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        """Return None, whatever the credentials: there are no passwords here."""

    def get_user(self, user_id: Any) -> User | None:
        """Return the person if the account may act now."""
        user = User.objects.filter(pk=user_id).first()
        return user if user is not None and user.is_active else None


class NoPasswords(BasePasswordHasher):
    """A password hasher that hashes nothing and verifies nothing."""

    algorithm = "none"

    def encode(self, password: str, salt: str) -> str:
        """Refuse to make a password usable."""
        raise NotImplementedError("there are no passwords here")

    def verify(self, password: str, encoded: str) -> bool:  # noqa: ARG002 - the answer is the same for every one
        """Return False, always."""
        return False

    def must_update(self, encoded: str) -> bool:  # noqa: ARG002 - the answer is the same for every one
        """Return False: nothing to update."""
        return False

    def harden_runtime(self, password: str, encoded: str) -> None:
        """Do nothing: there is no work whose time could tell."""
