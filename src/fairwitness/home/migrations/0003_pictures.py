"""Covered areas, and marks of motion and persons."""

import django.db.models.deletion
from django.db import migrations, models


def _key() -> "models.BigAutoField[int, int]":
    return models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


class Migration(migrations.Migration):
    """Adds tables and columns only."""

    dependencies = [("home", "0002_recorder")]

    operations = [
        migrations.AddField("camera", "marks_on", models.BooleanField(default=False)),
        migrations.CreateModel(
            "Mask",
            [
                ("id", _key()),
                ("name", models.CharField(max_length=80)),
                ("points", models.JSONField()),
                ("added_at", models.BigIntegerField()),
                (
                    "camera",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="masks", to="home.camera"),
                ),
            ],
            options={"constraints": [models.UniqueConstraint(fields=["camera", "name"], name="mask_once")]},
        ),
        migrations.CreateModel(
            "Mark",
            [
                ("id", _key()),
                ("start", models.FloatField()),
                ("end", models.FloatField()),
                ("kind", models.CharField(choices=[("motion", "motion"), ("person", "person")], max_length=8)),
                ("score", models.FloatField()),
                (
                    "recording",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="marks", to="home.recording"),
                ),
            ],
        ),
        migrations.CreateModel(
            "Look",
            [
                ("id", _key()),
                ("identity", models.JSONField()),
                ("at", models.BigIntegerField()),
                ("problem", models.CharField(default="", max_length=64)),
                (
                    "recording",
                    models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name="look", to="home.recording"),
                ),
            ],
        ),
        migrations.CreateModel(
            "LookBudget",
            [
                ("id", _key()),
                ("day", models.CharField(default="", max_length=10)),
                ("cpu", models.FloatField(default=0.0)),
            ],
        ),
        migrations.AddField(
            "answerclip",
            "camera",
            models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="home.camera"),
        ),
        migrations.AddField("answerclip", "masks", models.JSONField(default=list)),
        migrations.AddField("answerclip", "covered", models.IntegerField(default=0)),
    ]
