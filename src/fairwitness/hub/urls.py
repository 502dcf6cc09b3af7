"""The hub's addresses."""

from django.urls import path

from fairwitness.hub.api import api
from fairwitness.hub.operate import OPERATIONS
from fairwitness.hub.services import feed, identity
from fairwitness.kit.http_static import static_files
from fairwitness.kit.operate.views import operated
from fairwitness.kit.urls import common

urlpatterns = [
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
