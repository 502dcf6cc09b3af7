"""The agency's addresses."""

from django.urls import path

from fairwitness.agency.api import api
from fairwitness.kit.urls import common

urlpatterns = [*common(), path("api/", api.urls)]
