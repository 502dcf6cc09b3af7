"""What is not for everybody in a home: to a viewer a camera that nobody shared with them, and its recordings.

To owners and members every camera is open; for them the object is one that is not there.
"""

from django.contrib.auth import get_user_model

from fairwitness.home.lan import pairing
from fairwitness.home.models import Camera, Pairing, Recording, Source
from fairwitness.kit import clock
from fairwitness.kit.accounts.models import SignIn

_NOWHERE = 987654321


def camera(user):
    if user.role != "viewer":
        return {"camera_id": _NOWHERE}
    return {"camera_id": Camera.objects.create(name=f"not for {user.username}").pk}


def recording(user):
    if user.role != "viewer":
        return {"recording_id": _NOWHERE}
    source = Source.objects.create(camera_id=camera(user)["camera_id"], folder="/nowhere")
    found = Recording.objects.create(
        source=source, path="a.mp4", identity={}, start=0, end=9, seconds=9.0, time_source="name", codec="h264", size=1
    )
    return {"recording_id": found.pk}


def session(user):
    """Somebody else's browser; an owner ends everybody's, so for one it is a browser that is not there."""
    if user.role == "owner":
        return {"session_id": _NOWHERE}
    other = get_user_model().objects.create(username=f"not-{user.username}", display_name="X", role="owner", created_at=0)
    times = {"created_at": clock.now(), "seen_at": clock.now(), "ends_at": clock.now() + 99}
    row = SignIn.objects.create(user=other, key_hash=user.username.encode(), stage="full", method="pairing", **times)
    return {"session_id": row.pk}


def pairing_code(user):
    """Somebody else's code; an owner sees how everybody's does."""
    if user.role == "owner":
        return {"pairing_id": _NOWHERE}
    pairing.issue(None)
    return {"pairing_id": Pairing.objects.latest("pk").pk}


OBJECTS = {
    "home_end_session": session,
    "home_pairing_state": pairing_code,
    "home_camera_picture": camera,
    "camera_timeline": lambda user: camera(user) | {"?": "?from=0&to=60"},
    "home_camera": camera,
    "home_camera_play": lambda user: camera(user) | {"?": "?t=5"},
    "home_camera_download": lambda user: camera(user) | {"?": "?start=0&end=9"},
    "home_camera_delete": lambda user: camera(user) | {"?": "?start=0&end=9"},
    "home_live": camera,
    "home_live_next": camera,
    "home_still": camera,
    "home_masks": camera,
    "home_masks_preview": camera,
    "home_masks_picture": camera,
    "home_recording_download": recording,
    "home_recording_delete": recording,
    "recording_media": recording,
    "recording_preview": recording,
    "recording_thumb": recording,
    "recording_strip": recording,
}
