"""The hub's addresses."""

from django.urls import path

from fairwitness.hub.api import api
from fairwitness.hub.operate import OPERATIONS
from fairwitness.hub.services import feed, identity
from fairwitness.hub.views import desk, keeping, public
from fairwitness.kit.http_static import static_files
from fairwitness.kit.operate.views import operated
from fairwitness.kit.urls import common

urlpatterns = [
    # The public page: files that the beat draws from the log, of a few kinds and in a few folders.
    path("", public.start, {"path": "index.html"}, name="public"),
    path("es/", public.start, {"path": "es/index.html"}, name="public_es"),
    path("es/<str:path>", public.pages("es"), name="public_es_page"),
    path("es/requests/<str:path>", public.pages("es/requests"), name="public_es_request"),
    path("es/agencies/<str:path>", public.pages("es/agencies"), name="public_es_agency"),
    path("requests/<str:path>", public.pages("requests"), name="public_request"),
    path("agencies/<str:path>", public.pages("agencies"), name="public_agency"),
    *(path(name, public.pages(), {"path": name}, name=f"public_{name}") for name in public.TOP),
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
    path("desk", desk.queue, name="hub_desk"),
    path("desk/requests/<slug:request_id>", desk.one, name="hub_desk_request"),
    path("desk/requests/<slug:request_id>/approve", desk.approve, name="hub_desk_approve"),
    path("desk/requests/<slug:request_id>/refuse", desk.refuse, name="hub_desk_refuse"),
    path("desk/requests/<slug:request_id>/withdraw", desk.withdraw, name="hub_desk_withdraw"),
    path("desk/rota", keeping.shifts, name="hub_rota"),
    path("desk/rota/<int:pk>/remove", keeping.remove_shift, name="hub_rota_remove"),
    path("desk/agencies", keeping.agency_list, name="hub_agencies"),
    path("desk/agencies/<slug:agency_id>", keeping.agency, name="hub_agency"),
    path("desk/agencies/<slug:agency_id>/suspend", keeping.suspend, name="hub_agency_suspend"),
    path("desk/health", keeping.hub_health, name="hub_health"),
    path("desk/legal", keeping.legal_desk, name="hub_legal"),
    path("desk/legal/<int:pk>/answer", keeping.legal_answer, name="hub_legal_answer"),
    path("", api.urls),
]
