"""The hub's addresses."""

from django.urls import path, re_path

from fairwitness.hub.api import api
from fairwitness.hub.operate import OPERATIONS
from fairwitness.hub.services import feed, identity
from fairwitness.hub.views import public
from fairwitness.kit.http_static import static_files
from fairwitness.kit.operate.views import operated
from fairwitness.kit.urls import common

# The public page: files that the beat draws from the log. Its names are a closed list; all else is elsewhere.
PUBLIC_PAGES = (
    r"^(?P<path>(?:es/)?(?:(?:index|requests|agencies|hosts|check)(?:\.[0-9]+)?\.html|feed\.atom|"
    r"(?:requests|agencies)/[a-z0-9-]+(?:\.[0-9]+)?\.(?:html|envelope\.json|tlog-proof))|"
    r"(?:requests|agencies|summary|public)\.json)$"
)

urlpatterns = [
    path("", public.start, {"path": "index.html"}, name="public"),
    path("es/", public.start, {"path": "es/index.html"}, name="public_es"),
    re_path(PUBLIC_PAGES, public.page, name="public_page"),
    *common(),
    *operated(OPERATIONS, healthz=False),
    path("join.json", static_files(feed.root, feed.cache_policy), {"path": "join.json"}, name="join"),
    path(
        "feed/v1/<path:path>",
        static_files(lambda: feed.root() / "v1", lambda name: feed.cache_policy(f"v1/{name}")),
        name="feed",
    ),
    path(
        "log/p/<path:path>",
        static_files(lambda: identity.log_folder("p") / "public", feed.log_cache_policy),
        name="log_public",
    ),
    path(
        "log/s/<path:path>",
        static_files(lambda: identity.log_folder("s") / "public", feed.log_cache_policy),
        name="log_sealed",
    ),
    path("", api.urls),
]
