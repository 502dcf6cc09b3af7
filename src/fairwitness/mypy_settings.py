"""All roles' models at once, for the type checker alone: no process ever runs with these settings."""

from fairwitness.kit.settings import build

globals().update(build("hub"))
INSTALLED_APPS = [*globals()["INSTALLED_APPS"], "fairwitness.home", "fairwitness.agency"]
