"""Who lives here: owners, members, viewers, and what each may see and do.

An owner does everything. A member sees every camera and request and prepares answers; only who `may_send` sends them. A viewer
sees the cameras that were shared with them, and no request. Everywhere `who` None is the owner by the token.
"""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from django.db import transaction
from django.utils.translation import gettext as _

from fairwitness.home.errors import conflict, invalid, unknown
from fairwitness.home.lan import pairing
from fairwitness.home.models import Camera, CameraShare, Member, Recording
from fairwitness.kit.accounts import services
from fairwitness.kit.accounts.models import ROLES, SignIn, User
from fairwitness.kit.errors import Refused

HOME_ROLES: Final = ROLES["home"]


@dataclass(frozen=True, slots=True)
class Resident:
    """One person of the household. `fixed`: the owner of the machine's own commands. `seen_at`: Unix seconds UTC, or None."""

    id: int
    name: str
    role: str
    frozen: bool
    fixed: bool
    may_answer: bool
    cameras: tuple[int, ...]
    camera_names: tuple[str, ...]
    devices: int
    seen_at: int | None


def role_of(who: User | None) -> str:
    """Return the role of `who`."""
    return "owner" if who is None else who.role


def may_send(who: User | None) -> bool:
    """Tell whether `who` may send answers and take them back: an owner, or a member whom an owner lets."""
    role = role_of(who)
    return role == "owner" or (role == "member" and Member.objects.filter(user=who, may_answer=True).exists())


def check_may_send(who: User | None) -> None:
    """Raise Refused unless `who` may send answers and take them back."""
    if not may_send(who):
        raise Refused(
            403,
            "household.send",
            _("Only an owner of this home sends answers, or takes them back."),
            _("What you prepared is kept. Ask an owner to look at it and send it."),
        )


def cameras_of(who: User | None) -> list[Camera]:
    """Return the cameras that `who` may see, by name."""
    rows = Camera.objects.order_by("name")
    return list(rows.filter(shares__user=who) if role_of(who) == "viewer" else rows)


def may_see(who: User | None, camera_id: int) -> bool:
    """Tell whether `who` may see a camera's pictures."""
    return role_of(who) != "viewer" or CameraShare.objects.filter(user=who, camera=camera_id).exists()


def check_may_see(who: User | None, camera_id: int) -> None:
    """Raise Refused, as for a camera that is not there, unless `who` may see its pictures."""
    if not may_see(who, camera_id):
        raise unknown("camera")


def check_recording(who: User | None, recording_id: int) -> None:
    """Raise Refused, as for a recording that is not there, unless `who` may see the camera it is from."""
    if role_of(who) != "viewer":
        return
    if not Recording.objects.filter(pk=recording_id, source__camera__shares__user=who).exists():
        raise unknown("recording")


def listing() -> list[Resident]:
    """Return everybody, owners first."""
    rows = User.objects.prefetch_related("shared_cameras__camera").select_related("member")
    return sorted((_resident(row) for row in rows), key=lambda one: (HOME_ROLES.index(one.role), one.name.casefold(), one.id))


def get(user_id: int) -> User:
    """Return one person; raises Refused."""
    found = User.objects.filter(pk=user_id).first()
    if found is None:
        raise unknown("person")
    return found


def resident(user_id: int) -> Resident:
    """Return one person as the page shows them; raises Refused."""
    return _resident(get(user_id))


def add(name: str, role: str, *, may_answer: bool = False, cameras: Collection[int] = ()) -> User:
    """Add a person, who still needs a pairing code (`invite`) to get in. Raises Refused."""
    _check(role, cameras)
    with transaction.atomic():
        user = services.create_user(_username(name), name, role)
        _grant(user, may_answer=may_answer, cameras=cameras)
    return user


def edit(user_id: int, *, name: str, role: str, may_answer: bool, cameras: Collection[int]) -> User:
    """Change a person's name and what they may do, at once in every session of theirs. Raises Refused."""
    user = get(user_id)
    _check(role, cameras)
    if not name.strip() or len(name) > 80:
        raise invalid("user.display_name", _("A name to show is needed, of at most 80 characters."))
    if user.username == pairing.OWNER and role != "owner":
        raise conflict("household.fixed", _("This person owns the machine that the home runs on, and stays an owner."))
    with transaction.atomic():
        user.display_name, user.role = name.strip(), role
        user.save(update_fields=["display_name", "role"])
        _grant(user, may_answer=may_answer, cameras=cameras)
    return user


