"""The addresses that every role has."""

from django.urls import URLPattern, URLResolver, include, path

from fairwitness.kit.static_view import static


def common() -> list[URLPattern | URLResolver]:
    """Return sign-in and accounts under /auth/, and static files under /static/."""
    return [
        path("auth/", include("fairwitness.kit.accounts.urls")),
        path("static/<path:path>", static, name="static"),
    ]


urlpatterns = common()
"""What a node serves that has no pages of its own."""
