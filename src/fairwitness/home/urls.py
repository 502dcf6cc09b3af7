"""Addresses of the home's own page and of the API for its owner."""

from django.urls import URLPattern, URLResolver, path

from fairwitness.home import views
from fairwitness.home.api import api
from fairwitness.home.operate import OPERATIONS
from fairwitness.kit.operate.views import operated
from fairwitness.kit.urls import common

urlpatterns: list[URLPattern | URLResolver] = [
    *common(),
    *operated(OPERATIONS),
    path("upload", views.upload_page, name="upload"),
    path("pair", views.pair, name="pair"),
    path("ca.crt", views.authority, name="authority"),
    path("api/", api.urls),
]
