"""Addresses of the home's own page and of the API for its owner."""

from django.urls import URLPattern, URLResolver, path

from fairwitness.home.api import api
from fairwitness.home.operate import OPERATIONS
from fairwitness.home.views import pairing, uploads
from fairwitness.kit.operate.views import operated
from fairwitness.kit.urls import common

urlpatterns: list[URLPattern | URLResolver] = [
    *common(),
    *operated(OPERATIONS),
    path("upload", uploads.upload_page, name="upload"),
    path("pair", pairing.pair, name="pair"),
    path("ca.crt", pairing.authority, name="authority"),
    path("api/", api.urls),
]
