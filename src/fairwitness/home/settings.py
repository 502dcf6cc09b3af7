"""Django settings of the home."""

from fairwitness.kit.settings import build

globals().update(build("home"))
