"""Addresses of the home's own page: the API for its owner."""

from django.urls import URLPattern, URLResolver, path

from fairwitness.home.api import api
from fairwitness.home.operate import OPERATIONS
from fairwitness.kit.operate.views import operated
from fairwitness.kit.urls import common

urlpatterns: list[URLPattern | URLResolver] = [*common(), *operated(OPERATIONS), path("api/", api.urls)]
