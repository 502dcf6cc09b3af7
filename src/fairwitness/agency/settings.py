"""Django settings of the agency."""

from fairwitness.kit.settings import build

globals().update(build("agency"))
