"""What is not for everybody in a home: to a viewer a camera that nobody shared with them, and its recordings.

To owners and members every camera is open; for them the object is one that is not there.
"""

from fairwitness.home.models import Camera, Recording, Source

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


OBJECTS = {
    "home_camera_picture": camera,
    "camera_timeline": lambda user: camera(user) | {"?": "?from=0&to=60"},
    "recording_media": recording,
    "recording_preview": recording,
    "recording_thumb": recording,
    "recording_strip": recording,
}
