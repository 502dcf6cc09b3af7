"""A column type of the home's own."""

from pathlib import Path
from typing import Any

from django.db import models

from fairwitness.kit import config


class PlaceField(models.TextField):  # type: ignore[type-arg]  # generic in its stubs only
    """A path as absolute text; one inside the home's data folder is stored relative to it.

    So a home that moved, or was restored on another machine, finds what is its own, and never reaches into the folder that
    it was copied from.
    """

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        """Return an absolute path; nothing stays nothing."""
        return str(data_folder() / value) if value else value

    def get_prep_value(self, value: Any) -> Any:
        """Return what is stored for a path."""
        text = super().get_prep_value(value)
        if text and Path(text).is_relative_to(data_folder()):
            return str(Path(text).relative_to(data_folder()))
        return text


def data_folder() -> Path:
    """Return the home's data folder, absolute."""
    folder = config.current(config.RoleConfig).data_dir
    if folder is None:
        raise config.ConfigError("a home without a data folder has no paths")
    return folder.absolute()
