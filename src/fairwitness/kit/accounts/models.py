"""Who may act here. No table holds a password, an e-mail address or a network address.

Times are whole Unix seconds, UTC.
"""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models

from fairwitness.kit import clock
from fairwitness.kit.errors import Refused

ROLES = {
    "hub": ("moderator", "admin"),
    "agency": ("officer", "supervisor", "technician", "admin"),
    "home": ("owner", "member", "viewer"),
}
"""The roles that people may have on each kind of node. Who administers accounts is `admin`; at home, the owner.

At home: a member sees cameras and requests and prepares answers, a viewer sees the cameras that were shared with them.
"""

STAGE_ENROLLING = "enrolling"
STAGE_FULL = "full"


class UserManager(BaseUserManager["User"]):
    """Finds people by name; they are made by fairwitness.kit.accounts.services.create_user."""

    def get_by_natural_key(self, username: str | None) -> "User":
        """Return the person with this username."""
        return self.get(username=username)


class User(AbstractBaseUser):
    """A person with an account on this node. The inherited `password` column only ever holds "!": unusable."""

    password = models.CharField(max_length=1, default="!", editable=False)
    username = models.CharField(max_length=40, unique=True)
    display_name = models.CharField(max_length=80)
    role = models.CharField(max_length=20)
    created_at = models.BigIntegerField()
    active_until = models.BigIntegerField(null=True)
    frozen = models.BooleanField(default=False)
    oidc_provider = models.CharField(max_length=64, blank=True)
    oidc_login = models.CharField(max_length=255, blank=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"

    class Meta:
        """One order everywhere."""

        ordering: ClassVar = ["username"]
        constraints: ClassVar = [models.CheckConstraint(name="no_passwords", condition=models.Q(password="!"))]  # noqa: S106 - the one value

    def __str__(self) -> str:
        return self.username

    @property
    def is_active(self) -> bool:  # type: ignore[override]  # the base class has a constant here
        """Tell whether the account may act now: neither frozen nor past its last moment."""
        return not self.frozen and (self.active_until is None or clock.now() < self.active_until)

    def set_password(self, raw_password: str | None) -> None:
        """Refuse: there are no passwords here."""
        if raw_password is not None:
            raise Refused(403, "auth.no_passwords", "There are no passwords here.", "Add a passkey.")

    def check_password(self, raw_password: str | None) -> bool:  # noqa: ARG002 - the answer is the same for every one
        """Return False, always."""
        return False

    def has_usable_password(self) -> bool:
        """Return False, always."""
        return False

    def get_full_name(self) -> str:
        """Return the display name."""
        return self.display_name

    def get_short_name(self) -> str:
        """Return the display name."""
        return self.display_name

    def natural_key(self) -> tuple[Any]:
        """Return the username."""
        return (self.username,)


class EnrolmentCode(models.Model):
    """A one-time code with which a person adds a passkey. Only its SHA-256 is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="codes")
    code_hash = models.BinaryField(max_length=32, unique=True)
    created_at = models.BigIntegerField()
    expires_at = models.BigIntegerField()
    used_at = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return f"code of {self.user_id}"


class SignIn(models.Model):
    """One session: the gate lets nothing act without a row here. Only the SHA-256 of the session's key is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_ins")
    key_hash = models.BinaryField(max_length=32, unique=True)
    stage = models.CharField(max_length=10)
    method = models.CharField(max_length=20)
    created_at = models.BigIntegerField()
    seen_at = models.BigIntegerField()
    ends_at = models.BigIntegerField()
    revoked_at = models.BigIntegerField(null=True)

    class Meta:
        """The newest first."""

        ordering: ClassVar = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"sign-in {self.pk}"


class TotpGrant(models.Model):
    """An administrator's permission to sign in with a one-time-password app, for a while. Rows are never deleted."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="totp_grants")
    granted_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    granted_at = models.BigIntegerField()
    expires_at = models.BigIntegerField()
    secret_wrapped = models.BinaryField(null=True)
    last_counter = models.BigIntegerField(default=0)
    failures = models.IntegerField(default=0)
    revoked_at = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return f"grant {self.pk}"
