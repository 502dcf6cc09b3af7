"""Addresses of the home's own page and of the API for its owner."""

from django.urls import URLPattern, URLResolver, path

from fairwitness.home.api import api
from fairwitness.home.operate import OPERATIONS
from fairwitness.home.views import (
    cameras,
    export,
    household,
    pairing,
    settings,
    setup,
    start,
    uploads,
    video,
)
from fairwitness.kit.operate.views import operated
from fairwitness.kit.urls import common

urlpatterns: list[URLPattern | URLResolver] = [
    *common(),
    *operated(OPERATIONS),
    path("", start.start, name="home_start"),
    path("waiting", start.waiting, name="home_waiting"),
    path("settings", settings.settings, name="home_settings"),
    path("settings/notify", settings.notify, name="home_notify"),
    path("settings/choices", settings.choices, name="home_choices"),
    path("settings/about", settings.about, name="home_about"),
    path("settings/about/examined", settings.examine, name="home_examine"),
    path("settings/devices", household.paired, name="home_devices"),
    path("settings/devices/codes/<int:pairing_id>", household.pairing_state, name="home_pairing_state"),
    path("settings/devices/<int:session_id>/end", household.end_session, name="home_end_session"),
    path("settings/devices/end", household.end_sessions, name="home_end_sessions"),
    path("settings/household", household.people, name="home_household"),
    path("settings/household/<int:user_id>", household.person, name="home_person"),
    path("settings/export", export.export_page, name="home_export"),
    path("upload", uploads.upload_page, name="upload"),
    path("pair", pairing.pair, name="pair"),
    path("ca.crt", pairing.authority, name="authority"),
    path("setup", setup.setup, name="home_setup"),
    path("setup/join", setup.setup_join, name="home_setup_join"),
    path("setup/camera", setup.setup_camera, name="home_setup_camera"),
    path("setup/done", setup.setup_done, name="home_setup_done"),
    path("cameras", cameras.camera_list, name="home_cameras"),
    path("cameras/<int:camera_id>/settings", cameras.camera_settings, name="home_camera_settings"),
    path("cameras/<int:camera_id>/picture", cameras.camera_picture, name="home_camera_picture"),
    path("cameras/<int:camera_id>/place", setup.camera_place, name="home_camera_place"),
    path("cameras/<int:camera_id>/keep", video.keep, name="home_keep"),
    path("cameras/<int:camera_id>/video", video.video, name="home_video"),
    path("cameras/<int:camera_id>/video/<int:source_id>/found", video.video_found, name="home_video_found"),
    path("cameras/<int:camera_id>/video/<int:source_id>/picture", video.video_picture, name="home_video_picture"),
    path("cameras/<int:camera_id>/video/<slug:kind>", video.video_kind, name="home_video_kind"),
    path("api/", api.urls),
]
