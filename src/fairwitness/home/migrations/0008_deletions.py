"""What the owner had deleted, and files that stay in the owner's own folder all the same."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds a table and a column only."""

    dependencies = [("home", "0007_household")]

    operations = [
        migrations.AddField("recording", "hidden", models.BooleanField(db_default=False, default=False)),
        migrations.CreateModel(
            "Deletion",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("camera_name", models.CharField(max_length=80)),
                ("by", models.CharField(max_length=150)),
                ("at", models.BigIntegerField()),
                ("start", models.BigIntegerField(null=True)),
                ("end", models.BigIntegerField(null=True)),
                ("count", models.IntegerField()),
                ("size", models.BigIntegerField()),
                ("originals", models.BooleanField()),
                ("proofs", models.BooleanField(default=False)),
                ("items", models.JSONField()),
                ("shared", models.JSONField(default=list)),
                ("done_at", models.BigIntegerField(null=True)),
                ("problem", models.CharField(default="", max_length=64)),
                (
                    "camera",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="deletions",
                        to="home.camera",
                    ),
                ),
            ],
            options={"abstract": False},
        ),
    ]
