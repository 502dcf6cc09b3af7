"""Accounts as a Django app; each role migrates it in its own database."""

from django.apps import AppConfig


class Accounts(AppConfig):
    """People, their one-time codes, their sessions, and the fallbacks they were granted."""

    name = "fairwitness.kit.accounts"
    label = "accounts"
    default_auto_field = "django.db.models.BigAutoField"
