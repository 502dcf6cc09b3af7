from typing import Any

import django.db.models.deletion
from django.db import migrations, models

from fairwitness.kit import clock

_YEAR = 365 * 86400
_GRACE = 30 * 86400


def begin(apps: Any, _schema_editor: Any) -> None:
    """Who has access already counts as trained for a year from when they were added, and for a month from now at least."""
    now = clock.now()
    for one in apps.get_model("agency", "Officer").objects.all():
        one.trained_until, one.renewed_at = max(one.created_at + _YEAR, now + _GRACE), now
        one.save(update_fields=["trained_until", "renewed_at"])


class Migration(migrations.Migration):
    dependencies = [
        ("agency", "0004_request_changes"),
    ]

    operations = [
        migrations.AddField("officer", "trained_until", models.BigIntegerField(default=0), preserve_default=False),
        migrations.AddField(
            "officer", "training", models.CharField(blank=True, max_length=120, default=""), preserve_default=False
        ),
        migrations.AddField("officer", "renewed_at", models.BigIntegerField(default=0), preserve_default=False),
        migrations.CreateModel(
            name="RetentionClass",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=80, unique=True)),
                ("days", models.IntegerField()),
                ("offenses", models.JSONField(default=list)),
            ],
            options={"ordering": ["days", "name"]},
        ),
        migrations.CreateModel(
            name="Freeze",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.BigIntegerField()),
                ("reason", models.CharField(max_length=300)),
                ("lifted_at", models.BigIntegerField(null=True)),
                (
                    "by",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="agency.officer"),
                ),
                (
                    "lifted_by",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="agency.officer"
                    ),
                ),
            ],
            options={"ordering": ["-id"]},
        ),
        migrations.RunPython(begin, migrations.RunPython.noop),
    ]
