"""Paths inside the home's data folder are stored relative to it."""

import re
from pathlib import Path
from typing import Any

from django.db import migrations

from fairwitness.home.fields import PlaceField, data_folder

# A folder that a recorder made, of whatever home it was made in.
_OWN = re.compile(r".*/(recordings/[0-9a-f]{16}(?:/.*)?)")


def store_again(apps: Any, _editor: Any) -> None:
    """Rewrite each path; one of a recorder's own folders that is not there any more belongs to this home, which was moved."""
    for name, column in (("Source", "folder"), ("AnswerClip", "source_path"), ("AnswerPiece", "source_path")):
        for row in apps.get_model("home", name).objects.all().iterator():
            text = getattr(row, column)
            own = _OWN.fullmatch(text)
            if own is not None and not Path(text).exists():
                setattr(row, column, str(data_folder() / own[1]))
            row.save(update_fields=[column])


class Migration(migrations.Migration):
    dependencies = [("home", "0005_joined_clips")]

    operations = [
        migrations.AlterField("source", "folder", PlaceField()),
        migrations.AlterField("answerclip", "source_path", PlaceField()),
        migrations.AlterField("answerpiece", "source_path", PlaceField()),
        migrations.RunPython(store_again, migrations.RunPython.noop),
    ]
