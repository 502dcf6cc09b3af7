"""The kit as a Django app: its templates, static files and one signal."""

from django.apps import AppConfig


class Kit(AppConfig):
    """Holds shared templates and static files; has no models."""

    name = "fairwitness.kit"
    label = "kit"

    def ready(self) -> None:
        """Send unhandled exceptions to the journal."""
        from fairwitness.kit import middleware  # noqa: PLC0415 - the registry of apps must be ready first

        middleware.connect()
