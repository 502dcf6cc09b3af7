"""The health pages and metrics of a Django role."""

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from fairwitness.kit import clock, config
from fairwitness.kit.accounts import gate
from fairwitness.kit.operate import metrics
from fairwitness.kit.operate.metrics import Sample
from fairwitness.kit.operate.role import Operations


def operated(role: Operations, *, healthz: bool = True) -> list[URLPattern]:
    """Return /metrics and /readyz of a role, and /healthz where the role has none of its own."""

    @gate.anyone("to this machine alone, from a closed list that names and counts nobody")
    @require_safe
    def metrics_page(request: HttpRequest) -> HttpResponse:
        if not metrics.is_local(request.META):
            raise Http404
        page = metrics.render((*metrics.COMMON, *role.metrics), [*_common(role), *metrics.safely(role.sample)])
        return HttpResponse(page, content_type=metrics.TYPE)

    @gate.anyone("whether work can be done, one bit")
    @require_safe
    def readyz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
        good = is_ready(role)
        return JsonResponse({"ready": good}, status=200 if good else 503)

    @gate.anyone("that the process answers")
    @require_safe
    def healthz_page(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
        return JsonResponse({"ok": True})

    found = [path("metrics", metrics_page, name="metrics"), path("readyz", readyz, name="readyz")]
    return [*found, path("healthz", healthz_page, name="healthz")] if healthz else found


def is_ready(role: Operations) -> bool:
    """Tell whether the role can do its work now; a failure to find out is a no."""
    try:
        return role.ready()
    except Exception:  # noqa: BLE001 - a monitor asks for one bit, doctor says why
        return False


def _common(role: Operations) -> list[Sample]:
    folder = config.current(config.RoleConfig).folder()
    return [
        Sample("fairwitness_ready", float(is_ready(role))),
        Sample("fairwitness_disk_low", float(metrics.disk_low(folder))),
        Sample("fairwitness_beat_age_seconds", metrics.heartbeat_age(folder, clock.now())),
    ]
