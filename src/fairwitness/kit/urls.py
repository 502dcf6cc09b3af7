"""The addresses that every role has."""

from django.urls import URLPattern, URLResolver, include, path
from django.views.i18n import set_language

from fairwitness.kit.accounts import gate
from fairwitness.kit.static_view import basemap, static


def common() -> list[URLPattern | URLResolver]:
    """Return sign-in and accounts under /auth/, and static files under /static/."""
    return [
        path("auth/", include("fairwitness.kit.accounts.urls")),
        path("static/<path:path>", static, name="static"),
        path("basemap.pmtiles", basemap, name="basemap"),
        path("language", gate.anyone("which language a browser reads is its own affair")(set_language), name="set_language"),
    ]


urlpatterns = common()
"""What a node serves that has no pages of its own."""
