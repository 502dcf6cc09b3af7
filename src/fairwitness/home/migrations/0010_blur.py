"""What is covered in clips. Answers that were agreed to before have nothing of the kind; drafts look for it from now on."""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models


def drafts(apps: Any, _schema: object) -> None:
    apps.get_model("home", "Answer").objects.filter(state="draft").update(blur="on")


class Migration(migrations.Migration):
    dependencies = [("home", "0009_request_changes")]

    operations = [
        migrations.AddField(
            "answer", "blur", models.CharField(choices=[("on", "on"), ("off", "off")], default="off", max_length=3)
        ),
        migrations.RunPython(drafts, migrations.RunPython.noop),
        migrations.AlterField(
            "answer", "blur", models.CharField(choices=[("on", "on"), ("off", "off")], default="on", max_length=3)
        ),
        migrations.CreateModel(
            name="ClipLook",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("state", models.CharField(default="waiting", max_length=8)),
                ("share", models.FloatField(default=0.0)),
                ("begin", models.FloatField(null=True)),
                ("end", models.FloatField(null=True)),
                ("problem", models.CharField(default="", max_length=64)),
                ("asked_at", models.BigIntegerField(default=0)),
                (
                    "clip",
                    models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name="look", to="home.answerclip"),
                ),
            ],
            options={"abstract": False},
        ),
        migrations.CreateModel(
            name="ClipRegion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(choices=[("face", "face"), ("plate", "plate"), ("own", "own")], max_length=8)),
                ("number", models.IntegerField()),
                ("state", models.CharField(default="covered", max_length=8)),
                ("why", models.CharField(default="", max_length=12)),
                ("score", models.FloatField(default=1.0)),
                ("track", models.JSONField()),
                (
                    "clip",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="regions", to="home.answerclip"),
                ),
            ],
            options={
                "ordering": ["kind", "number"],
                "constraints": [models.UniqueConstraint(fields=("clip", "kind", "number"), name="region_once")],
            },
        ),
    ]
