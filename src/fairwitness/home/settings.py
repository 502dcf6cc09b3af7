"""Django settings of the home."""

from fairwitness.kit.settings import build

_built = build("home")
_at = _built["MIDDLEWARE"].index("django.middleware.clickjacking.XFrameOptionsMiddleware")
_built["MIDDLEWARE"].insert(_at, "fairwitness.home.access.OverTls")
globals().update(_built)
