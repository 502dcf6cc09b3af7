"""The agency's addresses."""

from django.urls import path

from fairwitness.agency.api import api
from fairwitness.agency.operate import OPERATIONS
from fairwitness.kit.operate.views import operated
from fairwitness.kit.urls import common

urlpatterns = [*common(), *operated(OPERATIONS), path("api/", api.urls)]
