"""Django settings of the hub."""

from fairwitness.kit.settings import build

globals().update(build("hub"))