def invite(user_id: int) -> str:
    """Return a one-time code that pairs one browser as this person. Raises Refused."""
    user = get(user_id)
    if not user.is_active:
        raise conflict("household.frozen", _("This person is shut out."), _("Let them in again first."))
    return pairing.issue(user)


def freeze(user_id: int, by: User | None) -> User:
    """Shut a person out at once, on every browser of theirs. Raises Refused."""
    user = _other(user_id, by)
    services.freeze(user)
    return user


def unfreeze(user_id: int) -> User:
    """Let a person in again; their browsers have to be paired again. Raises Refused."""
    user = get(user_id)
    services.unfreeze(user)
    return user


def remove(user_id: int, by: User | None) -> str:
    """Forget a person and shut them out at once; returns their name. Raises Refused."""
    user = _other(user_id, by)
    services.revoke_all(user)
    user.delete()
    return user.display_name


def sessions() -> list[SignIn]:
    """Return the sessions of everybody that still count, the last used first."""
    found = [row for user in User.objects.all() for row in services.sessions_of(user).select_related("user")]
    return sorted(found, key=lambda row: -row.seen_at)


def end_session(session_id: int) -> None:
    """End one browser's session at once. Raises Refused."""
    found = SignIn.objects.filter(pk=session_id, revoked_at=None).first()
    if found is None:
        raise unknown("session")
    services.revoke(found)


def end_sessions(keep: SignIn | None) -> int:
    """End every session but `keep` at once and return how many there were."""
    rows = [row for row in sessions() if keep is None or row.pk != keep.pk]
    for row in rows:
        services.revoke(row)
    return len(rows)


def _other(user_id: int, by: User | None) -> User:
    user = get(user_id)
    if user.username == pairing.OWNER:
        raise conflict("household.fixed", _("This person owns the machine that the home runs on, and stays an owner."))
    if by is not None and user.pk == by.pk:
        raise conflict("household.self", _("You cannot shut yourself out."), _("Another owner can."))
    return user


def _check(role: str, cameras: Collection[int]) -> None:
    if role not in HOME_ROLES:
        raise invalid("user.role", _("There is no such role here."), ", ".join(HOME_ROLES))
    if Camera.objects.filter(pk__in=cameras).count() != len(set(cameras)):
        raise unknown("camera")


def _grant(user: User, *, may_answer: bool, cameras: Collection[int]) -> None:
    Member.objects.update_or_create(user=user, defaults={"may_answer": may_answer and user.role == "member"})
    CameraShare.objects.filter(user=user).delete()
    if user.role == "viewer":
        CameraShare.objects.bulk_create(CameraShare(user=user, camera_id=pk) for pk in set(cameras))


def _username(name: str) -> str:
    """Return a free username like `name`: nobody types it, sessions are opened by pairing."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:30]
    if len(base) < 2:
        base = "person"
    taken = set(User.objects.filter(username__startswith=base).values_list("username", flat=True)) | {pairing.OWNER}
    return next(one for one in (base, *(f"{base}-{n}" for n in range(2, len(taken) + 3))) if one not in taken)


def _resident(user: User) -> Resident:
    shares = list(user.shared_cameras.all())
    member = Member.objects.filter(user=user).first()
    open_now = services.sessions_of(user)
    last = SignIn.objects.filter(user=user).order_by("-seen_at").first()
    return Resident(
        id=user.pk,
        name=user.display_name,
        role=user.role,
        frozen=user.frozen,
        fixed=user.username == pairing.OWNER,
        may_answer=user.role == "owner" or (member is not None and member.may_answer),
        cameras=tuple(row.camera_id for row in shares),
        camera_names=tuple(sorted(row.camera.name for row in shares)),
        devices=open_now.count(),
        seen_at=None if last is None else last.seen_at,
    )
